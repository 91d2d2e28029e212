"""Gates for builds: the flags that make a run fail, and their evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from choose.errors import StudyError, did_you_mean
from choose.report.words import is_share, noun_of
from choose.schema.base import Expectation
from choose.schema.scorecard import NAMES
from choose.types import FAMILIES, Kind
from choose.untrusted import number, share, shown

if TYPE_CHECKING:
    from choose.schema.decision import Decision

PANEL = "In a build"

Expect = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WORD",
        help="Exit with 3 unless the result is this verdict, family or candidate; commas "
        "separate alternatives. Repeatable.",
        rich_help_panel=PANEL,
    ),
]


def least_share(text: str) -> float:
    """Read ``0.85`` or ``85%`` as the least score."""
    try:
        return number(share(text), "--fail-under", 0, 1)
    except (ValueError, StudyError) as error:
        why = "it must be a share such as 0.85, or 85%" if isinstance(error, StudyError) else error
        raise StudyError(
            f"--fail-under {shown(text)} cannot be used: {why}. It is held against the study's "
            "metric: accuracy; of records field F1, of texts chrF; or that of --metric."
        ) from error


FailUnder = Annotated[
    float | None,
    typer.Option(
        parser=least_share,
        metavar="SHARE",
        help="Exit with 3 if the named candidate scores less, such as 0.85 or 85% (of --metric).",
        rich_help_panel=PANEL,
    ),
]

MinChance = Annotated[
    float | None,
    typer.Option(
        "--min-chance",
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="Exit with 3 if the chance of the named family is less, such as 0.9.",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True, slots=True)
class Gates:
    """Expected results of a build."""

    expect: tuple[str, ...] = ()
    fail_under: float | None = None
    min_chance: float | None = None

    def check(self, candidates: Sequence[str]) -> None:
        """Refuse expectations that can never be met, before anything runs."""
        if self.expect:
            check_words(self.expect, candidates)

    def evaluate(self, decision: Decision) -> tuple[Expectation, ...]:
        checks = [expect(decision, expected) for expected in self.expect]
        if self.fail_under is not None:
            checks.append(not_under(decision, self.fail_under))
        if self.min_chance is not None:
            checks.append(sure_enough(decision, self.min_chance))
        return tuple(checks)

    def enforce(self, checks: Sequence[Expectation]) -> None:
        """Exit with 3 after naming each expectation that is not met."""
        from choose.cli.console import say_error

        unmet = [check for check in checks if not check.met]
        for check in unmet:
            say_error(check.sentence)
        if unmet:
            raise typer.Exit(3)


def check_words(wanted: Iterable[str], candidates: Sequence[str]) -> None:
    """Refuse an expectation that no decision on these candidates could meet."""
    known = [*get_args(Kind), *FAMILIES, *candidates]
    for word in (word for text in wanted for word in _words(text)):
        if word not in known:
            raise StudyError(
                f"--expect {word!r} can never be met: it is no verdict, no family and no candidate "
                f"of this study.{did_you_mean(word, known)} Verdicts: {', '.join(get_args(Kind))}. "
                f"Families: {', '.join(FAMILIES)}. Candidates: {', '.join(candidates)}."
            )


def expect(decision: Decision, wanted: str) -> Expectation:
    """Hold the decision against a verdict, a family or a candidate; commas part alternatives.

    A family or a candidate is met by a recommendation of it, not by being used meanwhile.
    """
    verdict = decision.verdict
    actual = {verdict.kind, verdict.family, verdict.recommended}
    words = _words(wanted)
    return Expectation(
        name=f"expect {', '.join(words)}",
        expected=" or ".join(words),
        found=_found(decision),
        met=any(word in actual for word in words),
    )


def not_under(decision: Decision, least: float) -> Expectation:
    """Hold the measured score of the candidate to use against a smallest one.

    It is the estimate that counts, of the recommended candidate or the one to use meanwhile, by the
    study's metric.
    """
    pick = decision.pick
    card = next((c for c in decision.scorecards if c.candidate == pick), None)
    accuracy = card.accuracy.value if card is not None and card.accuracy is not None else None
    metric = (decision.goal.get("measure") or {}).get("metric", "accuracy")
    return Expectation(
        name=f"fail under {least:g}",
        expected=_least(least, metric),
        found=f"{_measured(accuracy, metric)} ({pick})",
        met=accuracy is not None and accuracy >= least,
    )


def sure_enough(decision: Decision, least: float) -> Expectation:
    """Hold the chance that the named family is the one to use against a smallest one."""
    chance = decision.chance
    return Expectation(
        name=f"min chance {least:g}",
        expected=f"a chance of at least {least:g}",
        found="no family to use" if chance is None else f"a chance of {chance:.2g}",
        met=chance is not None and chance >= least,
    )


def _least(least: float, metric: str) -> str:
    noun = noun_of(metric)
    if metric == "accuracy":
        return f"an accuracy of at least {least:g}"
    return (
        f"at least {100 * least:.4g} % {noun}"
        if is_share(noun)
        else f"{noun} of at least {least:g}"
    )


def _measured(score: float | None, metric: str) -> str:
    noun = noun_of(metric)
    if score is None:
        return "no accuracy" if metric == "accuracy" else f"no {NAMES.get(metric, metric)}"
    if metric == "accuracy":
        return f"an accuracy of {score:.4g}"
    return f"{100 * score:.4g} % {noun}" if is_share(noun) else f"{noun} {score:.4g}"


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()] or [text]


def _found(decision: Decision) -> str:
    verdict = decision.verdict
    if verdict.recommended is None:
        return f"{verdict.kind} (use {verdict.use_meanwhile} meanwhile)"
    return f"{verdict.kind}: {verdict.recommended} ({verdict.family})"
