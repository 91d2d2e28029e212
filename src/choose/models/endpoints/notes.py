"""What a reader should know of how an endpoint was asked, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from choose.models.endpoints.requests import Accepts

if TYPE_CHECKING:
    from choose.models.endpoints.asker import Happened


def notes_on(accepts: Accepts, happened: Happened, shown: int, max_tokens: int) -> list[str]:
    """Return the sentences."""
    return list(_notes(accepts, happened, shown, max_tokens))


def _notes(accepts: Accepts, happened: Happened, shown: int, max_tokens: int) -> Iterator[str]:
    if accepts.schema:
        yield "Answers were held to the labels by a JSON schema."
    else:
        yield "Answers were plain text, matched to the labels strictly."
    if not accepts.temperature:
        yield "The temperature could not be set to 0, so answers may differ between repeats."
    if not accepts.odds:
        yield "No log-probabilities were given, so there is no confidence in single answers."
    if happened.cut:
        yield (
            f"{len(happened.cut)} texts were cut to about {max_tokens} tokens "
            f"({max_tokens * 4:,} bytes)."
        )
    if happened.shown:
        rows, fewest, most = happened.shown.total(), min(happened.shown), max(happened.shown)
        fit = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        of = f" of {shown}" if shown else ""
        yield f"The model's context is too small: {fit}{of} demonstrations fit, in {rows} requests."
    if happened.failed:
        said = next(iter(happened.failed.values()))
        yield f"{len(happened.failed)} rows got no answer, which counts as wrong: {said}."
    if happened.reused:
        yield f"{happened.reused} answers had been paid for before and were not asked again."
