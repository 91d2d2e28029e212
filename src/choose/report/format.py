"""Figures and names as a reader meets them; what was not measured is a dash, never a zero."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from choose.formatting import COUNTED, plural
from choose.schema.base import Interval
from choose.schema.decision import DatasetRecord, Decision, Kind, Note

WARNING = (
    "Candidates were asked different numbers of rows, and some rows are harder: compare "
    "them by their differences below, which are taken on common rows."
)


def uneven(decision: Decision) -> bool:
    """Return whether candidates that were measured were asked different numbers of rows."""
    return len({card.rows for card in decision.scorecards if card.accuracy}) > 1


# Joiners are invisible, but words of several scripts and emoji need them.
_KEPT = {"\u200c", "\u200d"}


def clean(text: object) -> str:
    """Return text as one line without anything that a terminal could obey or hide.

    White space of any kind becomes a space; control and formatting characters (C0, C1, bidi
    overrides, tags) go; a lone surrogate, which could not be printed, becomes U+FFFD.
    """
    return "".join(map(_harmless, str(text))).strip()


def literal(text: object, style: str | Style = "") -> Text:
    """Return cleaned text as rich text, in which markup is shown and not followed."""
    return Text(clean(text), style=style)


def shorten(text: str, width: int) -> str:
    """Cut the middle out of a text that needs more than `width` columns of the screen."""
    if cell_len(text) <= width:
        return text
    head = _fitting(text, (width - 1) // 2)
    tail = _fitting(text[::-1], width - 1 - cell_len(head))[::-1]
    return f"{head}…{tail}"


def _fitting(text: str, width: int) -> str:
    for end in range(min(len(text), width), 0, -1):
        if cell_len(text[:end]) <= width:
            return text[:end]
    return ""


def _harmless(char: str) -> str:
    if char.isascii() and char.isprintable():
        return char
    category = unicodedata.category(char)
    if char.isspace() or category in ("Zl", "Zp", "Zs"):
        return " "
    if category == "Cs":
        return "\ufffd"
    if category == "Cc" or (category == "Cf" and char not in _KEPT):
        return ""
    return char


DASH = "\u2013"


MINUS = "\u2212"


KINDS: dict[Kind, str] = {
    "adopt": "Adopt",
    "baseline-is-enough": "A baseline is enough",
    "none-works": "None of these works yet",
    "collect-labels": "Label more first",
    "fix-labels": "Fix the labels first",
    "too-close": "Too close to call",
}


COLOURS: dict[Kind, str] = {
    "adopt": "green",
    "baseline-is-enough": "green",
    "none-works": "red",
    "collect-labels": "yellow",
    "fix-labels": "yellow",
    "too-close": "yellow",
}


# Names of files and folders in a model spec that say nothing about the model.
_GENERIC = {"model", "models", "weights", "snapshot", "snapshots", "main"}


_QUANTISED = re.compile(r"[.-](?:Q\d\w*|IQ\d\w*|[bB]?[fF]16|[fF]32|int[48])$")


_TUNED = re.compile(r"-(?:Instruct|instruct|chat|Chat|it)$")


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share as a figure out of 100, without a sign: 0.82 is ``82.0``."""
    return DASH if share is None else f"{100 * share:.{digits}f}"


def points(change: float | None) -> str:
    """Write a change of a share in points with its sign: 0.023 is ``+2.3``."""
    if change is None:
        return DASH
    shown = f"{abs(100 * change):.1f}"
    if float(shown) == 0:
        return shown
    return ("+" if change > 0 else MINUS) + shown


def counted_by(goal: Mapping[str, Any]) -> str:
    """Say what "right" means where it is not that each row counts the same; else empty."""
    return COUNTED.get((goal.get("measure") or {}).get("metric", ""), "")


def learnt(data: DatasetRecord) -> str:
    """Say how much of its pool a study learnt from, to be added to a sentence; empty for all."""
    if data.learnt is None or data.pool is None or data.learnt >= data.pool:
        return ""
    return f"; {data.learnt:,} of {data.pool:,} labels of the pool learnt from"


def span(interval: Interval | None) -> str:
    """Write the ends of an interval of shares, out of 100."""
    if interval is None or interval.low is None or interval.high is None:
        return DASH
    return f"{percent(interval.low)}{DASH}{percent(interval.high)}"


def change(interval: Interval | None) -> str:
    """Write a difference in points with its interval."""
    if interval is None:
        return DASH
    if interval.low is None or interval.high is None:
        return points(interval.value)
    return f"{points(interval.value)} ({points(interval.low)} to {points(interval.high)})"


def figure(value: float | None) -> str:
    """Write a positive quantity with about three digits and thousands set apart."""
    if value is None:
        return DASH
    if 0 < value < 1e-4:
        return "<0.0001"
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def chance(p: float | None) -> str:
    """Write a p-value."""
    return DASH if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float) -> str:
    """Write a time as a person would: ``3.2 s``, ``4 m 05 s``, ``1 h 20 m``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} m"


def quantity(facts: Mapping[str, Any], key: str) -> float | None:
    """Return a number among facts of a form that is not ours to know, or None."""
    value = facts.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def moment(when: str) -> str:
    """Write an instant of the record to the minute: ``2026-11-25 09:45 UTC``."""
    try:
        at = datetime.fromisoformat(when)
    except ValueError:
        return when
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at.tzinfo else f"{at:%Y-%m-%d %H:%M}"


def clock(seconds: float) -> str:
    """Write a running time: ``1:05``, ``1:20:00``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def short_models(specs: Iterable[str | None]) -> dict[str | None, str]:
    """Give each model spec the shortest name that no other spec of the study shares."""
    names: dict[str | None, str] = {None: DASH}
    distinct = sorted({spec for spec in specs if spec is not None})
    forms = {spec: _forms(clean(spec)) for spec in distinct}
    for spec in distinct:
        taken = {form for other in distinct if other != spec for form in forms[other]}
        free = [form for form in forms[spec] if form not in taken]
        names[spec] = free[0] if free else clean(spec)
    return names


def _forms(spec: str) -> tuple[str, ...]:
    path = spec.removeprefix("pypi:").removeprefix("endpoint:").rstrip("/")
    parts = [part for part in re.split(r"[/\\]", path) if part.lower() not in _GENERIC and part]
    package = re.split(r"==", parts[0])[0] if parts else path
    # Behind a generic folder stands the package, under its import name.
    inside_package = len(parts) == 2 and parts[1].replace("_", "-") == package
    tail = package if inside_package or not parts else parts[-1].split("==")[0]
    stem = re.sub(r"\.(?:gguf|safetensors|bin)$", "", tail)
    bare = _QUANTISED.sub("", stem)
    return (_TUNED.sub("", bare), bare, stem, path)


def noted(note: Note) -> str:
    """Say a note, and how many fits say it where several do."""
    return note.text if note.fits == 1 else f"{note.text} ({plural(note.fits, 'fit')})"
