"""Leave closed-book fine-tuning out where answers stand in documents and cannot be learnt by heart.

What an adapter without passages learns are answers that occur in training. Where hardly any test
answer does, and passages add more than the margin, its fit is time that nothing can come of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from choose.corpus import GOLD, NOTHING
from choose.formatting import in_percent, points
from choose.judge.stats.intervals import two_way_interval, wilson
from choose.judge.stats.paired import imaginary
from choose.schema.plan import Job
from choose.strategy import find
from choose.tasks.answering import corpus_of
from choose.types import Dataset, Run

# Rows that were asked without and with the right passage, below which nothing is concluded.
FEWEST = 20


@dataclass
class ClosedBook:
    """What controls have shown so far of how much can be known without documents.

    Attributes:
        dataset: the labelled set with its documents.
        margin: smallest gain that matters.
        scores: row -> its score without a passage and with the right one, of one candidate.
    """

    dataset: Dataset
    margin: float
    scores: dict[str, tuple[float, float]] = field(default_factory=dict)

    def add(self, run: Run) -> None:
        """Count the controls of a run, of the first candidate that has any."""
        without, gold = (run.scores.get((view, 0)) for view in (NOTHING, GOLD))
        if run.error is not None or not without or not gold or not self._prompted(run):
            return
        columns = [next(iter(by.values())).tolist() for by in (without, gold)]
        ids = [run.asked[view, 0] for view in (NOTHING, GOLD)]
        if ids[0] == ids[1]:
            pairs = dict(zip(ids[0], zip(*columns, strict=True), strict=True))
            self.scores = {**pairs, **self.scores}

    def left_out(self, job: Job) -> dict[str, str]:
        """Return a job's candidate with the reason why it cannot win; empty if it may."""
        cls = find(job.trial.strategy)
        closed = cls.family == "fine-tuning" and cls.learns and not getattr(cls, "reads", False)
        reason = self._reason() if closed and len(self.scores) >= FEWEST else None
        return {} if reason is None else {job.trial.candidate: reason}

    def _reason(self) -> str | None:
        rows = np.array(list(self.scores.values()))
        gains = rows[:, 1] - rows[:, 0]
        documents = [self._document(id) for id in self.scores]
        knowledge = two_way_interval(gains, documents, pseudo=imaginary(gains[:, None]))
        seen, asked = self._seen
        most = wilson(seen, asked)[1] * (1 - float(rows[:, 0].mean()))
        if most >= self.margin or knowledge.low <= self.margin:
            return None
        return (
            f"left out, since it reads no passage: {in_percent(seen / asked)} of the answers occur "
            f"in other rows, so that it gains about {points(most)} at most by heart, where the "
            f"right passage gains {points(knowledge.value)}"
        )

    def _prompted(self, run: Run) -> bool:
        return find(run.trial.strategy).family in ("prompting", "retrieval")

    def _document(self, id: str) -> str:
        evidence = self.dataset.examples[id].evidence
        return evidence[0].document if evidence else id

    @cached_property
    def _seen(self) -> tuple[int, int]:
        """Return how many test rows have an answer of a training row, of how many."""
        answers = {id: example.targets for id, example in self.dataset.examples.items()}
        seen = asked = 0
        for fold in self.dataset.folds:
            known = {text.casefold() for id in fold.pool for text in answers[id]}
            seen += sum(any(t.casefold() in known for t in answers[id]) for id in fold.questions)
            asked += len(fold.questions)
        return seen, max(asked, 1)


def closed_book(dataset: Dataset, margin: float) -> ClosedBook | None:
    """Return the rule for a task with documents; None for others."""
    return None if corpus_of(dataset.task) is None else ClosedBook(dataset, margin)
