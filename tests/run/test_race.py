"""The race: its bound holds its level where rows hang together, and failures put nobody out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from choose.corpus import GOLD, NOTHING, Corpus, Document, Span
from choose.run.scheduling.race import ClosedBook, Race, closed_book, upper_bound
from choose.schema.plan import Job
from choose.tasks.answering import Answering, with_corpus
from choose.types import Answers, Dataset, Example, Fold, Run, Trial
from support.trials import plain_trial

MARGIN = 0.02

DESIGNS = {
    "independent rows": np.ones(300, dtype=int),
    "5 a cluster": np.full(60, 5),
    "10 a cluster": np.full(30, 10),
    "few clusters": np.full(20, 5),
    "unequal clusters": np.repeat([40, 30, 20, 10, 5, 2, 1], [1, 1, 2, 6, 12, 20, 40]),
}


def gains(
    rng: np.random.Generator, sizes: npt.NDArray[np.int_], together: bool, ahead: float
) -> npt.NDArray[np.int_]:
    """Draw (rows,) differences of a candidate that is `ahead`, equal within clusters or not."""
    chances = [(0.4 - ahead) / 2, 0.6, (0.4 + ahead) / 2]
    drawn = rng.choice([-1, 0, 1], len(sizes) if together else sizes.sum(), p=chances)
    return np.repeat(drawn, sizes) if together else drawn


@pytest.mark.parametrize("together", [False, True], ids=["apart", "perfectly equal"])
@pytest.mark.parametrize("sizes", DESIGNS.values(), ids=list(DESIGNS))
def test_the_bound_holds_its_level(sizes: npt.NDArray[np.int_], together: bool) -> None:
    rng, studies = np.random.default_rng(11), 1000
    names = np.repeat(np.arange(len(sizes)), sizes).astype(str).tolist()
    # As bad as one may be who must not be dropped: exactly the margin behind.
    wrong = sum(
        upper_bound(gains(rng, sizes, together, -MARGIN).tolist(), names) < -MARGIN
        for _ in range(studies)
    )
    assert wrong <= 5  # one is expected; more than five come once in 1,700 such tests


def test_the_bound_of_independent_rows_is_bonett_and_prices() -> None:
    drops = [-1] * 60 + [1] * 20 + [0] * 120
    p, q, rows = 21 / 202, 61 / 202, 202
    spread = ((p + q - (p - q) ** 2) / rows) ** 0.5
    bound = upper_bound(drops, [str(i) for i in range(200)])
    assert bound == pytest.approx(p - q + 3.1317 * spread, abs=1e-5)  # t with 199 degrees


def test_clustered_rows_widen_the_bound() -> None:
    drops = ([-1] * 5 + [0] * 5) * 30
    apart = upper_bound(drops, [str(i) for i in range(300)])
    fives = upper_bound(drops, [str(i // 5) for i in range(300)])
    assert apart < -0.4 < fives < -0.1
    assert upper_bound(drops, [str(i // 30) for i in range(300)]) == 1.0


IDS = [str(i) for i in range(300)]


def race(right: Mapping[str, float], clusters: Mapping[str, str] | None = None) -> Race:
    """Return a race of candidates who are right on a first share of the rows."""
    found = Race(dict.fromkeys(IDS, "x"), MARGIN, clusters or {})
    for name, share in right.items():
        found.add(run(name, share))
    return found


def run(name: str, share: float | None) -> Run:
    trial = plain_trial(name, train_size=0)
    if share is None:
        return Run(trial=trial, error="it broke")
    outputs = ["x" if i < share * len(IDS) else "y" for i in range(len(IDS))]
    answers = Answers(outputs=tuple(outputs), status=("ok",) * len(IDS))
    return Run(trial=trial, answers={("clean", 0): answers}, asked={("clean", 0): tuple(IDS)})


def test_a_race_uses_the_clusters_of_rows() -> None:
    right = {"good": 0.8, "behind": 0.6}
    assert race(right).drops("behind")
    assert race(right, {id: str(int(id) // 5) for id in IDS}).drops("behind")
    assert not race(right, {id: str(int(id) // 30) for id in IDS}).drops("behind")


def test_candidates_dropped_only_by_a_failed_rival_rejoin() -> None:
    found = race({"best": 0.9, "good": 0.7, "poor": 0.3})
    assert found.drops("good")
    assert found.drops("poor")
    assert found.add(run("best", None)) == ("good",)
    assert set(found.dropped) == {"poor"}
    assert "points behind good" in found.dropped["poor"]
    assert not found.drops("good")


def test_a_failed_candidate_drops_no_rival_later() -> None:
    found = race({"good": 0.7})
    found.add(run("best", None))
    found.add(run("best", 0.9))
    assert not found.drops("good")
    found.add(run("better", 0.9))
    assert found.drops("good")


def test_a_candidate_that_failed_can_still_be_dropped() -> None:
    found = race({"good": 0.9, "poor": 0.3})
    found.add(run("poor", None))
    assert found.drops("poor")


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
    monkeypatch.setattr("choose.run.scheduling.race.find", CLASSES.__getitem__)


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
    return plain_trial(strategy, train_size=9)


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
