"""The plan: rounds that double what is learned from and answered, then other conditions."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from choose.conformance import pool
from choose.corpus import CONDITIONS, Corpus, Document, Span
from choose.data.scenarios import Pools, SplitSpec
from choose.data.splits import build_dataset
from choose.run.predict_test_rows import asking_order
from choose.schema.plan import COMPARISON, REPETITIONS, Job, Round
from choose.strategy import available, find
from choose.study.config import Grid, Study
from choose.study.rounds import CONTROLS, DRIFT, DRILLS, LATER, NOISE, VIEWS, Planner, members_first
from choose.tasks.answering import Answering, with_corpus
from choose.tasks.document_drill import drill_of
from choose.types import STANDARD, Candidate, Dataset, Example, Fold
from support import fake_strategies as fakes
from support.studies import dataset


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch)


def candidates(*names: str) -> list[Candidate]:
    return [Candidate(name=name, strategy=name) for name in names]


def rounds(data: Dataset, *names: str, **grid: object) -> list[Round]:
    return Planner(Study(grid=Grid.model_validate(grid)), Pools(data)).rounds(candidates(*names))


def compared(found: list[Round]) -> list[Round]:
    return [one for one in found if one.part == COMPARISON]


def held_out(pool_rows: int, test_rows: int) -> Dataset:
    rows = pool(seed=3, rows=pool_rows + test_rows)
    ids = [row.id for row in rows]
    fold = Fold(pool=tuple(ids[test_rows:]), questions=tuple(ids[:test_rows]))
    return replace(build_dataset("words", rows), folds=(fold,), division="held-out")


def test_each_round_doubles_rows_until_both_are_used_up() -> None:
    found = compared(rounds(held_out(1_300, 90), "tfidf"))
    assert [(one.rows, one.ask) for one in found] == [
        (250, 25),
        (500, 50),
        (1_000, 90),
        (1_300, 90),
    ]
    assert [one.number for one in found] == [0, 1, 2, 3]


def test_a_small_pool_is_learned_from_whole_and_further_folds_follow() -> None:
    found = compared(rounds(dataset(rows=300), "tfidf"))
    assert [(one.rows, one.ask) for one in found] == [
        (240, 25),
        (240, 50),
        (240, 100),
        (240, 200),
        (240, 300),
    ]
    assert [[(j.trial.fold, j.ask) for j in one.jobs] for one in found[1:4]] == [
        [(0, 50)],
        [(0, 60), (1, 40)],
        [(0, 60), (1, 60), (2, 60), (3, 20)],
    ]


def test_pools_and_test_rows_are_nested_and_the_same_for_all() -> None:
    data = held_out(1_300, 90)
    pools = Pools(data)
    seen: dict[int, list[str]] = {}
    for one in compared(rounds(data, "tfidf", "majority", "steady")):
        ids = {tuple(row.id for row in pools.of(job.trial).pool) for job in one.jobs}
        assert len({job.ask for job in one.jobs}) == 1
        seen[one.rows] = list(*ids)
    for small, large in pairwise(sorted(seen)):
        assert set(seen[small]) < set(seen[large])


def test_the_first_pool_holds_every_one_of_many_labels_by_its_frequency() -> None:
    """77 labels, one of them half of the rows, the last of a single row."""
    labels = [0] * 700 + [1 + n % 75 for n in range(699)] + [76]
    rows = [Example(id=f"r{n}", text=f"text {n}", target=f"l{k}") for n, k in enumerate(labels)]
    fold = Fold(pool=tuple(r.id for r in rows), questions=())
    data = replace(build_dataset("many", rows), folds=(fold,), division="held-out")
    drawn = Pools(data).at(SplitSpec(0, 0, 250, STANDARD)).pool
    counts = Counter(row.target for row in drawn)
    assert len(drawn) == 250
    assert len(counts) == 77
    assert 120 <= counts["l0"] <= 130


def test_what_learns_nothing_has_one_trial_a_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes.Sluggish, "learns", False)
    found = compared(rounds(held_out(1_300, 90), "sluggish", "steady"))
    keys = {
        name: {j.trial.key for one in found for j in one.jobs if j.trial.candidate == name}
        for name in ("sluggish", "steady")
    }
    assert (len(keys["sluggish"]), len(keys["steady"])) == (1, 4)


def test_the_first_test_rows_are_of_different_clusters() -> None:
    data = held_out(300, 98)
    big = dict.fromkeys(data.folds[0].questions[:86], "big")
    order = asking_order(data.folds[0].questions, replace(data, clusters=big))
    assert sum(id in big for id in order[:13]) == 1
    assert sorted(order) == sorted(data.folds[0].questions)


def test_every_family_comes_before_the_second_member_of_any() -> None:
    names = ["tfidf", "majority", "few-shot", "prompt", "lora", "setfit", "retrieval"]
    order = [one.name for one in members_first(candidates(*names))]
    assert set(order[:2]) == {"tfidf", "majority"}
    assert order[2:] == ["prompt", "retrieval", "lora", "few-shot", "setfit"]


def test_other_conditions_follow_in_rounds_of_their_own() -> None:
    found = rounds(dataset(rows=300), "tfidf", "steady")
    later = [one for one in found if one.part != COMPARISON]
    parts = [one.part for one in later]
    assert parts[:-1] == sorted(parts[:-1], key=LATER.index)
    assert [n for n, part in enumerate(parts) if part == REPETITIONS] == [0, len(parts) - 1]
    assert found[: len(compared(found))] == compared(found)
    who = {one.part: {j.trial.candidate for j in one.jobs} for one in later}
    assert who[VIEWS] == who[NOISE] == {"tfidf"}
    assert who[REPETITIONS] == {"steady"}


def test_slow_candidates_take_part_in_conditions_that_the_study_names() -> None:
    stated = {"noise": (0.0, 0.2), "views": ("typos",)}
    found = rounds(dataset(rows=300), "tfidf", "steady", **stated)
    who = {one.part: {j.trial.candidate for j in one.jobs} for one in found}
    assert who[VIEWS] == who[NOISE] == {"tfidf", "steady"}


def test_a_study_of_some_rounds_has_nothing_else() -> None:
    found = rounds(dataset(rows=300), "tfidf", "steady", rounds=2)
    assert [one.part for one in found] == [COMPARISON] * 2


@pytest.mark.parametrize("name", [name for name in available() if not find(name).learns])
def test_what_learns_nothing_is_never_fitted_on_other_rows(name: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    dated = [
        replace(e, timestamp=start + timedelta(days=n))
        for n, e in enumerate(dataset(rows=520).examples.values())
    ]
    planner = Planner(Study(grid=Grid(scenarios=("time",))), Pools(build_dataset("dated", dated)))
    points = [*planner._points(Candidate(name=name, strategy=name, params={"model": "m"}))]
    assert (DRIFT in {p.part for p in points}) is not getattr(find(name), "constant", False)
    assert not {p.part for p in points} & {NOISE, REPETITIONS}
    assert not any(p.scenario.learns_from == "any" for p in points)
    assert all(p.scenario.examples == 0 for p in points if p.scenario.kind == "new-class")


def test_what_reads_documents_has_controls_and_documents_that_change() -> None:
    names = ("Ann", "Bo", "Cy", "Di", "Eve", "Flo", "Gus", "Hal")
    documents = tuple(Document(id=n, text=f"The boss is {n}. It is old.") for n in names)
    rows = {
        n: Example(id=n, text="Who?", target=n, evidence=(Span(n, 12, 12 + len(n)),)) for n in names
    }
    data = Dataset(
        name="d",
        task=with_corpus(Answering(), Corpus(documents)),
        examples=rows,
        folds=(Fold(pool=names[:4], questions=names[4:]),),
        division="held-out",
    )
    drill = drill_of(data)
    found = rounds(data, "sentence", "rag", "lora-rag", "nearest", "lora", "prompt")
    who: dict[str, list[Job]] = {one.part: list(one.jobs) for one in found}

    def names_in(part: str) -> set[str]:
        return {job.trial.candidate for job in who[part]}

    assert names_in(CONTROLS) == names_in(DRILLS) == {"sentence", "rag", "lora-rag"}
    assert {job.views for job in who[CONTROLS]} == {CONDITIONS}
    assert {job.views for job in who[DRILLS]} == {(drill.view,)}
