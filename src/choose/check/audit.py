"""Audit a labelled set: read it, compute the facts, describe them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from importlib.metadata import version
from time import perf_counter

from choose.check.lines import lines_of
from choose.check.measurements import Facts
from choose.check.what_to_fix import issues_of, steps_of
from choose.data.dataset import Tables, dataset_from, read_rows
from choose.data.duplicates import count_conflicts
from choose.data.personal_data import hints_of
from choose.formatting import plural, points
from choose.judge.goal import USUAL_MARGIN
from choose.schema.check import Check
from choose.schema.diagnosis import Audit
from choose.schema.plan import DetectableGains
from choose.study.config import Study
from choose.types import Dataset


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
    rows = read_rows(study.data, tables, study.task.kind)
    dataset = dataset_from(rows, study.data, study.task, study.goal.metric)
    facts = Facts(
        rows,
        dataset,
        study.goal.margin or USUAL_MARGIN,
        study.goal.metric,
        compare_command(study),
        audits(dataset) if audits else None,
    )
    return _record(facts, start), {e.id: e.text for e in facts.all}


def compare_command(study: Study) -> str:
    """Return the command that compares on the rows of a study, with the columns it names."""
    data, usual = study.data, Study().data
    words = ["choose", "compare", str(data.path) if data.path is not None else "DATA"]
    for flag in ("test", "text_column", "label_column", "documents", "evidence_column"):
        value = getattr(data, flag)
        if value is not None and value != getattr(usual, flag):
            words += [f"--{flag.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _record(facts: Facts, start: float) -> Check:
    dataset, (within, across) = facts.dataset, facts.duplicate_counts
    labelled = bool(dataset.task.labels)
    read = len(facts.rows.pool) + len(facts.rows.test or ())
    steps = steps_of(facts)
    return Check(
        choose=version("choose-llm"),
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        rows=len(facts.all),
        left_out=read - len(facts.all),
        kind=dataset.task.kind,
        test_rows=len(dataset.asked),
        division=dataset.division,
        headline=_headline(facts.reach, sum(step.first for step in steps)),
        first=steps,
        lines=lines_of(facts),
        reach=facts.reach,
        balance=facts.balance if labelled else None,
        within=within,
        across=across,
        conflicts=count_conflicts(facts.conflicts) if labelled else None,
        targets=None if labelled else facts.targets.facts,
        audit=facts.audit if labelled else None,
        audited_in=facts.study[0] if facts.study else None,
        lengths=facts.lengths,
        languages=facts.languages,
        tokens=facts.tokens,
        drift=facts.drift,
        personal=hints_of(facts.personal),
        findings=dataset.findings,
        issues=issues_of(facts),
        seconds=perf_counter() - start,
    )


def _headline(reach: DetectableGains, steps: int) -> str:
    rows = plural(reach.rows, "test row")
    first = f"Fix {plural(steps, 'thing')} first." if steps else "Nothing needs fixing first."
    if reach.usual is None:
        return f"{rows} are too few to compare candidates. {first}"
    margin = points(reach.margin)
    if reach.usual <= reach.margin:
        return f"Large enough: {rows} can detect your margin of {margin}. {first}"
    detects = f"can detect differences of {points(reach.usual)} or more"
    return f"{rows} {detects}; your margin is {margin}. {first}"
