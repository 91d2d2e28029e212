"""Gates for builds: the flags that make a run fail, and their evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self, get_args

import typer

from choose.errors import StudyError, did_you_mean
from choose.outside_values import number, share, shown
from choose.types import FAMILIES, Kind

if TYPE_CHECKING:
    from choose.schema.decision import Decision


PANEL = "In a build"


def least_share(flag: str) -> Callable[[str], float]:
    """Return what reads ``0.85`` or ``85%`` as the least score or chance that a flag asks for."""

    def read(text: str) -> float:
        try:
            return number(share(text), flag, 0, 1)
        except ValueError as error:
            raise StudyError(f"{flag} {shown(text)} cannot be used: {error}.") from error

    return read


def _gate(kind: Any, metavar: str, text: str, **more: Any) -> Any:
    option = typer.Option(metavar=metavar, help=text, rich_help_panel=PANEL, **more)
    return Annotated[kind | None, option]


GATE_FLAGS = {
    "expect": _gate(
        list[str],
        "WORD",
        "Exit with 3 unless the result is this verdict, family or candidate; commas separate "
        "alternatives. Repeatable.",
    ),
    "fail_under": _gate(
        float,
        "SHARE",
        "Exit with 3 if the named candidate is not usable or scores less, such as 0.85 or 85% (of "
        "--metric).",
        parser=least_share("--fail-under"),
    ),
    "min_chance": _gate(
        float,
        "SHARE",
        "Exit with 3 if the chance of the named family is less, such as 0.9.",
        parser=least_share("--min-chance"),
    ),
}


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation: the expected and the actual value, and whether it is met."""

    expected: str
    found: str
    met: bool


@dataclass(frozen=True, slots=True)
class Gates:
    """Expected results of a build."""

    expect: tuple[str, ...] = ()
    fail_under: float | None = None
    min_chance: float | None = None

    @classmethod
    def of(cls, flags: Mapping[str, Any]) -> Self:
        return cls(tuple(flags["expect"] or ()), flags["fail_under"], flags["min_chance"])

    def check(self, candidates: Sequence[str]) -> None:
        """Refuse words that no decision on these candidates could meet, before anything runs."""
        known = [*get_args(Kind), *FAMILIES, *candidates]
        for word in (word for text in self.expect for word in _words(text)):
            if word not in known:
                raise StudyError(
                    f"--expect {word!r} can never be met: it is no verdict, no family and no "
                    f"candidate of this study.{did_you_mean(word, known)} Verdicts: "
                    f"{', '.join(get_args(Kind))}. Families: {', '.join(FAMILIES)}. Candidates: "
                    f"{', '.join(candidates)}."
                )

    def enforce(self, decision: Decision) -> None:
        """Exit with 3 after naming each expectation that is not met."""
        from choose.cli.console import say_error

        checks = [expect(decision, expected) for expected in self.expect]
        if self.fail_under is not None:
            checks.append(not_under(decision, self.fail_under))
        if self.min_chance is not None:
            checks.append(sure_enough(decision, self.min_chance))
        unmet = [check for check in checks if not check.met]
        for check in unmet:
            say_error(f"Expected {check.expected}, found {check.found}.")
        if unmet:
            raise typer.Exit(3)


def expect(decision: Decision, wanted: str) -> Expectation:
    """Hold the decision against a verdict, a family or a candidate; commas part alternatives.

    A family or a candidate is met by a recommendation of it, not by being used meanwhile.
    """
    verdict, words = decision.verdict, _words(wanted)
    found = f"{verdict.kind} (use {verdict.use_meanwhile} meanwhile)"
    if verdict.recommended is not None:
        found = f"{verdict.kind}: {verdict.recommended} ({verdict.family})"
    met = bool({verdict.kind, verdict.family, verdict.recommended} & {*words})
    return Expectation(expected=" or ".join(words), found=found, met=met)


def not_under(decision: Decision, least: float) -> Expectation:
    """Hold the estimate of the candidate to use against a smallest score by the study's metric."""
    from choose.tasks.metrics import DEFAULT, metric_of

    score = decision.card.accuracy.value if decision.card and decision.card.accuracy else None
    name = metric_of(decision.goal.get("metric", DEFAULT)).name
    found = f"{'none' if score is None else f'{score:.4g}'} ({decision.named})"
    return Expectation(
        expected=f"{name} of at least {least:g}",
        found=found if decision.verdict.usable else f"{found}, which is not usable",
        met=decision.verdict.usable and score is not None and score >= least,
    )


def sure_enough(decision: Decision, least: float) -> Expectation:
    """Hold the chance that the named family is the one to use against a smallest one."""
    chance = decision.chance
    return Expectation(
        expected=f"a chance of at least {least:g}",
        found="no family to use" if chance is None else f"a chance of {chance:.2g}",
        met=chance is not None and chance >= least,
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()] or [text]
