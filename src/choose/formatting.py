"""Write figures, times, money, model names and text from outside for a person; normalise text.

What was not measured is a dash, never a zero.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Protocol

DASH = "\u2013"
MINUS = "\u2212"

# Joiners are invisible, but words of several scripts and emoji need them.
_JOINERS = {"\u200c", "\u200d"}

# Names of files and folders in a model spec that say nothing about the model.
_GENERIC = {"model", "models", "weights", "snapshot", "snapshots", "main"}
_WEIGHTS_FILE = re.compile(r"\.(?:gguf|safetensors|bin)$")
_QUANTISED = re.compile(r"[.-](?:Q\d\w*|IQ\d\w*|[bB]?[fF]16|[fF]32|int[48])$")
_TUNED = re.compile(r"-(?:Instruct|instruct|chat|Chat|it)$")


class Bounded(Protocol):
    """What has a value and perhaps bounds: `stats.Estimate`, which lies above."""

    @property
    def value(self) -> float: ...

    @property
    def low(self) -> float | None: ...

    @property
    def high(self) -> float | None: ...


# Figures in sentences: no needless zeros, a unit.


def number(value: float, digits: int = 1) -> str:
    """Return a number without needless zeros and with a real minus sign; never minus zero."""
    text = f"{abs(value):.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{MINUS}{text}" if value < 0 and text != "0" else text


def points(share: float) -> str:
    """Return a margin or another setting as points with its unit: ``2 points``, ``0.5 points``."""
    text = number(100 * share)
    return f"{text} point" if text in ("1", f"{MINUS}1") else f"{text} points"


def measured(share: float) -> str:
    """Return the size of a measured difference, with a decimal as its bounds: ``6.0 points``."""
    return f"{signed_points(share).removeprefix('+')} points"


def per_100(part: float) -> str:
    """Return a share out of 100 as a bare figure: ``2.5``."""
    return number(100 * part)


def in_percent(share: float) -> str:
    """Return ``82 %``; with a decimal where rounding would claim all or none."""
    whole = f"{100 * share:.0f}"
    if (whole == "100" and share < 1) or (whole == "0" and share > 0):
        whole = number(100 * share, 1 if 0.0005 <= share < 0.9995 else 2)
    return f"{whole} %"


def percent_interval(estimate: Bounded) -> str:
    """Return ``82 % (79 to 86)``, or ``82 %`` where there is no interval."""
    if estimate.low is None or estimate.high is None:
        return in_percent(estimate.value)
    bounds = (in_percent(end).removesuffix(" %") for end in (estimate.low, estimate.high))
    return f"{in_percent(estimate.value)} ({' to '.join(bounds)})"


def chance(probability: float) -> str:
    """Return a probability: ``82 %``; resamples say no more than ``over 99 %``, ``under 1 %``."""
    if not 0.01 <= probability <= 0.99:
        return "under 1 %" if probability < 0.5 else "over 99 %"
    return f"{100 * probability:.0f} %"


def interval(estimate: Bounded) -> str:
    """Return the bounds of a difference in points with their signs: ``+3.2 to +9.0``."""
    if estimate.low is None or estimate.high is None:
        return "no interval"
    return f"{signed_points(estimate.low)} to {signed_points(estimate.high)}"


def in_points(estimate: Bounded) -> str:
    """Return a difference with its bounds: ``+6.1 points (+3.2 to +9.0)``."""
    return f"{signed_points(estimate.value)} points ({interval(estimate)})"


def size_in_points(estimate: Bounded) -> str:
    """Return a gain in words without its sign: ``6.0 points (+3.2 to +9.0)``."""
    return f"{measured(estimate.value)} ({interval(estimate)})"


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


def rough(count: float) -> str:
    """Return a large number to two digits: ``48,000``."""
    if count < 10:
        return number(count)
    step = 10 ** (len(str(int(count))) - 2)
    return f"{round(count / step) * step:,}"


def dollars(value: float | None) -> str:
    """Return an amount of money: ``$4,100``, ``$12.50``, ``$0.0042``; a debt with a minus sign."""
    if value is None:
        return DASH
    size = abs(value)
    if 0 < size < 1e-4:
        return "under $0.0001"
    if size >= 100 or size == 0:
        text = f"{size:,.0f}"
    else:
        text = f"{size:.2f}" if size >= 0.1 else f"{size:.2g}"
    return f"{MINUS if value < 0 and text.strip('0.') else ''}${text}"


# Times.


def duration(seconds: float) -> str:
    """Return a duration: ``3.2 s``, ``65 s``, ``4.8 min``, ``12 min``, ``2.5 h``."""
    if seconds < 10:
        return f"{number(seconds)} s" if seconds >= 0.1 else "under 0.1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{number(seconds / 60, 1 if seconds < 600 else 0)} min"
    return f"{number(seconds / 3600)} h"


def milliseconds(value: float) -> str:
    """Return a duration given in milliseconds: ``6.1 ms``, ``1,200 ms``."""
    if value < 0.1:
        return "under 0.1 ms"
    return f"{number(value) if value < 10 else f'{value:,.0f}'} ms"


def months(value: float) -> str:
    """Return a time given in months: ``3 weeks``, ``5.9 months``, ``14 years``."""
    size, unit = (value, "month") if 2 <= value < 24 else (value * 52.18 / 12, "week")
    if value >= 24:
        size, unit = value / 12, "year"
    text = number(size, 0 if unit == "week" else 1)
    return f"under a {unit}" if text == "0" else f"{text} {unit}{'' if text == '1' else 's'}"


def clock(seconds: float) -> str:
    """Return the time that a run has taken so far: ``1:05``, ``1:20:00``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


# Cells of tables: fixed decimals, a dash where nothing was measured.


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share out of 100 with fixed decimals: 0.82 is ``82.0``."""
    return DASH if share is None else f"{100 * share:.{digits}f}"


def signed_points(change: float | None) -> str:
    """Return a difference of shares in points with its sign: 0.023 is ``+2.3``."""
    if change is None:
        return DASH
    size = f"{abs(100 * change):.1f}"
    if float(size) == 0:
        return size
    return ("+" if change > 0 else MINUS) + size


def span(estimate: Bounded | None) -> str:
    """Return the bounds of a share out of 100: ``83.0 to 90.1``."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return DASH
    return f"{percent(estimate.low)} to {percent(estimate.high)}"


def difference(estimate: Bounded | None) -> str:
    """Return a difference in points with its interval: ``+4.1 (+2.1 to +6.1)``."""
    if estimate is None:
        return DASH
    value, bounded = signed_points(estimate.value), None not in (estimate.low, estimate.high)
    return f"{value} ({interval(estimate)})" if bounded else value


def plus_minus(estimate: Bounded) -> str:
    """Return a difference with the wider half of its interval: ``+4.1 ±2.0``.

    Where that would reach beyond 100 points, its bounds are returned.
    """
    if estimate.low is None or estimate.high is None:
        return signed_points(estimate.value)
    half = max(estimate.high - estimate.value, estimate.value - estimate.low)
    if abs(estimate.value) + half > 1:
        return interval(estimate)
    return f"{signed_points(estimate.value)} ±{100 * half:.1f}"


def figure(value: float | None) -> str:
    """Return a positive quantity with about three digits and thousands set apart."""
    if value is None:
        return DASH
    if 0 < value < 1e-4:
        return "<0.0001"
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def p_value(p: float | None) -> str:
    """Return a p-value: ``0.040``, ``<0.001``."""
    return DASH if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


# Names of models.


def short_model(spec: str) -> str:
    """Return a model's name without its path, package, file type and quantisation."""
    return _model_forms(clean(spec))[1]


def short_models(specs: Iterable[str | None]) -> dict[str | None, str]:
    """Give each model spec the shortest name that no other spec of the study shares."""
    names: dict[str | None, str] = {None: DASH}
    distinct = sorted({spec for spec in specs if spec is not None})
    forms = {spec: _model_forms(clean(spec)) for spec in distinct}
    for spec in distinct:
        taken = {form for other in distinct if other != spec for form in forms[other]}
        names[spec] = next((form for form in forms[spec] if form not in taken), clean(spec))
    return names


def _model_forms(spec: str) -> tuple[str, str, str, str]:
    """Return names of a model from the shortest to the whole path."""
    path = spec.removeprefix("pypi:").removeprefix("endpoint:").rstrip("/")
    parts = [part for part in re.split(r"[/\\]", path) if part.lower() not in _GENERIC and part]
    package = parts[0].split("==")[0] if parts else path
    # After a generic folder comes the package, under its import name.
    inside_package = len(parts) == 2 and parts[1].replace("_", "-") == package
    tail = package if inside_package or not parts else parts[-1].split("==")[0]
    # An API that serves models of others, as in together:ORG/NAME, is part of every name.
    served = spec.startswith("endpoint:") and len(parts) > 1 and ":" in parts[0]
    stem = (f"{parts[0].partition(':')[0]}:" if served else "") + _WEIGHTS_FILE.sub("", tail)
    bare = _QUANTISED.sub("", stem)
    return (_TUNED.sub("", bare), bare, stem, path)


# Text from outside.


def clean(text: object) -> str:
    """Return text as one line without anything that a terminal could obey or hide.

    White space of any kind becomes a space; control and formatting characters (C0, C1, bidi
    overrides, tags) go; a lone surrogate, which could not be printed, becomes U+FFFD.
    """
    return "".join(map(_harmless, str(text))).strip()


def harmless_json(text: str) -> str:
    """Return JSON with everything that a terminal could obey or hide as escapes; same content."""
    return re.sub(
        r"[^ -~\n]", lambda m: m[0] if m[0].isprintable() else json.dumps(m[0])[1:-1], text
    )


def _harmless(char: str) -> str:
    if char.isascii() and char.isprintable():
        return char
    category = unicodedata.category(char)
    if char.isspace() or category in ("Zl", "Zp", "Zs"):
        return " "
    if category == "Cs":
        return "\ufffd"
    if category == "Cc" or (category == "Cf" and char not in _JOINERS):
        return ""
    if category == "Cn" and "\U000e0000" <= char <= "\U000e0fff":  # invisible by default
        return ""
    return char


def normalised(text: str, punctuation: bool = False) -> str:
    """Return a text in lower case with single spaces, by default without punctuation.

    A text of punctuation alone keeps it.
    """
    if punctuation:
        return " ".join(text.casefold().split())
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", folded)) or " ".join(folded.split())
