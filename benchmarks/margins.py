"""Whether stated chances are right on real answers whose truth is known, at several margins.

    python benchmarks/margins.py    2,800 decisions, each at four margins: minutes of one core

In `regret.py` the truth of a decision is measured on the rows that it did not use: where these are
few, what looks too good on the ones looks too bad on the others. Here the test rows are drawn with
replacement from all stored rows, which are the truth. Of a slow candidate one fit is stored, so the
evidence says that no seed changes its answers; else the judge would allow for another fit. At one
margin a set is one truth, however often it is drawn: of several margins, some are above its leads
and some below. No model runs. Exits with 1 and the tenths that are off by more than 5 points.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from time import process_time
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import reliability
from choose.judge.decision.candidates import select_candidates
from choose.judge.decision.chance import chances_of
from choose.judge.evidence import Evidence
from choose.judge.goal import RULE, USUAL_MARGIN, Rule
from choose.judge.measures.costs import cheapest_first, cost_of
from choose.judge.scores.score_tables import study_scores
from regret import HERE, shared_out
from reliability import Stated
from replay.answers import Answered, read_all
from replay.studies import Occasion, draw, evidence, rule_for
from simulation.truth import Truth

MARGINS = (0.01, USUAL_MARGIN, 0.03, 0.05)


class Told(NamedTuple):
    """What a decision states at a margin, and the score that it and the highest score give up."""

    margin: float
    stated: Stated
    lost: float
    naively: float


def play(answered: Answered, number: int) -> Iterator[Told]:
    """Yield by margin what a decision states, and whether it is right."""
    rng = np.random.default_rng([number, *answered.name.encode()])
    occasion, rule = draw(answered, rng), rule_for(answered)
    true = {name: _score(occasion, name) for name in occasion.draws}
    seen = evidence(replace(occasion, rows=rng.choice(occasion.common, len(occasion.rows))))
    if not occasion.drawn:
        seen = replace(seen, candidates=tuple(replace(c, seeded=False) for c in seen.candidates))
    yield from told(seen, rule, true)


def told(
    seen: Evidence, rule: Rule, true: Mapping[str, float], margins: Sequence[float] = MARGINS
) -> Iterator[Told]:
    """Yield by margin what is stated of a study whose candidates have these true scores."""
    scores = study_scores(seen, rule.metric)
    costs = {c.info.name: cost_of(c, rule) for c in scores.scored}
    names = tuple(c.info.name for c in cheapest_first(scores.scored, costs, rule))
    families = {c.name: c.family for c in seen.candidates if not c.floor}
    facts: dict[str, Any] = {"names": names, "value": true, "measured": true, "families": families}
    for margin in margins:
        found = chances_of(select_candidates(scores, replace(rule, margin=margin)))
        highest = max(found.scores, key=lambda name: found.scores[name])
        truth = Truth(**facts, decisive=False, margin=margin, target=None)
        one = truth.one(found.families)
        named, naive = found.family, families.get(highest)
        chance = found.stated[named] if named else 0.0
        lost = truth.best if found.named is None else truth.regret(found.named)
        stated = Stated(chance, named == one, naive == one)
        yield Told(margin, stated, lost, truth.regret(highest))


def _score(occasion: Occasion, name: str) -> float:
    """Return the mean score on all stored rows, of all fits where pools were drawn."""
    fits = occasion.answered.fitted(name, occasion.size)
    draws = fits if occasion.drawn else occasion.draws[name]
    return float(np.mean([fits[draw].scores[occasion.common] for draw in draws]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge, print, and return 1 where a tenth is off."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--decisions", type=int, default=2800)
    parser.add_argument("--first", type=int, default=0, help="number of the first decision")
    choice, start, misses = parser.parse_args(arguments), process_time(), list[str]()
    every = read_all(HERE / "replay" / "answers")
    for of_records, count in shared_out(every, choice.decisions):
        sets = [found for found in every.values() if (found.metric is not None) == of_records]
        numbers = range(choice.first, choice.first + count)
        found = [one for n in numbers for one in play(sets[n % len(sets)], n)]
        usual = [one.stated for one in found if one.margin == USUAL_MARGIN]
        every_margin = [one.stated for one in found]
        for what, own in (("margin 0.02", usual), (f"margins {MARGINS}", every_margin)):
            title = f"{'records' if of_records else 'labels'}, {what}"
            print("\n".join([title, *reliability.lines(own)]), end="\n\n")
            misses += [f"{title}: {line}" for line in reliability.missed(own)]
    print(f"rule {RULE}, {process_time() - start:.0f} s of one core")
    print("\n".join(["Missed targets:", *misses]) if misses else "All targets are met.")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
