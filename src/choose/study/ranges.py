"""The pool sizes and the label noise that a study varies."""

from __future__ import annotations

from choose.errors import StudyError
from choose.study.study import Grid
from choose.types import Scenario

SIZES = (0.0625, 0.125, 0.25, 0.5, 1.0)
NOISE = (0.0, 0.1, 0.2)


def noises(grid: Grid, cheap: bool) -> list[Scenario]:
    """Return the kinds and rates of label noise a candidate meets.

    Unless kinds are named, noise is symmetric; cheap candidates also meet the highest rate with
    every flip between look-alike labels, as people's errors are.
    """
    rates = [rate for rate in (grid.noise if grid.noise is not None else NOISE) if rate]
    kinds = grid.noise_kinds if grid.noise_kinds is not None else ("symmetric",)
    found = [Scenario(kind="noise", noise=kind, rate=rate) for kind in kinds for rate in rates]
    if cheap and grid.noise_kinds is None and rates:
        found.append(Scenario(kind="noise", noise="confused-pair", rate=max(rates)))
    return found


def sizes_in_rows(grid: Grid, largest: int) -> list[int]:
    """Return the pool sizes in rows: integers as given, fractions of the largest pool.

    Raises:
        StudyError: if a size is not between 1 row and the whole pool.
    """
    rows = []
    # A few rows are cut into fewer sizes, none of them empty.
    standard = [size for size in SIZES if size == 1.0 or size * largest >= 2]
    for size in grid.sizes if grid.sizes is not None else standard:
        count = size if isinstance(size, int) and size != 1 else round(size * largest)
        if not 1 <= count <= largest:
            raise StudyError(
                f"Size {size!r} cannot be used: the pool holds {largest} rows. "
                f"Allowed: 2 to {largest}, or a fraction such as 0.5 or 1/8."
            )
        rows.append(count)
    return sorted(set(rows))
