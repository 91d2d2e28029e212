"""The base of tasks whose answers are no labels, but score from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from choose.errors import DataError, quoted
from choose.files import digest
from choose.tasks.scoring import UserMetric, read_metric
from choose.types import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedTask:
    """Base of tasks whose answers are no labels, but score from 0 to 1 by one or more metrics.

    A subclass names its usual scores in `own`, gives them in `own_scores`, and sets `headline` to
    the one that counts. `metric` is a user's own, which counts instead. `instruction` says what to
    do in the user's words; `descriptions` are of the parts of an answer.
    """

    own: ClassVar[tuple[str, ...]] = ()
    instruction: str | None = None
    descriptions: Mapping[str, str] = field(default_factory=dict)
    metric: UserMetric | None = None
    headline: str = ""
    kind: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """Return no labels: an answer is right in part."""
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return no names of labels."""
        return ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the scores of an answer, the headline metric first."""
        usual = sorted(self.own, key=lambda name: name != self.headline)
        return (*(self.metric.scores if self.metric else ()), *usual)

    @property
    def digest(self) -> str:
        """Return the digest of everything that a strategy can see of the task."""
        return digest([self.kind, self.facts()])

    @property
    def scoring(self) -> str:
        """Return the digest of the rule by which an answer is scored."""
        own = [self.metric.facts()] if self.metric else []
        return digest([self.kind, *self.metrics, *self.scored_by(), *own])

    def scored_by(self) -> tuple[Any, ...]:
        """Return what else the usual scores depend on, as plain values."""
        return ()

    def score(self, output: str | None, targets: Sequence[str]) -> dict[str, float]:
        """Return every score of an answer, each against its best target."""
        if output is None:
            return dict.fromkeys(self.metrics, 0.0)
        own = self.own_scores(output, targets)
        if self.metric is None:
            return own
        return {**self.metric.score(self.parts(output), [*map(self.parts, targets)]), **own}

    def own_scores(self, output: str | None, targets: Sequence[str]) -> dict[str, float]:
        """Return the scores that need no user's metric, each against its best target."""
        raise NotImplementedError

    def parts(self, text: str) -> Any:
        """Return an answer as a user's metric takes it; the text itself where it has no parts."""
        return text

    def classes(self, target: str) -> tuple[str, ...]:
        """Return nothing: a text has no classes."""
        return ()

    def copied(self, target: str) -> tuple[str, ...]:
        """Return nothing: an answer is written anew."""
        return ()

    def facts(self) -> dict[str, Any]:
        """Return the task as plain values for JSON."""
        return self.common_facts()

    def common_facts(self) -> dict[str, Any]:
        """Return what every such task states, as plain values for JSON."""
        own: dict[str, Any] = {"metric": self.metric.facts()} if self.metric else {}
        if self.headline != self.own[0]:
            own["headline"] = self.headline
        return {"instruction": self.instruction, "descriptions": dict(self.descriptions), **own}


def check_differ(pool: Sequence[Example], same: str, verb: str) -> None:
    """Refuse a pool whose targets are all the same.

    Raises:
        DataError: saying that all have the `same`, and that there is nothing to `verb`.
    """
    if len({e.targets for e in pool}) == 1:
        raise DataError(
            f"All {len(pool):,} {same} {quoted(pool[0].target)}: there is nothing to {verb}. Name "
            "the right column with --label-column."
        )


def common_settings(facts: Mapping[str, Any], own: Sequence[str]) -> dict[str, Any]:
    """Return what `GradedTask.common_facts` described, as arguments of a task with `own` scores.

    Raises:
        ValueError: if the headline metric is none of them.
    """
    headline = str(facts.get("headline", own[0]))
    if headline not in own:
        raise ValueError(f"its metric {headline[:80]!r} is unknown")
    return {
        "instruction": facts["instruction"],
        "descriptions": dict(facts.get("descriptions", {})),
        "metric": read_metric(facts.get("metric")),
        "headline": headline,
    }
