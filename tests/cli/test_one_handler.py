"""Whatever goes wrong ends in one place: one red line, 2 for input and 70 for a fault of ours."""

import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import typer

from support.studies import write_csv

Choose = Callable[..., tuple[int, str, str]]

FAULTS = [
    ValueError("year 148108\nis out of range"),
    RecursionError("maximum recursion depth exceeded"),
    pl.exceptions.PanicException("out-of-range date"),
    KeyError(),
]


def broken(monkeypatch: pytest.MonkeyPatch, where: str, error: BaseException) -> None:
    def fail(*arguments: object, **more: object) -> None:
        raise error

    monkeypatch.setattr(where, fail)


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_an_unexpected_error_is_one_line_and_its_traceback_a_file(
    choose, monkeypatch, tmp_path, error
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    broken(monkeypatch, "choose.api.plan.resolve", error)
    code, out, err = choose("check", "x.csv")
    assert (code, out, err.count("\n")) == (70, "", 1)
    assert err.startswith(f"Error: {type(error).__name__}")
    report = re.search(r"This is a fault of choose: please report it, with (\S+)\.$", err)
    assert "Traceback" in Path(report[1]).read_text()


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_an_error_about_an_input_names_it(choose, monkeypatch, tmp_path, error):
    data = write_csv(tmp_path / "words.csv")
    broken(monkeypatch, "choose.data.dataset.build_dataset", error)
    code, out, err = choose("compare", data)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"Error: Cannot use '{data}': {type(error).__name__}")
    assert err.endswith("please report this.\n")
    assert not Path(".choose").exists()


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (MemoryError(), 2, "Error: There is not enough memory."),
        (OSError(13, "Permission denied", "x"), 2, "Error: Cannot use the file 'x'"),
        (KeyboardInterrupt(), 130, ""),
        (typer.Abort(), 130, ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_of_the_machine_or_the_user_is_none_of_ours(
    choose, monkeypatch, error, code, says
):
    broken(monkeypatch, "choose.api.plan.resolve", error)
    found = choose("check", "x.csv")
    assert found[0] == code
    assert found[2].startswith(says)
    assert "report" not in found[2]
