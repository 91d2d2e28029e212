"""What errors in documents cost: golden values, paired, on the same rows for all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from choose.corpus import FAULTY
from choose.judge.evidence import Evidence, FaultRows
from choose.judge.measures.faulty_documents import document_faults
from choose.judge.scores.score_tables import study_scores
from choose.judge.stats.intervals import two_way_interval
from choose.judge.stats.paired import imaginary
from choose.report.documents_text import drill_tables
from choose.schema.reading import DocumentFault
from support.changed_documents import IDS, NEW, OLD, evidence, run
from support.decisions import decision

VIEW = f"{FAULTY}-abc"
RIGHT, OLDER = list(OLD.values()), list(NEW.values())
OTHER = {id: NEW[id] for id in IDS[:9]}


def study(*runs: object, older: dict[str, str] | None = None) -> Evidence:
    rows = FaultRows(
        fault="older-version",
        rate=0.2,
        view=VIEW,
        ids=IDS,
        documents=3,
        known=4,
        older=OTHER if older is None else older,
    )
    return replace(evidence(*runs), drills=(), faults=(rows,))  # type: ignore[arg-type]


def faults(*runs: object, older: dict[str, str] | None = None) -> tuple[DocumentFault, ...]:
    found = study(*runs, older=older)
    return document_faults(found, study_scores(found))


# Ten right before. After: six right, three older facts, one of both, two as wrong as before.
BEFORE = [*RIGHT[:10], "x", "y"]
AFTER = [*RIGHT[:5], *OLDER[5:8], f"{OLDER[8]} or {RIGHT[8]}", RIGHT[9], "x", "y"]
RAG = run("rag", {"clean": BEFORE, VIEW: AFTER})


def test_changes_are_those_counted_by_hand_and_clustered_by_document() -> None:
    [fault] = faults(RAG, run("lora", {"clean": RIGHT}))
    assert (fault.kind, fault.rate, fault.documents, fault.known) == ("older-version", 0.2, 3, 4)
    assert fault.rows == 12
    [found] = fault.outcomes  # those that do not read are not asked
    assert found.clean.value == pytest.approx(10 / 12)
    # "days" is in both facts; of "58 days or 18 days" two of five words are shared.
    after = [1.0] * 5 + [0.5] * 3 + [4 / 7, 1, 0, 0]
    assert found.faulty.value == pytest.approx(sum(after) / 12)
    changes = np.array(after)[:, None] - np.array([1.0] * 10 + [0, 0])[:, None]
    expected = two_way_interval(
        changes, [f"d{n // 3}" for n in range(12)], pseudo=imaginary(changes)
    )
    assert found.change.value == pytest.approx(expected.value)
    assert (found.change.low, found.change.high) == (
        pytest.approx(expected.low),
        pytest.approx(expected.high),
    )
    assert found.older is not None
    assert (found.older.value, found.older_rows) == (pytest.approx(3 / 9), 9)


def test_the_report_says_how_many_documents_have_the_error() -> None:
    [fault] = faults(RAG)
    for found, odd in ((fault, True), (fault.model_copy(update={"known": 15}), False)):
        shown = decision().model_copy(update={"document_faults": (found,)})
        [table] = drill_tables(shown)
        assert f"an older version beside 3 of {found.known} documents" in table.says
        assert ("could not be had: older version 3 of 4." in table.note) == odd


def test_shares_of_few_rows_are_not_given() -> None:
    [fault] = faults(RAG, older={id: NEW[id] for id in IDS[:7]})
    assert (fault.outcomes[0].older, fault.outcomes[0].older_rows) == (None, 7)


def test_candidates_are_compared_on_the_rows_that_each_answered() -> None:
    short = run("rag2", {"clean": RIGHT, VIEW: AFTER[:9]})
    both = study(RAG, short)
    infos = tuple(replace(info, reads=True) for info in both.candidates)
    found = replace(both, candidates=infos)
    [fault] = document_faults(found, study_scores(found))
    assert fault.rows == 9
    assert {o.clean.row_set for o in fault.outcomes} == {fault.outcomes[0].change.row_set}
    assert [o.candidate for o in fault.outcomes] == ["rag", "rag2"]


def test_nothing_is_said_without_answers_or_with_few() -> None:
    assert faults(run("rag", {"clean": BEFORE})) == ()
    assert faults(run("rag", {"clean": BEFORE, VIEW: AFTER[:7]})) == ()


def test_the_worst_of_several_kinds_of_errors_is_said_to_be_chosen() -> None:
    [one] = faults(RAG)
    more = one.model_copy(update={"kind": "gone", "rows": 9})
    shown = decision().model_copy(update={"document_faults": (one,)})
    [table] = drill_tables(shown)
    assert "kinds" not in table.says
    assert "answers of 12 rows," in table.note
    [table] = drill_tables(shown.model_copy(update={"document_faults": (one, more)}))
    assert table.says.endswith("; of 2 kinds of errors, that is the lowest figure.")
    assert "answers of 9 to 12 rows," in table.note
