"""Fine-tuning without documents is left out where it cannot win, and the reason is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from choose.corpus import AMONG_OTHERS, GOLD, NOTHING, Corpus, Document, Span
from choose.formatting import measured
from choose.run.scheduling.closed_book import ClosedBook, closed_book
from choose.schema.plan import Job
from choose.study.trial_plan import CONTROL_ROWS
from choose.tasks.answering import Answering, with_corpus
from choose.types import STANDARD, Answers, Dataset, Example, Fold, Run, Scenario, Trial


class Tuned:
    family: ClassVar[str] = "fine-tuning"
    learns: ClassVar[bool] = True
    cheap: ClassVar[bool] = False


class TunedReader(Tuned):
    reads: ClassVar[bool] = True


class Reader(Tuned):
    family: ClassVar[str] = "retrieval"
    reads: ClassVar[bool] = True


class Linear(Reader):
    family: ClassVar[str] = "baseline"


class Prompted(Tuned):
    family: ClassVar[str] = "prompting"


CLASSES: Mapping[str, Any] = {
    "lora": Tuned,
    "lora-rag": TunedReader,
    "rag": Reader,
    "reader": Linear,
    "prompt": Prompted,
}


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


def answered(data: Dataset, strategy: str, **means: float) -> Run:
    """Return a run with these mean scores by view, those of the same rows drawn anew."""
    ids = tuple(data.examples)
    views = {("clean" if view == "clean" else NAMES[view], 0): mean for view, mean in means.items()}
    answers = Answers(outputs=ids, status=("ok",) * len(ids))
    rng = np.random.default_rng(0)
    return Run(
        trial=trial(strategy),
        answers=dict.fromkeys(views, answers),
        asked=dict.fromkeys(views, ids),
        scores={
            view: {"token-f1": (rng.random(len(ids)) < mean).astype(np.float64)}
            for view, mean in views.items()
        },
    )


NAMES = {"without": NOTHING, "gold": GOLD, "among": AMONG_OTHERS}


def controls(data: Dataset, without: float, gold: float, strategy: str = "rag") -> Run:
    return answered(data, strategy, without=without, gold=gold)


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
    why = found.left_out(Job(trial("lora")))
    assert why is not None
    assert (why.candidate, why.reason) == ("lora", "closed-book")
    assert why.text.startswith("left out, since it reads no passage: 0 % of the answers occur in")
    assert "the right passage gains 4" in why.text
    assert found.left_out(Job(trial("lora-rag"))) is None
    assert found.left_out(Job(trial("rag"))) is None


@pytest.mark.parametrize(
    ("answers", "without", "gold", "why"),
    [
        ([f"answer {n // 2 % 20}" for n in range(200)], 0.05, 0.5, "answers repeat"),
        (UNLIKE, 0.3, 0.3, "passages add nothing"),
        (UNLIKE[:10], 0.0, 1.0, "too few rows"),
    ],
)
def test_it_runs_where_it_may_win(
    answers: list[str], without: float, gold: float, why: str
) -> None:
    data = dataset(answers)
    assert rule(data, controls(data, without, gold)).left_out(Job(trial("lora"))) is None, why


def test_the_controls_of_one_fold_suffice() -> None:
    """Of five folds the first asks 20 rows, of which those without an answer have no evidence.

    With more needed, nothing was said, and nothing left out, before the first adapter was trained.
    """
    data = dataset(UNLIKE)
    rag = answered(data, "rag", clean=0.1, without=0.0, gold=0.8, among=0.8)
    few = CONTROL_ROWS // 5 * 3 // 4
    rag = replace(
        rag,
        asked={view: ids[:few] for view, ids in rag.asked.items()},
        scores={
            view: {name: values[:few] for name, values in by.items()}
            for view, by in rag.scores.items()
        },
    )
    assert few == 15
    found = rule(data, rag)
    why = found.left_out(Job(trial("lora")))
    assert why is not None
    assert "the right passage gains" in why.text
    [sentence] = found.bounds(Job(trial("lora-rag")))
    assert sentence.startswith("Before fine-tuning: on 15 rows rag scores ")


def test_only_prompted_candidates_tell_what_is_known() -> None:
    data = dataset(UNLIKE)
    found = rule(data, controls(data, 0.05, 0.5, "lora-rag"))
    assert found.left_out(Job(trial("lora"))) is None
    failed = replace(controls(data, 0.05, 0.5), error="it failed")
    assert rule(data, failed).left_out(Job(trial("lora"))) is None


def test_tasks_without_documents_have_no_such_rule() -> None:
    assert closed_book(replace(dataset(UNLIKE), task=Answering()), 0.02) is None


# One answer in twenty occurs in other rows, as in xquad_en by article: more than the margin.
SOME = [f"answer {0 if n < 10 else n}" for n in range(200)]


def test_it_is_left_out_where_a_reader_is_further_ahead_than_memorising() -> None:
    data = dataset(SOME)
    prompt, reader = (
        answered(data, name, clean=mean) for name, mean in (("prompt", 0.05), ("reader", 0.4))
    )
    why = rule(data, prompt, reader, margin=0.02).left_out(Job(trial("lora")))
    assert why is not None
    assert why.text.startswith("left out, since it reads no passage: 5 % of the answers occur in")
    assert "about 8" in why.text  # 5 % and its upper bound, of what is not known already
    assert "where reader is 29 points" in why.text
    assert "ahead of what is known without one" in why.text


@pytest.mark.parametrize(
    ("prompt", "reader", "why"),
    [
        (0.05, 0.12, "the lead is no more than what memorising may bring"),
        (0.40, 0.42, "it is known without passages"),
    ],
)
def test_it_runs_where_no_reader_is_far_ahead(prompt: float, reader: float, why: str) -> None:
    data = dataset(SOME)
    runs = answered(data, "prompt", clean=prompt), answered(data, "reader", clean=reader)
    assert rule(data, *runs, margin=0.02).left_out(Job(trial("lora"))) is None, why
    # Nor without any candidate that tells what is known without passages.
    assert rule(data, runs[1], margin=0.02).left_out(Job(trial("lora"))) is None


def test_a_first_part_of_the_rows_does_not_say_what_is_known() -> None:
    data = dataset(SOME)
    runs = answered(data, "prompt", clean=0.05), answered(data, "reader", clean=0.4)
    few = answered(data, "prompt", clean=0.9)
    few = replace(
        few,
        trial=replace(few.trial, candidate="few"),
        asked={view: ids[:25] for view, ids in few.asked.items()},
        scores={
            view: {name: values[:25] for name, values in by.items()}
            for view, by in few.scores.items()
        },
    )
    assert rule(data, *runs, few, margin=0.02).left_out(Job(trial("lora")))


def test_answers_of_fits_with_errors_in_their_labels_do_not_count() -> None:
    data = dataset(SOME)
    noisy = answered(data, "reader", clean=0.4)
    scenario = Scenario(kind="noise", noise="symmetric", rate=0.2)
    noisy = replace(noisy, trial=replace(noisy.trial, scenario=scenario))
    runs = answered(data, "prompt", clean=0.05), noisy
    assert rule(data, *runs, margin=0.02).left_out(Job(trial("lora"))) is None


def test_what_can_be_gained_is_said_once_before_the_first_fit() -> None:
    data = dataset(SOME)
    rag = answered(data, "rag", clean=0.2, without=0.0, gold=0.5, among=0.5)
    found = rule(data, rag)
    assert found.bounds(Job(trial("prompt"))) == ()
    [sentence] = found.bounds(Job(trial("lora-rag")))
    scores = [run["token-f1"].mean() for view, run in rag.scores.items()]
    retrieved, _, _, among = scores
    assert f"on 200 rows rag scores {retrieved:.0%}".replace("%", " %") in sentence
    assert f"retrieval can bring {measured(among - retrieved)} (+" in sentence
    # What was retrieved is not known here, so that it may hold all of the evidence.
    assert f"a better reader of what is found {measured(1 - retrieved)} (+" in sentence
    assert sentence.endswith("memorised answers about 9.0 points.")
    assert found.bounds(Job(trial("lora"))) == ()
    reader = answered(data, "reader", clean=0.4, without=0.0, gold=0.5, among=0.5)
    [sentence] = rule(data, reader).bounds(Job(trial("lora-rag")))
    assert "on 200 rows reader scores" in sentence
    [sentence] = rule(data, reader, rag).bounds(Job(trial("lora-rag")))
    assert "on 200 rows rag scores" in sentence
    assert rule(data, answered(data, "rag", clean=0.2)).bounds(Job(trial("lora"))) == ()


def test_a_better_reader_gains_only_where_the_evidence_was_found() -> None:
    data = dataset(SOME)
    rag = answered(data, "rag", clean=0.2, without=0.0, gold=0.5, among=0.5)
    ids = rag.asked["clean", 0]
    shown = tuple((f"{id}:0-12",) if n % 4 == 0 else ("q199:0-12",) for n, id in enumerate(ids))
    answers = {**rag.answers, ("clean", 0): replace(rag.answers["clean", 0], evidence=shown)}
    [sentence] = rule(data, replace(rag, answers=answers)).bounds(Job(trial("lora-rag")))
    found = rag.scores["clean", 0]["token-f1"]
    hits = np.array([n % 4 == 0 or n == 199 for n in range(len(ids))])
    gain = measured(float(np.mean((1 - found) * hits)))
    assert f"a better reader of what is found {gain} (+" in sentence
