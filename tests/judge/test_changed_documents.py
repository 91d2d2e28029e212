"""What is answered after documents changed."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from choose.corpus import Corpus, Span
from choose.judge.diagnosis.documents import document_drill, on_common_rows
from choose.judge.evidence import CandidateInfo, Evidence, Items
from choose.judge.scores.score_tables import study_scores
from choose.report.words import after_changes
from choose.schema.diagnosis import DocumentDrill, DrillOutcome
from choose.stats.intervals import AGRESTI_COULL, two_way_interval
from choose.tasks.answering import Answering
from choose.tasks.document_drill import Drill
from choose.tasks.scoring import scores_of
from choose.types import Answers, Example, Run
from support.answered_studies import laid_out
from support.studies import plain_trial

IDS = tuple(f"q{n}" for n in range(12))
OLD = {id: f"{10 + n} days" for n, id in enumerate(IDS)}
NEW = {id: f"{50 + n} days" for n, id in enumerate(IDS)}
DRILL = Drill(corpus=Corpus(()), facts=9, targets=NEW)


def answers(outputs: Sequence[str | None]) -> Answers:
    status = tuple("ok" if output is not None else "empty" for output in outputs)
    return Answers(outputs=tuple(outputs), status=status)


def run(name, views, draw=0):
    trial = plain_trial(name, draw)
    given = {(view, 0): answers(outputs) for view, outputs in views.items()}
    rows = [Example(id=id, text=id, target=OLD[id]) for id in IDS]
    clean = given["clean", 0]
    return Run(
        trial=trial,
        answers=given,
        asked={view: IDS[: len(found)] for view, found in given.items()},
        scores={("clean", 0): scores_of(Answering(), clean, rows[: len(clean)])},
        fit_seconds=60.0 + 30 * draw,
        reread_seconds=0.5 if len(views) > 1 else None,
    )


def evidence(*runs: Run) -> Evidence:
    items = Items(
        ids=IDS,
        targets=tuple(OLD[id] for id in IDS),
        clusters=IDS,
        evidence={id: (Span(f"d{n // 3}", 0, 9),) for n, id in enumerate(IDS)},
    )
    infos = [
        CandidateInfo(
            name=name,
            strategy=name,
            family="retrieval" if name == "rag" else "fine-tuning",
            seeded=True,
            reads=name == "rag",
        )
        for name in dict.fromkeys(run.trial.candidate for run in runs)
    ]
    return laid_out(items, infos, runs, task=Answering(), drill=DRILL)


OLDS, NEWS = [*OLD.values()], [*NEW.values()]
BEFORE = [*OLDS[:10], "x", "y"]
# Nine new facts, three of them in other words; one old one; one of both; one of neither.
AFTER = [*NEWS[:6], "It is 56.", "57", f"in {NEWS[8]}", OLDS[9], f"{OLDS[10]} or {NEWS[10]}", None]
RAG = run("rag", {"clean": BEFORE, DRILL.view: AFTER})
LORA = run("lora", {"clean": [*OLDS[:3], *["nothing"] * 9]})


def drilled(*runs: Run) -> DocumentDrill:
    study = evidence(*runs)
    found = document_drill(study, study_scores(study))
    assert found is not None
    return found


def outcome(drill: DocumentDrill, name: str) -> DrillOutcome:
    return next(found for found in drill.outcomes if found.candidate == name)


def test_shares_are_those_counted_by_hand_and_intervals_are_by_documents() -> None:
    found = outcome(drilled(RAG, LORA), "rag")
    assert found.clean.value == pytest.approx(10 / 12)
    # 6 whole; "It is 56." shares one of three words with "56 days", "57" one of one, and so on.
    updated = [1.0] * 6 + [2 / 5, 2 / 3, 4 / 5, 1 / 2, 4 / 7, 0]
    assert found.updated.value == pytest.approx(sum(updated) / 12)
    assert found.stale.value == pytest.approx(1 / 12)
    values = [[float(n == 9)] for n in range(12)]
    expected = two_way_interval(values, [f"d{n // 3}" for n in range(12)], pseudo=AGRESTI_COULL)
    assert found.stale.low == pytest.approx(max(0.0, expected.low))
    assert found.stale.high == expected.high
    assert found.stale.row_set.startswith("12:")


def test_candidates_that_do_not_read_answer_as_before() -> None:
    found = outcome(drilled(RAG, LORA), "lora")
    assert found.clean.value == pytest.approx(3 / 12)
    assert found.stale.value == pytest.approx(3 / 12)
    assert found.updated.value == pytest.approx(3 * 0.5 / 12)  # "days" is in both
    assert after_changes(drilled(RAG, LORA)).endswith("; lora gives it to 25 %.")


def test_all_candidates_are_compared_on_the_rows_that_each_answered() -> None:
    drill = drilled(RAG, run("lora", {"clean": OLDS[:9]}))
    assert (drill.rows, drill.documents) == (9, 3)
    assert len({part.row_set for o in drill.outcomes for part in (o.clean, o.stale)}) == 1
    assert outcome(drill, "rag").clean.value == 1
    # A candidate with too few of the rows takes none from the others.
    drill = drilled(RAG, run("lora", {"clean": OLDS[:5]}))
    assert [o.candidate for o in drill.outcomes] == ["rag"]
    assert drill.rows == 12


def test_candidates_that_ran_out_of_time_take_no_more_than_half_of_the_rows_together() -> None:
    parts = [range(50), range(26), range(5, 31), range(14)]
    every: list[Any] = [SimpleNamespace(rows=frozenset(str(n) for n in part)) for part in parts]
    chosen, common = on_common_rows(every)
    assert (chosen, common) == (every[:2], every[1].rows)


def test_repetitions_without_all_rows_are_left_out() -> None:
    again = run("lora", {"clean": OLDS[:4]}, draw=1)
    found = outcome(drilled(RAG, LORA, again, run("lora", {"clean": OLDS}, draw=2)), "lora")
    assert found.stale.value == pytest.approx((3 / 12 + 1) / 2)


@pytest.mark.parametrize(
    "runs",
    [
        (run("rag", {"clean": BEFORE}), LORA),
        (replace(RAG, answers={("clean", 0): RAG.answers["clean", 0]}), LORA),
        (LORA,),
    ],
)
def test_nothing_is_said_of_what_was_not_asked(runs: tuple[Run, ...]) -> None:
    study = evidence(*runs)
    assert document_drill(study, study_scores(study)) is None
