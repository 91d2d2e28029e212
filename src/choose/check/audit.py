"""Audit a labelled set: read it and compute the facts; `report/check_words` says them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from time import perf_counter
from typing import Any

from choose.check.lines import lines_of
from choose.check.measurements import Facts, sample_of
from choose.check.steps import issues_of, steps_of
from choose.data.dataset import Rows, Tables, dataset_from, read_rows
from choose.data.duplicates import count_conflicts
from choose.data.personal_data import hints_of
from choose.formatting import plural
from choose.judge.goal import margin_or_usual
from choose.schema.check import Check
from choose.schema.diagnosis import Audit
from choose.study.config import Study
from choose.types import Dataset

# Rows of the labelled set that are read; of more, a random sample is checked.
MOST_ROWS = 200_000


def check_set(
    study: Study,
    tables: Tables | None = None,
    audits: Callable[[Dataset], tuple[str, Audit] | None] | None = None,
) -> tuple[Check, dict[str, str]]:
    """Audit a study's labelled set; also return the text of each row, which the record omits.

    `tables` replace the files of the study. `audits` finds a finished study of the rows
    and its audit of the labels.

    Raises:
        DataError: if the rows cannot be read, used or split.
    """
    start = perf_counter()
    rows = _sampled(read_rows(study.data, tables, study.task.kind))
    dataset = dataset_from(rows, study.data, study.task, study.goal.metric)
    facts = Facts(
        rows,
        dataset,
        margin_or_usual(study.goal.margin),
        study.goal.metric,
        compare_command(study),
        audits(dataset) if audits else None,
    )
    return _record(facts, start), {e.id: e.text for e in facts.all}


def _sampled(rows: Rows) -> Rows:
    """Return rows, or where there are more a sample of `MOST_ROWS` of the pool, and say so."""
    if len(rows.pool) <= MOST_ROWS:
        return rows
    pool = list(sample_of(rows.pool, MOST_ROWS))
    said = f"Checked: a random sample of {MOST_ROWS:,} of {plural(len(rows.pool), 'row')}."
    return replace(rows, pool=pool, notes=(said, *rows.notes))


def compare_command(study: Study) -> str:
    """Return the command that compares on the rows of a study, with the columns it names."""
    data, usual = study.data, Study().data
    words = ["choose", "compare", str(data.path) if data.path is not None else "DATA"]
    columns = ("text_column", "label_column", "evidence_column")
    for flag in ("test", *columns, "documents"):
        value = getattr(data, flag)
        if value is not None and value != getattr(usual, flag):
            words += [f"--{flag.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _record(facts: Facts, start: float) -> Check:
    dataset, (within, across) = facts.dataset, facts.duplicate_counts
    labelled = bool(dataset.task.labels)
    own = _of_labels(facts) if labelled else {"joined": facts.targets.joined}
    return Check(
        choose=version("choose-llm"),
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        rows=len(facts.all),
        left_out=len(facts.rows.pool) + len(facts.rows.test or ()) - len(facts.all),
        kind=dataset.task.kind,
        test_rows=len(dataset.asked),
        division=dataset.division,
        compare=facts.target,
        first=steps_of(facts),
        lines=tuple(lines_of(facts)),
        reach=facts.reach,
        test_file=None if facts.test is None else len(facts.test),
        grouped=facts.grouped,
        within=within,
        across=across,
        broken_chain=facts.broken_chain,
        dated=sum(e.timestamp is not None for e in facts.all),
        group=facts.group,
        notes=facts.rows.notes,
        dropped=facts.dropped,
        targets=None if labelled else facts.targets.facts,
        lengths=facts.lengths,
        languages=facts.languages,
        drift=facts.drift,
        personal=hints_of(facts.personal),
        findings=dataset.findings,
        issues=issues_of(facts),
        seconds=perf_counter() - start,
        **own,
    )


def _of_labels(facts: Facts) -> dict[str, Any]:
    """Return the fields of the record that are about labels alone."""
    hidden = facts.hidden
    return {
        "balance": facts.balance,
        "conflicts": count_conflicts(facts.conflicts),
        "alike": facts.alike,
        "joined": facts.joined,
        "dominant": facts.dominant,
        "hidden": hidden,
        "rarest": facts.found_labels.get(hidden[0].label) if hidden else None,
        "unseen": facts.unseen,
        "order_of_rows": facts.order_of_rows,
        "audit": facts.audit,
        "audited_in": facts.study[0] if facts.study else None,
        "sampled": facts.is_sampled,
    }
