"""The audit of a labelled set: read, look, put in words."""

from __future__ import annotations

from importlib.metadata import version
from time import perf_counter

from choose.check.issues import issues_of
from choose.check.lines import lines_of
from choose.check.looked import Looked
from choose.check.record import Check
from choose.check.steps import steps_of
from choose.data.conflicts import counted
from choose.data.load import divided, read_rows
from choose.data.personal import hints_of
from choose.judge.reach import USUAL, Reach
from choose.judge.rule import USUAL_MARGIN
from choose.judge.words import plural, points
from choose.study.study import Study


def check_set(study: Study) -> tuple[Check, dict[str, str]]:
    """Audit a study's labelled set; also return the texts by row, which the record has not.

    Raises:
        DataError: if the rows cannot be read, used or divided.
    """
    start = perf_counter()
    rows = read_rows(study.data)
    looked = Looked(rows, divided(rows, study.data, study.task), study.goal.margin or USUAL_MARGIN)
    record = _record(looked, start)
    return record, {e.id: e.text for e in looked.all}


def _record(looked: Looked, start: float) -> Check:
    dataset, (within, across) = looked.dataset, looked.repeats
    read = len(looked.rows.pool) + len(looked.rows.test or ())
    steps = steps_of(looked)
    return Check(
        choose=version("choose-llm"),
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        rows=len(looked.all),
        left_out=read - len(looked.all),
        test_rows=len(dataset.asked),
        division=dataset.division,
        headline=_headline(looked.reach, len(steps)),
        first=steps,
        lines=lines_of(looked),
        reach=looked.reach,
        balance=looked.balance,
        within=within,
        across=across,
        conflicts=counted(looked.torn),
        audit=looked.audit,
        lengths=looked.lengths,
        languages=looked.languages,
        tokens=looked.tokens,
        drift=looked.drift,
        personal=hints_of(looked.personal),
        findings=dataset.findings,
        issues=issues_of(looked),
        seconds=perf_counter() - start,
    )


def _headline(reach: Reach, steps: int) -> str:
    first = f"; {plural(steps, 'thing')} to do first" if steps else "; nothing has to be done first"
    if reach.usual is None:
        return f"These rows are too few to compare anything{first}."
    if reach.usual <= reach.margin:
        return (
            f"Large enough: these rows can show the gain that matters, {points(reach.margin)}"
            f"{first}."
        )
    return (
        f"These rows can show a gain of {points(reach.usual)} or more, where "
        f"{points(reach.margin)} would matter, if two candidates differ on {USUAL:.0%} of "
        f"rows{first}."
    )
