"""Writing: the answer is a text, such as a summary or a rewriting."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar, Literal

from choose.tasks.metrics import metrics_of
from choose.tasks.value_parsing import json_in, scalar_text, type_name
from choose.types import Task

_WORDS = re.compile(r"[^\W_]+")

# Words of a text that ROUGE-L compares: its time grows with the product of both lengths.
MOST_WORDS = 3_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing(Task):
    """A task whose answers are free texts, with what to do in the user's words."""

    own: ClassVar[tuple[str, ...]] = metrics_of("writing")
    headline: str = own[0]
    kind: Literal["writing"] = "writing"

    def scored_by(self) -> tuple[Any, ...]:
        return (version("sacrebleu"),)

    def own_scores(self, output: str, targets: Sequence[str]) -> dict[str, float]:
        return {
            "chrf": max(chrf(output, target) for target in targets),
            "rouge-l": max(rouge_l(output, target) for target in targets),
        }

    def stratum(self, target: str) -> str:
        return str(len(target).bit_length())


def text_cell(value: Any) -> tuple[str, ...]:
    """Return the right texts of a cell, stripped: a text, a list of them, or JSON of one."""
    given = json_in(value, '["') if isinstance(value, str) else value
    if isinstance(value, str) and not all(isinstance(one, str) for one in given):
        given = value
    texts = given if isinstance(given, list) else [given]
    for one in texts:
        if isinstance(one, list | dict | bytes):
            raise ValueError(f"the target is {type_name(one)}")
    written = ((scalar_text(one) or "").strip() for one in texts)
    return tuple(dict.fromkeys(text for text in written if text))


def chrf(output: str, target: str) -> float:
    """Return the character n-gram F-score in [0, 1], as sacrebleu computes it."""
    from sacrebleu import sentence_chrf

    return float(sentence_chrf(output, [target]).score) / 100


def rouge_l(output: str, target: str) -> float:
    """Return the F-score in [0, 1] of the longest common subsequence of words.

    As rouge-score 0.1.2 without stemming, but words are of any script, and two texts without words
    are equal.
    """
    a, b = (_WORDS.findall(text.lower())[:MOST_WORDS] for text in (output, target))
    return 2 * _longest_common(a, b) / (len(a) + len(b)) if a and b else float(a == b)


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
