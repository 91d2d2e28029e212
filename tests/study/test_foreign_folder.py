"""Nothing from a folder is code or an address, unless a flag names it."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w

from choose.errors import StudyError
from choose.store.store import MARK, Store
from choose.study.resolve_study import load_study
from support.chat_server import serving
from support.studies import write_lines

EVIL = "open('ran', 'w').close()\ndef score(output, targets):\n    return 1.0\n"

Choose = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    """A folder of someone else's: texts to write, with a module that tells if it ran."""
    rows = [
        {
            "text": f"row {i} of {i * 7919}",
            "target": f"This is the answer to question {i}, written as a sentence.",
        }
        for i in range(60)
    ]
    write_lines("q.jsonl", rows)
    Path("evil.py").write_text(EVIL)
    return tmp_path


def refusal(error: str, start: str) -> str:
    """Return the one line of an error; what was read is said before it."""
    [line] = [line for line in error.splitlines() if "Error" in line]
    assert line.startswith(f"Error: {start}")
    return line


def test_a_metric_of_yours_is_a_file_or_a_module_that_you_name(choose: Choose) -> None:
    Path("choose.toml").write_text('[goal]\nmetric = "evil.py:score"\n')
    assert choose("check", "q.jsonl")[0] == 0
    assert not Path("ran").exists()  # a study file counts where -c names it
    for named in (["--metric", "evil.py:score"], ["-c", "choose.toml"]):
        Path("ran").unlink(missing_ok=True)
        code, _, err = choose("check", "q.jsonl", *named)
        assert code == 0, err
        assert Path("ran").exists()
    Path("sub").mkdir()
    Path("evil.py").rename("sub/evil.py")
    Path("choose.toml").rename("sub/study.toml")
    assert load_study(Path("sub/study.toml")).goal.metric == "sub/evil.py:score"


@pytest.mark.parametrize("start", [["-m", "choose"], ["-c", "from choose.cli import main; main()"]])
def test_the_current_folder_is_not_searched_for_modules(start: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *start, "check", "q.jsonl", "--metric", "evil:score"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONSAFEPATH": ""}
        | ({"PYTHONSAFEPATH": "1"} if "-c" in start else {}),
    )
    assert done.returncode == 2
    line = refusal(
        done.stderr, "The metric 'evil:score' cannot be imported: No module named 'evil'"
    )
    assert "FILE.py:FUNCTION" in line
    assert not Path("ran").exists()


def stored(folder: Path, **settings: object) -> Path:
    """Make a folder look like a stored study with these settings."""
    folder.mkdir()
    (folder / MARK).touch()
    data = {"data": {"path": str(Path("q.jsonl").absolute())}, "goal": {}, "grid": {"seeds": 1}}
    (folder / "study.toml").write_text(tomli_w.dumps({**data, **settings}))
    return folder


@pytest.mark.parametrize("named", ["st", "st/study.toml", "unmarked"])
def test_a_stored_study_names_metrics_and_runs_none(choose: Choose, named: str) -> None:
    stored(Path("st"), goal={"metric": "evil.py:score"})
    if named == "unmarked":
        Path("st").rename("unmarked")
        Path("unmarked", MARK).unlink()
    for command in ("check", "plan", "compare"):
        code, _, err = choose(command, "-c", named)
        assert code == 2
        assert refusal(err, "The study in ").endswith("add --metric evil.py:score.")
    assert not Path("ran").exists()
    assert choose("check", "-c", named, "--metric", "evil.py:score")[0] == 0
    assert Path("ran").exists()


def test_report_imports_nothing_of_a_stored_study(choose: Choose) -> None:
    flags = ["-s", "copy", "-s", "lead", "--set", "seeds=1", "--set", "noise=0"]
    done = choose("compare", "q.jsonl", *flags, "--metric", "evil.py:score", "--out", "st")
    assert done[0] == 0, done[2]
    Path("ran").unlink()
    Path("st/decision.json").unlink()
    code, out, err = choose("report", "st")
    assert code == 0, err
    assert "score" in out
    assert not Path("ran").exists()


def test_a_stored_study_names_no_server_no_key_and_no_cluster(choose, monkeypatch):
    monkeypatch.setenv("MY_SECRET", "never-sent-4711-8813")
    with serving(lambda body: pytest.fail("a request")) as server, socket.socket() as cluster:
        cluster.bind(("127.0.0.1", 0))
        cluster.listen()
        cluster.settimeout(0.2)
        evil = {"base_url": server.url, "api_key_env": "MY_SECRET"}
        prompt = {"strategy": "prompt", "model": "endpoint:e"}
        section = {"candidates": [prompt], "endpoints": {"e": {**evil, "model": "m"}}}
        address = f"127.0.0.1:{cluster.getsockname()[1]}"
        store = stored(Path("st"), run={"address": address}, **section)
        code, _, err = choose("compare", "-c", store, "--yes")
        assert code == 2
        assert "those of a stored study do not count" in refusal(err, "No endpoint 'e'.")
        assert not server.asked
        with pytest.raises(TimeoutError):
            cluster.accept()
        study = load_study(store, {"endpoints": {"e": {"base_url": server.url, "model": "m"}}})
        assert study.endpoints["e"].api_key_env is None
        assert not study.run.on_ray


def test_a_stored_study_may_name_a_provider_but_not_its_address() -> None:
    usual = {"base_url": "https://api.openai.com/v1", "api_key_env": "OPENAI_API_KEY", "model": "x"}
    for change in ({}, {"base_url": "http://evil.example/v1"}, {"api_key_env": "AWS_SECRET"}):
        name = f"st{len(change)}{''.join(change)}"
        section = {"openai:x": {**usual, "usd_per_million_in": 7.0, **change}}
        prompt = [{"strategy": "prompt", "model": "openai:x"}]
        study = load_study(stored(Path(name), candidates=prompt, endpoints=section))
        found = study.endpoints["openai:x"]
        assert (found.base_url, found.api_key_env) == (usual["base_url"], "OPENAI_API_KEY")
        assert found.usd_per_million_in == (None if change else 7.0)


def test_a_stored_study_is_still_refused_for_what_it_lacks(choose: Choose) -> None:
    with pytest.raises(StudyError, match="is scored by 'evil:score'"):
        load_study(stored(Path("st"), goal={"metric": "evil:score"}))
    assert Store(Path("st")).study["goal"]["metric"] == "evil:score"
