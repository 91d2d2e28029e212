"""Turn the text of flags into values, or say what is allowed."""

from __future__ import annotations

from fractions import Fraction

from choose.errors import StudyError
from choose.study import durations


def seconds(text: str | None) -> float | None:
    """Read ``90``, ``90s``, ``10m`` or ``2h`` as seconds."""
    return durations.seconds(text, "--budget")


def sizes(text: str | None) -> tuple[float | int, ...] | None:
    """Read ``300``, ``100,300`` or ``1/8,0.5,1``: rows, or shares of the pool."""
    if text is None:
        return None
    return tuple(_size(part.strip()) for part in text.split(","))


def _size(part: str) -> float | int:
    wrong = StudyError(
        f"--sizes {part!r} is no size. Write rows (300) or shares (1/8, 0.5, 1), "
        "separated by commas."
    )
    try:
        share = Fraction(part)
    except (ValueError, ZeroDivisionError) as error:
        raise wrong from error
    if share <= 0 or (share > 1 and share.denominator != 1):
        raise wrong
    return int(share) if share > 1 else float(share)


def rates(text: str | None) -> tuple[float, ...] | None:
    """Read ``0,0.1,0.2`` or ``0%,10%``: shares of labels to flip, 0 to below 1."""
    if text is None:
        return None
    found = []
    for part in (part.strip() for part in text.split(",")):
        try:
            rate = float(part[:-1]) / 100 if part.endswith("%") else float(part)
        except ValueError:
            rate = -1.0
        if not 0 <= rate < 1:
            raise StudyError(
                f"--noise {part!r} is no rate of wrong labels. Write shares from 0 "
                "to below 1, such as 0,0.1,0.2."
            )
        found.append(rate)
    return tuple(found)
