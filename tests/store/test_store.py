"""What is on disk is whole, identified by content, and enough to judge again."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from choose.data.scenarios import Pools
from choose.errors import StoreError
from choose.files import temporary_name, write_atomic
from choose.run.trial import run_trial
from choose.store.store import Store
from choose.types import Answers, Run
from support.studies import dataset, jobs_of, study


def fresh(path: Path) -> tuple[Store, list[Run]]:
    data, what = dataset(), study("tfidf")
    store = Store.create(path / "st")
    store.begin(what.model_dump(mode="json", exclude_none=True), data)
    jobs = jobs_of(what, data)
    store.plan((j.trial for j in jobs), [])
    return store, [run_trial(j, Pools(data)) for j in jobs[:5]]


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    store, (run, *_) = fresh(tmp_path)
    store.add(run)
    back = store.get(run.trial)
    assert back.asked == run.asked
    for key, answers in run.answers.items():
        assert back.answers[key].outputs == answers.outputs
        assert back.answers[key].status == answers.status
        np.testing.assert_allclose(back.answers[key].scores, answers.scores)
    assert (back.fit_seconds, back.versions) == (run.fit_seconds, run.versions)


def test_everything_measured_of_answers_survives(tmp_path: Path) -> None:
    store, (run, *_) = fresh(tmp_path)
    answers = Answers(
        outputs=("fruit", None),
        status=("ok", "cut"),
        evidence=(("p1", "p2"), ()),
        tokens_in=np.array([3, 4]),
        tokens_cached=np.array([1, 0]),
        tokens_out=np.array([0, 0]),
        latency=np.array([0.5, 0.25]),
    )
    ids = run.asked["clean", 0][:2]
    odd = Run(trial=run.trial, answers={("clean", 0): answers}, asked={("clean", 0): ids})
    store.add(odd)
    back = store.get(run.trial)
    got = back.answers["clean", 0]
    assert got.outputs == ("fruit", None)
    assert got.evidence == answers.evidence
    assert got.scores is None
    assert got.tokens_in.tolist() == [3, 4]


def test_the_dataset_comes_back_with_its_fingerprint(tmp_path: Path) -> None:
    store, _ = fresh(tmp_path)
    assert Store.open(store.path).dataset.fingerprint == dataset().fingerprint


def test_answers_can_be_queried_by_any_tool(tmp_path: Path) -> None:
    store, (run, *_) = fresh(tmp_path)
    store.add(run)
    table = pl.read_parquet(store.path / "trials" / run.trial.key / "clean-0.parquet")
    assert {"id", "output", "status", "scores"} <= set(table.columns)


def test_a_trial_is_done_only_when_its_last_file_is_there(tmp_path: Path) -> None:
    store, (run, *_) = fresh(tmp_path)
    store.add(run)
    assert store.done(run.trial, ["clean"])
    (store.path / "trials" / run.trial.key / "trial.json").unlink()
    assert not store.done(run.trial, ["clean"])
    assert store.get(run.trial) is None


def test_a_failure_is_kept_and_tried_again(tmp_path: Path) -> None:
    store, (run, *_) = fresh(tmp_path)
    store.add(Run(trial=run.trial, error="ValueError: broken"))
    assert not store.done(run.trial, ["clean"])
    back = store.get(run.trial)
    assert back.error == "ValueError: broken"


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, (run, *_) = fresh(tmp_path)

    def full(path: Path, write: Callable[[Path], object]) -> None:
        def half(beside: Path) -> None:
            beside.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

        real(path, half)

    real = write_atomic
    monkeypatch.setattr("choose.files.write_atomic", full)
    with pytest.raises(StoreError, match="No space left"):
        store.add(run)
    assert not [p for p in store.path.rglob("*") if p.is_file() and p.read_bytes() == b"half"]
    assert store.get(run.trial) is None


def test_a_folder_of_other_things_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(StoreError, match="not a study"):
        Store.create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_where_the_store_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="--out"):
        Store.create(tmp_path / "file")


def test_opening_what_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a study"):
        Store.open(tmp_path)


def test_a_broken_trial_file_is_named_and_its_trial_runs_again(tmp_path: Path) -> None:
    store, (run, *_) = fresh(tmp_path)
    store.add(run)
    (store.path / "trials" / run.trial.key / "trial.json").write_text("{")
    again = Store.open(store.path)
    assert again.get(run.trial) is None
    assert not again.done(run.trial, ["clean"])
    assert list(again.damage) == [f"trials/{run.trial.key}/trial.json"]


def test_the_same_grid_judged_twice_is_one_look(tmp_path: Path) -> None:
    store, _ = fresh(tmp_path)
    assert [store.look("1"), store.look("1")] == [1, 1]
    jobs = jobs_of(study("tfidf", "majority", noise=(0.0, 0.3)), dataset())
    store.plan((j.trial for j in jobs), [])
    assert store.look("1") == 2
    lines = (store.path / "looks.jsonl").read_text().splitlines()
    assert [json.loads(line)["rule"] for line in lines] == ["1", "1"]


def test_a_margin_or_a_price_that_is_moved_afterwards_is_another_look(tmp_path: Path) -> None:
    store, _ = fresh(tmp_path)
    assert store.look("1") == 1
    told = study("tfidf").model_dump(mode="json", exclude_none=True)
    store.begin({**told, "goal": {"margin": 0.01}}, dataset())
    assert store.look("1") == 2
    store.begin({**told, "goal": {"margin": 0.01}, "costs": {"hourly_rate": 30.0}}, dataset())
    assert store.look("1") == 3
    store.begin(told, dataset())
    assert store.look("1") == 3, "the first goal was looked at before"


def test_the_state_changes_with_the_trials(tmp_path: Path) -> None:
    store, (run, *_) = fresh(tmp_path)
    before = store.state()
    assert store.state() == before
    store.add(run)
    assert store.state() != before


def test_what_a_killed_writer_left_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "st")
    trial = tmp_path / "st" / "trials" / "key"
    old, new = temporary_name(trial / "trial.json"), temporary_name(trial / "trial.json")
    # M12: files of these names are the user's, wherever they lie.
    own = [trial / ".mine", trial / ".keep.12345678", store.path / ".git" / old.name]
    for path in (old, new, *own):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    for path in (old, *own):
        os.utime(path, (0, 0))
    store.begin({}, dataset())
    assert not old.exists()
    assert all(path.exists() for path in (new, *own))
