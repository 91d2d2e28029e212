"""Compute the facts of the audit, before they are described: of labels and of other targets."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from choose.corpus import UNSPACED, Corpus
from choose.data.dataset import Rows, sample_of
from choose.data.duplicates import (
    Duplicate,
    TextIndex,
    conflicting_texts,
    duplicates_among,
    index_texts,
)
from choose.data.examples import usable_rows
from choose.data.stratify import sampling_order, stratified_folds
from choose.files import digest
from choose.formatting import normalised
from choose.judge.diagnosis.doubted_labels import audit_labels
from choose.judge.evidence import CandidateInfo, Evidence, items_of
from choose.schema.check import FEW, Balance, CorpusFacts, Count, FieldFacts, Issue, TargetFacts
from choose.schema.decision import PART_OF_EVEN, RARE
from choose.schema.diagnosis import Audit
from choose.strategy import build, find
from choose.tasks.answering import Answering, abstains, corpus_of, passage_field
from choose.tasks.evidence_spans import is_reworded
from choose.tasks.kinds import KINDS
from choose.tasks.multilabel import Multilabel
from choose.tasks.ranking import Ranking, spans_of_relevant
from choose.tasks.value_parsing import occurs
from choose.types import CLEAN, Dataset, Example, Run, Task, Trial

# Characters of a longer document, which only repeats another to the letter: words take memory.
LONGEST = 1_000_000

# Two targets are unlike below this score of one against the other.
UNLIKE = 0.5

# Pairs of rows that are compared.
PAIRS = 20_000

# A field whose values occur in the text in so large a share of the rows is taken from there, and
# another value is suspect.
TAKEN = 0.95

# A field that fewer rows, or a smaller share of the rows, have is nearly always empty.
RARE_FIELD = 0.01


def _about(corpus: Corpus, answered: Sequence[Example]) -> CorpusFacts:
    same: dict[str, list[str]] = defaultdict(list)
    for document in corpus.documents:
        whole = document.text
        same[digest(whole if len(whole) > LONGEST else normalised(whole))].append(document.id)
    twins = {id for ids in same.values() if len(ids) > 1 for id in ids}
    return CorpusFacts(
        documents=len(corpus.documents),
        passages=len(corpus.passages()),
        words=sum(len(p.text.split()) for p in corpus.passages()),
        touched=sum(any(s.document in twins for s in e.evidence) for e in answered),
        copies=tuple(id for ids in same.values() for id in ids[1:]),
    )


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
        return 2 * len(re.findall(f"[{UNSPACED}]", text)) > sum(map(str.isalpha, text))

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

    @cached_property
    def records(self) -> dict[str, Mapping[str, Any]]:
        """Return the record of each row by id; none where targets have no fields."""
        read = KINDS[self.dataset.task.kind].record
        return {} if read is None else {e.id: read(e.target) for e in self.all}

    @cached_property
    def absent(self) -> dict[str, list[str]]:
        """Return by field the ids of rows in which a value of it does not occur."""
        found: dict[str, list[str]] = defaultdict(list)
        edge = "" if self.unspaced else " "
        for e in self.all:
            text = f" {normalised(e.input)} "
            for name, value in self.records.get(e.id, {}).items():
                values = value if isinstance(value, list) else [value]
                if not all(f"{edge}{normalised(str(one))}{edge}" in text for one in values):
                    found[name].append(e.id)
        return found

    @cached_property
    def fields(self) -> tuple[FieldFacts, ...]:
        filled = Counter(name for record in self.records.values() for name in record)
        stated: Mapping[str, str] = self.dataset.task.facts().get("fields", {})
        found = [
            FieldFacts(
                name=name,
                type=stated.get(name, "text"),
                filled=rows,
                in_text=1 - len(self.absent.get(name, ())) / rows,
            )
            for name, rows in filled.items()
        ]
        return tuple(sorted(found, key=lambda field: (-field.filled, field.name)))

    def _unlike(self) -> Iterator[Issue]:
        """Yield rows that are asked nearly the same and whose targets are unlike.

        Records of inputs that differ in a word may differ in a value: only their fields count.
        """
        for a, b in self._alike():
            if (score := self._agreement(a, b)) < UNLIKE:
                yield Issue(row=a, kind="unlike target", other=b, detail=f"{score:.2f}")

    def _agreement(self, a: str, b: str) -> float:
        task, row, other = self.dataset.task, self._by_id[a], self._by_id[b]
        if self.records and self.text_index.text_of[a] != self.text_index.text_of[b]:
            one, two = self.records[a].keys(), self.records[b].keys()
            return 2 * len(one & two) / (len(one) + len(two)) if one or two else 1.0
        return max(task.score(t, other.targets)[task.metrics[0]] for t in row.targets)

    @cached_property
    def _by_id(self) -> dict[str, Example]:
        return {e.id: e for e in self.all}

    def _alike(self) -> Iterator[tuple[str, str]]:
        """Yield pairs of rows with the same or nearly the same input, up to `PAIRS`.

        Another value of a further field, such as the day, makes another input.
        """
        same: dict[int, list[str]] = defaultdict(list)
        for e in self.all:
            same[self.text_index.text_of[e.id]].append(e.id)
        left = PAIRS
        for ids in same.values():
            yield from ((ids[0], id) for id in ids[1 : max(left, 0) + 1])
            left -= len(ids) - 1
        for a, b in self.text_index.pairs[: max(left, 0)].tolist():
            if a in same and b in same and self._fields_of(same[a]) == self._fields_of(same[b]):
                yield same[a][0], same[b][0]

    def _fields_of(self, ids: Sequence[str]) -> list[str]:
        return [normalised(value) for value in self._by_id[ids[0]].fields.values()]

    @cached_property
    def answered(self) -> list[Example]:
        """Return the rows that have an answer; of rankings, with whole documents as evidence."""
        task = self.dataset.task
        if isinstance(task, Answering):
            return [e for e in self.all if not abstains(e.target)]
        if isinstance(task, Ranking) and (corpus := task.corpus) is not None:
            return [replace(e, evidence=spans_of_relevant(e.target, corpus)) for e in self.all]
        return self.all

    @cached_property
    def targets(self) -> TargetFacts:
        task, corpus = self.dataset.task, corpus_of(self.dataset.task)
        parted = bool(self.records) or isinstance(task, Multilabel)
        filled = sum(bool(task.classes(e.target)) for e in self.all)
        taught = {name for e in self.pool for name in task.classes(e.target)}
        named = dict.fromkeys(name for e in self.test or () for name in task.classes(e.target))
        rows = Counter(label for e in self.all for label in task.classes(e.target))
        least = max(FEW, RARE_FIELD * len(self.all))
        return TargetFacts(
            rows=len(self.all),
            empty=len(self.all) - filled if parted else None,
            fields=self.fields,
            rare=tuple(f.name for f in self.fields if f.filled < least),
            unseen=tuple(name for name in named if name not in taught),
            labels=tuple(sorted(rows.items(), key=lambda count: (-count[1], count[0])))
            if isinstance(task, Multilabel)
            else (),
            unanswerable=None
            if not isinstance(task, Answering)
            else len(self.all) - len(self.answered),
            passage=passage_field(task),
            corpus=None if corpus is None else _about(corpus, self.answered),
        )

    def target_issues(self) -> Iterator[Issue]:
        yield from self._unlike()
        # By field, the rows with a value that is not in the text, where most are.
        taken = {f.name for f in self.fields if TAKEN <= (f.in_text or 0.0) < 1}
        invented = {name: set(ids) for name, ids in self.absent.items() if name in taken}
        for e in self.all:
            names = (name for name, ids in invented.items() if e.id in ids)
            yield from (Issue(row=e.id, kind="not in text", label=name) for name in names)
        task = self.dataset.task
        if not isinstance(task, Answering):
            return
        if (corpus := corpus_of(task)) is not None:
            rows = self.answered
            yield from (Issue(row=e.id, kind="not in documents") for e in rows if not e.evidence)
            reworded = (e for e in rows if is_reworded(e, corpus))
            yield from (Issue(row=e.id, kind="reworded") for e in reworded)
        if (passage := task.passage) is not None:
            for e in self.answered:
                if not occurs(e.targets, e.fields.get(passage, "")):
                    yield Issue(row=e.id, kind="not in passage")


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
    return Run(trial=trial, answers={CLEAN: answers}, asked={CLEAN: tuple(test_ids)})
