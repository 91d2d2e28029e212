"""The command line reads a team's file as it is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from choose.store.store import Store

FILES = Path(__file__).parents[1] / "fixtures" / "files"
QUICK = ("-s", "majority", "--set", "seeds=1", "--set", "noise=0", "--budget", "30s")


def write(*names: str) -> None:
    for name in names:
        Path(name).write_bytes((FILES / name).read_bytes())


def test_check_shows_its_guess_of_columns_and_dates(choose: Callable) -> None:
    write("crm.csv")
    found = checked(choose, "crm.csv")
    flags = "--text-column 'Subject,Description' --label-column 'Team'"
    assert found["notes"][0].endswith(f"{flags} --set time_column='Created At'")


def checked(choose: Callable, *arguments: str) -> dict[str, Any]:
    result = choose("check", *arguments, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


@pytest.mark.parametrize("file", ["intents.tsv", "team.csv", "twelve.csv"])
def test_the_files_below_are_accepted_without_a_study_file(choose: Callable, file: str) -> None:
    write(file)
    assert choose("check", file).code == 0


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--target", "0", "--target 0 cannot be used: input should be greater than 0."),
        ("--metric", "balancd", "is FILE.py:FUNCTION. Did you mean 'balanced'?"),
    ],
)
def test_a_bad_value_of_a_flag_is_refused_with_the_flag(refused, flag, value, said):
    write("team.csv")
    line = refused("compare", "team.csv", flag, value)
    assert line.startswith(f"Error: {flag} ")
    assert line.rstrip().endswith(said)
    Path("choose.toml").write_text(f'[goal]\n{flag[2:]} = "{value}"\n')
    assert f"goal.{flag[2:]} = " in refused("compare", "team.csv", "-c", "choose.toml")


@pytest.mark.slow
def test_a_study_and_its_export_remember_the_columns_that_were_found(choose: Callable) -> None:
    write("crm.csv", "messages.jsonl", "nested.jsonl")
    for name, text in (
        ("crm.csv", "Subject,Description"),
        ("messages.jsonl", "messages.user"),
        ("nested.jsonl", "ticket.body"),
    ):
        ran = choose("compare", name, *QUICK, "--out", f"{name}.study")
        assert ran.code == 0, ran.err
        assert "Columns found by their content: text" in ran.err
        assert Store(Path(f"{name}.study")).study["data"]["text_column"] == text
        exported = choose("export", f"{name}.study", f"{name}.model", "--candidate", "majority")
        assert exported.code == 0, exported.err
        labels = choose("predict", f"{name}.model", name)
        assert labels.code == 0, labels.err
        assert len(labels.out.splitlines()) >= 61
