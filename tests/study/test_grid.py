"""The grid: what is identical is run once, what tells most is run first."""

from dataclasses import replace

import pytest

from choose.data.splits import build_dataset
from choose.errors import StrategyError, StudyError
from choose.study.candidates import candidates_of
from choose.study.config import CandidateSection, Models, Study
from choose.study.resolve_study import only
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
    what = Study(
        models=Models(encoder="some/encoder", model="some/model", tune="some/base"),
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


def test_two_candidates_need_two_names(refusal) -> None:
    assert "'knn'" in refusal(StudyError, candidates_of, study("knn", "knn"), dataset().task)


def test_unknown_names_get_a_suggestion(refusal) -> None:
    with pytest.raises(StrategyError, match="Did you mean 'tfidf'"):
        candidates_of(study("tfdif"), dataset().task)
    what = Study(candidates=(CandidateSection(strategy="knn", params={"kk": 1}),))
    assert "Did you mean 'k'" in refusal(StrategyError, candidates_of, what, dataset().task)


def test_a_study_of_which_no_named_candidate_can_run_says_why() -> None:
    with pytest.raises(
        StudyError, match=r"^No candidate that is named can run\. copy: it answers writing.*tfidf"
    ):
        candidates_of(study("copy"), dataset().task)
    field = candidates_of(study("copy", "knn"), dataset().task)
    assert [one.candidate for one in field.refusals] == ["copy"]


def test_all_and_one_more_leaves_out_what_is_for_other_tasks_without_a_word() -> None:
    field = candidates_of(only(Study(), ["all", "tuned-prompt", "setfit"]), dataset().task)
    assert {"tfidf", "tuned-prompt", "setfit"} <= {c.name for c in field.candidates}
    assert field.refusals == ()
    records = text_studies.dataset(text_studies.rows(60))
    wrong = candidates_of(only(Study(), ["all", "full-fine-tuning"]), records.task)
    assert [one.candidate for one in wrong.refusals] == ["full-fine-tuning"]


def test_the_key_follows_content_and_nothing_else() -> None:
    trial = jobs_of(study("tfidf"), dataset())[-1].trial
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
        assert replace(trial, **change).key != trial.key


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
