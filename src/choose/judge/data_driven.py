"""What the taxonomy of errors means for the decision: a gate and sentences with its figures."""

from __future__ import annotations

from collections.abc import Iterator

from choose.judge.frozen import Interval
from choose.judge.record import Gate
from choose.judge.record_failures import Failures
from choose.judge.words import number, of_100, plural, points

NAME = "failures data-driven"


def data_driven(failures: Failures | None, margin: float, by_rows: bool = True) -> Gate:
    """Judge the gain that data can reach: PASS or FAIL with its whole interval, else UNKNOWN.

    Errors are sorted and counted row by row, which says nothing of a gain that counts otherwise.
    """
    if failures is None:
        return _unknown("No candidate answered labelled rows out of fold, so no error was sorted.")
    if not by_rows:
        return _unknown(
            "Errors are counted row by row, and the goal of this study counts otherwise."
        )
    reachable = failures.reachable
    if reachable is None or reachable.low is None or reachable.high is None:
        return _unknown(
            f"{failures.candidate} errs on {failures.errors:,} of {plural(failures.rows, 'row')}, "
            "but nothing that learns from the labels was asked the same rows."
        )
    evidence = (
        f"Data fixes {of_100(_share(failures))} errors of {failures.candidate}, a gain of up to "
        f"{points(reachable.value)} ({_ends(reachable)}); a gain of {points(margin)} matters."
    )
    if reachable.low >= margin:
        return Gate(name=NAME, status="pass", evidence=evidence)
    return Gate(
        name=NAME, status="fail" if reachable.high < margin else "unknown", evidence=evidence
    )


def _unknown(why: str) -> Gate:
    return Gate(name=NAME, status="unknown", evidence=why)


def failure_reasons(failures: Failures | None, by_rows: bool = True) -> Iterator[str]:
    """Say what data can fix, and what fine-tuning then did."""
    if failures is None or failures.reachable is None or not failures.errors:
        return
    assert failures.fixable is not None
    yield (
        f"Of the {plural(failures.errors, 'error')} of {failures.candidate} on "
        f"{plural(failures.rows, 'row')}, {failures.supervised} gets {failures.fixes:,} right and "
        f"breaks {failures.breaks:,} others{_chance(failures)}: data can fix "
        f"{of_100(failures.fixable.value)} errors ({_ends(failures.fixable)})."
    )
    if (forecast := failures.forecast) is not None and by_rows:
        yield (
            f"Seen from those errors alone, fine-tuning could gain up to "
            f"{points(failures.reachable.value)} over {failures.candidate} "
            f"({_ends(failures.reachable)}); {forecast.candidate} gained "
            f"{points(forecast.measured.value)} ({_ends(forecast.measured)})."
        )


def _chance(failures: Failures) -> str:
    if not failures.chance or failures.chance < 0.5:
        return ""
    return f" ({number(failures.chance)} fixes would be expected by chance)"


def failure_steps(failures: Failures | None, margin: float) -> Iterator[str]:
    """Say what to do about kinds of errors that make up the margin or more."""
    if failures is None or not failures.errors:
        return
    name, of = failures.candidate, f"of {plural(failures.errors, 'error')}"
    matter = {
        kind.name: kind.count
        for kind in failures.classes
        if kind.count and kind.count >= margin * failures.rows
    }
    if count := matter.get("format"):
        yield f"Constrain what {name} may answer: {count:,} {of} are unusable answers."
    if count := matter.get("suspect label"):
        yield (
            f"Check the labels of the {plural(count, 'row')} that candidates doubt together "
            f"({count:,} {of} of {name}; decision.json lists them)."
        )
    if (count := matter.get("ambiguous")) and failures.contested:
        first, second = failures.contested
        yield (
            f"Settle in the guideline where {first} ends and {second} begins: {count:,} {of} of "
            f"{name} are ambiguous, and no two labels meet more often among them."
        )
    if count := matter.get("not covered"):
        yield (
            f"Label more rows like those that {name} finds no example for: {count:,} {of} have "
            "nothing of the right label near them."
        )


def _share(failures: Failures) -> float:
    assert failures.fixable is not None
    return failures.fixable.value


def _ends(found: Interval) -> str:
    if found.low is None or found.high is None:
        return "no interval"
    return f"95 % interval {number(100 * found.low)} to {number(100 * found.high)}"
