"""The figures as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from growing.series import Memory, Series


def lines(found: Sequence[Series], memory: Sequence[Memory]) -> Iterator[str]:
    """Yield the costs along each axis with the exponent of their growth, then the memory."""
    yield f"{'candidate':18}{'axis':10}{'power':>6}  processor seconds at each point"
    for series in found:
        costs = ", ".join(
            f"{c:.2f} at {x:,}" for x, c in zip(series.at, series.seconds, strict=True)
        )
        yield f"{series.candidate:18}{series.axis:10}{series.power:6.2f}  {costs}"
    if memory:
        yield ""
    for each in memory:
        yield (
            f"{each.what}: {each.rows:,} rows, {each.peak_mb:,.0f} MB at most, "
            f"{each.processor:.0f} processor seconds"
        )
