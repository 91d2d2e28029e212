"""Compute the facts of the audit, before they are described."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

from choose.check.non_label_targets import Targets
from choose.corpus import UNSPACED
from choose.data.dataset import Rows
from choose.data.duplicates import (
    Duplicate,
    TextIndex,
    conflicting_texts,
    duplicates_among,
    index_texts,
)
from choose.data.examples import usable_rows
from choose.data.stratify import sampling_order, stratified_folds
from choose.judge.diagnosis.doubted_labels import audit_labels
from choose.judge.evidence import CandidateInfo, Evidence, items_of
from choose.schema.check import FEW, Balance, Count
from choose.schema.decision import PART_OF_EVEN, RARE
from choose.schema.diagnosis import Audit
from choose.strategy import build, find
from choose.tasks.answering import passage_field
from choose.types import Dataset, Example, Run, Task, Trial

_UNSPACED = re.compile(f"[{UNSPACED}]")


def balance_of(rows: Sequence[Example]) -> Balance:
    counts = sorted(Counter(e.target for e in rows).items(), key=lambda c: (-c[1], c[0]))
    return Balance(
        counts=tuple(Count(name=label, rows=n) for label, n in counts),
        majority=counts[0][1] / len(rows),
        few=tuple(label for label, n in counts if n < FEW),
    )


def hardly_counted(balance: Balance) -> tuple[Count, ...]:
    """Return the labels that accuracy hardly counts, the rarest first.

    Missing all rows of such a label costs little accuracy, in a set where others have many rows.
    Labels with fewer than `FEW` rows are not among them: no metric can judge these.
    """
    rows = sum(count.rows for count in balance.counts)
    most = min(RARE, PART_OF_EVEN / len(balance.counts)) * rows
    return tuple(count for count in reversed(balance.counts) if FEW <= count.rows <= most)


# The candidate that the audit runs.
BASELINE = "tfidf"
FOLDS = 5

# Rows whose labels are audited: more take minutes.
MOST_ROWS = 20_000

# With more characters in all, only single words are used: as accurate, and much faster (banking77:
# 89 % instead of 88 %, in a tenth of the time).
MAX_CHARACTERS = 300_000


@dataclass(frozen=True)
class Facts:
    """The rows as read and as split, and the facts about them; each is computed once.

    `study` is a finished study of the same rows with its audit, by candidates that know more than
    the baseline: then there is one list of doubted labels, here and in its report.
    """

    rows: Rows
    dataset: Dataset
    study: tuple[str, Audit] | None = None

    @cached_property
    def pool(self) -> list[Example]:
        return usable_rows(self.rows.pool, None)[0]

    @cached_property
    def test(self) -> list[Example] | None:
        return usable_rows(self.rows.pool, self.rows.test)[1]

    @cached_property
    def all(self) -> list[Example]:
        return [*self.pool, *(self.test or ())]

    @cached_property
    def text_index(self) -> TextIndex:
        return index_texts(self.all, passage_field(self.dataset.task) is not None)

    @cached_property
    def duplicates(self) -> list[Duplicate]:
        files = (self.pool, self.test or [])
        return [one for rows in files for one in duplicates_among(rows, rows, self.text_index)]

    @cached_property
    def leaks(self) -> list[Duplicate] | None:
        """Return the test rows that repeat a training row; None without a test file."""
        if self.test is None:
            return None
        return duplicates_among(self.test, self.pool, self.text_index)

    @cached_property
    def conflicts(self) -> list[list[Example]]:
        return conflicting_texts(self.all)

    @cached_property
    def balance(self) -> Balance:
        return balance_of(self.all)

    @cached_property
    def foreign(self) -> float:
        """Return the share of texts with letters that English lacks."""
        letters = (any(c.isalpha() for c in e.text if not c.isascii()) for e in self.all)
        return sum(letters) / len(self.all)

    @cached_property
    def unspaced(self) -> bool:
        """Return whether most letters are of scripts without spaces between words."""
        text = "".join(e.text[:400] for e in sample_of(self.all, 1_000))
        return 2 * len(_UNSPACED.findall(text)) > sum(map(str.isalpha, text))

    @cached_property
    def targets(self) -> Targets:
        return Targets(self.dataset, self.pool, self.test, self.text_index, self.unspaced)

    @cached_property
    def audited(self) -> dict[str, Example]:
        """Return the rows that the baseline predicts by id: all, or a sample."""
        return {e.id: e for e in sample_of(list(self.dataset.examples.values()), MOST_ROWS)}

    @cached_property
    def audit(self) -> Audit | None:
        """Return the audit of the study, else that by out-of-fold predictions of the baseline."""
        if self.study is not None:
            return self.study[1]
        long = sum(len(e.text) for e in self.audited.values()) > MAX_CHARACTERS
        settings = {"pairs": False, "characters": self.unspaced} if long else {}
        return audit_by_baseline(self.dataset, self.audited, settings)


def sample_of(rows: Sequence[Example], most: int) -> Sequence[Example]:
    """Return the rows, or where there are more a random sample of `most`, in their order."""
    if len(rows) <= most:
        return rows
    return [rows[place] for place in sorted(Random(0).sample(range(len(rows)), most))]


def audit_by_baseline(
    dataset: Dataset, rows: Mapping[str, Example], settings: Mapping[str, Any]
) -> Audit | None:
    """Audit labels by a baseline that was trained on neither a row nor its cluster."""
    classes = {id: (e.target,) for id, e in rows.items()}
    parts = stratified_folds(classes, dataset.clusters, FOLDS, seed=0)
    runs = tuple(
        _run(dataset.task, rows, part, fold, settings) for fold, part in enumerate(parts) if part
    )
    cls = find(BASELINE)
    info = CandidateInfo(name=BASELINE, strategy=BASELINE, family=cls.family, learns=cls.learns)
    evidence = Evidence(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        rows=len(rows),
        labels=dataset.task.labels,
        division="cross-fit",
        items=items_of(dataset, tuple(rows)),
        candidates=(info,),
        pool_rows=tuple(run.trial.train_size for run in runs),
        runs=runs,
    )
    return audit_labels(evidence)


def _run(
    task: Task,
    rows: Mapping[str, Example],
    test_ids: Sequence[str],
    fold: int,
    settings: Mapping[str, Any],
) -> Run:
    test = set(test_ids)
    targets = {id: e.target for id, e in rows.items() if id not in test}
    pool = [rows[id] for id in sampling_order(targets, targets, draw=0)]
    strategy = build(BASELINE, seed=0, **settings)
    strategy.fit(task, pool)
    answers = strategy.predict([rows[id].item() for id in test_ids])
    trial = Trial(
        candidate=BASELINE,
        strategy=BASELINE,
        revision=type(strategy).revision,
        params=settings,
        fold=fold,
        train_size=len(pool),
        task=task.digest,
    )
    return Run(trial=trial, answers={("clean", 0): answers}, asked={("clean", 0): tuple(test_ids)})
