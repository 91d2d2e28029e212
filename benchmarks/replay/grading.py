"""Judge one replayed study; grade the verdict and rules of thumb against unseen rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from choose.judge.measures.costs import cheapest_first, cost_of
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.schema.decision import Decision
from choose.stats import Estimate
from reliability import chance_of, word_for
from replay.answers import Answered
from replay.studies import Occasion, draw, evidence, rule_for
from replay.truth import Truth, clear, told_by, truth_of

# Normal quantile by which the half width of a 95 % interval is turned into a standard error.
Z = 1.96

JUDGE = "choose"


@dataclass(frozen=True)
class Seen:
    """The input of a rule: the candidates, cheapest first, and their measured mean scores."""

    names: Sequence[str]
    accuracy: Mapping[str, Estimate]


Choose = Callable[[Seen], str | None]


def seen(found: Decision, names: Sequence[str]) -> Seen:
    """Return the candidates and their measured accuracies of a decision."""
    return Seen(names, {c.candidate: c.accuracy for c in found.scorecards if c.accuracy})


def highest(what: Seen) -> str:
    """Return the candidate with the highest score, the cheapest of equals."""
    return max(what.names, key=lambda name: what.accuracy[name].value)


def one_error(what: Seen) -> str:
    """Return the cheapest within a standard error of the highest score."""
    best = what.accuracy[highest(what)]
    assert best.low is not None
    assert best.high is not None
    floor = best.value - (best.high - best.low) / (2 * Z)
    return next(name for name in what.names if what.accuracy[name].value >= floor)


def always(name: str) -> Choose:
    """Return the rule that always takes one candidate; it returns None where that is missing."""
    return lambda what: name if name in what.names else None


ANYWHERE: dict[str, Choose] = {
    "highest score": highest,
    "one standard error": one_error,
    "always fine-tune": always("lora"),
    "always prompt": always("prompt"),
    "always retrieve": always("retrieval"),
}

RULES = {**ANYWHERE, "always probe": always("probe")}

# Where answers are records.
RECORD_RULES = {**ANYWHERE, "always tag": always("tagger")}


def rules_of(answered: Answered) -> Mapping[str, Choose]:
    """Return the rules of thumb for a set, by name."""
    return RULES if answered.metric is None else RECORD_RULES


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The cost of using one candidate, as fractions of the rows."""

    candidate: str
    regret: float
    excess: float
    strict_excess: float
    needless: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """The grade of one decision.

    Attributes:
        rows: number of test rows.
        unseen: unseen rows that both the chosen candidate and the best of the others answered.
        right: whether a recommendation is neither needless nor behind by more than the margin, or,
            for an open verdict, the candidate used meanwhile is not behind by more.
        family_right: the same for its family, represented by its best member.
        one: whether its family is the one to use, by unseen rows; `naive_one` of the highest score.
        clear: whether unseen rows, twice as many as its own, show a family ahead of all others.
        choices: by rule, including the judge; rules that cannot apply are missing.
    """

    set: str
    size: int
    rows: int
    unseen: int
    candidates: tuple[str, ...]
    repetitions: int
    kind: str
    word: str
    chance: float
    one: bool
    naive_one: bool
    recommends: bool
    right: bool
    family_right: bool
    choices: dict[str, Choice]
    clear: bool = False


def play(answered: Answered, number: int) -> Grade:
    """Draw, judge and grade a decision; the same number gives the same grade."""
    rng = np.random.default_rng([number, *answered.name.encode()])
    occasion = draw(answered, rng)
    rule = rule_for(answered)
    known = evidence(occasion)
    scored = study_scores(known, rule.metric).scored
    costs = {c.info.name: cost_of(c, rule) for c in scored}
    names = tuple(c.info.name for c in cheapest_first(scored, costs, rule))
    found = judge(known, rule)
    graded = grade(occasion, found, truth_of(occasion, names, rule.margin, rng))
    order = rng.permutation(len(occasion.unseen))
    return replace(graded, clear=clear(occasion, names, rule.margin, order))


def grade(occasion: Occasion, found: Decision, truth: Truth) -> Grade:
    """Grade a decision, and the choices of the rules of thumb, against the truth."""
    verdict = found.verdict
    chosen = {JUDGE: verdict.recommended or verdict.use_meanwhile}
    shown = seen(found, truth.names)
    for rule, choose in rules_of(occasion.answered).items():
        name = choose(shown)
        if name is not None:
            chosen[rule] = name
    choices = {rule: _choice(truth, name) for rule, name in chosen.items()}
    mine = choices[JUDGE]
    return Grade(
        set=occasion.answered.name,
        size=occasion.size,
        rows=len(occasion.rows),
        unseen=told_by(occasion, mine.candidate, truth.best_but(mine.candidate)),
        candidates=truth.names,
        repetitions=max(len(draws) for draws in occasion.draws.values()),
        kind=verdict.kind,
        word=word_for(found),
        chance=chance_of(found),
        one=truth.one(verdict.chance) == found.family,
        naive_one=truth.one(verdict.chance) == truth.family_of(highest(shown)),
        recommends=verdict.recommended is not None,
        right=mine.excess == 0 and not (verdict.recommended is not None and mine.needless),
        family_right=truth.family_excess(mine.candidate) == 0
        and not (verdict.recommended is not None and truth.needless_family(mine.candidate)),
        choices=choices,
    )


def _choice(truth: Truth, name: str) -> Choice:
    return Choice(
        candidate=name,
        regret=truth.regret(name),
        excess=truth.excess(name),
        strict_excess=truth.strict_excess(name),
        needless=truth.needless(name),
    )
