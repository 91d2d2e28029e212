"""The sentences of a decision: one short template for each code, for every medium alike.

A record holds codes and numbers; what they say in English is here. Words follow numbers: a choice
is called sure from 95 %, likely from 80 %, and open ("only 43 % sure") below.
"""

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rich.cells import cell_len

from choose.errors import quoted, rows_named
from choose.formatting import (
    DASH,
    chance,
    difference,
    dollars,
    duration,
    in_percent,
    in_points,
    interval,
    listed,
    measured,
    milliseconds,
    months,
    number,
    p_value,
    per_100,
    percent,
    percent_interval,
    plural,
    points,
    rough,
    short_model,
    signed_points,
    size_in_points,
    span,
)
from choose.schema.base import Command
from choose.schema.candidate_scorecard import Beyond, Failure, Scorecard
from choose.schema.decision import (
    LIKELY,
    SMALL_LOSS,
    SURE,
    Caveat,
    CaveatCode,
    DatasetRecord,
    Decision,
    FamilyResult,
    Gate,
    GateCode,
    Remark,
    RemarkCode,
    Shift,
    Step,
    StepCode,
    Versus,
)
from choose.schema.diagnosis import Audit, DocumentDrill, GapName, LossSplit, Takeover, best_first
from choose.schema.plan import COMPARISON, LeftOut, Reason
from choose.stats import Estimate
from choose.tasks.metrics import DEFAULT, LABELS, METRICS, RANKING, metric_of
from choose.types import FAMILIES, Kind

# Scores and their names.

# What a score is of where a model's answers are taken for right ones.
AGREEMENT = "agreement with"

_UNITS = {metric.unit for metric in METRICS.values()} - {""}


def is_share(noun: str) -> bool:
    """Return whether a score is shown as a percentage of something, by its `score_noun`."""
    return noun in _UNITS or noun.startswith(AGREEMENT)


def scored(value: float, noun: str) -> str:
    """Return ``82 % right``, ``86 % of fields right`` or ``chrF 0.31``, by its `score_noun`."""
    return f"{in_percent(value)} {noun}" if is_share(noun) else f"{noun} {value:.2f}"


def amount(value: float, noun: str) -> str:
    """Return ``82 %``, or ``chrF 0.31`` where a score is no percentage."""
    return in_percent(value) if is_share(noun) else scored(value, noun)


def right(accuracy: Estimate, noun: str = "right") -> str:
    """Return ``82 % right (79 to 85)``, or ``chrF 0.31 (0.28 to 0.34)``."""
    told = scored(accuracy.value, noun)
    if accuracy.low is None or accuracy.high is None:
        return told
    share = is_share(noun)
    ends = (in_percent(e)[:-2] if share else f"{e:.2f}" for e in (accuracy.low, accuracy.high))
    return f"{told} ({' to '.join(ends)})"


def score_noun(goal: Mapping[str, Any]) -> str:
    """Return what a score is a percentage of; the name of a metric that is no percentage."""
    if teacher := goal.get("agreement"):
        return f"{AGREEMENT} {teacher}"
    metric = metric_of(goal.get("metric", DEFAULT))
    return metric.unit or metric.name


def score_head(goal: Mapping[str, Any]) -> str:
    """Return the head of a column of scores: ``% right``, or ``100 x chrF``."""
    noun = score_noun(goal)
    return f"% {noun}" if is_share(noun) else f"100 x {noun}"


# Tasks and families, and names within a sentence.

# What a family is called; and where documents are ranked, which asks whether to tune the embedder.
_CALLED: dict[str, str] = {**{f: f for f in FAMILIES}, "baseline": "a cheap baseline"}
_RANKED: dict[str, str] = {"retrieval": "an untuned embedder", "fine-tuning": "a tuned embedder"}


@dataclass(frozen=True, slots=True)
class Words:
    """Words that depend on the task.

    Attributes:
        score: what is measured, such as ``accuracy``.
        label: what training takes more of.
        target: what a training row holds, right or wrong.
        new: what may appear later: a label, or a field of a record.
        ranks: whether answers are rankings of documents, for which no language model is prompted.
        local: whether no model may be advised that another machine serves.
    """

    score: str
    label: str
    target: str
    new: str
    ranks: bool = False
    local: bool = False

    @property
    def stronger(self) -> dict[str, str]:
        """Return what model may do better than small ones, and the flag that asks for it."""
        if self.ranks:
            return {"stronger": "embedder", "flag": "--set encoder=BAAI/bge-base-en-v1.5"}
        if self.local:
            return {"stronger": "LLM on your machines", "flag": "--model ollama:qwen2.5:14b"}
        return {"stronger": "LLM", "flag": "--model openai:gpt-4o-mini"}

    @property
    def question(self) -> str:
        return "Is it worth tuning the embedder" if self.ranks else "Prompt, retrieve or fine-tune"

    @property
    def labels(self) -> str:
        return "labelled rows" if self.label == "row" else f"{self.label}s"

    @property
    def title(self) -> str:
        """Return what is measured, as it begins a sentence: ``Field F1``, but ``chrF``."""
        return upper(self.score) if self.score.split(" ", 1)[0].islower() else self.score


# The label, target and new of `Words`, by kind of task.
_NOUNS = {
    LABELS: ("label", "label", "label"),
    "multilabel": ("row", "label set", "label"),
    RANKING: ("question", "relevant document", "field"),
}


def words_of(metric: str) -> Words:
    """Return the words for a study by its metric."""
    found = metric_of(metric)
    nouns = _NOUNS.get(found.kind, ("row", "target", "field"))
    return Words(found.name, *nouns, ranks=found.kind == RANKING)


def words_in(decision: Decision) -> Words:
    words = words_of(decision.goal.get("metric", DEFAULT))
    if decision.goal.get("agreement"):
        words = replace(words, score=score_noun(decision.goal))
    return replace(words, local=bool(decision.goal.get("on_premises")))


def called(decision: Decision, family: str) -> str:
    names = _CALLED | (_RANKED if words_in(decision).ranks else {})
    return names.get(family, names["baseline"])


def _named(decision: Decision, family: str, member: str | None) -> str:
    """Return ``a cheap baseline (probe)``: the family, and the member that represents it."""
    noun = called(decision, family)
    return noun if not member or member == noun else f"{noun} ({member})"


def upper(text: str) -> str:
    """Return a text that begins a sentence."""
    return f"{text[:1].upper()}{text[1:]}"


def shorten(text: str, width: int) -> str:
    """Cut the middle out of a text that needs more than `width` columns of the screen."""
    if cell_len(text) <= width:
        return text
    start = _longest_prefix(text, (width - 1) // 2)
    end = _longest_prefix(text[::-1], width - 1 - cell_len(start))[::-1]
    return f"{start}…{end}"


def _longest_prefix(text: str, width: int) -> str:
    ends = range(min(len(text), width), 0, -1)
    return next((text[:end] for end in ends if cell_len(text[:end]) <= width), "")


# The answer, and how sure it is.

# A family with less chance than this has no sentence; and a loss below this is none.
SPOKEN_OF, NO_LOSS = 0.05, 0.0005

# Below so many rows, a share of rows is told as a count.
FEW = 30

# How an answer is meant.
Mood = Literal["", "good", "bad", "wait"]
MOODS: dict[Kind, Mood] = {"adopt": "good", "baseline-is-enough": "good", "none-works": "bad"}

# What comes before anything is used.
_FIRST: dict[Kind, str] = {
    "collect-labels": "Label more first",
    "fix-labels": "Fix the labels first",
    "fix-documents": "Fix the documents first",
    "fix-retrieval": "Fix retrieval first",
}


def headline(decision: Decision) -> str:
    sure = how_sure(decision)
    parts = [answer(decision), f"{sure[:1].upper()}{sure[1:]}." if sure else "", *doubts(decision)]
    return " ".join(filter(None, parts))


def answer(decision: Decision) -> str:
    """Return the answer in one sentence: what to use, and how good it is."""
    verdict, score = decision.verdict, _own_score(decision)
    use = _named(decision, decision.family, decision.named)
    if verdict.kind == "incomplete":
        return _until_then(decision)
    if verdict.kind == "none-works" or not verdict.usable:
        return _nothing(decision)
    if verdict.done:
        return f"Done: use {use}, {score}."
    if verdict.kind in _FIRST:
        return f"{_FIRST[verdict.kind]}; until then, use {use}: {score}."
    if close := _too_close(decision):
        return close
    return f"Use {use}{'' if verdict.recommended else ' for now'}: {score}."


def _until_then(decision: Decision) -> str:
    """Say what to use while something is missing, or that nothing is usable, and what is missing.

    Rows without an answer are left to the step that adds them.
    """
    score, missing = _own_score(decision), _missing(decision)
    use = _named(decision, decision.family, decision.named)
    if (decision.chance or 0.0) >= LIKELY:
        return f"Use {use} for now: {score}. {upper(missing)}".rstrip()
    first = f"Not decided: {missing}" if missing else "Not decided yet."
    if only_references(decision):
        return f"{first} The best reference is {decision.named}: {score}."
    if not decision.verdict.usable:
        return f"{first} {_nothing(decision, 'else')}" if missing else _nothing(decision)
    if (ahead := _ahead(decision)) and ahead.accuracy:
        own = _named(decision, ahead.family, ahead.candidate)
        share = scored(ahead.accuracy.value, score_noun(decision.goal))
        later = f"with all training rows {use} is likelier to be best"
        return f"{first} For now, use {own}: {share}; {later}."
    return f"{first} For now, use {use}: {score}."


def _ahead(decision: Decision) -> Scorecard | None:
    bests = {family.best for family in decision.verdict.families}
    own = decision.card.accuracy.value if decision.card and decision.card.accuracy else 1.0
    shown = {
        card.accuracy.value: card
        for card in decision.scorecards
        if card.candidate in bests and card.difference and card.difference.above_0
        if card.accuracy and card.accuracy.value > own and not card.beyond
    }
    return shown[max(shown)] if shown else None


def _too_close(decision: Decision) -> str:
    """Say what to use where little depends on it, and how much at most; else empty."""
    verdict, score = decision.verdict, _own_score(decision)
    named = verdict.chance.get(decision.family, 1.0)
    # Where it is more likely that none beats guessing than that another family is better.
    alone = 1 - sum(verdict.chance.values()) > sum(verdict.chance.values()) - named
    if verdict.kind != "too-close" or verdict.loss >= SMALL_LOSS or alone:
        return ""
    use = f"use {_named(decision, decision.family, decision.named)}"
    if decision.family == "baseline":
        use = f"take the cheaper ({decision.named})"
    elif (decision.chance or 0.0) >= LIKELY:
        return ""
    most = f"In 95 of 100 cases this gives up at most {_points(verdict.most)}."
    if verdict.most < NO_LOSS:
        most = "In 95 of 100 cases this gives up nothing."
    return f"Too close to call: {use}, {score}. {most}"


def _nothing(decision: Decision, which: str = "here") -> str:
    """Say that nothing is usable, or reaches the target, and what is the best so far."""
    noun, usable = score_noun(decision.goal), decision.verdict.usable
    target = decision.goal.get("target")
    if any(caveat.code == "none-within" for caveat in decision.verdict.caveats):
        return "Nothing here is within your limits."
    said = f"Nothing {which} is usable yet"
    if isinstance(target, float) and usable:
        said = f"Nothing here reaches {amount(target, noun)} yet"
    if only_references(decision):
        return f"{said} (best: {_own_score(decision)}, a reference)."
    said += f". Best so far: {_named(decision, decision.family, decision.named)}"
    first = next((card for card in references(decision) if not usable), None)
    beside = ""
    if first and first.accuracy:
        score, own = first.compared or (first.accuracy.value, 0.0)
        beside = f"; a reference ({first.candidate}) has {amount(score, noun)}"
        if own > score:
            beside = f", not shown to beat a reference ({first.candidate}, {amount(score, noun)})"
    return f"{said}, {_own_score(decision)}{beside}."


def only_references(decision: Decision) -> bool:
    families = decision.verdict.families
    return bool(families) and all(f.best != decision.named for f in families)


def references(decision: Decision) -> list[Scorecard]:
    """Return the references, the one of the highest score first: they are never what to use."""
    members = {name for family in decision.verdict.families for name in family.members}
    cards = [c for c in decision.scorecards if c.accuracy and c.candidate not in members]
    return sorted(cards, key=lambda c: -c.accuracy.value if c.accuracy else 0.0)


def _own_score(decision: Decision) -> str:
    if (card := decision.card) is None or card.accuracy is None:
        return ""
    noun, value = score_noun(decision.goal), card.accuracy.value
    if not 0 < card.rows < FEW:
        return scored(value, noun)
    count = round(value * card.rows)
    if noun == "right" and abs(count - value * card.rows) < 0.01:
        return f"{count} of {plural(card.rows, 'row')} right"
    return f"{scored(value, noun)} on {plural(card.rows, 'row')}"


def _missing(decision: Decision) -> str:
    names, rest = decision.verdict.unmeasured, _rest(decision)
    families = listed([called(decision, family) for family in names])
    said = f"{families} {'was' if len(names) == 1 else 'were'} not measured"
    if not names and (rest is None or rest.code != "all-passages"):
        return ""
    said = said if names else "only a part of the passages was searched"
    if rest is None or rest.minutes is None or (names and rest.code != "begin"):
        return f"{said}."
    return f"{said}; {_surer(decision, rest) or f'allow {_more_time(rest.minutes)}'}."


def _more_time(minutes: float) -> str:
    """Return ``15 more minutes``, or ``7 more hours``."""
    long = minutes >= 300
    return plural(round(minutes / 60 if long else minutes), f"more {'hour' if long else 'minute'}")


def _rest(decision: Decision) -> Step | None:
    """Return the step that measures what was left out, where the first line speaks of it."""
    steps = decision.verdict.steps if decision.verdict.kind == "incomplete" else ()
    return next((one for one in steps if one.code in ("begin", "all-passages")), None)


def how_sure(decision: Decision) -> str:
    """Return ``93 % sure``, or ``only 54 % sure``; empty where no family is named."""
    found = decision.chance
    about = " of the family" * any(undecided(decision, other) for other in _same_family(decision))
    return "" if found is None else f"{'only ' * (found < LIKELY)}{chance(found)} sure{about}"


# What could change the answer.

# Below this chance no gain is stated: it is large whenever the odds are long.
LONG_ODDS = 0.10

# Other members of the named family that a sentence lists.
MEMBERS = 3


def doubts(decision: Decision) -> Iterator[str]:
    verdict, score = decision.verdict, decision.card.accuracy if decision.card else None
    if verdict.done:
        left = 1 - score.middle if score else 0.0
        yield f"On new rows, about {points(left)} are left to gain; nothing else is worth trying."
        return
    if verdict.usable and (within := within_family(decision)):
        yield within
    if (decision.chance or 1.0) < SURE and not _too_close(decision):
        only = "only " * (NO_LOSS <= verdict.loss < SMALL_LOSS)
        part = any(decision.named in c.names for c in verdict.caveats if c.code == PART)
        use = "Trained on all rows, it" if part else "Using it now"
        yield f"{use} is expected to give up {only}{_points(verdict.loss)}."
    if verdict.kind == "fix-documents":
        count, rows = len(decision.without_evidence), plural(decision.dataset.test_rows, "question")
        yield f"The answers to {count:,} of {rows} occur in no document."
    yield from _others(decision)
    metric = metric_of(decision.goal.get("metric", DEFAULT))
    if metric.help and metric.key != DEFAULT:
        yield f"The score is {metric.name}: {metric.help}."


def low_score(decision: Decision) -> str:
    """Say that a score may be too low, where no target says so; else empty."""
    score, noun = decision.card.accuracy if decision.card else None, score_noun(decision.goal)
    stated = not is_share(noun) or decision.goal.get("target") or decision.verdict.done
    if score is None or score.value >= 0.5 or stated or not decision.verdict.usable:
        return ""
    return f"If {amount(score.value, noun)} is not good enough, say what is."


def members(decision: Decision) -> list[Scorecard]:
    """Return the other prompts and models of the named family, the nearest first.

    Of other families these are the members that have scored more than the named one so far.
    """
    prompted = decision.family in ("prompting", "retrieval")
    return [card for card in _same_family(decision) if prompted or _higher(decision, card)]


def _same_family(decision: Decision) -> list[Scorecard]:
    same = {n for f in decision.verdict.families if f.family == decision.family for n in f.members}
    cards = (card for card in decision.scorecards if card.accuracy and not card.chosen)
    return [card for card in cards if card.candidate in same]


def _higher(decision: Decision, card: Scorecard) -> bool:
    """Return whether a score leads that of the named one by the margin, on as many rows or more."""
    own, margin = decision.card, decision.goal.get("margin") or 0.0
    if not (own and own.accuracy and card.accuracy and card.rows >= own.rows):
        return False
    return card.accuracy.value > own.accuracy.value + margin


def undecided(decision: Decision, member: Scorecard) -> bool:
    """Return whether a member is not shown to be worse than the named one."""
    gap = member.difference
    return gap is None or gap.high is None or gap.high >= 0


def within_family(decision: Decision) -> str:
    """Say what other prompts and models of the named family reach, on how many rows, for what."""
    own = decision.card.cost.usd_per_1k if decision.card else None
    others = sorted(members(decision), key=lambda card: not undecided(decision, card))
    noun, told = score_noun(decision.goal), list[str]()
    for card in others[:MEMBERS]:
        usd, score = card.cost.usd_per_1k, card.accuracy.value if card.accuracy else 0.0
        compared = " against ".join(amount(one, noun) for one in card.compared or (score,))
        rows = f"{compared} on {plural(card.common or card.rows, 'row')}"
        cost = "" if usd in (None, own) or own is None else f", at {dollars(usd or 0)} for 1,000"
        alone = f"on its own {plural(card.rows, 'row')}"
        if _higher(decision, card) and card.rows == card.common:
            rows += " after training on equally many rows"
            alone = "after training on all it had"
        alone = f", and {amount(score, noun)} {alone}" * _higher(decision, card)
        told.append(f"{card.candidate} {rows}{cost}{alone}")
    if not others:
        return ""
    rest = f"; {len(others) - MEMBERS} more" * (len(others) > MEMBERS)
    settled = "open" if undecided(decision, others[0]) else "settled"
    return f"Within {decision.family}, the choice is {settled}: {'; '.join(told)}{rest}."


def _others(decision: Decision) -> Iterator[str]:
    verdict = decision.verdict
    if decision.chance is None:
        return
    others = {*verdict.chance} - {decision.family, *verdict.unmeasured}
    measured = [found for found in verdict.families if found.family in others]
    for found in sorted(measured, key=lambda found: -verdict.chance[found.family]):
        yield from filter(None, _may_be(decision, found))


def _may_be(decision: Decision, found: FamilyResult) -> Iterator[str]:
    """Say how another family may be the one to use: for less, or as it scores more.

    It is named with the member that has most of its chance, if that is the one of the table or is
    so by its promise; else without one.
    """
    verdict, margin = decision.verdict, decision.goal.get("margin") or 0.0
    known = {found.best}.union(*(c.names for c in verdict.caveats if c.code == "part-of-labels"))
    most = next((n for n, share in found.shares.items() if share > 0.5 and n in known), None)
    card = next((s for s in decision.scorecards if s.candidate == (most or found.best)), None)
    odds, lead = verdict.chance[found.family], verdict.leads.get(found.family, 0.0)
    cheapest_first = [*verdict.chance]
    cheaper = cheapest_first.index(found.family) < cheapest_first.index(decision.family)
    who = upper(_named(decision, found.family, most if found.shares else found.best))
    gap, why = card.difference if card else None, _on_equal_rows(decision, card) if card else ""
    if odds < SPOKEN_OF:
        yield f"{who}{why.removeprefix(': it')}." if why else ""
    elif odds > (decision.chance or 0.0):
        told = "to be the right choice, but gives up more if it is not"
        if not found.usable:
            told = "to be the right choice, but is not shown yet to beat a reference"
        elif cheaper:
            near = f"within {points(margin)} of {decision.named} at a lower cost"
            told = f"to come {near}, but gives up more if it does not"
        yield f"{who} is more likely ({chance(odds)}) {told}{why}."
    elif not cheaper or lead >= margin > 0:
        by = f", by about {_points(lead)} if so"
        by *= odds >= LONG_ODDS and lead >= NO_LOSS and not _too_close(decision)
        yield f"{who} may be better ({chance(odds)} chance){by}{why}."
    elif odds >= LONG_ODDS or gap is None or gap.value >= -margin or why:
        yield f"{who} may do as well and costs less ({chance(odds)} chance){why}."


def _on_equal_rows(decision: Decision, card: Scorecard) -> str:
    """Say what a candidate and the named one have on equal rows, where all rows say otherwise.

    It leads there by the margin and is not named, or it is behind there, and has scored more.
    """
    own = decision.card
    if not (own and own.accuracy and card.accuracy and card.compared):
        return ""
    noun, (first, second) = score_noun(decision.goal), card.compared
    value, margin = card.accuracy.value, decision.goal.get("margin") or 0.0
    leads = first - second > margin and own.accuracy.value > first
    more = value - first > margin and value > own.accuracy.value and card.rows >= FEW
    if not (leads or more):
        return ""
    best, score = (own, own.accuracy.value) if leads else (card, value)
    how = f"on its own {plural(best.rows, 'row')}"
    if best.learned and own.learned != card.learned:
        how = f"with {best.learned:,} training rows"
    both, reached = f"{amount(first, noun)} against {amount(second, noun)}", amount(score, noun)
    if leads:
        return f": it leads on equal rows ({both}), but {own.candidate} reached {reached} {how}"
    return f": it has {both} on equal rows, but reached {reached} {how}"


def _points(value: float) -> str:
    if round(value, 3) == SMALL_LOSS:  # a limit that both sides share
        return f"{number(100 * value, 2)} points"
    return points(round(value, 3)) if value >= NO_LOSS else "less than 0.1 points"


# What could make the comparison itself misleading.

# Who learned from a part of the training rows, and whose model is not shown to beat guessing.
PART: CaveatCode = "part-of-labels"
BLIND: CaveatCode = "no-evidence"
TOGETHER = (PART, BLIND)

_CAVEATS: dict[CaveatCode, str] = {
    "agreement": "The score is agreement with {first}, and does not say who is right. To find out, "
    "label the {rows} test rows on which {other} differs; about {whole} such rows show the margin.",
    "check-failed": "{checks}",
    "failed": "{names} failed at least once.",
    "few-clusters": "{rows} of {total} test rows belong to one group or document and count as one.",
    "few-rows": "There are only {rows} test rows.",
    "labels-hide-success": "Wrong labels may be why nothing reaches the target.",
    "leak": "{rows} of {total} test rows are also in the training file, and were removed from it.",
    "unseen-labels": "{labels} without a training row: trained candidates get {rows} of {total} "
    "test rows wrong.",
    "looks": "These test rows have judged {rows} different settings, so a lead may be chance.",
    "may-have-seen": "{names} may have seen the test rows.",
    "ms-unknown": "Whether {names} meets --max-ms is unknown: none of its answers was timed.",
    "no-evidence": "{blind} not shown to beat guessing, which says nothing about a larger "
    "{stronger}.",
    "none-within": "{names} is nearest to your limits: {beyond}.",
    "not-asked": "{Families} {was} not part of this study.",
    "part-of-documents": "All candidates searched the same {rows} of {whole} passages; finding is "
    "easier among fewer.",
    "part-of-labels": "{learned}",
    "labels-not-drawn": "{rows} of {whole} labels have no row in the part that {names} learned "
    "from.",
    "shift": "“{names}” is {shares}.",
    "small-model": "{models} {only} tried; {larger} may do better.",
    "target-open": "Whether it reaches the target is not settled.",
    "host-unknown": "Whether {names} meets --on-premises is unknown: its answers were given, "
    "and its name does not say who serves it.",
    "usd-unknown": "Whether {names} meets --max-usd-per-1000 is unknown: its answers have no "
    "price (--usd-per-million IN,OUT of an API, --usd-per-hour of this machine).",
}
ENDS = Beyond(limit="ends")


def caveats(decision: Decision) -> list[str]:
    """Return the sentences of all caveats; one says all of those of `TOGETHER` of a code."""
    every = decision.verdict.caveats
    codes = [one.code if one.code in TOGETHER else str(n) for n, one in enumerate(every)]
    said = (_caveat(decision, c) for n, c in enumerate(every) if codes[n] not in codes[:n])
    return [*filter(None, said)]


def _caveat(decision: Decision, caveat: Caveat) -> str:
    before, now = map(in_percent, caveat.shares or (0.0, 0.0))
    failed = (evidence(decision, gate) for gate in decision.gates if gate.name in caveat.names)
    facts = _facts(caveat) | words_in(decision).stronger
    noun, *where = facts["stronger"].split(" ", 1)
    several = len(caveat.names) > 1
    be = "are" if several else "is"
    return _CAVEATS[caveat.code].format_map(
        facts
        | {
            "Families": upper(listed([called(decision, name) for name in caveat.names])),
            "other": caveat.names[-1] if caveat.names else "",
            "labels": plural(caveat.whole or 0, "label"),
            "total": f"{decision.dataset.test_rows:,}",
            "checks": " ".join(failed),
            "beyond": _limits(decision, caveat.names),
            "only": f"{be} the only {' '.join([noun + 's' * several, *where])} that {facts['was']}",
            "larger": "larger ones" if several else "a larger one",
            "learned": _learned(decision) if caveat.code == PART else "",
            "blind": _blind(decision),
            "shares": f"{before} of the training rows and {now} of the test rows",
        }
    )


def _learned(decision: Decision) -> str:
    parts = {n: one for one in decision.verdict.caveats if one.code == PART for n in one.names}
    best = {family.best for family in decision.verdict.families}
    noun, whole = score_noun(decision.goal), max(one.whole or 0 for one in parts.values())
    promised = {n: right(one.promised, noun) for n, one in parts.items() if one.promised}
    rows, said = f"full use of all {whole:,} training rows", list[str]()
    if promised:
        own = decision.named if decision.named in promised else next(iter(promised))
        which = "" if own == decision.named else f" --candidate {own}"
        model = next((c.model for c in decision.scorecards if c.candidate == own), None) or ""
        on = any(step.kind == "evaluate-rest" for step in decision.verdict.steps)
        export = "" if on or model.startswith("endpoint:") else f"; choose export{which} does that"
        each = [f"{name}{' may get' * (not n)} {s}" for n, (name, s) in enumerate(promised.items())]
        said = [f"With {rows}, {listed(each)}{export}."]
    elif (decision.chance or 0.0) < SURE:
        said = [f"As {listed([*parts])} did not make {rows}, this may change."]
    few = [n for n, one in parts.items() if n not in best and (one.rows or 0) < whole]
    other = listed([f"{name} from {parts[name].rows or 0:,}" for name in few])
    said += [f"So far, {other.replace(' from', ' learned from', 1)}."] * bool(other)
    return " ".join(said)


def _blind(decision: Decision) -> str:
    """Say which families were not shown to beat guessing, with what model, and both scores."""
    parts = [one for one in decision.verdict.caveats if one.code == BLIND]
    families, noun = [name for one in parts for name in one.names], score_noun(decision.goal)
    best = {result.best for result in decision.verdict.families if result.family in families}
    models = {c.model for c in decision.scorecards if c.candidate in best and c.model}
    who = []
    for one in parts:
        both = " against ".join(amount(share, noun) for share in one.shares or ())
        scores = f" ({both} on {plural(one.rows or 0, 'row')})" if both else ""
        who += [f"{called(decision, family)}{scores}" for family in one.names]
    model = listed(sorted(map(short_model, models))) or "a small model"
    return f"{upper(listed(who))} with {model} {'was' if len(families) == 1 else 'were'}"


def _facts(record: Caveat | Gate | Remark | Step) -> dict[str, str]:
    """Return what templates say of any record of a verdict: names, counts, and a difference."""
    first, second, *_ = (*record.names, "", "")
    counts = {name: getattr(record, name, None) for name in ("count", "rows", "total", "whole")}
    value = getattr(record, "value", None)
    return {
        "first": first,
        "second": second,
        "names": listed(record.names),
        "models": listed(list(map(short_model, record.names))) or "An unnamed model",
        "was": "was" if len(record.names) == 1 else "were",
        "change": in_points(value) if value else DASH,
        **{name: f"{n or 0:,}" for name, n in counts.items() if not isinstance(n, Mapping)},
    }


def missed_labels(decision: Decision) -> Iterator[str]:
    """Say how many rows of a rare label the named candidate misses, if many, and who fewest."""
    for rare in (one for one in decision.verdict.rare if one.missed):
        (first, found), *others = rare.found.items()
        shown = others[:1] if others and others[0][1] >= found + 1 else []
        missed = [rare.answered - count for _, count in ((first, found), *shown)]
        whole = all(count.is_integer() for count in missed)
        one, *more = (f"{n:.0f}" if whole else in_percent(n / rare.answered) for n in missed)
        said = f"{first} misses {one} of {'' if whole else 'the '}{rare.answered:,}"
        said += "".join(f", {name} {n}" for (name, _), n in zip(shown, more, strict=True))
        yield f"{in_percent(rare.share)} of the test rows are “{rare.label}”: {said}."


def beyond_limits(decision: Decision) -> str:
    """Say which candidates break a limit of the study, and how good they are; empty for none."""
    noun = score_noun(decision.goal)
    told = [
        f"{s.candidate} {amount(s.accuracy.value, noun)} ({_limits(decision, (s.candidate,))})"
        for s in decision.scorecards
        if s.beyond and s.accuracy and s.beyond != (ENDS,)
    ]
    return f"Beyond your limits, so never named: {', '.join(told)}." if told else ""


def _limits(decision: Decision, names: Collection[str]) -> str:
    broken = (b for s in decision.scorecards if s.candidate in names for b in s.beyond)
    return "; ".join(
        "its model ends"
        if one.limit == "ends"
        else "another machine serves it"
        if one.value is None or one.most is None
        else f"{milliseconds(one.value)} an answer, limit {number(one.most, 12)} ms"
        if one.limit == "ms"
        else f"{dollars(one.value)} for 1,000 answers, limit ${number(one.most, 12)}"
        for one in broken
    )


# What weighs beside the answer.

_REMARKS: dict[RemarkCode, str] = {
    "other-source": "On a source that it did not learn from, {first} {moves} ({interval}, "
    "{rows} rows); the worst is “{what}”: {size}.",
    "searched": "Against {second}, where its search for a prompt began, {first} changes by "
    "{change} on {rows} rows that the search did not see.",
    "target-met": "{first} reaches the target of {score}: its whole range lies above.",
    "target-missed": "{first} misses the target of {score}: its whole range lies below.",
}


def what_else(decision: Decision) -> Iterator[str]:
    yield from filter(None, (ending(decision), takeover(decision)))
    yield from remarks(decision)


def remarks(decision: Decision) -> list[str]:
    return [_remark(decision, remark) for remark in decision.verdict.remarks]


def _remark(decision: Decision, remark: Remark) -> str:
    facts, value, share = _facts(remark), remark.value, remark.share or 0.0
    moved = value.value if value else 0.0
    return _REMARKS[remark.code].format_map(
        facts
        | {
            "what": remark.what,
            "size": measured(share),
            "score": amount(share, score_noun(decision.goal)),
            "moves": f"{'loses' if moved < 0 else 'gains'} {measured(abs(moved))}",
            "interval": interval(value) if value else DASH,
        }
    )


def ending(decision: Decision) -> str:
    """Say how far the chosen one is behind each model that ends; empty for none."""
    noun = score_noun(decision.goal)
    return " ".join(
        f"{s.candidate}, which ends, reaches {amount(s.accuracy.value, noun)}; "
        f"{decision.named} is {measured(abs(own.value))} "
        f"{'behind' if own.value < 0 else 'ahead of'} it ({interval(own)}, {s.common:,} rows)."
        for s in decision.scorecards
        if ENDS in s.beyond and s.accuracy and s.difference and (own := s.difference.negated())
    )


def takeover(decision: Decision) -> str:
    """Say what share of an LLM's rows a cheap candidate can take over; empty without an LLM."""
    if (cascade := decision.takeover) is None:
        return ""
    most, rows = points(cascade.most), plural(cascade.rows, "row")
    if cascade.share is None or cascade.lost is None:
        return (
            f"No share of the rows is shown to be safe if {cascade.cheap} takes it over from "
            f"{cascade.strong}: at most {most} may be lost, and {rows} could not show it."
        )
    which, lost = "all rows", "lost" if cascade.lost.value > 0 else "gained"
    if cascade.threshold:
        which = f"{in_percent(cascade.share.value)} of the rows"
        which += f" (those of which it is {in_percent(cascade.threshold)} sure or more)"
    return (
        f"{cascade.cheap} can take over {which} from {cascade.strong} and lose at most {most}, "
        f"95 % sure ({measured(abs(cascade.lost.value))} {lost} on the {rows} that tested it)"
        f"{_saving(decision, cascade)}."
    )


def _saving(decision: Decision, cascade: Takeover) -> str:
    saved, whole = cascade.saved_usd_per_1k, cascade.strong_usd_per_1k
    if saved is None or whole is None:
        return ""
    volume = decision.goal.get("volume")
    unit, times = ("for 1,000 answers", 1.0) if volume is None else ("a month", volume / 1000)
    return f": {dollars(saved * times)} of {dollars(whole * times)} {unit} saved"


# What the figures of a table rest on.


def apart(decision: Decision) -> bool:
    """Return whether scores rest on other rows, or other training rows, than differences do."""
    rows = {n for card in decision.scorecards if card.common for n in (card.rows, card.common)}
    return len(rows) > 1 or any(caveat.code == PART for caveat in decision.verdict.caveats)


# From this share of the training rows on, all were read: folds differ by a few.
ALL_READ = 0.98


def part_read(decision: Decision, cards: Iterable[Scorecard]) -> int:
    """Return the training rows where one of these learned from a part of them; else 0."""
    pool = decision.dataset.pool or 0
    return pool * any(c.learned is not None and c.learned < ALL_READ * pool for c in cards)


def compared_on(decision: Decision, whole: int) -> str:
    """Say which rows the compared figures of a table are of; empty where all are of the same.

    Where some learned from a part of the `whole` training rows, own scores stand beside them.
    """
    told = "Both scores are on the same rows, each given equally many training rows."
    if whole:
        told = "vs: same rows, given as many training rows; own: all that it learned from."
    return told if apart(decision) else ""


def glossary(decision: Decision, shown: Iterable[Scorecard], cells: Iterable[str]) -> str:
    """Say what the signs in the cells of the first screen mean, and what its baselines are."""
    titles = (f"{c.candidate}: {c.title}." for c in shown if c.title and c.family == "baseline")
    family = f"Family: {decision.family}, of which {decision.named} may not be the best."
    family *= how_sure(decision).endswith("family")
    signs = "±: 95 % range of the difference." * any("±" in cell for cell in cells)
    return " ".join(filter(None, (signs, family, *titles)))


# What to do next: the sentences of each step, the first of which says it; one without content goes.

# A chance that rises by less is not spoken of.
SURER = 0.05

# Row ids that a sentence lists.
NAMED = 5

_KEPT = "The results so far are kept"
_STEPS: dict[StepCode, tuple[str, ...]] = {
    "add": ("Compare it with the other families: so far only {names} ran.", f"{_KEPT}."),
    "add-baseline": ("See what a cheap baseline gets on the same rows; it needs the texts.",),
    "all-passages": ("Search all {total} passages.", "All candidates answer again."),
    "begin": ("{more_time}: no answer yet from {families}.", "{on}"),
    "begin-paid": (
        "Allow more money: no answer yet from {families}, as --max-usd was used up.",
        "{on}",
    ),
    "conflicts": ("Decide on one label for each text that has two ({texts}).",),
    "documents": (
        "Add documents that answer {ids}.",
        "choose check lists every question whose answer occurs in none.",
    ),
    "doubted": ("Check the {doubted}.", "{corrected}", "{effort}"),
    "finish": ("Finish what was left out ({items}).", "{on}"),
    "finish-paid": ("Finish what was left out ({items}): --max-usd was used up.", "{on}"),
    "finish-rows": ("{more_rows}.", "{on}"),
    "rare-label": (
        "Judge by a metric that counts {rare}: --metric balanced (every label equally).",
    ),
    "repeat": ("{repeat} with more seeds.", "{spread}"),
    "repeat-late": ("{repeat} with another seed.", "{spread}", "{on}"),
    "repeat-paid": ("{repeat} with another seed.", "{spread}", "{on}"),
    "retrieval": (
        "Improve retrieval{whose}: try another passage length (words), more passages (k), "
        "descriptive titles, or an encoder for your domain (--set encoder=SPEC).",
        "{unread}",
    ),
    "separate": (
        "Label more test rows: with about {count} more, the chance of a clear result between "
        "{first} and {second} is 50 %{likely}.",
        "{effort}",
    ),
    "still-rising": (
        "Add {needed}{labels}: from {count} to {all}, {first} gained {gained}{promised}.",
        "{effort}",
    ),
    "stronger": ("Try {model}{uncounted}.", "{worth}"),
    "takeover": ("Let {first} answer what it is sure of, and {second} the rest.",),
    "too-few": ("Label more test rows: {count} cannot separate {first} and {second}.", "{effort}"),
}


def sentences_of(decision: Decision, step: Step) -> list[str]:
    facts = _facts(step) | _facts_of(decision, step) | _more_of(decision, step)
    return [said for one in _STEPS[step.code] if (said := one.format_map(facts))]


def _facts_of(decision: Decision, step: Step) -> dict[str, str]:
    words = words_in(decision)
    price = f" and {dollars(step.usd)}" if step.usd is not None else ""
    took = "" if step.minutes is None else f"That takes up to {duration(60 * step.minutes)}"
    spread = f"{100 * (step.share or 0.0):.0f} % of the uncertainty"
    margin = decision.goal.get("margin") or 0.0
    parts = [f"the rest of {one}" if one == COMPARISON else one for one in step.names]
    if step.count == 1:
        spread = f"assumed to be {spread}, as one run cannot show it"
    return {
        "ids": rows_named(step.names, 8),
        "items": listed(parts) or plural(step.count or 0, "part"),
        "all": plural(step.total or 0, words.label),
        "texts": plural(step.count or 0, "row"),
        "labels": words.labels,
        "gained": size_in_points(step.gained) if step.gained else "",
        "needed": f"about {step.labels:,} more " if step.labels else "more ",
        "promised": f"; so many may bring {points(margin)} more" if step.labels else "",
        "likely": f"; with {step.total:,} it is 80 %" if step.total is not None else "",
        "effort": f"{took}{price}." if took else "",
        "spread": f"Run-to-run variance is {spread}.",
    }


def _more_of(decision: Decision, step: Step) -> dict[str, str]:
    audit, name = decision.audit, "".join(step.names[:1])
    rare = [one for one in decision.verdict.rare if one.missed]
    surer = "" if step is _rest(decision) else _surer(decision, step)
    go_on = "Answer more rows" if any(step.rows.values()) else "Train on more rows"
    repeat = f"repeat {listed(step.names)}"
    missed = [s.missed for s in decision.loss_splits if s.candidate == name]
    gain = audit.gain if audit else None
    more = words_in(decision).stronger
    return {
        "more_time": surer or "Allow more time",
        "more_rows": f"{surer or go_on}: {_so_far(decision, step)}",
        "repeat": f"{surer}: {repeat}" if surer else upper(repeat),
        "families": _by_family(decision, step.names),
        "on": _on(step),
        "doubted": _doubted(audit) if audit else "",
        "corrected": f"Correct labels would raise the measured accuracy of {gain.candidate} "
        f"by about {size_in_points(gain.gain)}, and may change the comparison."
        if gain
        else "",
        "rare": quoted(rare[0].label) if rare else "",
        "whose": f", as measured with {name}" if name != decision.named else "",
        "unread": f"It misses the evidence of {rows_named(missed[0], 8)}." if any(missed) else "",
        "model": f"{'a stronger' * bool(name) or 'an'} {more['stronger']} ({more['flag']})",
        "uncounted": "; the chances leave it out" * (decision.chance is not None),
        "worth": _worth_trying(decision, step),
    }


def _doubted(audit: Audit) -> str:
    ids = [row.id for row in audit.doubted]
    shown = listed([*ids[:NAMED], *["others"] * (len(ids) > NAMED)])
    return f"{plural(len(ids), 'most suspicious label')} ({shown})"


def _surer(decision: Decision, step: Step) -> str:
    """Return how sure more minutes should make it; empty where that is not known, or no surer.

    That is of any family, and so compared with the likeliest, which may not be the named one.
    """
    then, minutes = step.chance, step.minutes
    if decision.chance is None or then is None or minutes is None:
        return ""
    if then < max(decision.verdict.chance.values()) + SURER:
        return ""
    told = chance(then)
    return f"{_more_time(minutes)} should make it {'about ' * told[0].isdigit()}{told} sure"


def _by_family(decision: Decision, names: Sequence[str]) -> str:
    families: dict[str, list[str]] = {}
    for card in decision.scorecards:
        if card.candidate in names:
            families.setdefault(card.family, []).append(card.candidate)
    told = [
        family if members == [family] else f"{called(decision, family)} ({', '.join(members)})"
        for family, members in families.items()
    ]
    return listed(told or names)


def _so_far(decision: Decision, step: Step) -> str:
    own = {name: rows for name, rows in step.rows.items() if name in step.names}
    if not own:
        return f"rows are left for {_by_family(decision, [*step.rows])}"
    few, total, lacks = "as few as " * (len(own) > 1), decision.dataset.test_rows, step.count or 0
    told = [f"answered {few}{total - max(own.values()):,} of {total:,} test rows"]
    whole = step.total or 0
    learned = [f"learned from {few}{whole - lacks:,} of {whole:,} training rows"] * bool(lacks)
    told = told * any(own.values()) + learned or ["not finished the planned training"]
    return f"{listed([*own])} {'have' if few else 'has'} {listed(told)}"


def _on(step: Step) -> str:
    if step.minutes is None:
        return (
            "The same command with a higher --max-usd continues from here and pays for no answer "
            "twice; choose plan says what the rest costs."
        )
    more = " It needs a higher --max-usd, too." if step.paid else ""
    rest = f"; all of it takes about {duration(60 * step.whole)}" if step.whole else ""
    return f"{_KEPT}{rest}.{more}"


def _worth_trying(decision: Decision, step: Step) -> str:
    """Say from which score on a stronger model is worth using; empty where rows are too few."""
    noun, bar = score_noun(decision.goal), step.share or 0.0
    pick = next(iter(step.names[1:]), decision.named)
    rows = f" on these {plural(step.count, 'row')}" if step.count else ""
    margin = decision.goal.get("margin") or 0.0
    if not decision.verdict.usable:
        floors = [f"the reference ({card.candidate})" for card in references(decision)]
        return f"To be usable, it has to beat {floors[0]}{rows}." if floors else ""
    if (step.count or FEW) < FEW:
        return ""
    if any(c.promised for c in decision.verdict.caveats if c.names == (pick,)):
        # What it may get with all rows is what a model has to beat.
        rows, pick = "", f"{pick} may get with all rows"
    more = f"{points(margin)} more than {pick}"
    return f"It is worth using if it gets over {scored(bar, noun)}{rows}, {more}."


# Commands, as they are typed or called.

# Flags that have a short form, and what they are called in Python; commands that are functions too.
_SHORT = {"strategy": "-s", "output": "-o"}
_FUNCTIONS = ("check", "compare", "plan", "report", "score")


def parts_of(command: Command) -> list[str]:
    """Return the parts of a command, each of which stays on one line; a call is one part."""
    if command.in_python and command.verb in _FUNCTIONS:
        return [as_call(command)]
    goes_on = command.verb == "compare" and command.study is not None
    first = ["choose", "continue" if goes_on else command.verb]
    if command.study:
        first += [command.study] if goes_on or command.verb == "export" else ["-c", command.study]
    first += [command.path] if command.path else []
    flags = (
        [_SHORT.get(flag, f"--{flag}"), *([value] if value else [])]
        for flag, value in _flags(command)
    )
    return [shlex.join(words) for words in (first, *flags)]


def _flags(command: Command) -> Iterator[tuple[str, str]]:
    for flag, value in command.options.items():
        yield from ((flag, one) for one in (value.split() if flag == "set" else [value]))


def typed_here(command: Command, store: Path | None, newest: bool = False) -> Command:
    """Put the path of its study into a command, which may have been written elsewhere.

    The record is meant to be shared, so it holds no folder of this machine. The `newest` study
    needs no path to be continued.
    """
    if store is None or command.study is None:
        return command
    here = "" if newest and command.verb == "compare" else str(store)
    return command.model_copy(update={"study": here})


def typed(command: Command) -> str:
    return " ".join(parts_of(command))


def as_call(command: Command) -> str:
    """Return ``choose.compare(study='X', budget='15m')``, a command as a call in Python."""
    if command.verb not in _FUNCTIONS:
        return typed(command)
    given = ["rows"] if command.in_python else [repr(command.path)] if command.path else []
    given += [f"study={command.study!r}"] if command.study else []
    for flag, value in _flags(command):
        name = "strategies" if flag == "strategy" else flag.replace("-", "_")
        if flag == "set":
            name, _, value = value.partition("=")
        if flag != "output":
            plain = re.fullmatch(r"[0-9.]+", value)
            given.append(f"{name}={value if plain else repr(value or True)}")
    after = ".labels_to_check()" if "output" in command.options else ""
    return f"choose.{command.verb}({', '.join(given)}){after}"


# What models that read documents lose, and to what.

_MEND: dict[GapName, str] = {
    "reading": "a stronger or tuned model",
    "retrieval": "a better index or better documents",
    "distraction": "fewer passages, or a model that was tuned among others",
}
_PASSAGES = {
    "help": "",
    "right one helps": "Only the right passage is shown to help. ",
    "mislead": "Passages mislead it. ",
    "not shown": "Passages are not shown to help. ",
}

# The gaps in the order in which they lead from what is reached to every answer right.
GAPS: dict[GapName, str] = {
    "retrieval": "retrieval",
    "distraction": "other passages",
    "reading": "reading",
}


def reading(decision: Decision) -> Iterator[str]:
    families = {card.candidate: card.family for card in decision.scorecards}
    models = [s for s in decision.loss_splits if families.get(s.candidate) != "baseline"]
    own = [s for s in decision.loss_splits if s.candidate == decision.named]
    for split in best_first(own or models, decision.named)[:1]:
        yield _passages(split, families.get(split.candidate) == "baseline")


def _passages(split: LossSplit, copies: bool) -> str:
    """Say what passages bring: scores out of 100 with those found, the right one, and none.

    Without a passage, a cheap baseline has nothing to copy from: it is not said to need them.
    """
    scores = (split.retrieved, split.gold, split.nothing)
    found, right, none = (in_percent(score.value)[:-2] for score in scores)
    first, without = ("", "") if copies else (_PASSAGES[split.passages], f", {none} with none")
    return (
        f"{first}{split.candidate} scores {found} with the passages that it finds, {right} with "
        f"the right one{without} ({plural(split.rows, 'row')}). {_lost(split)}"
    )


def _lost(split: LossSplit) -> str:
    first, second = split.gaps[:2]
    one, two = GAPS[first.name], GAPS[second.name]
    loss, other = (signed_points(-gap.loss.value) for gap in (first, second))
    found = signed_points(-split.gap("retrieval").loss.value)
    told = {
        "nothing": "It loses nothing through retrieval or reading.",
        "open": f"Its largest loss is not settled: {one} ({loss}) or {two} ({other}).",
        "retrieval first": f"Fix retrieval first ({found}, {in_percent(split.retrieval_part)} of "
        f"what the right passage reaches): reading loses more ({loss}), but nothing here reads "
        "better.",
    }
    most = f"It loses most through {one} ({loss}; {two} {other}): try {_MEND[first.name]}."
    return told.get(split.most, most)


READING_NOTE = (
    "On rows with evidence, each answered with every kind of passages. Largest: % of resamples of "
    "the documents in which it is. Evidence found: % of rows for which a right passage was."
)


def after_changes(drill: DocumentDrill) -> str:
    """Say what the best candidate that reads answers after facts changed, and who keeps old ones.

    That is no baseline if there is another.
    """
    best, *rest = drill.outcomes
    others = [outcome for outcome in rest if not outcome.reads]
    others = [outcome for outcome in others if outcome.family != "baseline"] or others
    other = max(others, key=lambda outcome: outcome.stale.value, default=None)
    also = f"; {other.candidate} gives it to {in_percent(other.stale.value)}" if other else ""
    return (
        f"After {plural(drill.facts, 'fact')} changed in the documents, {best.candidate} scores "
        f"{in_percent(best.updated.value)[:-2]} on {plural(drill.rows, 'question')} about them "
        f"({in_percent(best.clean.value)} before), without retraining, and gives the old answer to "
        f"{in_percent(best.stale.value)}{also}."
    )


# Wrong labels, and errors in common.


def label_sentences(audit: Audit) -> Iterator[str]:
    if (noise := audit.noise) is not None:
        perfect = Estimate(value=1 - noise.high, low=1 - noise.high, high=1 - noise.low)
        scores = f"On labels like these, perfect answers would score {span(perfect)} %."
        yield f"{noise_band(audit)}. {scores}"
    if (gain := audit.gain) is not None:
        raised = f"about {size_in_points(gain.gain)} to the accuracy of {gain.candidate}"
        yield f"Correcting the {plural(gain.rows, 'most doubted row')} would add {raised}."
    for pair in audit.overlaps[:3]:
        names = " and ".join(shorten(name, 28) for name in (pair.a, pair.b))
        yield f"{names} are confused: {plural(pair.doubted, 'doubted row')} of {pair.rows:,}."


def noise_band(audit: Audit) -> str:
    if audit.noise is None:
        return "How many labels are wrong is unknown"
    low, high = per_100(audit.noise.low), per_100(audit.noise.high)
    return f"Between {low} % and {high} % of {plural(audit.rows, 'label')} may be wrong"


def suspects_note(audit: Audit, of: str = "", on: str = "") -> str:
    """Say with how many labels an audit disagrees; `of` a study, `on` a sample."""
    accuracy = f" ({percent(audit.accuracy.value)} % accurate{on})" if audit.accuracy else ""
    first = f"; check these {audit.suspected:,} first" if audit.suspected else ""
    return (
        f"The cross-validated answers of {' + '.join(audit.auditors)}{of}{accuracy} disagree with "
        f"{plural(audit.contradicted, 'label')}{first}."
    )


def silent(audit: Audit | None) -> str:
    """Say why nothing is said of wrong labels; empty where something is."""
    if audit is None or not audit.auditors:
        return "The labels were not audited."
    if (weak := audit.weak) is None or audit.accuracy is None:
        return ""
    return (
        f"No label is doubted: {' + '.join(audit.auditors)} predicts "
        f"{in_percent(audit.accuracy.value)} of {plural(audit.rows, 'label')} (by chance "
        f"{in_percent(weak.by_chance)}). Below {in_percent(weak.needed)}, its disagreements do not "
        "tell which labels are wrong."
    )


def shared_errors(decision: Decision) -> Iterator[str]:
    if (overlap := decision.overlap) is None:
        return
    who, teacher = listed(overlap.candidates), decision.goal.get("agreement")
    every = "both" if len(overlap.candidates) == 2 else "all"
    wrong, right = f"are {every} wrong", "is right"
    if teacher:
        wrong, right = f"{every} disagree with {teacher}", f"agrees with {teacher}"
    yield (
        f"{who} {wrong} on {overlap.wrong_in_all:,} of {overlap.rows:,} rows; at least one "
        f"{right} on {percent_interval(overlap.oracle)}."
    )


# What a check of the verdict was judged on.

_EVIDENCE: dict[GateCode, str] = {
    "alone": "Only one candidate was measured.",
    "decided": "{count} test rows decided between {first} and {second}.",
    "detects": "{count} test rows detect differences of {share} or more between {first} and "
    "{second} (80 % power); the margin is {limit}.",
    "detects-none": "{count} test rows are too few to detect the difference between {first} and "
    "{second}; the margin is {limit}.",
    "drift": "Trained on earlier rows only, {first} changes by {change} on {count} later rows; "
    "the margin is {limit}.",
    "sources": "Trained without rows of the source that it is tested on, {first} changes by "
    "{change} on {count} rows; the margin is {limit}.",
}


def evidence(decision: Decision, gate: Gate) -> str:
    if gate.code == "labels":
        return " ".join(_labels_clean(decision, gate))
    share, limit = measured(gate.share or 0.0), points(gate.limit or 0.0)
    return _EVIDENCE[gate.code].format_map(_facts(gate) | {"share": share, "limit": limit})


def _labels_clean(decision: Decision, gate: Gate) -> Iterator[str]:
    audit = decision.audit
    if gate.count:
        yield f"{gate.count} of {gate.total} test rows have a text that occurs with another label."
    if audit is None or audit.noise is None:
        yield silent(audit)
    else:
        yield f"{noise_band(audit)}; the limit is {per_100(gate.limit or 0.0)} %."


# Money, time, and where texts go.

NOT_KNOWN = "not known (answers were given)"


def payback(decision: Decision) -> str:
    """Say what a month costs by an API and on this machine, and when labels are paid back."""
    pays = decision.payback
    if pays is None:
        return ""
    if pays.api_usd is None or pays.own_usd is None:
        goal, cards = decision.goal, {card.candidate: card for card in decision.scorecards}
        lacking = ["--volume 10000/month"] * (goal.get("volume") is None)
        lacking += ["--usd-per-million IN,OUT (API)"] * (cards[pays.api].cost.usd_per_1k is None)
        lacking += ["--usd-per-hour (machine)"] * (goal.get("usd_per_hour") is None)
        return f"For dollars a month, state {listed(lacking)}." if lacking else ""
    told = f"A month: {pays.api} {dollars(pays.api_usd)}, {pays.own} {dollars(pays.own_usd)}"
    if pays.labels_usd is None:
        return f"{told}. Price labels: --set minutes_per_label=1 --set hourly_rate=30."
    labels = f"{told}: {plural(pays.labels, 'label')} ({dollars(pays.labels_usd)})"
    if pays.months is None:
        return f"{labels} are never paid back."
    lost = pays.lost if pays.lost is not None and (pays.lost.low or 0.0) > 0 else None
    worse = f", but {pays.own} is {measured(lost.value)} worse" if lost else ""
    return f"{labels} paid back after {months(pays.months)}{worse}."


def priced(decision: Decision) -> bool:
    costs = [card.cost for card in decision.scorecards]
    return any(one.training_usd is not None or one.usd_per_1k is not None for one in costs)


def about_costs(decision: Decision) -> Iterator[str]:
    """Say what times and dollars are, where a table shows any, and whose prices."""
    costs = [card.cost for card in decision.scorecards if card.accuracy]
    if any(one.fit_seconds is not None or one.ms_per_item is not None for one in costs):
        yield "Times are wall-clock, on the machine of this study; other work makes them longer."
    if priced(decision):
        hour = decision.goal.get("usd_per_hour")
        own = f" (machine: {dollars(hour)} an hour)" if hour else ""
        yield (
            f"Dollar figures use the prices given for this study{own}. choose has no price list; "
            "check them against current prices."
        )


def breakevens(decision: Decision) -> str:
    """Say from how many answers on one of a pair with the candidate to use pays for its fit."""
    trained = {card.candidate: card.cost.training_usd or 0.0 for card in decision.scorecards}
    told = []
    for pair in decision.pairs:
        found = pair.breakeven or 0.0
        if found >= 1 and decision.named in (pair.a, pair.b):
            other, costlier = sorted((pair.a, pair.b), key=trained.__getitem__)
            told.append(f"{costlier} is cheaper than {other} from {rough(found)} answers on")
    return f"Training included: {'; '.join(told)}." if told else ""


def where(card: Scorecard) -> str:
    if card.strategy == "given":
        return NOT_KNOWN
    if card.service is not None:
        return card.service.behind.rpartition(" at ")[2]
    if (card.model or "").startswith("endpoint:"):
        return f"the endpoint {(card.model or '').removeprefix('endpoint:')}"
    return "this machine"


def data_risk(decision: Decision) -> str:
    hosts: dict[str, list[str]] = {}
    for card in decision.scorecards:
        if card.accuracy and (host := where(card)) != "this machine":
            hosts.setdefault(host, []).append(card.candidate)
    unknown = hosts.pop(NOT_KNOWN, [])
    told = [
        f"{listed(names)} {'sends' if len(names) == 1 else 'send'} every text to {host}."
        for host, names in hosts.items()
    ]
    told += [f"Where the texts of {listed(unknown)} went is not known."] if unknown else []
    return " ".join(told) or "All candidates ran on this machine; no text left it."


# The method: division, intervals, curves, and what did not run.

DIVISIONS = {
    "cross-fit": "compare predicts each row with a model that was not trained on it",
    "held-out": "compare trains on one part of the rows and tests on the other",
}
LIMITS = "No {0} was changed: only a person can tell a wrong {0} from a hard row."

# What an interval covers, by its estimand, with the number that belongs to it.
COVERS = {
    "artefact": "the choice of test rows, not retraining",
    "refits": "the choice of test rows and retraining on the same training pool",
    "new-pools": "a new pool of {} labels",
    "fits": "the choice of common rows, not retraining",
    "refits-in-either": "the choice of common rows and retraining in either study",
    "new-pools-in-either": "the choice of common rows and a new pool in either study",
}
ASSUMED = " (fitted once: a spread of {} is assumed)"
COVERS_BOTH = "the choice of test rows, and after several runs retraining on the same training pool"

# Why trials did not run.
_WHY_LEFT: Mapping[Reason | None, str] = {
    "dropped": "beyond a limit of the study",
    "not-needed": "unlikely to change what is said",
    "out-of-time": "the budget was used up",
    "out-of-money": "--max-usd was used up; with a higher one the same command goes on, and no "
    "answer is paid for twice",
    None: "its trials had failed, or you stopped the run",
}


def goal_line(goal: Mapping[str, Any]) -> str:
    target, margin = goal.get("target"), goal.get("margin")
    least = "" if target is None else f"at least {scored(target, score_noun(goal))}; "
    apart = "" if margin is None else f"a margin of {points(margin)}. "
    return f"{least}{apart}Fixed before the run."


def division_line(data: DatasetRecord) -> str:
    how = f"none of them used for training ({data.division})"
    if data.division == "cross-fit":
        how = "each predicted by a model that was not trained on it (cross-fit)"
    if data.learnt is not None and data.pool is not None and data.learnt < data.pool:
        what = "labels" if data.labels else "rows"
        how += f"; trained on {data.learnt:,} of the {data.pool:,} {what} of the training pool"
    return f"{plural(data.test_rows, 'test row')}, {how}"


def covered_by(intervals: Iterable[Estimate | None]) -> str:
    """Say what these intervals cover; empty for no estimand."""
    covered = {interval.estimand for interval in intervals if interval and interval.estimand}
    parts = sorted(map(_covered, covered))
    said = COVERS_BOTH if covered == {"artefact", "refits"} else "; ".join(parts)
    return f"Intervals cover {said}." if parts else ""


def _covered(estimand: str) -> str:
    code, _, number = estimand.partition(":")
    assumed = number and code.endswith("-either")
    said = COVERS[code].format(number) if code in COVERS else estimand
    return said + ASSUMED.format(points(float(number))) if assumed else said


def fit_notes(decision: Decision) -> Iterator[str]:
    for note in decision.method.notes if decision.method else ():
        fits = "" if note.fits == 1 else f" (one of {plural(note.fits, 'fit')})"
        yield f"{note.candidate}: {note.text}{fits}"


def left_out_line(left: LeftOut) -> str:
    """Return what was planned and not measured, and why."""
    why = left.text or f"{_why_left(left)}."
    if left.trials and not left.text:
        parts = [f"{part} ({plural(count, 'trial')})" for part, count in left.trials.items()]
        why += f" Not run: {', '.join(parts)}."
    return f"{left.candidate}: {why}" if left.candidate else why


def _why_left(left: LeftOut) -> str:
    if left.reason == "dropped" and left.answered is not None:
        return f"at most 2 % likely to be the one to use after {plural(left.answered, 'answer')}"
    if left.reason != "too-long":
        return _WHY_LEFT[left.reason]
    took = "" if left.seconds is None else f" ({duration(left.seconds)})"
    if left.learns is None or left.keeps is None:
        return f"one fit{took} did not end in its share of the time"
    return (
        f"too little time was left for a fit on {plural(left.learns, 'row')}{took} and its "
        f"answers; it stays with {plural(left.keeps, 'row')}"
    )


def failed(failure: Failure) -> str:
    return f"{failure.trials} of {plural(failure.planned, 'trial')} failed: {failure.error}"


# A comparison of two studies.


def what_changed(versus: Versus) -> str:
    before, after = (side.answer.rstrip(".") for side in (versus.before, versus.after))
    first = (
        f"The verdict changed from “{before}” to “{after}”."
        if versus.verdict_changed
        else f"The verdict is unchanged: {after}."
    )
    return f"{first} {_moved(versus)}"


def _moved(versus: Versus) -> str:
    counts = sorted({shift.rows for shift in versus.shifts}) or [versus.rows.common]
    common = f"the {plural(counts[0], 'common row')}"
    if len(counts) > 1:
        common = f"the {counts[0]:,} to {counts[-1]:,} common rows that both studies answered"
    if versus.shifts and all(shift.same_fits for shift in versus.shifts):
        return f"Every candidate in both studies gives identical answers to {common}."
    significant = [shift for shift in versus.shifts if shift.significant]
    if not significant:
        return f"No candidate changed significantly on {common}."
    changes = [f"{_of_shift(s)} ({signed_points(s.difference.value)} points)" for s in significant]
    return f"Changed significantly on {common}: {listed(changes)}."


def _of_shift(shift: Shift) -> str:
    """Return the candidate of a shift, or both where the two studies chose different ones."""
    return shift.after if shift.before == shift.after else f"{shift.before} → {shift.after}"


def shift_cells(shift: Shift) -> dict[str, str]:
    same = shift.same_fits
    return {
        "candidate": _of_shift(shift),
        "before": percent(shift.accuracy_before),
        "now": percent(shift.accuracy_after),
        "difference (95 % CI)": "0.0 (identical)" if same else difference(shift.difference),
        "p (Holm)": p_value(shift.p_holm),
        "p": p_value(shift.p),
        "rows": f"{shift.rows:,}",
    }


def common_rows(versus: Versus) -> Iterator[str]:
    common, target = versus.rows, words_of(versus.metric).target
    yield (
        f"{common.common:,} test rows are in both studies, with the same text and "
        f"{target} ({common.before:,} before, {common.after:,} now); only "
        "these are compared."
    )
    if common.changed:
        yield f"{common.changed:,} changed under the same id."


def about_shifts(versus: Versus) -> str:
    covered = covered_by(s.difference for s in versus.shifts if not s.same_fits)
    score = words_of(versus.metric).title
    what = f"{score} in % on the common rows; differences in points, second study minus first."
    if not covered:
        return f"{what} Identical runs need no estimate."
    return f"{what} {covered} P (Holm) is corrected for all candidates in the table."
