"""Words of a study: what its scores are called, and what differs where answers are no labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from choose.formatting import Estimate, in_percent
from choose.schema.scorecard import LABEL_METRICS, NAMES, RANKING_METRICS, SET_METRICS, name_of
from choose.types import FAMILIES, Family

# What "right" means where it is not that each row counts the same, by the study's metric.
COUNTED = {
    "balanced": "Every label counts the same, however many rows it has.",
    "cost": (
        "An error counts by what it costs: 100 means no costs, 0 the most expensive error on "
        "every row."
    ),
    "field-f1": "The score is field F1, the mean over rows; a field is right if its value matches.",
    "example-f1": (
        "The score is example F1, the mean over rows of how far the predicted and the right labels "
        "overlap: 100 means the same labels, 0 none in common."
    ),
    "exact-set": "The score is the share of rows with all the right labels and no other.",
    "exact-record": "The score is the share of records that are right as a whole.",
    "chrf": "The score is chrF, the overlap of short character sequences with the right text.",
    "token-f1": (
        "The score is token F1, the mean over rows of how far the words of an answer and of the "
        "nearest accepted one overlap: 100 means the same words, 0 none in common."
    ),
    "value-match": "An answer is right if it equals an accepted one, as text, number or date.",
    "rouge-l": "The score is ROUGE-L, the longest sequence of words in common with the right text.",
    "ndcg@10": (
        "The score is nDCG@10, the mean over questions of how high the relevant documents rank "
        "among the first ten: 1 means all at the top, 0 none among the ten."
    ),
    "mrr@10": "The score is MRR@10, the mean of 1 / the rank of the first relevant document.",
    "hit@1": "The score is the share of questions whose first document is relevant.",
    "hit@5": "The score is the share of questions with a relevant document among the first five.",
    "recall@10": "The score is the share of relevant documents that are among the first ten.",
}

# What a score is a percentage of, by the study's metric: 79 % right, 79 % mean recall.
SCORED = {
    "accuracy": "right",
    "balanced": "mean recall",
    "cost": "of the best score",
    "field-f1": "of fields right",
    "example-f1": "of labels right",
    "exact-set": "of label sets right",
    "exact-record": "of records right",
    "token-f1": "of words shared",
    "exact-match": "exactly right",
    "value-match": "of values right",
    "hit@1": "with a relevant document first",
    "hit@5": "with a relevant document among five",
    "recall@10": "of relevant documents found",
}


def noun_of(metric: str) -> str:
    """Return what a score is a percentage of; the name of a metric that is no percentage."""
    return SCORED.get(metric) or name_of(metric)


# What a score is of where a model's answers are taken for right ones.
AGREEMENT = "agreement with"


def is_share(noun: str) -> bool:
    """Return whether a score is shown as a percentage of something, by `noun_of` the metric."""
    return noun in SCORED.values() or noun.startswith(AGREEMENT)


def scored(value: float, noun: str) -> str:
    """Return ``82 % right``, ``86 % of fields right`` or ``chrF 0.31``, by `noun_of` the metric."""
    return f"{in_percent(value)} {noun}" if is_share(noun) else f"{noun} {value:.2f}"


def amount(value: float, noun: str) -> str:
    """Return ``82 %``, or ``chrF 0.31`` where a score is no percentage."""
    return in_percent(value) if is_share(noun) else scored(value, noun)


def right(accuracy: Estimate, noun: str = "right") -> str:
    """Return ``82 % right (79 to 85)``, or ``chrF 0.31 (0.28 to 0.34)``."""
    said, low, high = scored(accuracy.value, noun), accuracy.low, accuracy.high
    if low is None or high is None:
        return said
    if not is_share(noun):
        return f"{said} ({low:.2f} to {high:.2f})"
    return f"{said} ({' to '.join(in_percent(end).removesuffix(' %') for end in (low, high))})"


# What a family is called; and where documents are ranked, which asks whether to tune the embedder.
_CALLED: dict[Family, str] = {**{f: f for f in FAMILIES}, "baseline": "a cheap baseline"}
_RANKED: dict[Family, str] = {"retrieval": "an untuned embedder", "fine-tuning": "a tuned embedder"}


class Stronger(NamedTuple):
    """A model that may do better, and what asks for it."""

    what: str
    flag: str


@dataclass(frozen=True, slots=True)
class Words:
    """Words that depend on whether answers are labels.

    Attributes:
        score: what is measured, such as ``accuracy``.
        label: what training takes more of.
        labels: the same, several.
        target: what a training row holds, right or wrong.
        new: what may appear later: a label, or a field of a record.
        ranks: whether answers are rankings of documents, for which no language model is prompted.
        local: whether no model may be advised that another machine serves.
    """

    score: str
    label: str
    labels: str
    target: str
    new: str
    ranks: bool = False
    local: bool = False

    def called(self, family: Family) -> str:
        """Return what a family is called within a sentence."""
        return (_CALLED | (_RANKED if self.ranks else {}))[family]

    @property
    def stronger(self) -> Stronger:
        """Return what model may do better where only small ones were tried."""
        return (
            Stronger("embedder", "--set encoder=BAAI/bge-base-en-v1.5")
            if self.ranks
            else Stronger("LLM on your machines", "--model ollama:qwen2.5:14b")
            if self.local
            else Stronger("LLM", "--model openai:gpt-4o-mini")
        )

    @property
    def question(self) -> str:
        """Return what a study asks, without its mark."""
        return "Is it worth tuning the embedder" if self.ranks else "Prompt, retrieve or fine-tune"

    @property
    def title(self) -> str:
        """Return what is measured, as it begins a sentence."""
        written = self.score in map(NAMES.get, ("chrf", "rouge-l", "ndcg@10"))
        return self.score if written else self.score[:1].upper() + self.score[1:]


def words_by(metric: str) -> Words:
    """Return the words for a study of which the metric is known, and not its labels."""
    return words_of((metric,) if metric in LABEL_METRICS else (), metric)


def words_of(labels: Sequence[str], metric: str) -> Words:
    """Return the words for a study with these labels, or with none, and this metric."""
    if labels:
        return Words("accuracy", "label", "labels", "label", "label")
    score = name_of(metric)
    if metric in SET_METRICS:
        return Words(score, "row", "labelled rows", "label set", "label")
    if metric in RANKING_METRICS:
        own = ("question", "questions", "relevant document", "field")
        return Words(score, *own, ranks=True)
    return Words(score, "row", "labelled rows", "target", "field")
