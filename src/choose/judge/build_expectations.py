"""Compare a decision with the expectations of a build (`--expect`, `--fail-under`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from choose.errors import StudyError, did_you_mean
from choose.schema.decision import Decision, Expectation, Kind
from choose.types import FAMILIES


def check_words(wanted: Iterable[str], candidates: Sequence[str]) -> None:
    """Refuse an expectation that no decision on these candidates could meet.

    Raises:
        StudyError: naming what can be expected.
    """
    known = [*get_args(Kind), *FAMILIES, *candidates]
    for word in (word for text in wanted for word in _words(text)):
        if word not in known:
            raise StudyError(
                f"--expect {word!r} can never be met: it is no verdict, no family and no candidate "
                f"of this study.{did_you_mean(word, known)} Verdicts: {', '.join(get_args(Kind))}. "
                f"Families: {', '.join(FAMILIES)}. Candidates: {', '.join(candidates)}."
            )


def check_share(least: float | None) -> None:
    """Refuse an accuracy that is no share.

    Raises:
        StudyError: saying how to write it.
    """
    if least is not None and not 0 <= least <= 1:
        raise StudyError(f"--fail-under {least:g} is no accuracy. Write a share, such as 0.85.")


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
    """Hold the measured accuracy of the candidate to use against a smallest one.

    It is the estimate that counts, of the recommended candidate or the one to use meanwhile.
    """
    pick = decision.verdict.recommended or decision.verdict.use_meanwhile
    card = next((c for c in decision.scorecards if c.candidate == pick), None)
    accuracy = card.accuracy.value if card is not None and card.accuracy is not None else None
    shown = "no accuracy" if accuracy is None else f"an accuracy of {accuracy:.4g}"
    return Expectation(
        name=f"fail under {least:g}",
        expected=f"an accuracy of at least {least:g}",
        found=f"{shown} ({pick})",
        met=accuracy is not None and accuracy >= least,
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()] or [text]


def _found(decision: Decision) -> str:
    verdict = decision.verdict
    if verdict.recommended is None:
        return f"{verdict.kind} (use {verdict.use_meanwhile} meanwhile)"
    return f"{verdict.kind}: {verdict.recommended} ({verdict.family})"
