"""Do the bands fitted to a quarter of the data cover the accuracy with all of it?

    python benchmarks/curves.py [--quick] [--json]

Curves of `tfidf` and `probe` are fitted on each real set to sizes up to a quarter of a pool and
foretell the accuracy, on the same test rows, of a fit on the whole pool, four times as many labels.
A team has one quarter: smaller pools are drawn from it (`inside`). The same is done with pools
drawn from the whole (`drawn`). The constants of the fits were tuned on four sets; the target is
asked of the others, and of all. Answers are kept in a cache, so that a second run takes seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import gettempdir

import numpy as np

from choose.judge.measures.curve_fit import Points
from choose.judge.measures.curve_forecast import ensemble
from choose.judge.stats.intervals import Luck, wilson
from curve_answers import CANDIDATES, FRACTIONS, SETS, Fits, fits

TUNED_ON = ("banking77", "fin_phrasebank", "sst2", "trec6")
TARGET = 0.90

# The smaller sizes of a study, as fractions of the quarter; the quarter itself is the last size.
GRIDS = {
    "1/16 1/8 1/4 1/2": (1 / 16, 1 / 8, 1 / 4, 1 / 2),
    "1/8 1/4 1/2 3/4": (1 / 8, 1 / 4, 1 / 2, 3 / 4),
    "1/32 1/16 1/8 1/4 1/2": (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2),
}
DEFAULT = "1/16 1/8 1/4 1/2"


@dataclass(frozen=True, kw_only=True)
class Forecasted:
    """One forecast against what came: accuracies as fractions."""

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
    curves = ensemble(_points(measured, mode, grid), name, Luck(len(measured.full)))
    band = curves.band(np.array([measured.labels], dtype=np.float64))
    return float(band.low[0]), float(band.value[0]), float(band.high[0]), band.apart


def _points(measured: Fits, mode: str, grid: str) -> Points:
    places = [FRACTIONS.index(fraction) for fraction in GRIDS[grid]]
    source = measured.inside if mode == "inside" else measured.drawn
    scores = [source[i].T for i in places]
    scores.append(measured.quarter[:, None] if mode == "inside" else measured.drawn[-1].T)
    return Points(
        sizes=np.array([measured.sizes[i] for i in (*places, -1)], dtype=np.float64),
        scores=tuple(right.astype(np.float64) for right in scores),
        draws=tuple(tuple(range(right.shape[1])) for right in scores),
        drawn=mode == "drawn",
    )


def _rates(found: list[Forecasted]) -> list[float]:
    """Return the coverage that is asked for: the default grid on the other sets, and on all."""
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


if __name__ == "__main__":
    sys.exit(main())
