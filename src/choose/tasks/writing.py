"""Writing: the answer is a text, such as a summary or a rewriting."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, ClassVar, Literal

from choose.errors import DataError
from choose.tasks.graded_task import GradedTask, check_differ, common_settings
from choose.tasks.values import scalar_text, type_name
from choose.types import Example

_WORDS = re.compile(r"[^\W_]+")

# The scores of every answer.
OWN = ("chrf", "rouge-l")

# Words of a text that ROUGE-L compares: its time grows with the product of both lengths.
MOST_WORDS = 3_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing(GradedTask):
    """A task whose answers are free texts, with what to do in the user's words."""

    own: ClassVar[tuple[str, ...]] = OWN
    headline: str = OWN[0]
    kind: Literal["writing"] = "writing"

    def scored_by(self) -> tuple[Any, ...]:
        """Return the version of the library that computes chrF."""
        return (version("sacrebleu"),)

    def problem_with(self, output: str) -> str | None:
        """Return that an output is empty, or None."""
        return None if output.strip() else "it is empty"

    def own_scores(self, output: str | None, targets: Sequence[str]) -> dict[str, float]:
        """Return chrF and ROUGE-L of an answer, each against its best target."""
        if output is None:
            return dict.fromkeys(OWN, 0.0)
        return {
            "chrf": max(chrf(output, target) for target in targets),
            "rouge-l": max(rouge_l(output, target) for target in targets),
        }

    def lenient(self, raw: str) -> str | None:
        """Return an unusable answer, such as one that was cut, unchanged."""
        return raw.strip() or None

    def stratum(self, target: str) -> str:
        """Return the length of a text as a power of two, for stratified divisions."""
        return str(len(target).bit_length())


def read_writing(facts: Mapping[str, Any]) -> Writing:
    """Return the task that `Writing.facts` described."""
    return Writing(**common_settings(facts, OWN))


def text_cells(values: Sequence[Any], rows: Sequence[int], column: str) -> list[tuple[str, ...]]:
    """Return the right texts of each cell, stripped; none of an empty cell.

    A list of texts, or JSON of one, holds several right answers.

    Raises:
        DataError: naming the row and the column of a cell that holds something else.
    """
    found = []
    for row, value in zip(rows, values, strict=True):
        given = _listed(value) if isinstance(value, str) else value
        texts = given if isinstance(given, list) else [given]
        if wrong := [one for one in texts if isinstance(one, list | dict | bytes)]:
            what = "bytes" if isinstance(wrong[0], bytes) else type_name(wrong[0])
            raise DataError(
                f"Row {row}, column {column!r}: the target is {what}. Where answers are written, "
                'each target must be a text, or a list of right texts such as ["yes", "yes, it '
                'is"].'
            )
        written = ((scalar_text(one) or "").strip() for one in texts)
        found.append(tuple(dict.fromkeys(text for text in written if text)))
    return found


def _listed(text: str) -> Any:
    """Return the list in a cell that holds JSON of a list of texts, else the text itself."""
    if not text.lstrip().startswith('["'):
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if all(isinstance(one, str) for one in found) else text


def check_texts(pool: Sequence[Example], test: Sequence[Example] | None) -> None:
    """Refuse targets that are all the same.

    Raises:
        DataError: saying so.
    """
    check_differ(pool, "rows have the same target", "write")


def chrf(output: str, target: str) -> float:
    """Return the character n-gram F-score in [0, 1], as sacrebleu computes it."""
    return float(_chrf().sentence_score(output, [target]).score) / 100


def rouge_l(output: str, target: str) -> float:
    """Return the F-score in [0, 1] of the longest common subsequence of words.

    As rouge-score 0.1.2 without stemming, but words are of any script, and two texts without words
    are equal.
    """
    a, b = (_WORDS.findall(text.lower())[:MOST_WORDS] for text in (output, target))
    if not a or not b:
        return float(a == b)
    common = _longest_common(a, b)
    return 2 * common / (len(a) + len(b))


def _longest_common(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, by bit vectors (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for place, word in enumerate(a):
        places[word] = places.get(word, 0) | 1 << place
    every = (1 << len(a)) - 1
    unmatched = every
    for word in b:
        matched = unmatched & places.get(word, 0)
        unmatched = ((unmatched + matched) | (unmatched - matched)) & every
    return len(a) - unmatched.bit_count()


@cache
def _chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()
