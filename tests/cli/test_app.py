"""The command line: one red line for bad input, clean JSON, nothing lost, quick to start."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import polars as pl
import pytest
import typer

from choose.engines.weights.resolve import resolve
from choose.engines.weights.spec import DEFAULT_ENCODER, DEFAULT_LM
from choose.store.store import Store
from choose.types import FAMILIES
from support import fake_strategies as fakes
from support.ray_nodes import wait_for

QUICK = ("--set", "seeds=2", "--set", "noise=0")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.csv"], "nowhere.csv"),
        (["words.csv", "--label-column", "lable"], "label"),
        (["words.csv", "--set", "noise=1.5"], "--set noise=1.5"),
        (["words.csv", "--seeds", "3"], "No such option: --seeds. Write --set seeds=VALUE."),
        (["words.csv", "--budget"], "'--budget' requires an argument"),
        (["words.csv", "-s", "knn", "--set", "encoder=not/there/at/all"], "not/there/at/all"),
        (["words.csv", "-s", "lora", "--set", "tune=./no-such-folder"], "no-such-folder"),
        (["words.csv", "-c", "nowhere.toml"], "nowhere.toml"),
        (["words.csv", "--out", "words.csv"], "words.csv"),
        (["sample:nothing"], "nothing"),
        (["words.csv", "--test", "nowhere.csv"], "nowhere.csv"),
        ([], "DATA"),
    ],
)
def test_a_bad_flag_is_one_red_line(refused, data: Path, arguments: list[str], says: str) -> None:
    assert says in refused("compare", *arguments)
    assert not (data.parent / ".choose").exists()


def test_several_strategies_may_be_named_with_commas(choose, refused, data: Path) -> None:
    named = refused("compare", data, "-s", "tfidf, tfdif")
    assert named.startswith("Error: No strategy 'tfdif'. Did you mean 'tfidf'?")
    planned = choose("plan", data, "-s", "tfidf,majority")
    assert planned.code == 0, planned.err


def test_a_mistyped_command_is_one_question(choose) -> None:
    assert "Did you mean 'compare'? See choose --help." in choose("compar").err


def test_a_half_written_study_is_told_from_no_study(choose, data: Path, tmp_path: Path) -> None:
    assert choose("compare", data, "-s", "tfidf", *QUICK, "--out", "st").code == 0
    settings = (tmp_path / "st" / "study.toml").read_bytes()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "study.toml").write_bytes(settings)
    assert "'other' is not a study of choose." in choose("report", "other").err
    (tmp_path / "st" / "decision.json").unlink()
    (tmp_path / "st" / "data.parquet").unlink()
    rows = choose("report", "st").err
    assert "data.parquet': it is missing. Run choose compare again" in rows
    assert "Errno" not in rows


def test_the_record_is_printed_stored_and_remade_from_the_trials_alone(choose, data: Path) -> None:
    first = choose("compare", data, "-s", "tfidf", *QUICK, "--out", "st")
    assert choose("report", "st") == first._replace(err="Report: st/report.html\n")
    record = json.loads(choose("compare", data, "-s", "tfidf", *QUICK, "--json", "--out", "st").out)
    assert (record["schema"], record["looks"]) == (1, 1)
    assert {s["candidate"] for s in record["scorecards"]} == {"majority", "tfidf"}
    on_disk = Path("st/decision.json")
    assert json.loads(on_disk.read_text(encoding="utf-8")) == record
    on_disk.unlink()
    assert json.loads(choose("report", "st", "--json").out) == record


def test_the_whole_report_is_printed_and_a_wrong_second_study_refused(choose, refused, data):
    first = choose("compare", data, "-s", "tfidf", *QUICK)
    assert first.code == 0
    full = choose("report", "--full")
    assert "### " not in full.out
    assert "All candidates" in full.out
    assert len(first.out.splitlines()) <= 40 < len(full.out.splitlines())
    (store,) = Path(".choose").iterdir()
    assert "'costs' is no folder of a study." in refused("report", store, "costs")
    assert "Leave out --full" in refused("report", store, "--full", "--json")


def test_a_broken_strategy_shows_in_the_report(choose, data, monkeypatch):
    fakes.install(monkeypatch)
    result = choose("compare", data, "-s", "broken", *QUICK, "--out", "st")
    assert result.code == 0
    assert "[bold red]on fire[/]" in " ".join(result.out.split())
    assert "[bold red]on fire[/]" in " ".join(result.err.split())
    broken = next(
        s
        for s in json.loads(choose("report", "st", "--json").out)["scorecards"]
        if s["candidate"] == "broken"
    )
    assert broken["accuracy"] is None
    assert broken["errors"]


def test_version(choose) -> None:
    assert choose("--version").out.startswith("choose ")


@pytest.mark.slow
def test_help_starts_quickly() -> None:
    seconds = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-m", "choose", "--help"], check=True, capture_output=True)
        after = os.times()
        seconds.append(after.children_user + after.children_system - sum(before[2:4]))
    # Processor time, which a busy machine hardly changes; half of it is usual.
    assert 0 < min(seconds) < 1.0


ROWS = "text,label\n" + "".join(f"text {i} {'ab'[i % 2]},{'ab'[i % 2]}\n" for i in range(40))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    (tmp_path / "a.csv").write_text(ROWS)
    (tmp_path / "t.csv").write_text(ROWS.replace("text", "test", 1).replace("test,", "text,"))
    return tmp_path / "a.csv"


@pytest.mark.parametrize("output", ["a.csv", "t.csv", "b.csv"])
def test_check_overwrites_neither_the_rows_nor_the_test_file(refused, rows, output: str) -> None:
    os.link("a.csv", "b.csv")
    before = {path.name: path.read_bytes() for path in rows.parent.iterdir()}
    assert "input" in refused("check", "a.csv", "--test", "t.csv", "-o", output)
    assert {path.name: path.read_bytes() for path in rows.parent.iterdir()} == before


def test_compare_checks_its_outputs_before_it_runs(refused, rows: Path) -> None:
    Path("s.json").write_text("")
    for out in ("-o", "s.json"), ("-o", "no/r.html"), ("-o", "st/r.html", "--out", "st"):
        Path("s.json").unlink()
        os.link("a.csv", "s.json")
        refused("compare", "a.csv", "-s", "majority", *out)
    assert "not a study" in refused("compare", "a.csv", "-s", "majority", "--out", ".")
    assert sorted(path.name for path in rows.parent.iterdir()) == ["a.csv", "s.json", "t.csv"]
    assert Path("a.csv").read_text() == ROWS


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
def test_an_error_about_an_input_names_it(refused, monkeypatch, data, error):
    broken(monkeypatch, "choose.data.dataset.build_dataset", error)
    err = refused("compare", data)
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


def team_file(name: str) -> str:
    """Copy a file as teams have them."""
    Path(name).write_bytes((Path(__file__).parents[1] / "fixtures" / "files" / name).read_bytes())
    return name


def test_check_shows_its_guess_of_columns_and_dates(choose) -> None:
    result = choose("check", team_file("crm.csv"), "--json")
    assert result.code == 0, result.err
    flags = "--text-column 'Subject,Description' --label-column 'Team'"
    assert json.loads(result.out)["notes"][0].endswith(f"{flags} --set time_column='Created At'")


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--target", "0", "--target 0 cannot be used: input should be greater than 0."),
        ("--metric", "balancd", "is FILE.py:FUNCTION. Did you mean 'balanced'?"),
    ],
)
def test_a_bad_value_of_a_flag_is_refused_with_the_flag(refused, flag, value, said):
    line = refused("compare", team_file("team.csv"), flag, value)
    assert line.startswith(f"Error: {flag} ")
    assert line.rstrip().endswith(said)
    Path("choose.toml").write_text(f'[goal]\n{flag[2:]} = "{value}"\n')
    assert f"goal.{flag[2:]} = " in refused("compare", "team.csv", "-c", "choose.toml")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("crm.csv", "Subject,Description"),
        ("messages.jsonl", "messages.user"),
        ("nested.jsonl", "ticket.body"),
    ],
)
def test_a_study_and_its_export_remember_the_columns_that_were_found(choose, name, text):
    quick = ("-s", "majority", *QUICK, "--budget", "30s")
    ran = choose("compare", team_file(name), *quick, "--out", "st")
    assert ran.code == 0, ran.err
    assert "Columns found by their content: text" in ran.err
    assert Store(Path("st")).study["data"]["text_column"] == text
    exported = choose("export", "st", "model", "--candidate", "majority")
    assert exported.code == 0, exported.err
    labels = choose("predict", "model", name)
    assert labels.code == 0, labels.err
    assert len(labels.out.splitlines()) >= 61


@pytest.mark.slow(seconds=20)
def test_one_round_of_a_pool_below_its_size_has_every_family(choose, data, model, encoder):
    models = (f"model={model}", f"tune={encoder}", f"encoder={encoder}", "rounds=1")
    flags = [word for setting in models for word in ("--set", setting)]
    ran = choose("compare", data, *flags, "--out", "st", "--json")
    assert ran.code == 0, ran.err
    answered: dict[str, set[int]] = {}
    for card in json.loads(ran.out)["scorecards"]:
        answered.setdefault(card["family"], set()).add(card["rows"])
        assert card["learned"] in (48, None)
    assert answered.keys() == {*FAMILIES}
    assert all(min(rows) >= 25 for rows in answered.values()), answered


@pytest.mark.slow(seconds=45)
def test_budgets_hold_on_the_clock_and_a_higher_one_goes_on() -> None:
    """Of a real sample whose models take minutes; from the start of the process to its page."""
    for spec in (DEFAULT_LM, DEFAULT_ENCODER):
        resolve(spec)  # it is downloaded once
    rows: Mapping[str, int] = {}
    for budget, code in ((1, 2), (10, 0), (25, 0)):
        words = ("compare", "sample:tickets", "--budget", f"{budget}s", "--out", "st", "--json")
        start = time.monotonic()
        done = subprocess.run([sys.executable, "-m", "choose", *words], capture_output=True)
        assert done.returncode == code, done.stderr.decode()
        assert time.monotonic() - start <= 1.05 * budget + 5
        if code:
            assert done.stderr.endswith(b"A longer --budget leaves time for more.\n")
            continue
        record, before = json.loads(done.stdout), rows
        rows = {card["candidate"]: card["rows"] for card in record["scorecards"]}
        told = {one["candidate"] for one in record["left_out"] if one["reason"] == "out-of-time"}
        assert {name for name, count in rows.items() if not count} <= told
        assert all(rows[name] >= count for name, count in before.items())
    assert Path("st/report.html").exists()
    assert sum(rows.values()) > sum(before.values()) > 0


@pytest.mark.slow(seconds=25)
def test_a_budget_holds_where_answers_are_written() -> None:
    for spec in (DEFAULT_LM, DEFAULT_ENCODER):
        resolve(spec)
    for sample in ("orders", "handbook"):
        start = time.monotonic()
        words = ("compare", f"sample:{sample}", "--budget", "10s", "--out", sample)
        done = subprocess.run([sys.executable, "-m", "choose", *words], capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        assert time.monotonic() - start <= 1.05 * 10 + 5


@pytest.mark.slow(seconds=14)
def test_ctrl_c_ends_at_once_and_keeps_what_is_finished(choose, data, tmp_path):
    grid = ("-s", "tfidf", "--set", "seeds=3", "--set", "noise=0,0.1,0.2,0.3")
    store = tmp_path / "st"
    # A shell that runs tests in the background has Ctrl-C ignored, and children inherit that.
    process = subprocess.Popen(
        [sys.executable, "-m", "choose", "compare", data, *grid, "--out", store],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: len([*store.glob("trials/*/trial.json")]) >= 12 or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 3
    assert (process.returncode, out) == (130, "")
    assert err.endswith(f"choose report {store} judges them, and the same command goes on.\n")
    assert json.loads(choose("report", store, "--json").out)["left_out"]
    again = json.loads(choose("compare", data, *grid, "--out", store, "--json").out)
    assert again["left_out"] == []
    assert again["looks"] == 1
