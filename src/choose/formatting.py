"""Figures as a person would say them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol


class Estimate(Protocol):
    """A share with the ends of its interval, where it has one."""

    @property
    def value(self) -> float:
        """The estimate."""

    @property
    def low(self) -> float | None:
        """The lower end."""

    @property
    def high(self) -> float | None:
        """The upper end."""


class Bounded(Protocol):
    """A difference of shares with the ends of its interval."""

    @property
    def value(self) -> float:
        """The estimate."""

    @property
    def low(self) -> float:
        """The lower end."""

    @property
    def high(self) -> float:
        """The upper end."""


# What "right" means where it is not that each row counts the same, by the study's metric.
COUNTED = {
    "balanced": "Every label counts the same, however many rows it has.",
    "cost": "An error counts by what it costs: 100 right is none, 0 the dearest on every row.",
}


# Names of files and folders that say nothing about the model.
_GENERIC = {"model", "models", "weights", "snapshots", "main"}


_SUFFIX = re.compile(r"([.-](I?Q\d\w*|[bB]?[fF]16|[fF]32))?(\.gguf|\.safetensors)$")


def number(value: float, digits: int = 1) -> str:
    """Return a number without needless zeros: 6.1, 3, 0.4; never -0."""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def points(share: float) -> str:
    """Return a share as points with its unit: ``6.1 points``, ``1 point``."""
    text = number(100 * share)
    return f"{text} point" if text in ("1", "-1") else f"{text} points"


def per_cent(part: float) -> str:
    """Return a share out of 100 as a bare figure: ``2.5``."""
    return number(100 * part)


def of_100(share: float) -> str:
    """Return ``82 of 100``; with a decimal where rounding would claim all or none."""
    whole = f"{100 * share:.0f}"
    if (whole == "100" and share < 1) or (whole == "0" and share > 0):
        whole = number(100 * share, 1 if 0.0005 <= share < 0.9995 else 2)
    return f"{whole} of 100"


def right(accuracy: Estimate) -> str:
    """Return ``82 of 100 right, give or take 3``."""
    if accuracy.low is None or accuracy.high is None:
        return f"{of_100(accuracy.value)} right"
    give = max(accuracy.high - accuracy.value, accuracy.value - accuracy.low)
    spread = f"{100 * give:.0f}" if give >= 0.01 else number(100 * give)
    return f"{of_100(accuracy.value)} right, give or take {spread}"


def interval(found: Bounded) -> str:
    """Return ``95 % interval 3.2 to 9``, in points."""
    return _ends(found.low, found.high)


def gain(a: str, b: str, found: Bounded) -> str:
    """Return ``lora gets 6.1 points more than probe (95 % interval 3.2 to 9)``.

    The interval is of the amount as the sentence states it, so it may reach below 0.
    """
    if round(100 * found.value, 1) == 0:
        return f"{a} and {b} get the same share right ({interval(found)} points apart)"
    if found.value > 0:
        return f"{a} gets {points(found.value)} more than {b} ({interval(found)})"
    return f"{a} gets {points(-found.value)} less than {b} ({_ends(-found.high, -found.low)})"


def _ends(low: float, high: float) -> str:
    return f"95 % interval {number(100 * low)} to {number(100 * high)}"


def listed(names: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def plural(count: int, noun: str) -> str:
    """Return ``1 row`` or ``1,200 rows``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def rounded(count: float) -> int:
    """Round a number of rows to two significant digits, upwards."""
    step = 10 ** max(len(str(int(max(count, 1)))) - 2, 0)
    return int(-(-count // step) * step)


def seconds(value: float) -> str:
    """Return a duration a person would say."""
    if value < 10:
        return f"{number(value)} s" if value >= 0.1 else "under 0.1 s"
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{number(value / 3600)} h"


def milliseconds(value: float) -> str:
    """Return what one answer takes."""
    return (
        f"{number(value) if value < 10 else f'{value:,.0f}'} ms"
        if value >= 0.1
        else ("under 0.1 ms")
    )


def short(model: str) -> str:
    """Return a model's name without its path, file type and quantisation, for a headline."""
    parts = [part for part in model.split("/") if part and part not in _GENERIC]
    name = parts[-1] if parts else model
    return _SUFFIX.sub("", name).removeprefix("endpoint:") or model


def dollars(value: float) -> str:
    """Return an amount of money: ``$4,100``, ``$12.50``, ``$0.0042``; a debt as ``-$3``."""
    size = abs(value)
    if size >= 100 or size == 0:
        text = f"{size:,.0f}"
    else:
        text = f"{size:.2f}" if size >= 0.1 else f"{size:.2g}"
    return f"{'-' if value < 0 and text.strip('0.') else ''}${text}"


def months(value: float) -> str:
    """Return a time in months: ``12 months``, ``5.9 months``."""
    text = number(value)
    return f"{text} month{'' if text == '1' else 's'}"


def rough(count: float) -> str:
    """Return a large number to two digits: ``48,000``."""
    if count < 10:
        return number(count)
    step = 10 ** (len(str(int(count))) - 2)
    return f"{round(count / step) * step:,}"
