"""A study on disk: what comes back, what damage costs, where it may be written."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import choose
from choose.corpus import Corpus, Document
from choose.data.scenarios import Pools
from choose.errors import ChooseError, DataError, StoreError, StudyError
from choose.files import temporary_name
from choose.run.trial import run_trials
from choose.schema.plan import LeftOut
from choose.schema.study_sections import DataSection, TaskSection
from choose.store.store import MARK, STUDY, Store, check_destination, is_store
from choose.tasks.answering import corpus_of
from choose.types import Answers, Dataset, Run
from support.studies import compare_once, dataset, jobs_of, load_dataset, special, study
from support.studies import write_lines as lines


def fresh(path: Path) -> tuple[Store, list[Run]]:
    data, what = dataset(), study("tfidf")
    store = Store.create(path / "st")
    store.begin(what.model_dump(mode="json", exclude_none=True), data)
    jobs = jobs_of(what, data)
    store.plan((j.trial for j in jobs), [])
    return store, [next(run_trials([j], Pools(data))).run for j in jobs[:5]]


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
    # And any tool can query it.
    found = pl.read_parquet(store.path / "trials" / run.trial.key / "clean-0.parquet")
    assert {"id", "outputs", "status", "scores"} <= set(found.columns)


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
    store.add(Run(trial=run.trial, answers={("clean", 0): answers}, asked={("clean", 0): ids}))
    got = store.get(run.trial).answers["clean", 0]
    assert got.outputs == ("fruit", None)
    assert got.evidence == answers.evidence
    assert got.scores is None
    assert got.tokens_in.tolist() == [3, 4]


def test_a_trial_is_there_only_with_its_last_file(tmp_path: Path) -> None:
    store, (run, *_) = fresh(tmp_path)
    store.add(run)
    (store.path / "trials" / run.trial.key / "trial.json").unlink()
    assert store.get(run.trial) is None


def test_a_failure_is_kept_and_tried_again(tmp_path: Path) -> None:
    store, (run, *_) = fresh(tmp_path)
    store.add(Run(trial=run.trial, error="ValueError: broken"))
    assert store.get(run.trial).error == "ValueError: broken"


def test_a_file_where_the_store_should_be(refusal, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "--out" in refusal(StoreError, Store.create, tmp_path / "file")


def test_a_look_is_at_one_grid_for_one_goal_and_its_prices(tmp_path: Path) -> None:
    store, _ = fresh(tmp_path)
    told = study("tfidf").model_dump(mode="json", exclude_none=True)
    seen = [store.look("1"), store.look("1")]
    for goal in ({"goal": {"margin": 0.01}}, {"costs": {"hourly_rate": 30.0}}, {}):
        store.begin({**told, **goal}, dataset())
        seen.append(store.look("1"))
    jobs = jobs_of(study("tfidf", "majority", noise=(0.0, 0.3)), dataset())
    store.plan((j.trial for j in jobs), [])
    assert [*seen, store.look("1")] == [1, 1, 2, 3, 3, 4], "the first goal was looked at before"
    assert {look["rule"] for look in store.looks().values()} == {"1"}


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


Edit = Callable[[Path], object]


def write(content: bytes) -> Edit:
    return lambda path: path.write_bytes(content)


def changed(key: str, value: object) -> Edit:
    def edit(path: Path) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), key: value}), "utf-8")

    return edit


def table(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Edit:
    return lambda path: change(pl.read_parquet(path)).write_parquet(path)


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    content[-6] ^= 0xFF
    path.write_bytes(content)


ANY: dict[str, Edit] = {
    "empty": write(b""),
    "half": half,
    "zeros": write(bytes(200)),
    "deep": write(b"[" * 9_000),
    "pipe": lambda path: special(path, "pipe"),
    "device": lambda path: special(path, "device"),
}
TRIAL: dict[str, dict[str, Edit]] = {
    "trial.json": {
        **ANY,
        "no views": changed("views", []),
        "text for seconds": changed("fit_seconds", "soon"),
    },
    "clean-0.parquet": {
        **ANY,
        "flipped bits": flipped,
        "foreign ids": table(lambda t: t.with_columns(pl.lit("x").alias("id") + pl.col("id"))),
        "foreign labels": table(lambda t: t.with_columns(pl.lit("x").alias("outputs"))),
        "removed": Path.unlink,
    },
}
NEEDED: dict[str, dict[str, Edit]] = {
    "study.toml": {**ANY, "goal is a number": write(b"goal = 3\n[grid]\n")},
    "data.json": {**ANY, "foreign rows": changed("folds", [{"pool": ["x"], "questions": ["y"]}])},
    "data.parquet": {**ANY, "flipped bits": flipped, "removed": Path.unlink},
    "grid.json": {**ANY, "candidates are texts": changed("candidates", ["tfidf"])},
}


def cases(table: dict[str, dict[str, Edit]]) -> list[tuple[str, str]]:
    return [(file, name) for file, edits in table.items() for name in edits]


@pytest.fixture
def store(stored_study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stored_study, tmp_path / "st"))


def resumed(store: Path, data: str = "") -> choose.Decision:
    """Run the command that made the store again."""
    data = data or Store(store).study["data"]["path"]
    return compare_once(data, store, "majority", "tfidf")


def trial_of(store: Path) -> Path:
    return min((store / "trials").iterdir())


@pytest.mark.parametrize(("file", "name"), cases(TRIAL))
def test_a_damaged_trial_is_left_out_and_named(store: Path, file: str, name: str) -> None:
    TRIAL[file][name](trial_of(store) / file)
    report = choose.read(store)
    assert report.scorecards
    assert trial_of(store).name in report.model_dump_json()


@pytest.mark.parametrize(("file", "name"), cases(NEEDED))
def test_a_damaged_file_that_is_needed_is_named_in_one_line(refusal, store, file, name):
    NEEDED[file][name](store / file)
    said = refusal(StoreError, choose.read, store)
    assert "choose compare again" in said
    assert str(store / file) in said


@pytest.mark.parametrize("name", ANY)
@pytest.mark.parametrize("file", ["looks.json", "left_out.json", "decision.json", "decision.state"])
def test_a_damaged_record_does_not_stop_a_report(store: Path, file: str, name: str) -> None:
    ANY[name](store / file)
    assert choose.read(store).verdict.kind


@pytest.mark.parametrize(
    ("file", "name"),
    [("trial.json", "empty"), ("clean-0.parquet", "foreign ids"), ("grid.json", "empty")],
)
def test_the_same_command_runs_a_damaged_trial_again(store: Path, file: str, name: str) -> None:
    before = choose.read(store)
    place = store if file in NEEDED else trial_of(store)
    {**TRIAL, **NEEDED}[file][name](place / file)
    after = resumed(store)
    assert (after.pairs, after.left_out) == (before.pairs, before.left_out)


def test_a_study_without_its_settings_is_mended_by_the_same_command(refusal, store: Path) -> None:
    data = Store(store).study["data"]["path"]
    (store / "study.toml").unlink()
    assert "again with the same data and" in refusal(StoreError, choose.read, store)
    assert resumed(store, data).left_out == ()
    assert choose.read(store).verdict.kind


def test_a_huge_file_is_not_read(refusal, store: Path) -> None:
    """A file that is mostly a hole takes no disk, and would take all memory."""
    os.truncate(store / "grid.json", 10**12)
    assert "more than" in refusal(StoreError, choose.read, store)


def test_a_folder_in_the_place_of_a_file_is_to_be_moved_away(store: Path) -> None:
    special(store / "grid.json", "folder")
    for act in (choose.read, resumed):
        with pytest.raises(StoreError, match=r"grid\.json'.*is a folder\. Move it away"):
            act(store)


def test_what_was_left_out_is_stored_with_its_facts(store: Path) -> None:
    what = (
        LeftOut(candidate="lora", reason="too-long", seconds=137.6),
        LeftOut(candidate="rag", reason="out-of-time", trials={"views": 5}),
    )
    Store(store).leave_out(what)
    assert choose.read(store).left_out == what
    first, _ = json.loads((store / "left_out.json").read_text("utf-8"))
    assert first == {"candidate": "lora", "reason": "too-long", "seconds": 137.6}


def data_file(folder: Path) -> Path:
    path = folder / "a.csv"
    path.write_text("text,label\n")
    return path


@pytest.mark.parametrize("kind", ["same", "symlink", "hard link", "dotted", "inside"])
def test_an_output_that_is_an_input_is_refused(tmp_path: Path, kind: str) -> None:
    """By name, link or place, the cause is that both are one file."""
    source, output = data_file(tmp_path), tmp_path / "out.csv"
    if kind == "same":
        output = source
    elif kind == "symlink":
        output.symlink_to(source)
    elif kind == "hard link":
        os.link(source, output)
    elif kind == "dotted":
        output = tmp_path / ".." / tmp_path.name / "a.csv"
    else:
        source = tmp_path
    with pytest.raises(StudyError, match="input"):
        check_destination(output, [None, "sample:tickets", source])
    assert data_file(tmp_path).read_text() == "text,label\n"


@pytest.mark.parametrize("mark", [MARK, "to be"])
def test_an_output_inside_a_store_is_refused(tmp_path: Path, mark: str) -> None:
    store, stores = tmp_path / "st", []
    (store / "trials").mkdir(parents=True)
    if mark == MARK:
        (store / MARK).write_text("")
    else:
        stores = [store]
    (tmp_path / "link").symlink_to(store)
    for folder in (store, store / "trials", tmp_path / "link"):
        with pytest.raises(StudyError, match="inside the study"):
            check_destination(folder / "data.json", stores=stores)
        with pytest.raises(StudyError, match="inside the study"):
            check_destination(folder / "new", stores=stores, folder=True)


def test_what_cannot_be_written_is_found_before_and_nothing_is_made(refusal, tmp_path) -> None:
    """No folders are made, and the reason is in one line."""
    fifo = tmp_path / "fifo.html"
    os.mkfifo(fifo)
    data_file(tmp_path)
    paths = ["/proc/x.html", tmp_path / "no" / "r.html", fifo, tmp_path / "a.csv" / "r.html"]
    before = sorted(tmp_path.rglob("*"))
    for path in (*paths, tmp_path):
        refusal(StudyError, check_destination, Path(path))
    refusal(StudyError, check_destination, Path("/proc/x/y"), folder=True)
    refusal(StudyError, check_destination, tmp_path / "a.csv" / "st", folder=True)
    check_destination(tmp_path / "r.html")
    check_destination(tmp_path / "new" / "st", folder=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_input_that_lies_in_the_store_is_not_overwritten(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "st")
    store.begin({}, dataset())
    with pytest.raises(StudyError, match="holds the input"):
        check_destination(store.path, [store.path / "data.parquet"], folder=True)


@pytest.mark.parametrize(
    "files",
    [
        {"study.toml": "# mine", "a.csv": "x"},
        {"data.json": "{}"},
        {"data.json": "[1]", "grid.json": "not JSON"},
        {"study.toml": "# mine", "trials/mine/notes.json": "{}"},
    ],
)
def test_a_folder_is_a_store_by_our_mark_alone(refusal, tmp_path, files) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert not is_store(tmp_path)
    for act in (Store.create, Store.check, Store.open):
        assert "not a study" in refusal(StoreError, act, tmp_path)
    assert {name: (tmp_path / name).read_text() for name in files} == files


@pytest.mark.parametrize("last", [MARK, "data.parquet", "data.json", STUDY, "grid.json"])
def test_a_study_broken_off_at_any_write_can_be_begun_again(tmp_path, last, monkeypatch):
    real = os.replace

    def crash(source: Path, target: Path) -> None:
        if Path(target).name == last:
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", crash)
        with pytest.raises(KeyboardInterrupt):
            begin(tmp_path / "st")
    if not (tmp_path / "st" / STUDY).exists():
        with pytest.raises(ChooseError):
            Store.open(tmp_path / "st")
    begin(tmp_path / "st")
    assert Store.open(tmp_path / "st").grid() == ([], [])


def test_a_writer_killed_before_the_mark_stood_locks_nothing(tmp_path: Path) -> None:
    """Kill -9 leaves the temporary file of the mark behind."""
    (tmp_path / "st").mkdir()
    temporary_name(tmp_path / "st" / MARK).write_text("half")
    begin(tmp_path / "st")
    assert is_store(tmp_path / "st")


def begin(path: Path) -> None:
    Store.check(path)
    store = Store.create(path)
    store.begin({"rule": "1"}, dataset())
    store.plan([], [])


def test_settings_that_cannot_be_kept_leave_no_half_store(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "st")
    with pytest.raises(TypeError):
        store.begin({"x": None}, dataset())
    assert [path.name for path in store.path.iterdir()] == [MARK]


DOCUMENTS = "documents.parquet"


def texts(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"d{n}",
            "title": f"Shop {n}",
            "text": f"Shop {n} opens at {n} and sells {n + 7} things.",
            "date": "2025-03-01T10:00:00Z" if n % 2 else None,
        }
        for n in range(count)
    ]


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Questions and their documents."""
    asked = [
        {"question": f"How many things does shop {n} sell?", "answers": [str(n + 7)]}
        for n in range(20)
    ]
    documents = lines(tmp_path / "documents.jsonl", texts(20))
    return lines(tmp_path / "questions.jsonl", asked), documents


def load(questions: str, documents: str | None) -> Dataset:
    return load_dataset(
        DataSection(path=questions, documents=documents), TaskSection(kind="answering")
    )


def stored(path: Path, data: Dataset) -> Path:
    Store.create(path).begin(study("tfidf").model_dump(mode="json", exclude_none=True), data)
    return path


def corpus(data: Dataset) -> Corpus:
    found = corpus_of(data.task)
    assert found is not None
    return found


def test_documents_and_evidence_come_back_as_they_were(tmp_path, files):
    data = load(*files)
    place = stored(tmp_path / "st", data)
    back = Store.open(place).dataset
    assert corpus(back) == corpus(data)
    assert [e.evidence for e in back.examples.values()] == [
        e.evidence for e in data.examples.values()
    ]
    assert all(e.evidence for e in back.examples.values())
    assert back.fingerprint == data.fingerprint == Store.open(place).fingerprint
    assert back.task.digest == data.task.digest
    assert pl.read_parquet(place / DOCUMENTS).columns == ["id", "title", "text"]
    assert Corpus((Document(id="a", text="b"),)).digest == "803a0f0d2b3c47f95ce1c737210272ac"


def test_other_tasks_have_no_such_file(tmp_path, files):
    assert not (stored(tmp_path / "st", dataset()) / DOCUMENTS).exists()
    other = stored(tmp_path / "other", load(*files))
    assert (other / DOCUMENTS).exists()
    stored(other, load(files[0], None))
    assert not (other / DOCUMENTS).exists()
    assert corpus_of(Store.open(other).dataset.task) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        lambda path: (path.unlink(), path.mkdir()),
        table(lambda t: t.head(3)),
        table(lambda t: t.drop("text")),
        table(lambda t: t.with_columns(pl.lit("Another text").alias("text"))),
    ],
)
def test_damaged_documents_are_said_and_the_rows_still_read(refusal, tmp_path, files, damage):
    data = load(*files)
    store = Store.open(stored(tmp_path / "st", data))
    damage(store.path / DOCUMENTS)
    back = store.dataset
    assert back.fingerprint == data.fingerprint
    assert list(store.damage) == [DOCUMENTS]
    with pytest.raises(DataError, match=r"The documents of this task are missing\. Run choose"):
        corpus_of(back.task)
    store.plan([], [])
    [said] = [one.text for one in store.left_out() if DOCUMENTS in one.text]
    assert "\n" not in said
    assert said.endswith("the same command with --out writes it anew")
    if (store.path / DOCUMENTS).is_dir():
        assert "is a folder" in refusal(StoreError, stored, store.path, data)
    else:
        assert corpus(Store.open(stored(store.path, data)).dataset) == corpus(data)


def test_documents_of_any_text_come_back(tmp_path: Path, files: tuple[str, str]) -> None:
    odd = ["\x1b[31mred", "<script>", "é\u0301 🎉", "a\u2028b", '"quoted", \\n']
    rows = [{"id": text, "text": f"{text} 7 8 9"} for text in odd]
    data = load(files[0], lines(tmp_path / "odd.jsonl", rows))
    back = Store.open(stored(tmp_path / "st", data)).dataset
    assert corpus(back).documents == tuple(Document(id=text, text=f"{text} 7 8 9") for text in odd)
