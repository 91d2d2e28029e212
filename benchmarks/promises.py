"""What more labels brought, against what candidates had promised.

    python benchmarks/promises.py                   stored answers of seven real sets: a minute
    python benchmarks/promises.py --stores DIR ...  and the curves of finished studies

From few test rows and a part of the labels, as a small budget leaves them, the judge projects the
score with the largest stored pool: with the curves of all candidates up to there, and of each that
was held while the others went on. The figures of its prior are chosen by log likelihood on all
sets but one, and tried on that one. No model runs; a folder without a study is passed over. Exits
with 1 and the families whose 95 % bands hold too few.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import log, pi, sqrt
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from choose.api.study_evidence import evidence_of, rule_of
from choose.errors import ChooseError
from choose.judge.evidence import CandidateInfo
from choose.judge.goal import RULE
from choose.judge.scores import promised_score
from choose.judge.scores.promised_score import DRIFT, FIT_SD, OF_FAMILY, OF_SETS, Normal
from choose.judge.scores.score_tables import (
    MISSING,
    WHOLE,
    CandidateScores,
    ScoreTable,
    study_scores,
)
from choose.stats.two_way import row_means
from choose.store.store import Store
from choose.types import Floats
from regret import HERE
from replay.answers import Answered, read_all
from replay.studies import info

# Pools from which is projected, with the next smaller one as a curve; test rows of stored answers.
STARTS, ROWS = (100, 250, 300, 500), 100

# Rows that a step is measured on at least, and doublings that it is projected over.
FEWEST, LEAST = 25, 0.9

# Share of the truths that 95 % bands hold at least.
COVERED = 0.93

# One prior for all, as it was: the share of errors that a doubling removes.
ONE = Normal(0.10, 0.08**2)

# Figures that are tried: the mean and the spread of sets, those of what is fine-tuned around them,
# and that of a step.
TRIED = (
    (0.13, 0.16, 0.19),
    (0.06, 0.08, 0.10),
    (0.05, 0.08, 0.11),
    (0.07, 0.10, 0.13),
    (0.01, 0.02, 0.03),
)


@dataclass(frozen=True)
class Curve:
    """The answers of a candidate by rows learned from."""

    info: CandidateInfo
    at: Mapping[int, ScoreTable]

    def up_to(self, pool: int, whole: int, *, steps: bool) -> CandidateScores | None:
        """Return what is seen of it at a pool of `whole`, with its step to there or without."""
        if pool not in self.at:
            return None
        smaller = {size: table for size, table in self.at.items() if size < pool and steps}
        return CandidateScores(
            self.info, self.at[pool], drawn=pool < whole, pool=pool, whole=whole, sizes=smaller
        )


class Case(NamedTuple):
    """What is seen at once, and by candidate what more labels brought, with its error."""

    set: str
    seen: tuple[CandidateScores, ...]
    came: Mapping[str, Normal]


class Miss(NamedTuple):
    """How far one projection was off, in points and in standard deviations."""

    set: str
    family: str
    points: float
    z: float
    log_likelihood: float


def of_answers(answered: Answered) -> Iterator[list[Curve]]:
    """Yield the curves of each draw of a set's stored answers, on the first rows of each fit."""
    draws = {fit.draw for fit in answered.fits}
    for draw in sorted(draws):
        curves = []
        for name, kind in answered.kinds.items():
            fits = {s: answered.fitted(name, s).get(draw) for s in answered.sizes}
            at = {size: fit.scores for size, fit in fits.items() if fit}
            if not at or kind.any_size:
                continue
            known = np.flatnonzero(~np.isnan(np.sum([*at.values()], axis=0)))[:ROWS]
            if len(known) == ROWS:
                tables = {size: _table(scores[known]) for size, scores in at.items()}
                curves.append(Curve(info(name, kind), tables))
        yield curves


def of_store(store: Store) -> list[Curve]:
    """Return the curves of a finished study."""
    found = study_scores(evidence_of(store), rule_of(store.study).metric)
    return [
        Curve(c.info, {c.pool if size == WHOLE else size: t for size, t in c.by_pool.items()})
        for c in found.candidates
        if c.main is not None
    ]


def _table(scores: Floats) -> ScoreTable:
    """Return a table of the (rows,) scores of one fit."""
    rows: Any = None
    codes = np.where(np.isnan(scores), MISSING, 0)[:, None]
    return ScoreTable(codes, (0,), (), rows, scores[:, None], learns=True)


def cases(name: str, curves: Sequence[Curve]) -> Iterator[Case]:
    """Yield what is seen at each start: of all up to there, and of one while the others went on."""
    able = [c for c in curves if c.info.learns and c.info.family in OF_FAMILY]
    able = [curve for curve in able if not curve.info.constant and not curve.info.floor]
    for start in STARTS:
        projected = {c.info.name: max(c.at) for c in able if start in c.at}
        projected = {n: top for n, top in projected.items() if np.log2(top / start) >= LEAST}
        came = {c.info.name: _came(c, start) for c in able if c.info.name in projected}
        known = {name: one for name, one in came.items() if one}
        at_once = [c.up_to(start, projected.get(c.info.name, start), steps=True) for c in able]
        if known:
            yield Case(name, tuple(c for c in at_once if c), known)
        for one in (c for c in able if c.info.name in known):
            held = one.up_to(start, projected[one.info.name], steps=False)
            others = (c.up_to(max(c.at), max(c.at), steps=True) for c in able if c is not one)
            seen = tuple(c for c in (held, *others) if c)
            yield Case(name, seen, {one.info.name: known[one.info.name]})


def _came(curve: Curve, start: int) -> Normal | None:
    """Return what a candidate gained to its largest pool, with the error of rows and fits."""
    tables = curve.at[start], curve.at[max(curve.at)]
    gains = row_means(tables[1].right) - row_means(tables[0].right)
    gains = gains[~np.isnan(gains)]
    if len(gains) < FEWEST:
        return None
    rows = (float(gains.var()) + 1 / len(gains)) / len(gains)
    fits = sum(1 / table.right.shape[1] for table in tables)
    return Normal(float(gains.mean()), rows + FIT_SD**2 * fits)


def misses(every: Iterable[Case], one_prior: bool = False) -> Iterator[Miss]:
    """Yield how far projections are off."""
    for case in every:
        rates = promised_score.rates_by_others(case.seen)
        for candidate in case.seen:
            name = candidate.info.name
            if name not in case.came:
                continue
            gain = promised_score.promised_gain(candidate, ONE if one_prior else rates[name])
            came = case.came[name]
            variance = gain.variance + came.variance
            z = (came.mean - gain.mean) / sqrt(variance)
            likely = -0.5 * (z**2 + log(2 * pi * variance))
            yield Miss(case.set, candidate.info.family, came.mean - gain.mean, z, likely)


def tried(every: Sequence[Case]) -> dict[tuple[float, ...], list[Miss]]:
    """Return by figures of the prior how far projections are off with them."""
    found = {}
    for figures in product(*TRIED):
        mean, spread, faster, differs, drift = figures
        family = {**OF_FAMILY, "fine-tuning": Normal(faster, differs**2)}
        of_sets = Normal(mean, spread**2)
        with patch.multiple(promised_score, OF_SETS=of_sets, OF_FAMILY=family, DRIFT=drift):
            found[figures] = list(misses(every))
    return found


def left_out(by_figures: Mapping[tuple[float, ...], Sequence[Miss]]) -> list[Miss]:
    """Return how far projections on each set are off with the figures chosen on all others."""
    sets = {miss.set for misses in by_figures.values() for miss in misses}
    return [
        miss
        for name in sorted(sets)
        for miss in by_figures[best(by_figures, name)]
        if miss.set == name
    ]


def best(by_figures: Mapping[tuple[float, ...], Sequence[Miss]], without: str = "") -> Any:
    """Return the figures of highest log likelihood on all sets but one."""

    def likelihood(figures: tuple[float, ...]) -> float:
        return sum(m.log_likelihood for m in by_figures[figures] if m.set != without)

    return max(by_figures, key=likelihood)


def stored(folder: Path = HERE / "replay" / "answers") -> list[Case]:
    """Return what is seen in the stored answers of real sets."""
    every = read_all(folder).items()
    return [case for n, a in every for curves in of_answers(a) for case in cases(n, curves)]


def between_fits(every: Iterable[Answered]) -> float:
    """Return the standard deviation between draws of a pool, beyond that of their common rows."""
    found = []
    for answered in every:
        for name, size in product(answered.kinds, (s for s in answered.sizes if s >= min(STARTS))):
            fits = [fit.scores for fit in answered.fitted(name, size).values()]
            gaps = fits[0] - fits[1] if len(fits) > 1 else np.array([])
            gaps = gaps[~np.isnan(gaps)]
            if len(gaps) >= FEWEST and gaps.any():
                found.append((gaps.mean() ** 2 - gaps.var() / len(gaps)) / 2)
    return sqrt(max(0.0, float(np.mean(found))))


def lines(title: str, found: Sequence[Miss]) -> Iterator[str]:
    """Yield a line for each family."""
    by_family: dict[str, list[Miss]] = defaultdict(list)
    for miss in found:
        by_family[miss.family].append(miss)
    for family, own in by_family.items():
        z = np.array([miss.z for miss in own])
        off = sqrt(np.mean([miss.points**2 for miss in own]))
        likely = np.mean([miss.log_likelihood for miss in own])
        yield (
            f"{title:22}{family:12}{len(own):6}{likely:16.2f}{np.mean(np.abs(z) < 1.96):9.3f}"
            f"{z.mean():9.2f}{z.std():8.2f}{100 * off:9.1f}"
        )


def missed(found: Sequence[Miss]) -> list[str]:
    """Return the families whose 95 % bands hold too few."""
    families = dict.fromkeys(miss.family for miss in found)
    held = {f: np.mean([abs(m.z) < 1.96 for m in found if m.family == f]) for f in families}
    return [
        f"{family}: 95 % bands hold {share:.3f}, at least {COVERED} asked"
        for family, share in held.items()
        if share < COVERED
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Project, print, and return 1 where bands of a family hold too few."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stores", nargs="*", type=Path, default=[], metavar="DIR")
    choice = parser.parse_args(arguments)
    answers = read_all(HERE / "replay" / "answers")
    every = stored()
    for folder in choice.stores:
        try:
            every += cases(folder.name, of_store(Store.open(folder)))
        except ChooseError as error:
            print(f"{folder} is passed over: {error}")
    by_figures = tried(every)
    apart, now = left_out(by_figures), list(misses(every))
    print(f"rule {RULE}, {len(now)} projections in {len({miss.set for miss in now})} sets\n")
    heads = f"{'log likelihood':>16}{'in 95 %':>9}{'mean z':>9}{'sd z':>8}{'points':>9}"
    print(f"{'':22}{'family':12}{'n':>6}{heads}")
    for title, found in (
        ("one prior", list(misses(every, one_prior=True))),
        ("as it is", now),
        ("set left out", apart),
    ):
        print("\n".join(lines(title, found)))
    used = (OF_SETS.mean, sqrt(OF_SETS.variance), *_of_tuned())
    print("\nfigures of the prior: of sets, their SD, what is fine-tuned, its SD; a step's SD")
    print("used                 ", *(f"{one:.3f}" for one in used), f"{DRIFT:.3f}")
    print("best on all          ", *(f"{one:.3f}" for one in best(by_figures)))
    print(f"SD between draws     {between_fits(answers.values()):.3f} (used {FIT_SD})")
    off = missed(apart)
    print("\n".join(["", "Missed targets:", *off] if off else ["", "All targets are met."]))
    return 1 if off else 0


def _of_tuned() -> tuple[float, float]:
    return OF_FAMILY["fine-tuning"].mean, sqrt(OF_FAMILY["fine-tuning"].variance)


if __name__ == "__main__":
    sys.exit(main())
