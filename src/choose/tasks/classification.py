"""Classification: the answer is one label of a fixed set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from choose.files import digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """The labels in a fixed order, with readable names, descriptions and an instruction.

    `names` are aligned with `labels`; `descriptions` are by label.
    """

    labels: tuple[str, ...]
    names: tuple[str, ...]
    descriptions: Mapping[str, str] = field(default_factory=dict)
    instruction: str | None = None
    kind: Literal["classification"] = "classification"

    @property
    def digest(self) -> str:
        """Return the digest of everything that a strategy can see of the task."""
        return digest(
            [self.kind, self.labels, self.names, dict(self.descriptions), self.instruction]
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the one score of an answer: right or wrong."""
        return ("right",)

    @property
    def scoring(self) -> str:
        """Return the digest of the rule by which an answer is scored."""
        return digest([self.kind, *self.metrics])

    def problem_with(self, output: str) -> str | None:
        """Return that an output is no label, or None."""
        return None if output in self.labels else f"{output!r} is no label"

    def score(self, output: str | None, targets: Sequence[str]) -> dict[str, float]:
        """Return 1 for a right label, else 0."""
        return {"right": float(output in targets)}

    def lenient(self, raw: str) -> None:
        """Return None: an answer is a label or not."""

    def stratum(self, target: str) -> str:
        """Return the label itself."""
        return target

    def classes(self, target: str) -> tuple[str, ...]:
        """Return the label itself."""
        return (target,)

    def copied(self, target: str) -> tuple[str, ...]:
        """Return nothing: a label occurs in no text."""
        return ()

    def facts(self) -> dict[str, Any]:
        """Return the task as plain values for JSON."""
        return {
            "labels": list(self.labels),
            "names": list(self.names),
            "descriptions": dict(self.descriptions),
            "instruction": self.instruction,
        }


def read_classification(facts: Mapping[str, Any]) -> Classification:
    """Return the task that `Classification.facts` described.

    Raises:
        ValueError: if it has not one name for each label.
    """
    task = Classification(
        labels=tuple(facts["labels"]),
        names=tuple(facts["names"]),
        descriptions=dict(facts["descriptions"]),
        instruction=facts["instruction"],
    )
    if len(task.names) != len(task.labels):
        raise ValueError("the task has not one name for each label")
    return task
