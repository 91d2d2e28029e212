"""The sentences of a decision: one short template for each code, for every medium alike.

A record holds codes and numbers; what they say in English is here. Words follow numbers: a choice
is called sure from 95 %, likely from 80 %, and open below.
"""

from __future__ import annotations

from collections.abc import Iterator

from choose.formatting import clean, in_percent, listed, plural, points, short_model
from choose.report.decision_text import score_noun, words_in
from choose.schema.decision import Caveat, Decision, Kind
from choose.schema.score_names import COUNTED, amount, is_share, scored
from choose.schema.standings import FamilyResult, RareFigure, RareLabel, Standing
from choose.types import FAMILIES, Family

# A chance from which on a choice is called so; below the second, it is open.
SURE, LIKELY = 0.95, 0.80

# A family with less chance than this is not spoken of, and a loss below this is none.
POSSIBLE, NO_LOSS = 0.02, 0.0005

# So little is expected to be lost that no further minute is worth it.
SMALL_LOSS = 0.005

COLOURS: dict[Kind, str] = {
    "adopt": "green",
    "baseline-is-enough": "green",
    "none-works": "red",
    "incomplete": "yellow",
    "collect-labels": "yellow",
    "fix-labels": "yellow",
    "fix-documents": "yellow",
    "fix-retrieval": "yellow",
    "too-close": "yellow",
}

# What comes before anything is used.
_FIRST: dict[Kind, str] = {
    "collect-labels": "Label more first",
    "fix-labels": "Fix the labels first",
    "fix-documents": "Fix the documents first",
    "fix-retrieval": "Fix retrieval first",
}


def in_words(chance: float) -> str:
    """Return ``93 %``; ``over 99 %`` and ``under 1 %`` at the ends."""
    if chance > 0.99:
        return "over 99 %"
    return "under 1 %" if chance < 0.01 else f"{100 * chance:.0f} %"


def called(decision: Decision, family: str) -> str:
    """Return what a family is called within a sentence: ``a cheap classifier``."""
    return words_in(decision).called(_family(family))


def _family(name: str) -> Family:
    return next((family for family in FAMILIES if family == name), "baseline")


def _named(decision: Decision, family: str, member: str | None) -> str:
    """Return ``a cheap classifier (probe)``: the family, and the member that represents it."""
    noun = called(decision, family)
    return noun if not member or member == noun else f"{noun} ({clean(member)})"


def _own_score(decision: Decision) -> str:
    name = decision.pick
    card = next((c for c in decision.scorecards if c.candidate == name), None)
    if card is None or card.accuracy is None:
        return ""
    return scored(card.accuracy.value, score_noun(decision.goal))


def answer(decision: Decision) -> str:
    """Return the answer in one sentence: what to use, and how good it is."""
    verdict = decision.verdict
    use = _named(decision, decision.family, decision.pick)
    score = _own_score(decision)
    if verdict.kind == "none-works" or not verdict.usable:
        return _nothing(decision)
    if verdict.done:
        return f"Done: use {use}, {score}."
    if verdict.kind in _FIRST:
        return f"{_FIRST[verdict.kind]}; until then, use {use}: {score}."
    if verdict.kind == "incomplete":
        return f"Not decided: {_missing(decision)}. For now, use {use}: {score}."
    if verdict.recommended:
        return f"Use {use}: {score}."
    return f"Use {use} for now: {score}."


def _nothing(decision: Decision) -> str:
    """Say that nothing is usable, with the best score, or the target that none reaches."""
    noun = score_noun(decision.goal)
    values = [c.accuracy.value for c in decision.scorecards if c.accuracy]
    top = max(values, default=0.0)
    best = f"{100 * top:.0f} of 100" if is_share(noun) else scored(top, noun)
    target = decision.goal.get("target")
    if isinstance(target, float) and decision.verdict.usable:
        return f"Nothing here reaches {amount(target, noun)} yet (best: {best})."
    return f"Nothing here is usable yet (best: {best})."


def _missing(decision: Decision) -> str:
    names = [called(decision, family) for family in decision.verdict.unmeasured]
    return f"{listed(names)} {'was' if len(names) == 1 else 'were'} not measured"


def how_sure(decision: Decision) -> str:
    """Return ``93 % sure``, or ``open (54 %)``; empty where no family is named."""
    if (chance := decision.chance) is None:
        return ""
    return f"{in_words(chance)} sure" if chance >= LIKELY else f"open ({in_words(chance)})"


def doubts(decision: Decision) -> Iterator[str]:
    """Yield what could change the answer, the likeliest first."""
    verdict = decision.verdict
    if verdict.done:
        card = next(c for c in decision.scorecards if c.candidate == decision.pick)
        left = 1 - card.accuracy.middle if card.accuracy else 0.0
        yield f"About {points(left)} are left to gain; nothing else is worth trying."
        return
    others = [f for f in verdict.chance if f != decision.family and decision.chance is not None]
    others.sort(key=lambda family: -verdict.chance[family])
    likely = [family for family in others if verdict.chance[family] >= POSSIBLE]
    for family in (f for f in likely if f not in verdict.unmeasured):
        yield _may_be(decision, family)
    if new := [f for f in likely if f in verdict.unmeasured]:
        told = [f"{called(decision, f)} {in_words(verdict.chance[f])}" for f in new]
        yield f"The chance that one that was not measured is the better choice: {listed(told)}."
    if decision.chance is not None and decision.chance < SURE and verdict.loss < SMALL_LOSS:
        yield f"Little depends on it: using it now is expected to give up {_points(verdict.loss)}."
    if (counted := COUNTED.get((decision.goal.get("measure") or {}).get("metric", ""))) is not None:
        yield counted


def _may_be(decision: Decision, family: str) -> str:
    verdict = decision.verdict
    result = next((f for f in verdict.families if f.family == family), FamilyResult(family=family))
    chance, lead = in_words(verdict.chance[family]), verdict.leads.get(family, 0.0)
    who = _named(decision, family, result.best)
    who = f"{who[:1].upper()}{who[1:]}"
    if lead < NO_LOSS:
        return f"{who} may do as well for less: {chance}."
    return f"{who} may be the better choice: {chance}, by {_points(lead)} if so."


def _points(value: float) -> str:
    return points(round(value, 3)) if value >= NO_LOSS else "less than 0.1 points"


def caveats(decision: Decision) -> Iterator[str]:
    """Yield what could make the comparison itself misleading, the most serious first."""
    for caveat in decision.verdict.caveats:
        yield _caveat(decision, caveat)


def _caveat(decision: Decision, caveat: Caveat) -> str:
    names, rows = listed([clean(name) for name in caveat.names]), caveat.rows or 0
    kinds = listed([called(decision, name) for name in caveat.names])
    models = listed([clean(short_model(name)) for name in caveat.names])
    verb = "was" if len(caveat.names) == 1 else "were"
    total = decision.dataset.test_rows
    if caveat.code == "check-failed":
        gates = {gate.name: gate.evidence for gate in decision.gates}
        return " ".join(clean(gates.get(name, name)) for name in caveat.names)
    if caveat.shares is not None:
        was, now = map(in_percent, caveat.shares)
        return f"“{names}” is {was} of the training rows and {now} of the test rows."
    stronger = words_in(decision).stronger
    said = {
        "few-rows": f"There are only {plural(rows, 'test row')}.",
        "few-clusters": f"{rows:,} of {total:,} test rows are of one group or document.",
        "partly-answered": f"{names} answered {rows:,} of {total:,} test rows.",
        "failed": f"{names} failed at least once.",
        "small-model": f"Only {models} {verb} tried; a larger {stronger.what} may do better.",
        "no-evidence": f"The small model did no better than guessing: no evidence on {kinds}. "
        f"Try one with {stronger.flag}.",
        "may-have-seen": f"{names} may have seen the test rows.",
        "labels-hide-success": "Wrong labels may be why nothing reaches the target.",
        "target-open": "Whether it reaches the target is open.",
        "shift": f"“{names}” is more or less common among the test rows.",
        "looks": f"These test rows were judged {rows} times with different settings.",
        "not-asked": f"{kinds[:1].upper()}{kinds[1:]} {verb} not part of this study.",
    }
    return said[caveat.code]


def headline(decision: Decision) -> str:
    """Return the answer, how sure it is and what could change it, in one text."""
    sure = how_sure(decision)
    parts = [answer(decision), f"{sure[:1].upper()}{sure[1:]}." if sure else "", *doubts(decision)]
    return " ".join(filter(None, parts))


def rare_sentence(rare: RareLabel) -> str:
    """Say how many rows of a rare label the named candidate misses, and who misses fewest."""
    label = f"{in_percent(rare.share)} are “{clean(rare.label)}”"
    shown = list(rare.figures[:1])
    best = min(rare.figures, key=lambda f: f.rows - f.found, default=None)
    if best is not None and best not in shown and best.found >= shown[0].found + 1:
        shown.append(best)
    if not shown:
        return f"{label}; none of its rows was answered yet."
    told = [_missed(figure, first=not place) for place, figure in enumerate(shown)]
    return f"{label}: {', '.join(told)}."


def _missed(figure: RareFigure, first: bool) -> str:
    missed = f"{figure.rows - figure.found:.0f}"
    if not first:
        return f"{clean(figure.candidate)} {missed}"
    return f"{clean(figure.candidate)} misses {missed} of {figure.rows:,}"


def recall_of(decision: Decision, name: str) -> str:
    """Return the recall of the rarest label, as in a table; empty where it is not known."""
    rare = decision.verdict.rare[:1]
    figures = {f.candidate: f.recall.value for label in rare for f in label.figures}
    return in_percent(figures[name]) if name in figures else ""


def won_and_lost(standing: Standing) -> str:
    """Return ``56 : 15``: shared rows it does better on than the chosen one, and worse."""
    if standing.won is None or standing.lost is None:
        return ""
    return f"{standing.won:,}:{standing.lost:,}"
