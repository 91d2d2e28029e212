"""Whether stated chances are right where some candidates learned from a part of the labels.

    python benchmarks/partial.py                    known worlds and four real sets: 5 minutes
    python benchmarks/partial.py --stores DIR ...   and finished studies, held at smaller pools

What is asked is which family is the one to use when every candidate has learned from all labels. In
the worlds, costly candidates stop at 250 to 2,000 of 2,000 to 10,000 rows ("texts": 31 to 248) and
answer 25 to 400 test rows; how curves go on differs from world to world. In the first, rates are
drawn as the judge assumes, but no curve stops, which it takes to be as likely as not. Of stored
answers and finished studies, what is fine-tuned is held at a smaller pool, and the scores after its
largest one are the truth; test rows are drawn with replacement, 25 times for each pool, at four
margins. So a set is a few truths. No model runs. Exits with 1 and the tenths in which less is right
than is stated.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import log
from pathlib import Path
from statistics import fmean
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import reliability
from choose.api.study_evidence import evidence_of, rule_of
from choose.judge.evidence import Evidence
from choose.judge.goal import RULE, Rule
from choose.judge.scores.promised_score import DRIFT, NONE, OF_FAMILY, OF_SETS
from choose.judge.scores.score_tables import study_scores
from choose.store.store import Store
from choose.study.rounds import FIRST_ASKED, FIRST_ROWS
from choose.types import Family, Floats, Run
from margins import Told, told
from regret import HERE
from replay.answers import read_all
from replay.studies import all_pools, rule_for
from simulation.evidence import evidence
from simulation.setting import Setting, SimulatedCandidate
from simulation.thinned import CLEAN, held, redrawn
from simulation.worlds import RANGES, draw_base
from simulation.worlds import WORLDS as SETTINGS

Rng = np.random.Generator

# Test rows of a study, and standard deviation between drawn pools of what no seed changes.
ROWS, POOL_SD = 400, 0.017

# No fit of a world is right less or more often.
LEAST_RIGHT, MOST_RIGHT = 0.1, 0.98

# Scores of texts approach this and not 1: other words are right, too.
BEST_TEXTS = 0.55

# Of fits on so few rows such a share is as often wrong as can be, in "collapse".
FEW, COLLAPSED = 500, 0.15

# Rows that a pool of a real set needs, and studies that are drawn of it.
FEWEST, DRAWS = 100, 25

PROMPTED, COSTLY = ("prompt", "retrieval"), ("prompt", "retrieval", "setfit", "lora")


def _assumed(rng: Rng, families: Sequence[Family], steps: int, freedom: float = 1e6) -> Floats:
    """Draw rates as the judge assumes, or with heavier tails; no curve stops, as some may there."""

    def drawn(*shape: int) -> Floats:
        scale = np.sqrt(max(freedom - 2, 1) / freedom)
        return np.asarray(scale * rng.standard_t(freedom, shape))

    own = [OF_FAMILY.get(family, NONE) for family in families]
    mean = OF_SETS.mean + np.array([one.mean for one in own])
    mean += np.sqrt(OF_SETS.variance) * drawn(1)
    mean += np.sqrt([one.variance for one in own]) * drawn(len(own))
    return np.asarray(mean[:, None] + DRIFT * drawn(len(own), steps))


def _heavy_tails(rng: Rng, families: Sequence[Family], steps: int) -> Floats:
    return _assumed(rng, families, steps, freedom=3.0)


def _stall(rng: Rng, families: Sequence[Family], steps: int) -> Floats:
    """From some step on, another one for each candidate, hardly anything is gained."""
    rates, first = _assumed(rng, families, steps), rng.integers(0, steps + 1, len(families))
    late = np.arange(steps) >= first[:, None]
    return np.where(late, rng.uniform(-0.01, 0.02, rates.shape), rates)


def _cross(rng: Rng, families: Sequence[Family], steps: int) -> Floats:
    """What is fine-tuned learns fast, and nothing else does."""
    fast, shape = _tuned(families), (len(families), 1)
    rates = np.where(fast, rng.uniform(0.15, 0.4, shape), rng.uniform(0.0, 0.08, shape))
    return np.asarray(rates + DRIFT * rng.standard_normal((len(families), steps)))


def _jump(rng: Rng, families: Sequence[Family], steps: int) -> Floats:
    """What is fine-tuned learns much in one step, which comes in seven of ten, and little else."""
    at, high = rng.integers(0, steps, (len(families), 1)), rng.uniform(0.3, 0.7)
    little = rng.uniform(0.0, 0.08, (len(families), steps))
    jumps = (np.arange(steps) == at) & (rng.random((len(families), 1)) < 0.7)
    rates = _assumed(rng, families, steps)
    return np.where(_tuned(families), np.where(jumps, high, little), rates)


def _flat(rng: Rng, families: Sequence[Family], steps: int) -> Floats:
    return rng.uniform(-0.02, 0.06, (len(families), steps))


def _tuned(families: Sequence[Family]) -> Floats:
    return np.array([[family == "fine-tuning"] for family in families])


# Each draws (candidates, steps) shares of the errors that one doubling of the rows removes.
WORLDS: dict[str, Callable[[Rng, Sequence[Family], int], Floats]] = {
    "as assumed": _assumed,
    "heavy tails": _heavy_tails,
    "stall": _stall,
    "cross": _cross,
    "jump": _jump,
    "flat": _flat,
    "collapse": _assumed,
    "texts": _assumed,
}


def world(name: str, number: int) -> Iterator[Told]:
    """Simulate and judge a study of a world.

    In every other one, scores with all rows are drawn, so that who is behind with few rows learns
    faster on average; in the rest those with few are drawn, and the others follow.
    """
    rng = np.random.default_rng([number, [*WORLDS].index(name), 17])
    texts = name == "texts"
    drawn = draw_base(rng, RANGES["report"])
    base = SETTINGS["texts"](drawn, rng, RANGES["report"]) if texts else drawn
    # Fits on texts are cut short.
    first, top = (FIRST_ROWS >> 3, BEST_TEXTS) if texts else (FIRST_ROWS, 1.0)
    *others, lora = base.candidates
    near = min(lora.accuracy + rng.normal(-0.02, 0.04), MOST_RIGHT)
    setfit = replace(lora, name="setfit", accuracy=near, seconds=300.0)
    candidates, whole = [*others, setfit, lora], int(np.exp(rng.uniform(log(2e3), log(1e4))))
    sizes = np.array([*_pools(whole, first), whole])
    rates = WORLDS[name](rng, [c.family for c in candidates], len(sizes) - 1)
    left = np.cumprod((1 - rates.clip(-0.1, 0.9)) ** np.diff(np.log2(sizes)), axis=1)
    left = np.concatenate([np.ones((len(candidates), 1)), left], axis=1)
    left = left if number % 2 else left / left[:, -1:]
    each = zip(candidates, left, strict=True)
    able = tuple(_curved(c, sizes, top - (top - c.accuracy) * own, rng, name) for c, own in each)
    setting = replace(base, candidates=able, rows=ROWS, pool=whole)
    study = held(evidence(setting, rng), _answered(setting, rng, first))
    true = {c.name: c.accuracy for c in able}
    return told(study, rule_of(setting.study, study.task), true, [base.margin])


def _pools(whole: int, first: int) -> list[int]:
    return [first << k for k in range(9) if first << k < whole]


def _curved(
    candidate: SimulatedCandidate, sizes: Floats, right: Floats, rng: Rng, name: str
) -> SimulatedCandidate:
    """Return a candidate that is so often right after each pool; its own figure is of all rows."""
    if candidate.info.constant or not candidate.info.learns:
        return candidate
    right = right.clip(LEAST_RIGHT, MOST_RIGHT)
    seen = right + (0.0 if candidate.seeds else rng.normal(0, POOL_SD, len(sizes)))
    if name == "collapse" and candidate.family == "fine-tuning":
        seen[(sizes <= FEW) & (rng.random(len(sizes)) < COLLAPSED)] = LEAST_RIGHT
    at = dict(zip((sizes / sizes[-1]).tolist(), (seen - right[-1]).tolist(), strict=True))
    del at[1.0]
    return replace(candidate, accuracy=right[-1], at=at, seeds=min(candidate.seeds, 1))


def _answered(setting: Setting, rng: Rng, first: int) -> dict[tuple[str, int], int]:
    """Draw how many test rows each candidate answers after each pool that it learns from."""
    whole, pools = setting.pool, _pools(setting.pool, first)
    asked = FIRST_ASKED << int(rng.integers(5))
    most = {"setfit": first, "lora": int(rng.choice(pools[:4]))}
    most |= {"retrieval": int(rng.choice(pools[:3]))}
    most |= {"probe": int(rng.choice([whole, max(most["lora"], 1_000)]))}
    found = {}
    for candidate in setting.candidates:
        name, last = candidate.name, most.get(candidate.name, whole)
        own = [*(pool for pool in pools if pool < last), last]
        if name == "lora" and rng.random() < 0.5:
            own = [own[0], last]  # its later fits waited for time
        rows = min(asked, 4 * FIRST_ASKED) if name in PROMPTED else asked
        for later, pool in enumerate(reversed(own)):
            round_rows = FIRST_ASKED * pool // first
            slow = max(FIRST_ASKED, rows >> later)
            found[name, pool] = slow if name in COSTLY else max(rows, round_rows)
    return found


def real(study: Evidence, rule: Rule, rng: Rng) -> Iterator[Told]:
    """Hold what is fine-tuned at each smaller pool, and judge draws of the rows."""
    fits = {(r.trial.candidate, r.trial.train_size): r for r in study.runs if _plain(r)}
    tuned = {c.name for c in study.candidates if c.family == "fine-tuning"}
    top = max((pool for name, pool in fits if name in tuned), default=0)
    for cap in sorted({pool for name, pool in fits if name in tuned and pool < top}):
        whole = {n: r for (n, p), r in fits.items() if p == top and len(r.asked[CLEAN]) >= FEWEST}
        known = {n for n in whole if n not in tuned or (n, cap) in fits}
        common = [whole[n] for n in known] + [fits[n, cap] for n in known & tuned]
        ids = sorted(set.intersection(*({*run.asked[CLEAN]} for run in common), {*study.items.ids}))
        if len(ids) < FEWEST or not known & tuned or not known - tuned:
            continue
        part = replace(
            study,
            candidates=tuple(c for c in study.candidates if c.name in known),
            pool_rows=(top,),
            runs=tuple(r for (n, p), r in fits.items() if n in known and p <= top),
        )
        scored = study_scores(redrawn(part, ids), rule.metric).scored
        true = {c.info.name: float(np.nanmean(c.main.right)) for c in scored if c.main is not None}
        for _ in range(DRAWS):
            count = FIRST_ASKED << int(rng.integers(5))
            rows = {(n, p): (count if p <= cap else 0) if n in tuned else ROWS for n, p in fits}
            drawn = redrawn(part, rng.choice(ids, ROWS).tolist())
            yield from told(held(drawn, rows), rule, true)


def _plain(run: Run) -> bool:
    trial = run.trial
    first = trial.scenario.kind == "standard" and not (trial.fold or trial.draw or trial.variant)
    return first and CLEAN in run.asked and not run.error


def lines(title: str, found: Sequence[Told]) -> Iterator[str]:
    """Yield the table of a world or set, and the points that are given up."""
    lost, naively = fmean(one.lost for one in found), fmean(one.naively for one in found)
    yield f"{title}: regret {100 * lost:.2f} points, of the highest score {100 * naively:.2f}"
    yield from reliability.lines([one.stated for one in found])
    yield ""


def missed(title: str, found: Sequence[Told]) -> Iterator[str]:
    """Yield the tenths that are too high, and too many that are sure and wrong."""
    stated = [one.stated for one in found]
    yield from (f"{title}: {line}" for line in reliability.missed(stated, modest=True))
    wrong = reliability.false_sure(stated)
    if len(stated) >= reliability.ENOUGH and wrong > reliability.FALSE_SURE:
        yield f"{title}: sure and wrong in {100 * wrong:.1f} %, at most 2 % asked"


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge, print, and return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=300, help="of each world")
    parser.add_argument("--first", type=int, default=0, help="number of the first study")
    parser.add_argument("--stores", nargs="*", type=Path, default=[], metavar="DIR")
    choice, start, misses = parser.parse_args(arguments), process_time(), list[str]()
    numbers = range(choice.first, choice.first + choice.studies)
    worlds = {name: [t for n in numbers for t in world(name, n)] for name in WORLDS}
    stores = [Store.open(folder) for folder in choice.stores]
    studies = [(evidence_of(store), rule_of(store.study)) for store in stores]
    answers = read_all(HERE / "replay" / "answers").values()
    studies += [(all_pools(answered), rule_for(answered)) for answered in answers]
    sets: dict[str, list[Told]] = {}
    for study, rule in studies:
        rng = np.random.default_rng([choice.first, *study.name.encode()])
        sets.setdefault(study.name, []).extend(real(study, rule, rng))
    for what, parts in (("all worlds", worlds), ("all real sets", sets)):
        known = {name: own for name, own in parts.items() if own}
        together = {what: [t for own in known.values() for t in own]} if known else {}
        for title, found in (together | known).items():
            print("\n".join(lines(title, found)))
            misses += missed(title, found)
    print(f"rule {RULE}, {process_time() - start:.0f} s of one core")
    print("\n".join(["Missed targets:", *misses]) if misses else "All targets are met.")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
