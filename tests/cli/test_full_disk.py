"""A full disk, or too little memory, is one line and exit 2, and leaves what was there (M4, L6)."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from choose.errors import StoreError
from choose.files import system_reason, write_atomic
from support.studies import write_csv

FIXTURES = Path(__file__).parents[1] / "fixtures"
FULL = Path("/dev/full")

needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


@pytest.fixture(scope="module")
def store(stored_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(stored_study, tmp_path_factory.mktemp("full") / "st"))


def command(*arguments, limit=None, stdout=None):
    """Run the command line in a process of its own; return its exit code and its messages."""
    with (stdout or Path(os.devnull)).open("w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "choose", *map(str, arguments)],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            preexec_fn=limit,
            check=False,
            timeout=300,
        )
    return done.returncode, done.stderr


def small_files(size: int) -> Callable[[], None]:
    """Limit the size of files, as a disk would that is full after so many bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def is_one_line(code: int, messages: str) -> bool:
    lines = messages.strip().splitlines()
    return code == 2 and len(lines) == 1 and lines[0].startswith("Error: Cannot write")


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_an_error_of_a_library_that_quotes_the_system_is_one_of_the_disk(error, tmp_path, refusal):
    (tmp_path / "kept").write_text("as it was")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise error

    assert "No space left" in refusal(StoreError, write_atomic, tmp_path / "kept", fail)
    assert (tmp_path / "kept").read_text() == "as it was"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert system_reason(ValueError("another kind")) is None


@needs_full
@pytest.mark.slow
def test_a_report_to_a_full_disk_is_one_line(store: Path) -> None:
    assert is_one_line(*command("report", store, stdout=FULL))
    assert is_one_line(*command("report", store, "--json", stdout=FULL))


@pytest.mark.slow
@pytest.mark.parametrize("size", [200, 2_000, 5_000, 8_000])
def test_a_study_on_a_full_disk_is_one_line_and_can_be_continued(data, tmp_path, size):
    run = ["compare", data, "-s", "majority", "-s", "tfidf", "--out", tmp_path / "st"]
    run += ["--set", "seeds=1", "--set", "noise=0"]
    assert is_one_line(*command(*run, limit=small_files(size)))
    hidden = [p.name for p in (tmp_path / "st").rglob(".*") if p.is_file()]
    assert set(hidden) <= {".choose-study", ".lock"}  # the mark of a store, written first; its lock
    assert command(*run)[0] == 0


@pytest.mark.slow
def test_an_export_on_a_full_disk_leaves_the_folder_as_it_was(store: Path, tmp_path: Path) -> None:
    export = ["export", store, tmp_path / "model", "--candidate", "tfidf"]
    assert is_one_line(*command(*export, limit=small_files(20_000)))
    assert not list(tmp_path.iterdir())
    assert command(*export)[0] == 0
    if FULL.exists():
        predict = ["predict", tmp_path / "model", FIXTURES / "tickets.csv"]
        assert is_one_line(*command(*predict, stdout=FULL))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["report.html", "report.md", "report.json"])
def test_a_report_file_that_does_not_fit_leaves_the_old_one(store, tmp_path, name):
    (tmp_path / name).write_text("the old one")
    code, messages = command("report", store, "-o", tmp_path / name, limit=small_files(1_000))
    assert is_one_line(code, messages.partition("\nNo HTML report was written. ")[0])
    assert (tmp_path / name).read_text() == "the old one"


@pytest.mark.parametrize(("gate", "code"), [((), 2), (("--expect", "fine-tuning"), 3)])
def test_an_answer_and_its_gates_outlive_a_report_that_cannot_be_written(
    choose, store, tmp_path, monkeypatch, gate, code
):
    def full(path: Path, text: str) -> None:
        raise StoreError(f"Cannot write {str(path)!r}: No space left on device.")

    monkeypatch.setattr("choose.report.write.write_text", full)
    files = ("-o", tmp_path / "r.html", "-o", tmp_path / "r.md")
    result = choose("report", store, "--json", *files, *gate)
    assert result.code == code
    assert json.loads(result.out)["verdict"]
    assert result.err.count("Error: Cannot write") == 2
    (store / "report.html").unlink(missing_ok=True)


@pytest.mark.slow
def test_a_page_in_too_little_memory_is_one_line_and_the_store_stays_whole(store, tmp_path):
    size = 6 * 2**30

    def little_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    files = {p: p.read_bytes() for p in store.rglob("*") if p.is_file()}
    code, messages = command("report", store, "-o", tmp_path / "report.html", limit=little_memory)
    assert code in (0, 2)
    assert "Fatal" not in messages
    assert len(messages.strip().splitlines()) <= 2  # the file, and the page in the store
    now = {p: p.read_bytes() for p in store.rglob("*") if p.is_file()}
    page = now.pop(store / "report.html", b"</html>\n") if code == 0 else b"</html>"
    assert page.rstrip().endswith(b"</html>")
    assert now == files


def test_warnings_of_libraries_do_not_reach_stderr(choose: Callable, tmp_path: Path) -> None:
    """Scikit-learn warns of many classes, and of a fit that has not converged."""
    rows = [(f"word{i} of row {i}", f"class{i // 2}") for i in range(60)]
    result = choose(
        *("compare", write_csv(tmp_path / "many.csv", rows), "-s", "tfidf", "-s", "majority"),
        *("--set", "seeds=1", "--set", "noise=0", "--out", tmp_path / "st"),
    )
    assert result.code == 0
    assert "Warning" not in result.err
