"""The grid: what is identical is run once, what tells most is run first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from choose.corpus import Corpus, Document, Span
from choose.data.scenarios import Pools, SplitSpec, make_split
from choose.data.splits import build_dataset
from choose.errors import StrategyError, StudyError
from choose.schema.plan import VIEW_ROWS
from choose.strategy import available, find
from choose.study.candidates import candidates_of
from choose.study.config import CandidateSection, Grid, Models, Study
from choose.study.grid_points import (
    CONTROLS,
    DRILLS,
    Stage,
    sizes_in_rows,
    stated_parts,
)
from choose.study.study_file import only
from choose.study.trial_plan import Planner
from choose.tasks.answering import Answering, with_corpus
from choose.tasks.exchanged_facts import drill_of
from choose.types import STANDARD, Candidate, Dataset, Example, Fold, Scenario
from support import text_studies
from support.studies import dataset, jobs_of, study


def test_the_baselines_that_keep_others_honest_always_run() -> None:
    field = candidates_of(study("knn"), dataset().task)
    assert [c.name for c in field.candidates] == ["majority", "tfidf", "knn"]


def test_by_default_every_installed_strategy_runs_cheap_ones_first() -> None:
    names = [c.name for c in candidates_of(Study(), dataset().task).candidates]
    assert names[:2] == ["majority", "tfidf"]
    assert set(names) >= {"knn", "probe", "prompt", "few-shot", "retrieval", "lora"}
    assert names.index("probe") < names.index("prompt") < names.index("lora")


def test_every_hyperparameter_is_resolved_and_models_are_filled_in() -> None:
    models = Models(encoder="some/encoder", model="some/model", tune="some/base")
    what = Study(
        models=models,
        candidates=(
            CandidateSection(strategy="knn"),
            CandidateSection(
                strategy="knn", name="knn-9", params={"k": 9, "encoder": "own/encoder"}
            ),
        ),
    )
    found = {c.name: c for c in candidates_of(what, dataset().task).candidates}
    assert found["knn"].params == {"encoder": "some/encoder", "k": None}
    assert found["knn-9"].params == {"encoder": "own/encoder", "k": 9}
    assert dict(found["majority"].params) == {}


def test_a_kind_of_task_has_its_own_defaults_and_no_variant_that_repeats_them() -> None:
    records = text_studies.dataset(text_studies.rows(60))
    for data, usual in ((records, "all"), (dataset(), "attention")):
        (lora,) = (c for c in candidates_of(Study(), data.task).candidates if c.name == "lora")
        assert lora.params["targets"] == usual
    fixed = CandidateSection(strategy="lora", params={"targets": "attention"})
    for section, other in ((CandidateSection(strategy="lora"), False), (fixed, True)):
        jobs = jobs_of(Study(candidates=(section,)), records)
        tried = {job.trial.variant for job in jobs if job.trial.strategy == "lora"}
        assert "rank 4" in tried
        assert ("all layers" in tried) is other


def test_two_candidates_need_two_names() -> None:
    with pytest.raises(StudyError, match="'knn'"):
        candidates_of(study("knn", "knn"), dataset().task)


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(StrategyError, match="Did you mean 'tfidf'"):
        candidates_of(study("tfdif"), dataset().task)
    what = Study(candidates=(CandidateSection(strategy="knn", params={"kk": 1}),))
    with pytest.raises(StrategyError, match="Did you mean 'k'"):
        candidates_of(what, dataset().task)


def test_a_strategy_without_a_seed_is_fitted_once_on_a_whole_pool() -> None:
    jobs = jobs_of(study("tfidf", seeds=5, wordings=False), dataset())
    tfidf = [j for j in jobs if j.trial.candidate == "tfidf"]
    assert len(tfidf) == len(dataset().folds)


@pytest.mark.parametrize("name", [name for name in available() if not find(name).learns])
def test_what_learns_nothing_is_fitted_once_and_never_on_other_rows(name: str) -> None:
    data = dataset(rows=520)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    dated = [
        replace(e, timestamp=start + timedelta(days=n))
        for n, e in enumerate(data.examples.values())
    ]
    whole, cut = Study(), Study(grid=Grid(sizes=(0.5, 20), seeds=4))
    for setting in (whole, cut):
        planner = Planner(setting, Pools(build_dataset("dated", dated)))
        points = [*planner.points(Candidate(name=name, strategy=name, params={"model": "m"}))]
        assert {p.scenario.kind for p in points} >= {"standard", "time"}
        assert not {p.part for p in points} & {"added label noise", "smaller pools", "repetitions"}
        assert not any(p.repetition or p.size or p.scenario.learns_from == "any" for p in points)
        assert all(p.scenario.examples == 0 for p in points if p.scenario.kind == "new-class")


def test_a_study_of_which_no_named_candidate_can_run_says_why() -> None:
    with pytest.raises(
        StudyError, match=r"^No candidate that is named can run\. copy: it answers writing.*tfidf"
    ):
        candidates_of(study("copy"), dataset().task)
    field = candidates_of(study("copy", "knn"), dataset().task)
    assert [one.candidate for one in field.refusals] == ["copy"]


def test_all_and_one_more_leaves_out_what_is_for_other_tasks_without_a_word() -> None:
    """`-s all -s tuned-prompt` listed eighteen strategies of other kinds before it began."""
    asked = only(Study(), ["all", "tuned-prompt", "setfit"])
    field = candidates_of(asked, dataset().task)
    assert {"tfidf", "tuned-prompt", "setfit"} <= {c.name for c in field.candidates}
    assert field.refusals == ()
    records = text_studies.dataset(text_studies.rows(60))
    wrong = candidates_of(only(Study(), ["all", "setfit"]), records.task)
    assert [one.candidate for one in wrong.refusals] == ["setfit"]


def test_on_a_smaller_pool_repetitions_draw_other_rows() -> None:
    jobs = jobs_of(study("tfidf", seeds=3, sizes=(20,), wordings=False), dataset())
    fold = [j for j in jobs if j.trial.candidate == "tfidf" and j.trial.fold == 0]
    assert len({j.trial.key for j in fold}) == 3
    assert {j.trial.train_size for j in fold} == {20}


def test_the_first_pass_comes_first_and_fold_by_fold() -> None:
    jobs = jobs_of(study("tfidf", "knn", seeds=2, noise=(0.0, 0.2)), dataset())
    parts = [j.part for j in jobs]
    first = parts.count("the first pass")
    assert set(parts[:first]) == {"the first pass"}
    assert [j.trial.fold for j in jobs[:first]] == sorted(j.trial.fold for j in jobs[:first])


def test_candidates_share_pools_and_noise() -> None:
    jobs = jobs_of(study("tfidf", "majority", noise=(0.0, 0.2), sizes=(0.5, 1.0)), dataset())
    places: dict[tuple[object, ...], set[str]] = {}
    for trial in (j.trial for j in jobs):
        if not trial.variant:
            place = (trial.fold, trial.draw, trial.train_size, trial.scenario)
            places.setdefault(place, set()).add(trial.pool)
    assert all(len(pools) == 1 for pools in places.values())


def test_smaller_pools_are_prefixes_and_noise_is_nested() -> None:
    data = dataset()
    small = [e.id for e in make_split(data, SplitSpec(0, 1, 10, STANDARD)).pool]
    large = [e.id for e in make_split(data, SplitSpec(0, 1, 30, STANDARD)).pool]
    assert large[:10] == small
    clean = make_split(data, SplitSpec(0, 0, None, STANDARD)).pool
    flips = []
    for rate in (0.1, 0.4):
        noisy = make_split(data, SplitSpec(0, 0, None, Scenario(kind="noise", rate=rate))).pool
        flips.append({a.id for a, b in zip(clean, noisy, strict=True) if a.target != b.target})
    assert flips[0] < flips[1]


def test_the_key_follows_content_and_nothing_else() -> None:
    data = dataset()
    jobs = jobs_of(study("tfidf"), data)
    trial = jobs[-1].trial
    assert replace(trial, candidate="another name").key == trial.key
    for change in (
        {"revision": 99},
        {"params": {"C": 2.0}},
        {"weights": "x"},
        {"pool": "x"},
        {"questions": "x"},
        {"seed": 9},
        {"task": "x"},
    ):
        assert replace(trial, **change).key != trial.key  # type: ignore[arg-type]


def test_a_relabelled_row_changes_the_keys_of_the_pools_that_hold_it_only() -> None:
    data = dataset()
    rows = list(data.examples.values())
    asked_first = data.folds[0].questions[0]
    new = replace(
        data,
        examples={
            e.id: replace(e, target="tool" if e.target != "tool" else "fruit")
            if e.id == asked_first
            else e
            for e in rows
        },
    )
    before = jobs_of(study("tfidf", wordings=False), data)
    after = jobs_of(study("tfidf", wordings=False), new)
    same = {a.trial.fold: a.trial.key == b.trial.key for a, b in zip(before, after, strict=True)}
    assert same[0]
    assert not any(same[fold] for fold in same if fold)


@pytest.mark.parametrize("size", [0, 301, 1.5, -1])
def test_impossible_sizes_are_refused(size: float) -> None:
    with pytest.raises(StudyError, match="pool holds 300"):
        sizes_in_rows(Grid.model_construct(sizes=(size,)), 300)


def test_sizes_are_rows_or_shares() -> None:
    assert sizes_in_rows(Grid(sizes=(0.5, 100, 1.0)), 300) == [100, 150, 300]


def test_bare_numbers_leave_language_models_out_with_a_reason() -> None:
    rows = [
        replace(e, target=str(["fruit", "tool", "weather"].index(e.target)))
        for e in dataset().examples.values()
    ]
    field = candidates_of(Study(), build_dataset("numbers", rows).task)
    names = {c.name for c in field.candidates}
    assert not names & {"prompt", "few-shot", "retrieval"}
    assert {"majority", "tfidf", "probe", "knn", "lora"} <= names
    assert "prompt" in [one.candidate for one in field.refusals]


def test_changed_documents_are_asked_where_another_fit_costs_least() -> None:
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
    assert drill is not None
    planner = Planner(Study(), Pools(data))
    names = (
        "sentence",
        "rag",
        "lora-rag",
        "nearest",
        "lora",
        "prompt",
    )
    found = {
        name: [
            (point.part, point.stage)
            for point in planner.points(Candidate(name=name, strategy=name))
            if drill.view in point.views
        ]
        for name in names
    }
    assert found == {
        "sentence": [(CONTROLS, Stage.FAST)],
        "rag": [(DRILLS, Stage.CONTROLS)],
        "lora-rag": [(DRILLS, Stage.DRILLS)],
        "nearest": [],
        "lora": [],
        "prompt": [],
    }
    fast = (Candidate(name="sentence", strategy="sentence"),)
    assert [job.view_rows for job in planner.jobs(fast) if job.part == CONTROLS] == [VIEW_ROWS]


def test_parts_that_a_study_names_are_parts_of_its_plan() -> None:
    """They run whichever candidate is named; what a study does not name may be left out."""
    stated = {
        "noise": (0.0, 0.2),
        "sizes": (0.5, 1.0),
        "views": ("typos",),
    }
    jobs = jobs_of(study("tfidf", "lora", **stated), dataset(rows=60))
    planned = {job.part for job in jobs}
    for key, part in [
        ("noise", "added label noise"),
        ("noise_kinds", "added label noise"),
        ("sizes", "smaller pools"),
        ("views", "views"),
    ]:
        value = stated.get(key, ("symmetric",))
        assert part in stated_parts(Grid.model_validate({key: value})) & planned
    assert not stated_parts(Grid())
