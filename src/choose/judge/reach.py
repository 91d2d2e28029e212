"""What a number of rows can show before anything is known of the candidates."""

from __future__ import annotations

from collections.abc import Sequence

from choose.judge.crossed import independent_rows
from choose.judge.frozen import Record
from choose.judge.intervals import rows_needed, smallest_detectable_gain

# Shares of rows that exactly one of two candidates gets right: alike, usual, very unlike ones.
DISCORDANCES = (0.1, 0.2, 0.3)
USUAL = 0.2
GAINS = (0.01, 0.02, 0.03, 0.05, 0.10)
POWER = 0.8

ASSUMPTION = (
    "two candidates that differ on 20 of 100 rows (10 if they are much alike, 30 if very unlike), "
    "a paired test at 5 %, found four times in five; retraining luck comes on top"
)


class RowsFor(Record):
    """Test rows at which a gain is found, for alike, usual and very unlike candidates."""

    gain: float
    rows: tuple[int, int, int]


class Reach(Record):
    """What the asked rows can show.

    `independent` is what the rows are worth once clusters of rows that belong together are taken
    to be right or wrong as one (Kish's effective number). `smallest` are the gains found at each
    of `discordances`, null where none can be.
    """

    rows: int
    independent: float
    discordances: tuple[float, ...] = DISCORDANCES
    smallest: tuple[float | None, ...]
    needed: tuple[RowsFor, ...]
    margin: float
    margin_rows: int
    assumption: str = ASSUMPTION

    @property
    def usual(self) -> float | None:
        """Return the smallest gain at the usual discordance."""
        return self.smallest[self.discordances.index(USUAL)]


def reach_of(clusters: Sequence[str], margin: float) -> Reach:
    """Return what rows with these clusters can show; a row that stands alone is its own cluster."""
    worth = independent_rows(clusters)
    return Reach(
        rows=len(clusters),
        independent=worth,
        smallest=tuple(smallest_detectable_gain(worth, d, POWER) for d in DISCORDANCES),
        needed=tuple(RowsFor(gain=gain, rows=_rows(gain)) for gain in GAINS),
        margin=margin,
        margin_rows=rows_needed(margin, USUAL, POWER),
    )


def _rows(gain: float) -> tuple[int, int, int]:
    alike, usual, unlike = (rows_needed(gain, d, POWER) for d in DISCORDANCES)
    return alike, usual, unlike
