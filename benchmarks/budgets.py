"""Whether the family that is named stays the same as the budget doubles, and how sure it may be.

    python benchmarks/budgets.py                   known worlds and five real sets: 10 minutes
    python benchmarks/budgets.py --quick           about a minute of one core
    python benchmarks/budgets.py --stores DIR ...  replay finished studies too, in several orders
    python benchmarks/budgets.py --run DATA ...    run `choose compare` for 10 s, 45 s, 2 m and 5 m

No model runs without --run: whole studies are cut to the answers that smaller budgets would have
reached, halving down to 25 rows of each slow candidate. What the judge expects to say after a
doubling is compared with what it says then. Exits with 1 and the missed targets.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain, pairwise
from math import inf
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

# Each process has one core to itself; threads of a linear algebra library would fight over it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import reliability
from choose.api.study_evidence import evidence_of, rule_of
from choose.judge.decision.chance import MOVED, Outlook, Word, chances, word_of
from choose.judge.evidence import Evidence
from choose.judge.goal import RULE, Rule
from choose.judge.scores.joint_distribution import Whole
from choose.judge.verdict import judge
from choose.run.loop import LEAST_CHANCE
from choose.schema.decision import Decision
from choose.store.store import Store
from reliability import Stated, chance_of, word_for
from replay import studies as occasions
from replay.answers import read_all
from simulation.evidence import evidence
from simulation.grading import NAMES, RESAMPLED, Plan, grade
from simulation.resampled import resample
from simulation.thinned import budgets, thin
from simulation.truth import Truth, truth_of
from simulation.worlds import draw

HERE = Path(__file__).resolve().parent

FULL, QUICK = 100, 5

# Worlds whose candidates differ; in "ties" nothing decides and any family is right.
WORLDS = ("cross-fit", "clusters", "crowd", "small model", "noisy labels", RESAMPLED)
TIED = "ties"

# Most flips of the family, as a share of the doublings of a budget; least right where confident.
MOST_FLIPS, LEAST_RIGHT = 0.05, {"sure": 0.95, "likely": 0.80}

# Numbers of rows per slow candidate that separate the bands of the table.
BANDS = (25, 50, 100, 200, 400, 800)

# Verdicts of one word that are needed to say how often they are right.
FEW = 20

SECONDS = (10.0, 45.0, 120.0, 300.0)

# Loss that is expected to be removed, and chances that what is said changes, in rows of the tables.
REMOVED = (-inf, 0.001, 0.002, 0.005, 0.01, 0.02)
MOVES = (0.0, MOVED, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """The verdict under one budget.

    Attributes:
        rows: answers of each slow candidate, on average.
        family: of the candidate that is recommended or used meanwhile.
        lost: families whose chance is so small that a run asks them no more.
        word: what the verdict calls its choice.
        words: what it calls each family.
        stated: the chance it states.
        right: whether the family is right, None where the truth is not known.
        loss: the points that using the family is expected to give up.
        ahead: what the next budget is expected to say; None of the last one.
    """

    rows: int
    family: str
    lost: tuple[str, ...]
    kind: str
    word: str
    words: Mapping[str, Word] = field(default_factory=dict)
    stated: float = 0.0
    right: bool | None = None
    loss: float = 0.0
    ahead: Outlook | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """The verdicts on one study under budgets that double, the smallest first."""

    source: str
    rungs: tuple[Rung, ...]

    @property
    def doublings(self) -> list[tuple[Rung, Rung]]:
        """Return each budget's verdict with that of twice the budget."""
        return list(pairwise(self.rungs))


def climb(
    source: str, study: Evidence, rule: Rule, seed: int, truth: Truth | None = None
) -> Ladder:
    """Judge a study under each budget; `seed` orders rows and candidates."""
    slow = sum(not c.cheap for c in study.candidates)
    rows = budgets(study) if slow else []
    seen = [thin(study, each, np.random.default_rng(seed)) for each in rows]
    rungs = [
        replace(
            rung(judge(now, rule), study, each // slow, truth),
            ahead=_ahead(now, rule, measured(after)) if after else None,
        )
        for each, now, after in zip(rows, seen, [*seen[1:], None], strict=False)
    ]
    return Ladder(source=source, rungs=tuple(rungs))


def measured(study: Evidence) -> dict[str, Whole]:
    """Return what a study has measured of each candidate."""
    found = {}
    for name in {run.trial.candidate for run in study.runs}:
        rows = [run.asked["clean", 0] for run in study.runs if run.trial.candidate == name]
        each = {id for asked in rows for id in asked}
        found[name] = Whole(len(each), sum(map(len, rows)) // max(1, len(each)))
    return found


def _ahead(study: Evidence, rule: Rule, planned: Mapping[str, Whole]) -> Outlook | None:
    found = chances(study, rule, planned)
    return found.later if found else None


def rung(found: Decision, study: Evidence, rows: int, truth: Truth | None) -> Rung:
    """Return what one verdict says about families."""
    verdict = found.verdict
    kinds = {c.name: "none" if c.constant else c.family for c in study.candidates}
    lost = [family for family, chance in verdict.chance.items() if chance < LEAST_CHANCE]
    right = None
    if truth is not None:
        right = grade(found, truth, Plan(frozenset(), may_be_sure=True)).one
    return Rung(
        rows=rows,
        family=kinds[verdict.recommended or verdict.use_meanwhile],
        lost=tuple(lost),
        kind=verdict.kind,
        word=word_for(found),
        words={family: word_of(chance) for family, chance in verdict.chance.items()},
        stated=chance_of(found),
        right=right,
        loss=verdict.loss,
    )


def world(name: str, number: int) -> Ladder:
    """Simulate one study of a world and climb its budgets."""
    rng = np.random.default_rng([number, NAMES.index(name), 7])
    if name == RESAMPLED:
        study, truth = resample(rng)
        return climb(name, study, Rule(margin=truth.margin), number, truth)
    setting = replace(draw(name, "report", rng), folds=5)
    study = evidence(setting, rng)
    return climb(name, study, rule_of(setting.study), number, truth_of(setting))


def real(name: str, number: int) -> Ladder:
    """Draw candidates of a real set, with all rows that they answered, and climb their budgets."""
    answered = read_all(HERE / "replay" / "answers")[name]
    occasion = occasions.draw(answered, np.random.default_rng([number, 11, *name.encode()]))
    whole = replace(occasion, rows=np.sort(occasion.common))
    return climb(name, occasions.evidence(whole), Rule(), number)


def stored(path: str, number: int) -> Ladder:
    """Climb the budgets of a finished study in one order."""
    store = Store.open(Path(path))
    return climb(Path(path).name, evidence_of(store), rule_of(store.study), number)


def _play(job: tuple[str, str, int]) -> Ladder:
    kind, name, number = job
    return {"world": world, "real": real, "stored": stored}[kind](name, number)


def replay(jobs: Sequence[tuple[str, str, int]], processes: int) -> list[Ladder]:
    """Climb all ladders; those with fewer than two budgets are left out."""
    if processes == 1:
        found = list(map(_play, jobs))
    else:
        with get_context("spawn").Pool(processes, partial(os.nice, 5)) as pool:
            found = pool.map(_play, jobs, chunksize=5)
    return [ladder for ladder in found if len(ladder.rungs) > 1]


def run(data: str, seconds: Sequence[float] = SECONDS) -> Ladder:
    """Run compare under each budget, each in a new folder, and return the verdicts."""
    from choose.api.compare import run_study
    from choose.api.plan import resolve

    rungs = []
    for budget in seconds:
        with TemporaryDirectory() as folder:
            settings = resolve(data, None, {"grid": {"budget": budget}})
            done = run_study(settings, out=Path(folder) / "st")
            study = evidence_of(Store.open(done.store))
        slow = {c.name for c in study.candidates if not c.cheap}
        asked = {
            (r.trial.candidate, id)
            for r in study.runs
            if r.trial.candidate in slow and not r.error
            for id in r.asked["clean", 0]
        }
        rungs.append(rung(done.decision, study, len(asked) // max(1, len(slow)), None))
        print(f"{data}, {budget:g} s: {done.decision.verdict.kind}", file=sys.stderr, flush=True)
    return Ladder(source=data, rungs=tuple(rungs))


@dataclass(frozen=True, slots=True)
class Flips:
    """Doublings of a budget: how many, and in how many the family changed.

    `lost` counts changes where the later verdict gives the earlier family hardly a chance, `named`
    those that left a recommended family for another recommended one.
    """

    doublings: int
    flips: int
    lost: int
    named: int

    @property
    def share(self) -> float:
        """Return the share of the doublings in which the family changed."""
        return self.flips / self.doublings if self.doublings else 0.0


def count(ladders: Iterable[Ladder]) -> Flips:
    """Count the doublings of all ladders, and the changes of the family."""
    pairs = [pair for ladder in ladders for pair in ladder.doublings]
    flips = [(a, b) for a, b in pairs if a.family != b.family]
    firm = {"adopt", "baseline-is-enough"}
    return Flips(
        doublings=len(pairs),
        flips=len(flips),
        lost=sum(a.family in b.lost for a, b in flips),
        named=sum({a.kind, b.kind} <= firm for a, b in flips),
    )


def lines(ladders: Sequence[Ladder]) -> Iterator[str]:
    """Yield the figures as two tables."""
    yield (
        f"{'source':18}{'studies':>8}{'doublings':>11}{'family changed':>16}{'shown to lose':>15}"
        f"{'between firm':>14}"
    )
    for name in dict.fromkeys(ladder.source for ladder in ladders):
        own = [ladder for ladder in ladders if ladder.source == name]
        found = count(own)
        yield (
            f"{name:18}{len(own):8}{found.doublings:11,}{_percent(found.share):>16}"
            f"{found.lost:15}{found.named:14}"
        )
    real = [ladder for ladder in ladders if ladder.source not in NAMES]
    for name, own in (("known worlds", [x for x in ladders if x not in real]), ("real sets", real)):
        found = count(own)
        yield (
            f"{name:18}{len(own):8}{found.doublings:11,}{_percent(found.share):>16}"
            f"{found.lost:15}{found.named:14}"
        )
    yield ""
    yield f"{'real sets':18}{'doublings':>19}{'family changed':>16}"
    for word in ("open", "likely", "sure"):
        own = [pair for pair in _doublings(real) if pair[0].word == word]
        moved = sum(a.family != b.family for a, b in own)
        share = _percent(moved / len(own)) if own else "-"
        yield f"{f'called {word} then':18}{len(own):19,}{share:>16}"
    yield ""
    yield (
        f"{'rows each':14}{'verdicts':>9}{'family right':>14}{'sure':>7}{'right':>9}{'likely':>8}"
        f"{'right':>9}{'changed at the next':>21}"
    )
    for low, rungs, pairs in _bands(ladders):
        known = [one for one in rungs if one.right is not None]
        cells = [f"{_right(known):>14}"]
        for word in ("sure", "likely"):
            own = [one for one in known if one.word == word]
            cells.append(f"{len(own):{7 if word == 'sure' else 8},}{_right(own):>9}")
        moved = sum(a.family != b.family for a, b in pairs)
        share = _percent(moved / len(pairs)) if pairs else "-"
        yield f"{f'from {low}':14}{len(rungs):9,}{''.join(cells)}{share:>21}"
    tables = (
        ("chance then", forecasts(ladders)),
        ("loss removed", removals(ladders)),
        ("other words", moves(ladders)),
    )
    for what, found in tables:
        yield ""
        yield f"{what:16}{'doublings':>10}{'forecast':>10}{'came':>10}"
        for low, doublings, said, came in found:
            yield f"{f'from {low:.3f}':16}{doublings:10,}{said:10.4f}{came:10.4f}"
    if known_truth := _stated(ladders):
        yield ""
        yield from [*reliability.lines(known_truth)][:-1]


class Came(NamedTuple):
    """Forecasts from `low` on: how many, their mean, and the mean of what came."""

    low: float
    count: int
    said: float
    came: float


def forecasts(ladders: Sequence[Ladder]) -> list[Came]:
    """Return the chance that was expected to be stated after a doubling, and that which was."""
    pairs = [(a.ahead.chance, b.stated) for a, b in _doublings(ladders) if a.ahead]
    return _by_forecast(pairs, reliability.TENTHS)


def removals(ladders: Sequence[Ladder]) -> list[Came]:
    """Return the loss that a doubling was expected to remove, and what it removed."""
    pairs = [(a.loss - a.ahead.loss, a.loss - b.loss) for a, b in _doublings(ladders) if a.ahead]
    return _by_forecast(pairs, REMOVED)


def moves(ladders: Sequence[Ladder]) -> list[Came]:
    """Return the chance that another family or word is named after a doubling, and how often."""
    pairs = [
        (a.ahead.moved, float((a.family, a.words) != (b.family, b.words)))
        for a, b in _doublings(ladders)
        if a.ahead
    ]
    return _by_forecast(pairs, MOVES)


def _doublings(ladders: Sequence[Ladder]) -> Iterator[tuple[Rung, Rung]]:
    return chain.from_iterable(ladder.doublings for ladder in ladders)


def _by_forecast(pairs: Sequence[tuple[float, float]], starts: Sequence[float]) -> list[Came]:
    found = []
    for low, high in pairwise((*starts, inf)):
        if own := [pair for pair in pairs if low <= pair[0] < high]:
            said, came = zip(*own, strict=True)
            found.append(Came(low, len(own), fmean(said), fmean(came)))
    return found


def _stated(ladders: Sequence[Ladder]) -> list[Stated]:
    """Return what verdicts state and whether their family is right, where the truth is known."""
    rungs = [r for ladder in ladders for r in ladder.rungs if r.right is not None]
    return [Stated(r.stated, bool(r.right), bool(r.right)) for r in rungs]


def _bands(
    ladders: Sequence[Ladder],
) -> Iterator[tuple[int, list[Rung], list[tuple[Rung, Rung]]]]:
    for low, high in pairwise([*BANDS, 10**9]):
        rungs = [r for ladder in ladders for r in ladder.rungs if low <= r.rows < high]
        pairs = [p for ladder in ladders for p in ladder.doublings if low <= p[0].rows < high]
        if rungs:
            yield low, rungs, pairs


def _right(rungs: Sequence[Rung]) -> str:
    return _percent(sum(bool(r.right) for r in rungs) / len(rungs)) if rungs else "-"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def missed(ladders: Sequence[Ladder]) -> Iterator[str]:
    """Yield the targets that are missed.

    Flips are judged on real sets. Families of the known worlds are 0 to 10 points apart, so what is
    used meanwhile must change there as evidence comes; they judge how sure a verdict may be. In
    "ties" any family is right and nothing is judged.
    """
    found = count(ladder for ladder in ladders if ladder.source not in NAMES)
    if found.share > MOST_FLIPS:
        yield (
            f"family changed in {_percent(found.share)} of {found.doublings:,} doublings on real "
            f"sets, at most {_percent(MOST_FLIPS)} asked"
        )
    for low, doublings, said, came in forecasts(ladders):
        if doublings >= reliability.ENOUGH and abs(said - came) > reliability.NEAR:
            yield (
                f"a chance from {low:.2f} was expected after {doublings:,} doublings: "
                f"{said:.3f} on average, {came:.3f} was stated then"
            )
    judged = [ladder for ladder in ladders if ladder.source != TIED]
    for low, rungs, _ in _bands(judged):
        for word, least in LEAST_RIGHT.items():
            own = [r.right for r in rungs if r.word == word and r.right is not None]
            share = sum(own) / len(own) if own else 1.0
            if len(own) >= FEW and share < least:
                yield (
                    f"right where it is called {word}, from {low} rows: "
                    f"{_percent(share)} of {len(own)}, at least {_percent(least)} asked"
                )


def shown(ladder: Ladder) -> str:
    """Return one ladder as a line: under each budget family, kind, confidence and rows."""
    steps = (f"{r.family} ({r.kind}, {r.word}, {r.rows} rows)" for r in ladder.rungs)
    return f"{ladder.source}: {' -> '.join(steps)}"


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, help=f"of each world and set (default {FULL})")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} of each")
    parser.add_argument("--worlds", nargs="*", choices=NAMES, default=[*WORLDS, TIED])
    parser.add_argument("--stores", nargs="*", default=[], help="folders of finished studies")
    parser.add_argument("--orders", type=int, default=10, help="in which each store is replayed")
    parser.add_argument("--run", nargs="*", default=[], metavar="DATA", help="run these sets")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", action="store_true", help="print every ladder as JSON")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay, print, and return 1 where a target is missed."""
    choice, start = options(arguments), perf_counter()
    studies = choice.studies if choice.studies is not None else QUICK if choice.quick else FULL
    jobs = [("world", name, n) for name in choice.worlds for n in range(studies)]
    stored_sets = read_all(HERE / "replay" / "answers")
    sets = [name for name, answered in stored_sets.items() if answered.metric is None]
    jobs += [("real", name, n) for name in sets for n in range(studies)]
    jobs += [("stored", path, n) for path in choice.stores for n in range(choice.orders)]
    ladders = replay(jobs, choice.processes)
    runs = [run(data) for data in choice.run]
    misses = list(missed([*ladders, *runs]))
    if choice.json:
        record: Any = {"ladders": [asdict(one) for one in [*ladders, *runs]], "missed": misses}
        print(json.dumps(record))
        return 1 if misses else 0
    print(f"{len(ladders):,} studies, rule {RULE}, {perf_counter() - start:.0f} s", end="\n\n")
    print("\n".join(lines([*ladders, *runs])), end="\n\n")
    for ladder in runs:
        print(shown(ladder))
    print("\n".join(["Missed targets:", *misses]) if misses else "All targets are met.")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
