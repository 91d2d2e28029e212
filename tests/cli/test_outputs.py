"""No command replaces what it reads, from the command line (H2, H3, L5)."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from choose.cli.app import app
from choose.errors import ChooseError

ROWS = "text,label\n" + "".join(f"text {i} {'ab'[i % 2]},{'ab'[i % 2]}\n" for i in range(40))


def refused(*arguments: object) -> str:
    """Run a command that must be refused in one line; return that line."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(result.exception, ChooseError), (result.output, result.exception)
    assert "\n" not in str(result.exception)
    return str(result.exception)


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(ROWS)
    (tmp_path / "t.csv").write_text(ROWS.replace("text", "test", 1).replace("test,", "text,"))
    return tmp_path / "a.csv"


@pytest.mark.parametrize("output", ["a.csv", "t.csv", "b.csv"])
def test_check_overwrites_neither_the_rows_nor_the_test_file(rows: Path, output: str) -> None:
    os.link("a.csv", "b.csv")
    before = {path.name: path.read_bytes() for path in rows.parent.iterdir()}
    assert "input" in refused("check", "a.csv", "--test", "t.csv", "-o", output)
    assert {path.name: path.read_bytes() for path in rows.parent.iterdir()} == before


def test_compare_checks_its_outputs_before_it_runs(rows: Path) -> None:
    Path("s.json").write_text("")
    for out in ("-o", "s.json"), ("-o", "no/r.html"), ("-o", "st/r.html", "--out", "st"):
        Path("s.json").unlink()
        os.link("a.csv", "s.json")
        refused("compare", "a.csv", "-s", "majority", *out)
    assert "not a study" in refused("compare", "a.csv", "-s", "majority", "--out", ".")
    assert sorted(path.name for path in rows.parent.iterdir()) == ["a.csv", "s.json", "t.csv"]
    assert Path("a.csv").read_text() == ROWS


def test_a_study_file_of_the_users_is_never_replaced(rows: Path) -> None:
    """H3: `--out .` in a folder with a study.toml."""
    text = '# my comments\n[data]\npath = "a.csv"\n'
    Path("study.toml").write_text(text)
    assert "not a study" in refused("compare", "-c", "study.toml", "-s", "majority", "--out", ".")
    assert Path("study.toml").read_text() == text
