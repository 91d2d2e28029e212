"""Compare two stored studies: common test rows, differing settings, paired differences."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from choose.api.study_evidence import evidence_of, method_of, rule_of, settings
from choose.errors import StoreError
from choose.files import digest
from choose.judge.scores.score_tables import study_scores
from choose.judge.study_comparison import Meeting, causes, metric_of, same_verdict, shifts
from choose.report.words import answer, headline
from choose.schema.decision import Decision
from choose.schema.study_changes import Change, CommonRows, Side, Versus
from choose.store.store import Store
from choose.study.study_folder import flat
from choose.types import Dataset


def differences(
    before: Store, first: Decision, after: Store, second: Decision
) -> tuple[Change, ...]:
    """Return differing data, settings, prices, models, prompts and versions, in that order."""
    old, new = dict(_facts(before, first)), dict(_facts(after, second))
    return tuple(
        Change(what=what, before=old.get(what), after=new.get(what))
        for what in {**new, **old}
        if old.get(what) != new.get(what)
    )


def _facts(store: Store, decision: Decision) -> Iterator[tuple[str, str]]:
    data = decision.dataset
    yield "data: fingerprint", data.fingerprint
    yield "data: labelled rows", f"{data.rows:,}"
    yield "data: test rows", f"{data.test_rows:,}"
    yield "data: division", data.division
    task = store.dataset.task
    yield "task: instruction", task.instruction or "none"
    for label, name in zip(task.labels, task.names, strict=True):
        yield f"task: how {label} is called", name
    for key, value in flat(settings(store.study)):
        yield f"study: {key}", _text(value)
    yield from _candidates(store)
    yield "version: decision rule", decision.rule
    for name, value in decision.machine.items():
        yield f"version: {name}", str(value)


def _candidates(store: Store) -> Iterator[tuple[str, str]]:
    candidates, trials = store.grid()
    for candidate in candidates:
        place = f"candidate {candidate['name']}: "
        yield f"{place}strategy", candidate["strategy"]
        for key, value in flat(candidate["params"]):
            yield f"{place}{key}", _text(value)
    for trial in trials:
        place = f"candidate {trial.candidate}: "
        yield f"{place}revision", str(trial.revision)
        if trial.weights:
            yield f"{place}weights", trial.weights
    for prompt in method_of(store).prompts:
        setting = f" ({prompt.setting})" if prompt.setting else ""
        yield f"candidate {prompt.candidate}: prompt{setting}", prompt.text


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# With fewer common rows, an interval on a difference covers nearly every possible value.
MIN_COMMON_ROWS = 30


@dataclass(frozen=True, slots=True)
class JudgedStore:
    """A store with its decision."""

    store: Store
    decision: Decision


def compare_judged(before: JudgedStore, after: JudgedStore) -> Versus:
    """Compare two studies in pairs, on their common test rows.

    Raises:
        StoreError: if fewer than 30 rows are common.
    """
    first, second = before.store.dataset, after.store.dataset
    rows, pairs = match_rows(first, second)
    if rows.common < MIN_COMMON_ROWS:
        raise StoreError(_too_few(before, after, rows))
    common = _common_scores(before, after, pairs)
    old, new = ([c.info.name for c in side.scored] for side in (common.first, common.second))
    margin = float(after.decision.goal["margin"])
    named = [(name, name) for name in new if name in old]
    picks = summary_of(before.decision).pick, summary_of(after.decision).pick
    if picks[0] in old and picks[1] in new and picks not in named:
        named.insert(0, picks)
    paired, missing = shifts(common, named)
    changes = differences(before.store, before.decision, after.store, after.decision)
    return Versus(
        choose=version("choose-llm"),
        before=summary_of(before.decision),
        after=summary_of(after.decision),
        verdict_changed=not same_verdict(before.decision, after.decision),
        why=tuple(causes(before.decision, after.decision, paired)),
        rows=rows,
        shifts=paired,
        not_compared=missing,
        changes=changes,
        labels_new=_difference(second.task.labels, first.task.labels),
        labels_gone=_difference(first.task.labels, second.task.labels),
        candidates_new=_difference(new, old),
        candidates_gone=_difference(old, new),
        margin=margin,
        metric=metric_of(after.decision),
    )


def _common_scores(
    before: JudgedStore, after: JudgedStore, pairs: Sequence[tuple[str, str]]
) -> Meeting:
    """Score both studies on their common rows, by the metric of the later one."""
    metric = rule_of(after.store.study, after.store.dataset.task).metric
    one, two = (study_scores(evidence_of(side.store), metric) for side in (before, after))
    return Meeting(
        one,
        two,
        np.array([one.rows.index[a] for a, _ in pairs], dtype=np.int64),
        np.array([two.rows.index[b] for _, b in pairs], dtype=np.int64),
    )


def summary_of(decision: Decision) -> Side:
    verdict = decision.verdict
    return Side(
        name=decision.dataset.name,
        fingerprint=decision.dataset.fingerprint,
        kind=verdict.kind,
        recommended=verdict.recommended,
        use_meanwhile=verdict.use_meanwhile,
        chance=decision.chance,
        headline=headline(decision),
        answer=answer(decision),
    )


def match_rows(first: Dataset, second: Dataset) -> tuple[CommonRows, list[tuple[str, str]]]:
    """Count the test rows of both studies, and pair the ids of the common ones.

    Rows meet where text and label are the same, by id or, where ids moved, by a text that occurs
    once in either study.
    """
    old, new = _contents(first), _contents(second)
    pairs = [(id, id) for id in old if old[id] == new.get(id)]
    met = {id for id, _ in pairs}
    alone, other = _once(old, met), _once(new, met)
    pairs += [(id, other[content]) for content, id in alone.items() if content in other]
    matched = {id for pair in pairs for id in pair}
    changed = sum(id in new and id not in matched for id in old)
    return CommonRows(before=len(old), after=len(new), common=len(pairs), changed=changed), pairs


def _contents(dataset: Dataset) -> dict[str, str]:
    """Return digests of the test rows by id; rows without a text are alike by id alone."""
    rows = [(id, dataset.examples[id]) for id in dataset.asked]
    return {id: digest([row.input if row.text else id, row.target]) for id, row in rows}


def _once(contents: Mapping[str, str], met: set[str]) -> dict[str, str]:
    counts = Counter(contents.values())
    return {c: id for id, c in contents.items() if counts[c] == 1 and id not in met}


def _difference(these: Iterable[str], those: Iterable[str]) -> tuple[str, ...]:
    known = set(those)
    return tuple(name for name in these if name not in known)


def _too_few(before: JudgedStore, after: JudgedStore, rows: CommonRows) -> str:
    common = f"only {rows.common} rows" if rows.common else "no row"
    changed = f"; {rows.changed} changed under the same id" if rows.changed else ""
    return (
        f"{str(before.store.path)!r} ({rows.before} test rows) and {str(after.store.path)!r} "
        f"({rows.after}) have {common} in common, with the same text and answer{changed}; a "
        f"comparison needs {MIN_COMMON_ROWS}. Name two studies of the same test rows, or report "
        "each alone."
    )
