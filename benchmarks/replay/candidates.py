"""The candidates whose answers are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from choose.engines.weights.spec import DEFAULT_ENCODER, DEFAULT_LM
from choose.types import Family

# Language models and tuned encoders cut longer texts.
TOKENS = 256

# Neighbours shown by `retrieval`: its setting "k=3", at two thirds of the default's price. A record
# is longer than a label, so where records are written it shows fewer.
NEIGHBOURS, NEIGHBOURS_WITH_RECORDS = 3, 2


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A candidate and the test rows that it is evaluated on.

    Attributes:
        model: as a report names it, or None.
        every_row: whether it is evaluated on all test rows, or on a sample.
        at_once: whether it predicts the sample at once, since it is fast, or part by part.
        any_size: whether a fit on the smallest pool also represents larger ones: it takes a few
            rows of the pool, which have the same distribution at any size.
        constant: whether every row gets the same answer.
    """

    strategy: str
    family: Family
    params: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    every_row: bool = False
    at_once: bool = False
    seeded: bool = False
    any_size: bool = False
    constant: bool = False

    @property
    def neighbours(self) -> int:
        """Return how many training rows are retrieved for each prompt."""
        return int(self.params.get("k", 0))


def _free(strategy: str, model: str | None = None, constant: bool = False) -> Kind:
    return Kind(
        strategy=strategy,
        family="baseline",
        model=model,
        every_row=True,
        at_once=True,
        constant=constant,
    )


# Candidates that label texts.
KINDS: dict[str, Kind] = {
    "majority": _free("majority", constant=True),
    "tfidf": _free("tfidf"),
    "probe": _free("probe", DEFAULT_ENCODER),
    "knn": _free("knn", DEFAULT_ENCODER),
    "prompt": Kind(
        strategy="prompt",
        family="prompting",
        params={"max_tokens": TOKENS},
        model=DEFAULT_LM,
        any_size=True,
    ),
    "few-shot": Kind(
        strategy="few-shot",
        family="prompting",
        params={"max_tokens": TOKENS},
        model=DEFAULT_LM,
        seeded=True,
        any_size=True,
    ),
    "retrieval": Kind(
        strategy="retrieval",
        family="retrieval",
        params={"k": NEIGHBOURS, "max_tokens": TOKENS},
        model=DEFAULT_LM,
    ),
    "lora": Kind(
        strategy="lora",
        family="fine-tuning",
        params={"base": DEFAULT_ENCODER, "max_tokens": TOKENS},
        model=DEFAULT_ENCODER,
        seeded=True,
        at_once=True,
    ),
    "lora on the LM": Kind(
        strategy="lora",
        family="fine-tuning",
        params={"base": DEFAULT_LM, "max_tokens": TOKENS},
        model=DEFAULT_LM,
        seeded=True,
        at_once=True,
    ),
}

# Candidates that extract records, which a language model writes.
RECORD_KINDS: dict[str, Kind] = {
    "empty": _free("empty", constant=True),
    "gazetteer": _free("gazetteer"),
    "pattern": _free("pattern"),
    "nearest": _free("nearest"),
    "tagger": _free("tagger"),
    "prompt": KINDS["prompt"],
    # Small pools hold every combination of fields once, so their rows are not like those of others.
    "few-shot": replace(KINDS["few-shot"], any_size=False),
    "retrieval": replace(
        KINDS["retrieval"],
        params={"k": NEIGHBOURS_WITH_RECORDS, "max_tokens": TOKENS},
    ),
    # As `compare` sets it for records.
    "lora": Kind(
        strategy="lora",
        family="fine-tuning",
        params={"base": DEFAULT_LM, "targets": "all"},
        model=DEFAULT_LM,
        seeded=True,
        at_once=True,
    ),
}
