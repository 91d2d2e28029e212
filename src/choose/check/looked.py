"""What was looked at: every fact of the audit, before it is put in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from choose.check.out_of_fold import evidence_from, out_of_fold, settings_for
from choose.check.record import Drift
from choose.data.balance import Balance, balance_of
from choose.data.conflicts import torn
from choose.data.divide import usable_rows
from choose.data.duplicates import Twins, clusters_of, twins_of
from choose.data.languages import Languages, languages_of
from choose.data.lengths import Lengths, lengths_of
from choose.data.load import Rows
from choose.data.personal import hints_by_row
from choose.data.repeats import Repeat, Repeats, counted, repeats_across, repeats_within
from choose.data.thirds import thirds_of
from choose.judge.audit import audit
from choose.judge.change import TextChange, mix_change, text_change
from choose.judge.reach import Reach, reach_of
from choose.judge.record_audit import Audit
from choose.models.token_counts import TokenCounts, token_counts
from choose.types import Dataset, Example, Task

_LATER = Task(labels=("earlier", "later"), names=("earlier", "later"))


@dataclass(frozen=True)
class Looked:
    """The rows as read and as divided, and what they show; each fact is found once."""

    rows: Rows
    dataset: Dataset
    margin: float

    @cached_property
    def pool(self) -> list[Example]:
        """Return the usable rows of the labelled set."""
        return usable_rows(self.rows.pool, None)[0]

    @cached_property
    def test(self) -> list[Example] | None:
        """Return the usable rows of the test file."""
        return usable_rows(self.rows.pool, self.rows.test)[1]

    @cached_property
    def all(self) -> list[Example]:
        """Return all usable rows."""
        return [*self.pool, *(self.test or ())]

    @cached_property
    def twins(self) -> Twins:
        """Return which texts are the same or nearly so."""
        return twins_of(self.all)

    @cached_property
    def within(self) -> list[Repeat]:
        """Return the rows that repeat another of the same file."""
        return repeats_within(self.pool, self.twins) + repeats_within(self.test or [], self.twins)

    @cached_property
    def across(self) -> list[Repeat] | None:
        """Return the test rows that repeat a row to learn from."""
        return None if self.test is None else repeats_across(self.test, self.pool, self.twins)

    @cached_property
    def repeats(self) -> tuple[Repeats, Repeats | None]:
        """Return the counts within a file and across the division."""
        ungrouped = [replace(e, group=None) for e in self.all]
        sizes = Counter(clusters_of(ungrouped, self.twins).values())
        chain = max(sizes.values(), default=0)
        across = None if self.across is None else counted(self.across, chain)
        return counted(self.within, chain), across

    @cached_property
    def torn(self) -> list[list[Example]]:
        """Return the texts with several labels."""
        return torn(self.all)

    @cached_property
    def balance(self) -> Balance:
        """Return how rows are shared out among labels."""
        return balance_of(self.all)

    @cached_property
    def lengths(self) -> Lengths:
        """Return how long the texts are."""
        return lengths_of(self.all)

    @cached_property
    def languages(self) -> Languages:
        """Return the languages of the texts."""
        return languages_of(self.all)

    @cached_property
    def personal(self) -> list[tuple[str, str]]:
        """Return rows with hints of personal data, and the kind."""
        return hints_by_row(self.all)

    @cached_property
    def tokens(self) -> TokenCounts | None:
        """Return tokens a word, where a tokenizer is there already."""
        return token_counts([e.text for e in self.all])

    @cached_property
    def reach(self) -> Reach:
        """Return what the asked rows can show."""
        return reach_of(_clusters(self.dataset, self.dataset.asked), self.margin)

    @cached_property
    def audit(self) -> Audit | None:
        """Hold the labels against out-of-fold answers of the cheap text baseline."""
        data = self.dataset
        settings = settings_for(data.examples.values(), self.languages.unspaced)
        runs = out_of_fold(data.task, data.examples, data.clusters, settings)
        return audit(evidence_from(data, runs))

    @cached_property
    def drift(self) -> Drift | None:
        """Compare the earliest third of the rows with the latest."""
        found = thirds_of(self.dataset.examples.values())
        if found is None:
            return None
        first, last = found.early[0].timestamp, found.late[-1].timestamp
        assert first is not None
        assert last is not None
        return Drift(
            early=len(found.early),
            late=len(found.late),
            early_from=first.date(),
            late_to=last.date(),
            labels=mix_change([e.target for e in found.early], [e.target for e in found.late]),
            texts=self._told_apart(found.early, found.late),
            appeared=found.appeared,
            vanished=found.vanished,
        )

    def _told_apart(self, early: Sequence[Example], late: Sequence[Example]) -> TextChange:
        rows = {e.id: replace(e, target="earlier") for e in early}
        rows |= {e.id: replace(e, target="later") for e in late}
        settings = settings_for(rows.values(), self.languages.unspaced)
        runs = out_of_fold(_LATER, rows, self.dataset.clusters, settings)
        scores, later = [], []
        for run in runs:
            answers = run.answers["clean", 0]
            assert answers.scores is not None
            scores.append(answers.scores[:, 1] - answers.scores[:, 0])
            later += [rows[id].target == "later" for id in run.asked["clean", 0]]
        return text_change(np.concatenate(scores), later)


def _clusters(dataset: Dataset, ids: Sequence[str]) -> list[str]:
    return [dataset.clusters.get(id, f"alone {id}") for id in ids]
