"""Fine-tuning without documents is left out where it cannot win, and the reason is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from choose.corpus import GOLD, NOTHING, Corpus, Document, Span
from choose.run.scheduling.closed_book import ClosedBook, closed_book
from choose.schema.plan import Job
from choose.tasks.answering import Answering, with_corpus
from choose.types import STANDARD, Answers, Dataset, Example, Fold, Run, Trial


class Tuned:
    family: ClassVar[str] = "fine-tuning"
    learns: ClassVar[bool] = True
    cheap: ClassVar[bool] = False


class TunedReader(Tuned):
    reads: ClassVar[bool] = True


class Reader(Tuned):
    family: ClassVar[str] = "retrieval"
    reads: ClassVar[bool] = True


CLASSES: Mapping[str, Any] = {"lora": Tuned, "lora-rag": TunedReader, "rag": Reader}


@pytest.fixture(autouse=True)
def _strategies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("choose.run.scheduling.closed_book.find", CLASSES.__getitem__)


def dataset(answers: Sequence[str]) -> Dataset:
    """Return questions with these answers, a document each, in two folds."""
    ids = [f"q{n:02}" for n in range(len(answers))]
    documents = tuple(
        Document(id=id, text=f"It is {a}.") for id, a in zip(ids, answers, strict=True)
    )
    rows = {
        id: Example(id=id, text=f"What is {id}?", target=a, evidence=(Span(id, 0, 9),))
        for id, a in zip(ids, answers, strict=True)
    }
    halves = ids[::2], ids[1::2]
    return Dataset(
        name="d",
        task=with_corpus(Answering(), Corpus(documents)),
        examples=rows,
        folds=tuple(Fold(pool=tuple(a), questions=tuple(b)) for a, b in (halves, halves[::-1])),
        division="cross-fit",
    )


def trial(strategy: str) -> Trial:
    return Trial(
        candidate=strategy,
        strategy=strategy,
        revision=1,
        params={},
        variant="",
        scenario=STANDARD,
        fold=0,
        draw=0,
        train_size=9,
        seed=0,
        weights="",
        task="",
        pool="",
        questions="",
    )


def controls(data: Dataset, without: float, gold: float, strategy: str = "rag") -> Run:
    ids = tuple(data.examples)
    answers = Answers(outputs=ids, status=("ok",) * len(ids))
    rng = np.random.default_rng(0)
    return Run(
        trial=trial(strategy),
        answers={(view, 0): answers for view in (NOTHING, GOLD)},
        asked={(view, 0): ids for view in (NOTHING, GOLD)},
        scores={
            (view, 0): {"token-f1": (rng.random(len(ids)) < mean).astype(np.float64)}
            for view, mean in ((NOTHING, without), (GOLD, gold))
        },
    )


UNLIKE = [f"answer {n}" for n in range(200)]


def rule(data: Dataset, *runs: Run, margin: float = 0.03) -> ClosedBook:
    found = closed_book(data, margin)
    assert found is not None
    for run in runs:
        found.add(run)
    return found


def test_it_is_left_out_where_no_answer_repeats_and_passages_help() -> None:
    data = dataset(UNLIKE)
    found = rule(data, controls(data, 0.05, 0.5))
    [(name, reason)] = found.left_out(Job(trial("lora"))).items()
    assert name == "lora"
    assert reason.startswith("left out, since it reads no passage: 0 % of the answers occur in")
    assert "the right passage gains 4" in reason
    assert found.left_out(Job(trial("lora-rag"))) == {}
    assert found.left_out(Job(trial("rag"))) == {}


@pytest.mark.parametrize(
    ("answers", "without", "gold", "why"),
    [
        ([f"answer {n // 2 % 20}" for n in range(200)], 0.05, 0.5, "answers repeat"),
        (UNLIKE, 0.3, 0.3, "passages add nothing"),
        (UNLIKE[:12], 0.0, 1.0, "too few rows"),
    ],
)
def test_it_runs_where_it_may_win(
    answers: list[str], without: float, gold: float, why: str
) -> None:
    data = dataset(answers)
    assert rule(data, controls(data, without, gold)).left_out(Job(trial("lora"))) == {}, why


def test_only_prompted_candidates_tell_what_is_known() -> None:
    data = dataset(UNLIKE)
    found = rule(data, controls(data, 0.05, 0.5, "lora-rag"))
    assert found.left_out(Job(trial("lora"))) == {}
    failed = replace(controls(data, 0.05, 0.5), error="it failed")
    assert rule(data, failed).left_out(Job(trial("lora"))) == {}


def test_tasks_without_documents_have_no_such_rule() -> None:
    assert closed_book(replace(dataset(UNLIKE), task=Answering()), 0.02) is None
