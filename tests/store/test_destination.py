"""Outputs never replace an input, a store's file or anything of the user's (H2, H3, M5, L5)."""

import os
from pathlib import Path

import pytest

from choose.errors import ChooseError, StoreError, StudyError
from choose.files import temporary_name
from choose.store.destination import MARK, STUDY, check_destination, check_folder, is_store
from choose.store.store import Store
from support.studies import dataset


def data_file(folder: Path) -> Path:
    path = folder / "a.csv"
    path.write_text("text,label\n")
    return path


@pytest.mark.parametrize("kind", ["same", "symlink", "hard link", "dotted", "inside"])
def test_an_output_that_is_an_input_is_refused(tmp_path: Path, kind: str) -> None:
    """H2: by name, link or place, the cause is that both are one file."""
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
    """H2: `choose report ST -o ST/data.json` destroyed the store."""
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
            check_folder(folder / "new", stores=stores)


def test_what_cannot_be_written_is_found_before_and_nothing_is_made(tmp_path: Path) -> None:
    """L5: no folders are made, and the reason is in one line."""
    fifo = tmp_path / "fifo.html"
    os.mkfifo(fifo)
    data_file(tmp_path)
    paths = ["/proc/x.html", tmp_path / "no" / "r.html", fifo, tmp_path / "a.csv" / "r.html"]
    before = sorted(tmp_path.rglob("*"))
    for path in (*paths, tmp_path):
        with pytest.raises(StudyError) as error:
            check_destination(Path(path))
        assert "\n" not in str(error.value)
    with pytest.raises(StudyError):
        check_folder(Path("/proc/x/y"))
    with pytest.raises(StudyError):
        check_folder(tmp_path / "a.csv" / "st")
    check_destination(tmp_path / "r.html")
    check_folder(tmp_path / "new" / "st")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_input_that_lies_in_the_store_is_not_overwritten(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "st")
    store.begin({}, dataset())
    with pytest.raises(StudyError, match="holds the input"):
        check_folder(store.path, [store.path / "data.parquet"])


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """C5."""
    with pytest.raises(StudyError, match="UTF-8"):
        check_destination(tmp_path / "bad\udcff.html")


@pytest.mark.parametrize(
    "files",
    [
        {"study.toml": "# mine", "a.csv": "x"},
        {"data.json": "{}"},
        {"data.json": "[1]", "grid.json": "not JSON"},
        {"study.toml": "# mine", "trials/mine/notes.json": "{}"},
    ],
)
def test_a_folder_is_a_store_by_our_mark_alone(tmp_path: Path, files: dict[str, str]) -> None:
    """H3: a user's own study.toml was taken for a store, and replaced."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert not is_store(tmp_path)
    for act in (Store.create, Store.check, Store.open):
        with pytest.raises(StoreError, match="not a study"):
            act(tmp_path)
    assert {name: (tmp_path / name).read_text() for name in files} == files


@pytest.mark.parametrize("last", [MARK, "data.parquet", "data.json", STUDY, "grid.json"])
def test_a_study_broken_off_at_any_write_can_be_begun_again(tmp_path, last, monkeypatch):
    """M5: the mark was written last, so that a crash before it locked the folder for good."""
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
    """M5: kill -9 leaves the temporary file of the mark behind."""
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
