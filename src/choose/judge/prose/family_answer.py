"""Why this family and this member, what the evidence settles, and what it leaves open."""

from __future__ import annotations

from collections.abc import Iterator

from choose.formatting import (
    duration,
    gain,
    in_points,
    listed,
    measured,
    plural,
    points,
    size_in_points,
)
from choose.judge.decision.contenders import Contenders, relation
from choose.judge.decision.rule import Case, deciding_rival
from choose.judge.decision.verdict_gates import small_models
from choose.judge.measures.cost_comparison import costs_less, costs_more
from choose.judge.prose.loss_sentences import losses_of
from choose.judge.scores.family_comparison import FamilyComparison
from choose.judge.scores.joint_distribution import distribution_of_difference
from choose.judge.stats.paired import Difference
from choose.schema.decision import Kind
from choose.schema.standings import FamilyResult
from choose.types import Family

# Members of the chosen family that are named beside the chosen one.
NEAR = 2


def _noun(case: Case, family: Family) -> str:
    return case.words.called(family)


def also_named(case: Case) -> str | None:
    """Return the member that the verdict names beside the chosen one, if there is one.

    It is the best of the family where a cheaper one was named, else the closest of those that are
    not shown to be behind.
    """
    contenders = case.contenders
    if case.name in contenders.constants:
        return None
    best = contenders.best[case.family]
    if best != case.name:
        return best
    return case.selection.near[0] if case.selection.near else None


def interim_reason(case: Case, kind: Kind) -> str:
    """Say why the interim candidate is the one to use; empty where it is recommended."""
    if kind in ("adopt", "baseline-is-enough"):
        return ""
    if case.name in case.contenders.constants:
        gained = points(case.margin) if case.margin else "anything"
        return f"No candidate is shown to gain {gained} over guessing."
    if kind == "nothing-compared":
        return f"Besides guessing {case.words.constant}, only {case.name} was measured."
    rival = deciding_rival(case.contenders, case.selection)
    families = case.contenders.families
    other = case.contenders.family(rival) if rival else case.family
    match = case.contenders.versus(other, case.family) if other in families else None
    if rival is None or other == case.family or match is None:
        return f"No other family was measured; of this one, {case.name} is the one to use."
    contenders, found = case.contenders, charted(case, match)
    lead, shared = found.difference.value, plural(found.difference.rows, "shared row")
    theirs, own = compared(case, found)
    subject = _capital(theirs) if found.chosen else theirs
    cheaper, paid = rival not in contenders.costlier(case.name), contenders.costs
    costs = costs_less(paid, found.a, found.b) if cheaper else costs_more(paid, found.b, found.a)
    same = round(100 * lead, 1) == 0
    if lead > 0 and not same and cheaper:
        told = ahead_on_all_rows(contenders, found.b, found.a)
        return f"{gain(subject, own, found.difference)} on {shared}. {told}."
    if lead <= 0 or same:
        own, back = own if own == case.name else _capital(own), found.difference.negated()
        scores, risk = gain(own, theirs, back), may_be_behind(contenders, found.b, found.a, back)
        but = f", but {risk}" if risk and cheaper else ""
        return f"{scores} on {shared}; {found.a} {costs}{but}.{_closer(contenders, found)}"
    least = case.deciding_margin
    expect = f"the {points(least)} that matter" if least else "a gain"
    shown = f"{gain(subject, own, found.difference)} on {shared} and {costs}"
    return f"{shown}; that is not enough to expect {expect}."


def _closer(contenders: Contenders, found: FamilyComparison) -> str:
    if (first := contenders.closest(found.a, found.b)) is None:
        return ""
    shown = f"against {found.b}, {in_points(first[1])}"
    return f" {first[0]} does better than {found.a} there: {shown}."


def may_be_behind(contenders: Contenders, name: str, other: str, lead: Difference) -> str:
    """Say what using the cheaper one risks; empty where the lead is large, or surely small."""
    matters = contenders.margin(name, other)
    if lead.value >= matters or lead.high <= matters:
        return ""
    return f"may be more than {points(matters)} behind"


def ahead_on_all_rows(contenders: Contenders, name: str, other: str) -> str:
    """Say why a costlier candidate is used that is behind on the shared rows."""
    expected = distribution_of_difference(contenders.distribution, name, other).mean
    if expected <= 0:
        return "That may be chance"
    return f"By all answers to all rows, {name} is expected to score {measured(expected)} higher"


def charted(case: Case, match: FamilyComparison) -> FamilyComparison:
    """Return the comparison of the candidate to use with the other family's best, as charts show.

    It represents that of the families where both show the same. Elsewhere the comparison of the
    families stays, whose interval counts the choice of their members.
    """
    pair = case.contenders.gain(match.a, case.name)
    margin = case.contenders.margin(match.a, case.name)
    if pair is None or relation(pair, margin) != relation(match.difference, margin):
        return match
    return FamilyComparison(match.a, case.name, pair, chosen=False)


def compared(case: Case, found: FamilyComparison) -> tuple[str, str]:
    """Name both sides: the families where the difference is not that of their two best members."""
    if found.chosen:
        return _noun(case, case.contenders.family(found.a)), _noun(case, case.family)
    return found.a, _best_of_kind(case, found.b)


def _best_of_kind(case: Case, member: str) -> str:
    """Name the chosen family by its most accurate member, which need not be the one to use."""
    if member == case.name:
        return member
    noun = _noun(case, case.family).removeprefix("a ").removeprefix("an ")
    return f"the most accurate {noun} ({member})"


def settled(case: Case, families: tuple[FamilyResult, ...]) -> tuple[str, ...]:
    """Return what the evidence shows about families, a sentence each.

    Where documents are read, what is lost and why comes first.
    """
    shown = [*(_shown(case, family) for family in families), _floor(case), *_near(case, alike=True)]
    return (*losses_of(case), *filter(None, shown))


def _shown(case: Case, result: FamilyResult) -> str:
    if (match := _match(case, result)) is None or _undecided(case, result):
        return ""
    found = charted(case, match[1])
    other, own = compared(case, found)
    other = other if found.chosen else called(case, match[0], other)
    small = small_models(case.contenders) if match[0] in ("prompting", "retrieval") else []
    rows, why = plural(found.difference.rows, "shared row"), why_wider(case, found)
    rows += f", with {listed(small)} only" if small else ""
    if result.status == "behind":
        by = found.difference.negated()
        first = own if own == case.name else _capital(own)
        return f"{first} beats {other} by {size_in_points(by, why)} on {rows}."
    margin = case.contenders.margin(found.a, case.name)
    return (
        f"{_capital(other)} does not gain {points(margin)} over {own}: "
        f"{size_in_points(found.difference, why)} on {rows}."
    )


def _undecided(case: Case, result: FamilyResult) -> bool:
    # A cheaper family that gains nothing may still be as good as the one that is named.
    rivals = () if case.selection.chosen else map(case.contenders.family, case.selection.rivals)
    return result.status in ("open", "ahead", *("no gain" for f in rivals if f == result.family))


def why_wider(case: Case, found: FamilyComparison) -> str:
    """Say why this interval is not that of the two candidates in the chart, where it is not.

    As a rule it is wider. A bound lies nearer where another member of the family shows more.
    """
    if not found.chosen:
        return ""
    pair = case.contenders.gain(found.a, case.name)
    bounds = found.difference
    if pair is None or (bounds.low <= pair.low and pair.high <= bounds.high):
        return "; wider because the best of each family was chosen on these rows"
    return f"; of the best of each family, not of {case.name} alone"


def called(case: Case, family: Family, member: str) -> str:
    """Name a family with the member that represents it: ``a cheap classifier (probe)``."""
    noun = _noun(case, family)
    return noun if member == noun else f"{noun} ({member})"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _match(case: Case, result: FamilyResult) -> tuple[Family, FamilyComparison] | None:
    family = next((f for f in case.contenders.families if f == result.family), None)
    if family is None or result.difference is None:
        return None
    match = case.contenders.versus(family, case.family)
    return (family, match) if match else None


def _floor(case: Case) -> str:
    for name in case.contenders.constants:
        difference = case.contenders.gain(case.name, name)
        if name != case.name and difference and difference.low > 0:
            return (
                f"{case.name} beats always giving {case.words.constant} by "
                f"{size_in_points(difference)}{case.contenders.on_rows(difference)}."
            )
    return ""


def still_open(case: Case, families: tuple[FamilyResult, ...]) -> tuple[str, ...]:
    """Return what the evidence does not show yet, a sentence each."""
    return (
        *_open_families(case, families),
        *_not_measured(case, families),
        *_small_model(case),
        *_near(case, alike=False),
    )


def _open_families(case: Case, families: tuple[FamilyResult, ...]) -> Iterator[str]:
    for result in families:
        if (match := _match(case, result)) is None or not _undecided(case, result):
            continue
        family, found = match[0], charted(case, match[1])
        theirs, own = compared(case, found) if found.chosen else (found.a, found.b)
        yield (
            f"{_capital(_noun(case, family))}: {gain(theirs, own, found.difference)} on "
            f"{plural(found.difference.rows, 'shared row')}{why_wider(case, found)}."
        )


def _near(case: Case, alike: bool) -> Iterator[str]:
    """Say which members of the family are shown to be as accurate, or else may be."""
    for other in case.selection.near[:NEAR]:
        difference = case.contenders.gain(other, case.name)
        margin = case.contenders.margin(other, case.name)
        if difference is None or (relation(difference, margin) == "equivalent") is not alike:
            continue
        rows = plural(difference.rows, "shared row")
        if alike:
            shown = in_points(difference)
            yield f"{other} is within {points(margin)} of {case.name}: {shown} on {rows}."
        else:
            yield f"{case.name} or {other}: {gain(other, case.name, difference)} on {rows}."


def _small_model(case: Case) -> Iterator[str]:
    if models := small_models(case.contenders):
        what = "A larger embedder" if case.words.ranks else "Prompting with a stronger model"
        yield f"{what}: only {listed(models)} was tried."


def _not_measured(case: Case, families: tuple[FamilyResult, ...]) -> Iterator[str]:
    absent = {r.family for r in families if not r.members}
    missing = [family for family in case.words.families if family in absent]
    fits, infos = case.long_fits, [c.info for c in case.contenders.panel.candidates]
    too_long = {info.family: info.name for info in reversed(infos) if info.name in fits}
    for family in [f for f in missing if f in too_long]:
        name = too_long[family]
        yield (
            f"{_capital(_noun(case, family))} was not measured: one fit of {name} takes about "
            f"{duration(fits[name])} here."
        )
    unread = {i.family: i.name for i in infos if i.name in case.cannot_win and i.name not in fits}
    for family in [f for f in missing if f in unread]:
        why = f"{unread[family]} was {case.cannot_win[unread[family]]}"
        yield f"{_capital(_noun(case, family))} was not measured: {why}"
    if others := [_noun(case, f) for f in missing if f not in {**too_long, **unread}]:
        verb = "was" if len(others) == 1 else "were"
        yield f"{_capital(listed(others))} {verb} not measured."
