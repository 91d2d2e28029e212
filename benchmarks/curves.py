"""Do the bands fitted to a quarter of the data cover the accuracy with all of it?

    python benchmarks/curves.py [--quick] [--json]

On each real set, learning curves of `tfidf` and `probe` are fitted to sizes up to a quarter of a
pool. They forecast the accuracy, on the same test rows, of a fit on the whole pool: four times as
many labels. Smaller pools are drawn from the quarter (`inside`), as a team would do, or from the
whole pool (`drawn`). The constants of the fits were tuned on four sets; the target is for the other
sets, and for all. Answers are cached, so that a second run takes seconds.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from tempfile import gettempdir

import numpy as np

from choose.data.stratify import sampling_order
from choose.judge.measures.curve_fit import CurvePoints, Resamples
from choose.judge.measures.curve_forecast import ensemble
from choose.judge.stats.intervals import wilson
from choose.tasks.classification import Classification
from choose.types import Example, Item
from choose_strategies.baselines import LogisticHead, Tfidf

TUNED_ON = ("banking77", "fin_phrasebank", "sst2", "trec6")

TARGET = 0.90

# The smaller sizes of a study, as fractions of the quarter; the quarter itself is the last size.
GRIDS = {
    "1/16 1/8 1/4 1/2": (1 / 16, 1 / 8, 1 / 4, 1 / 2),
    "1/8 1/4 1/2 3/4": (1 / 8, 1 / 4, 1 / 2, 3 / 4),
    "1/32 1/16 1/8 1/4 1/2": (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2),
}

DEFAULT = "1/16 1/8 1/4 1/2"

SETS = (
    "banking77",
    "convabuse",
    "cuad_clauses",
    "fin_phrasebank",
    "gh_issues",
    "sst2",
    "trec6",
    "tweet_emotion",
)

CANDIDATES = ("tfidf", "probe")

POOL, TEST, CHARACTERS, DRAWS = 3000, 500, 400, 3

# Embedding is slow on a processor, so that the pools of all replications of `probe` come from the
# same rows.
EMBEDDED = {"train": POOL, "test": 2 * TEST}

# Fractions of the quarter of the pool that curves are fitted to.
FRACTIONS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0)

_VECTORS: dict[str, np.ndarray] = {}


@dataclass(frozen=True, kw_only=True)
class Forecasted:
    """One forecast and the accuracy that was then measured, as fractions."""

    name: str
    candidate: str
    replication: int
    mode: str
    grid: str
    low: float
    value: float
    high: float
    apart: bool
    truth: float

    @property
    def covered(self) -> bool:
        """Return whether the band holds the truth."""
        return self.low <= self.truth <= self.high


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=data, help="folder of the real sets")
    parser.add_argument("--cache", type=Path, default=Path(gettempdir()) / "choose-curves")
    parser.add_argument("--replications", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="tfidf alone, two replications")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _forecasts(options: argparse.Namespace) -> Iterator[Forecasted]:
    candidates = CANDIDATES[:1] if options.quick else CANDIDATES
    replications = min(options.replications, 2) if options.quick else options.replications
    for name in SETS:
        if not (options.data / name).is_dir():
            print(f"{name} is not there and is left out.", file=sys.stderr)
            continue
        for candidate in candidates:
            for replication in range(replications):
                measured = fits(options.data, options.cache, name, candidate, replication)
                for mode in ("inside", "drawn"):
                    for grid in GRIDS:
                        low, value, high, apart = _band(measured, mode, grid, candidate)
                        yield Forecasted(
                            name=name,
                            candidate=candidate,
                            replication=replication,
                            mode=mode,
                            grid=grid,
                            low=low,
                            value=value,
                            high=high,
                            apart=apart,
                            truth=float(measured.full.mean()),
                        )


def _band(measured: Fits, mode: str, grid: str, name: str) -> tuple[float, float, float, bool]:
    curves = ensemble(_points(measured, mode, grid), name, Resamples(len(measured.full)))
    band = curves.band(np.array([measured.labels], dtype=np.float64))
    return float(band.low[0]), float(band.value[0]), float(band.high[0]), band.apart


def _points(measured: Fits, mode: str, grid: str) -> CurvePoints:
    places = [FRACTIONS.index(fraction) for fraction in GRIDS[grid]]
    source = measured.inside if mode == "inside" else measured.drawn
    scores = [source[i].T for i in places]
    scores.append(measured.quarter[:, None] if mode == "inside" else measured.drawn[-1].T)
    return CurvePoints(
        sizes=np.array([measured.sizes[i] for i in (*places, -1)], dtype=np.float64),
        scores=tuple(right.astype(np.float64) for right in scores),
        draws=tuple(tuple(range(right.shape[1])) for right in scores),
        drawn=mode == "drawn",
    )


def _rates(found: list[Forecasted]) -> list[float]:
    """Return the coverage rates with a target: default grid, on the other sets and on all."""
    chosen = [f for f in found if f.grid == DEFAULT]
    parts = [
        [f for f in chosen if f.mode == mode and (every or f.name not in TUNED_ON)]
        for mode in ("inside", "drawn")
        for every in (False, True)
    ]
    return [float(np.mean([f.covered for f in part])) for part in parts if part]


def _report(found: list[Forecasted]) -> Iterator[str]:
    names = ("half", "bias", "rmse", "apart")
    head = f"{'':44} {'n':>4} {'covered':>8} {'at least':>8} {' '.join(f'{n:>6}' for n in names)}"
    yield "Bands for four times the labels, in points; target: 0.90 of them cover."
    yield f"Tuned on {', '.join(TUNED_ON)}; reported on the others."
    yield "At least: Wilson's 95 % lower end, as if the replications of a set shared no row."
    for mode in ("inside", "drawn"):
        yield f"\nPools {mode}\n{head}"
        part = [f for f in found if f.mode == mode]
        for grid in GRIDS:
            rows = [f for f in part if f.grid == grid]
            yield _line(f"{grid} 1, other sets", [f for f in rows if f.name not in TUNED_ON])
            yield _line(f"{grid} 1, all sets", rows)
        for name in SETS:
            for candidate in CANDIDATES:
                rows = [f for f in part if (f.name, f.candidate) == (name, candidate)]
                tuned = " (tuned on)" if name in TUNED_ON else ""
                yield _line(f"{name} {candidate}{tuned}", [f for f in rows if f.grid == DEFAULT])
    rates = _rates(found)
    met = "met" if all(rate >= TARGET for rate in rates) else "missed"
    yield f"\nTarget {met}: {', '.join(f'{rate:.3f}' for rate in rates)}."


def _line(what: str, rows: list[Forecasted]) -> str:
    if not rows:
        return f"{what:44} not measured"
    covered = np.array([f.covered for f in rows], dtype=np.float64)
    half = np.array([f.high - f.low for f in rows]) / 2
    off = np.array([f.truth - f.value for f in rows])
    least = wilson(float(covered.sum()), len(rows))[0]
    figures = (half.mean(), off.mean(), np.sqrt((off**2).mean()))
    said = " ".join(f"{100 * figure:6.1f}" for figure in figures)
    apart = np.mean([f.apart for f in rows])
    return f"{what:44} {len(rows):4} {covered.mean():8.3f} {least:8.3f} {said} {apart:6.2f}"


@dataclass(frozen=True)
class Fits:
    """Whether each test row was answered correctly, by training pool.

    Attributes:
        sizes: labels in the smaller pools, the quarter last.
        inside: (sizes - 1, draws, rows) pools drawn from the quarter.
        drawn: (sizes, draws, rows) pools drawn from the whole pool, nested within a draw.
        quarter: (rows,) the whole quarter.
        full: (rows,) the whole pool.
        labels: rows in the whole pool.
    """

    sizes: tuple[int, ...]
    inside: np.ndarray
    drawn: np.ndarray
    quarter: np.ndarray
    full: np.ndarray
    labels: int


def read(data: Path, name: str, candidate: str) -> tuple[list[Example], list[Example]]:
    """Return training and test rows of a set, texts cut at 400 characters."""
    train, test = (_rows(data / name / f"{part}.csv", part) for part in EMBEDDED)
    if candidate == "probe":
        random = Random(name)
        train = random.sample(train, min(EMBEDDED["train"], len(train)))
        test = random.sample(test, min(EMBEDDED["test"], len(test)))
    return train, test


def _rows(path: Path, part: str) -> list[Example]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["text"][:CHARACTERS], row["label"]) for row in csv.DictReader(file)]
    return [Example(id=f"{part}{i}", text=text, target=t) for i, (text, t) in enumerate(rows)]


def fits(data: Path, cache: Path, name: str, candidate: str, replication: int) -> Fits:
    """Return a replication's answers, from the cache if it has them."""
    path = cache / f"{name}-{candidate}-{replication}.npz"
    if path.exists():
        return Fits(**{k: _plain(v) for k, v in np.load(path).items()})
    found = _measure(*read(data, name, candidate), cache, candidate, replication)
    cache.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **vars(found))
    return found


def _plain(value: np.ndarray) -> object:
    if value.ndim == 0:
        return int(value)
    return tuple(value.tolist()) if value.dtype.kind == "i" else value


def _measure(
    train: list[Example], test: list[Example], cache: Path, candidate: str, replication: int
) -> Fits:
    random = Random(f"curves-{replication}")
    pool = random.sample(train, min(POOL, len(train)))
    asked = random.sample(test, min(TEST, len(test)))
    learner = _Learner(candidate, cache, asked)
    by_id = {row.id: row for row in pool}
    targets = {row.id: row.target for row in pool}
    quarter = sampling_order(targets, targets, 1000 + replication)[: len(pool) // 4]
    sizes = tuple(max(round(f * len(quarter)), 2) for f in FRACTIONS)

    def right(ids: Sequence[str]) -> np.ndarray:
        return learner.right([by_id[id] for id in ids])

    within = [sampling_order(quarter, targets, draw) for draw in range(DRAWS)]
    across = [sampling_order(targets, targets, draw) for draw in range(DRAWS)]
    return Fits(
        sizes=sizes,
        inside=np.array([[right(order[:n]) for order in within] for n in sizes[:-1]]),
        drawn=np.array([[right(order[:n]) for order in across] for n in sizes]),
        quarter=right(quarter),
        full=right(list(targets)),
        labels=len(pool),
    )


class _Learner:
    """Fit a candidate to training rows and tell which test rows it gets right."""

    def __init__(self, candidate: str, cache: Path, asked: Sequence[Example]) -> None:
        self.candidate, self.cache, self.asked = candidate, cache, asked
        self.targets = np.array([row.target for row in asked])

    def right(self, rows: Sequence[Example]) -> np.ndarray:
        return self._answers(rows) == self.targets

    def _answers(self, rows: Sequence[Example]) -> np.ndarray:
        labels = tuple(sorted({row.target for row in rows}))
        if self.candidate == "tfidf":
            model = Tfidf(seed=0, characters=False)
            model.fit(Classification(labels=labels, names=labels), rows)
            items = [Item(id=row.id, text=row.text) for row in self.asked]
            return np.array(model.predict(items).outputs)
        head = LogisticHead(C=10.0)
        head.fit(vectors(self.cache, rows), [row.target for row in rows])
        found = head.probabilities(vectors(self.cache, self.asked)).argmax(axis=1)
        return np.array(head.seen)[found]


def vectors(cache: Path, rows: Sequence[Example]) -> np.ndarray:
    """Return (n, d) embeddings of rows, read from the cache or computed and saved there."""
    if not _VECTORS:
        for path in cache.glob("embedded-*.npz"):
            stored = np.load(path)
            _VECTORS.update(zip(stored["keys"].tolist(), stored["vectors"], strict=True))
    keys = [_key(row.text) for row in rows]
    new = {key: row.text for key, row in zip(keys, rows, strict=True) if key not in _VECTORS}
    if new:
        _embed(cache, new)
    return np.stack([_VECTORS[key] for key in keys]).astype(np.float64)


def _key(text: str) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _embed(cache: Path, texts: dict[str, str]) -> None:
    from choose.models.embeddings import embed
    from choose.models.weights.spec import DEFAULT_ENCODER

    found = embed(list(texts.values()), DEFAULT_ENCODER)
    _VECTORS.update(zip(texts, found, strict=True))
    cache.mkdir(parents=True, exist_ok=True)
    name = sha256("".join(texts).encode()).hexdigest()[:12]
    np.savez_compressed(
        cache / f"embedded-{name}.npz",
        keys=np.array(list(texts)),
        vectors=found.astype(np.float16),
    )


def main() -> int:
    """Measure, print, and fail where the target is missed."""
    options = _options()
    if not options.data.is_dir():
        print(f"The real sets are not at {options.data}; --data names them.", file=sys.stderr)
        return 2
    warnings.filterwarnings("ignore", message="The number of unique classes")
    found = list(_forecasts(options))
    if options.json:
        print(json.dumps([asdict(forecast) for forecast in found]))
    else:
        print("\n".join(_report(found)))
    return 0 if all(rate >= TARGET for rate in _rates(found)) else 1


if __name__ == "__main__":
    sys.exit(main())
