"""Turn the text of flags into values, or say what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from choose.errors import StudyError
from choose.study import durations

if TYPE_CHECKING:
    from choose.judge.before_data import Wishes


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


def endpoint(
    model: str | None, base_url: str | None, api_key_env: str | None, prices: str | None
) -> tuple[str | None, dict[str, dict[str, Any]]]:
    """Turn the flags of one endpoint into a model spec and a section of the study."""
    if base_url is None:
        for flag, value in (("--api-key-env", api_key_env), ("--usd-per-million", prices)):
            if value is not None:
                raise StudyError(f"{flag} belongs to an endpoint: give --base-url with it.")
        return model, {}
    if not model or model.startswith("endpoint:"):
        raise StudyError("--base-url needs --model with the model's name as the server calls it.")
    section = {"base_url": base_url, "model": model, "api_key_env": api_key_env, **_prices(prices)}
    given = {key: value for key, value in section.items() if value is not None}
    return f"endpoint:{model}", {model: given}


def _prices(text: str | None) -> dict[str, float]:
    """Read ``IN,OUT`` or ``IN,CACHED,OUT``, dollars for a million tokens."""
    if text is None:
        return {}
    try:
        figures = [float(part) for part in text.split(",")]
    except ValueError:
        figures = []
    if len(figures) not in (2, 3) or not all(0 <= figure < float("inf") for figure in figures):
        raise StudyError(
            f"--usd-per-million {text!r} is no price. Write dollars for a million tokens, "
            "IN,OUT or IN,CACHED,OUT, such as 0.15,0.6."
        )
    names = ("in", "cached", "out") if len(figures) == 3 else ("in", "out")
    return {f"usd_per_million_{name}": figure for name, figure in zip(names, figures, strict=True)}


def only_without_data(asked: Mapping[str, float | int | None]) -> None:
    """Refuse flags that only a plan without data understands."""
    for name, value in asked.items():
        if value is not None:
            raise StudyError(
                f"--{name.replace('_', '-')} is for plans without data. Add --no-data, or leave "
                "it out; with data, costs stand in the study file."
            )


def wishes(asked: Mapping[str, float | int | None], data: str | None) -> Wishes:
    """Check what a founder says before there is data; the gain is in points."""
    from choose.judge.before_data import Wishes

    if data is not None:
        raise StudyError(f"--no-data plans without data, and {data!r} was given. Leave one out.")
    classes, gain = asked["classes"], asked["gain"] if asked["gain"] is not None else 2.0
    if classes is None or not 2 <= classes <= 10_000:
        raise StudyError("--classes must say how many labels there will be: 2 or more.")
    if not 0.5 <= gain <= 30:
        raise StudyError(f"--gain {gain:g} is in points, from 0.5 to 30. Write 3 for 3 points.")
    target = asked["target"]
    if target is not None and not 0 < target < 1:
        raise StudyError(f"--target {target:g} is a share. Write 0.9 for 90 of 100 right.")
    for name in ("minutes_per_label", "hourly_rate", "usd"):
        value = asked[name]
        if value is not None and not 0 < value < 1e9:
            raise StudyError(f"--{name.replace('_', '-')} {value:g} must be above 0.")
    if asked["usd"] is not None and asked["hourly_rate"] is None:
        raise StudyError("--usd buys hours, so it needs --hourly-rate (and --minutes-per-label).")
    return Wishes.model_validate({**asked, "classes": classes, "gain": gain / 100})
