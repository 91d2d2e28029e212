"""One list of doubted labels in check and report, and commands of next steps that can be typed."""

import contextlib
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from choose.api import plan
from choose.api.compare import report, run_study
from choose.api.notebook import first_screen
from choose.api.study_evidence import with_commands
from choose.cli.app import app
from choose.cli.options import overrides
from choose.conformance import pool
from choose.formatting import measured
from choose.report import check_words
from choose.report.words import as_call, typed, typed_here
from choose.schema.base import Command
from choose.schema.check import Check
from choose.schema.decision import Decision, Step
from choose.store.store import Store
from choose.study import resolve_study
from choose.study.candidates import names_of
from choose.study.config import Study
from support.decisions import decision
from support.studies import load_dataset, write_csv

QUICK = ("-s", "tfidf", "--quick")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study in `.choose`, three of whose labels were exchanged."""
    folder = tmp_path_factory.mktemp("studied")
    # With seed 1 the folds of a quick study ask two of the three, of which tfidf is less sure (0.93
    # and 0.90) than of most rows with that label: confident learning counts neither as wrong.
    rows = [(e.text, e.target) for e in pool(seed=3, rows=90)]
    labels = sorted({label for _, label in rows})
    for i in (4, 31, 62):
        rows[i] = (rows[i][0], labels[(labels.index(rows[i][1]) + 1) % len(labels)])
    data = write_csv(folder / "words.csv", rows)
    settings = {"data": {"path": str(data)}, "grid": dict(resolve_study.QUICK)}
    run_study(plan.resolve(None, settings, None, ["tfidf"]), out=folder / ".choose" / "st")
    return folder


@pytest.fixture
def studied(built: Path, tmp_path: Path) -> Decision:
    """The decision of that study, in a copy of its folder, which is the working folder."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return report(Path(".choose", "st"))


def wrong_labels(record: Check) -> str:
    line = next(line for line in record.lines if line.topic == "wrong-labels")
    return check_words.line(record, line)


@pytest.mark.slow
def test_another_set_and_a_damaged_record_have_an_audit_of_their_own(studied: Decision) -> None:
    rows = [(e.text, e.target) for e in pool(seed=2, rows=90)]
    assert plan.check(plan.resolve(write_csv(Path("others.csv"), rows))).record.audited_in is None
    (folder,) = Path(".choose").iterdir()
    (folder / "decision.json").write_text("{", encoding="utf-8")
    assert plan.check(plan.resolve("words.csv")).record.audited_in is None


@pytest.mark.parametrize("named", ["home", "folder", "file", "beside"])
def test_check_shows_the_list_of_the_study_wherever_it_lies(studied, tmp_path, monkeypatch, named):
    """22 doubted labels (check), 29 (report), 50, 6 and 23: now one list, order and count."""
    (folder,) = Path(".choose").iterdir()
    mine = folder if named == "home" else folder.rename(tmp_path / "mine")
    if named in ("home", "beside"):
        record = plan.check(plan.resolve("words.csv")).record
    else:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        file = mine if named == "folder" else mine / "study.toml"
        record = plan.check(plan.resolve(None, file), file).record
    assert Path(record.audited_in).resolve() == mine.resolve()
    assert record.audit.doubted == studied.audit.doubted
    assert len(record.audit.doubted) >= 1
    listed = [issue.row for issue in record.issues if issue.kind == "suspected label"]
    assert listed == [suspect.id for suspect in studied.audit.doubted]
    assert f"tfidf of the study {record.audited_in}" in wrong_labels(record)
    step = next(step for step in record.first if step.code == "doubted-labels")
    told = check_words.step(record, step)
    assert f"add about {measured(studied.audit.gain.gain.value)} to" in told


def test_without_a_study_check_says_whose_list_it_is(tmp_path: Path) -> None:
    rows = [(e.text, e.target) for e in pool(seed=1, rows=90)]
    rows[4] = (rows[4][0], next(label for _, label in rows if label != rows[4][1]))
    record = plan.check(plan.resolve(write_csv(tmp_path / "my words.csv", rows))).record
    wrong = wrong_labels(record)
    assert " tfidf (" in wrong
    assert wrong.endswith(f"A study makes a better list: choose compare '{tmp_path}/my words.csv'")


def parsed(command: str) -> tuple[str, Study]:
    """Return the subcommand and the study of a command, as the command line itself reads it."""
    choose, name, *words = shlex.split(command)
    assert choose == "choose"
    context = get_command(app).commands[name].make_context(name, words)
    given = context.params
    file = given["store"] if name == "continue" else given["config"]
    study = plan.resolve(given.get("data"), file, overrides(context), given.get("strategy") or ())
    return name, study


def rare_rows() -> list[tuple[str, str]]:
    rows = [(e.text, "usual" if e.target == "fruit" else e.target) for e in pool(seed=4, rows=120)]
    few = [row for row in rows if row[1] == "tool"][9:]
    return [row for row in rows if row not in few and row[1] != "weather"] + [
        (f"{text} again", "usual") for text, _ in rows
    ]


@pytest.fixture(scope="module")
def three_built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies of a file by a relative path, of a test file, and of a rare label."""
    folder = tmp_path_factory.mktemp("typed")
    project = folder / "the project"
    project.mkdir()
    write_csv(project / "words.csv", [(e.text, e.target) for e in pool(seed=1, rows=60)])
    write_csv(project / "more.csv", [(e.text, e.target) for e in pool(seed=2, rows=30)])
    write_csv(project / "rare.csv", rare_rows())
    stores: tuple[tuple[dict[str, str], str, str], ...] = (
        ({"path": "the project/words.csv"}, "majority", "the project/st 1"),
        ({"path": "the project/words.csv", "test": "the project/more.csv"}, "tfidf", ".choose/st"),
        ({"path": str(project / "rare.csv")}, "tfidf", "st3"),
    )
    with contextlib.chdir(folder):
        for data, strategy, out in stores:
            settings = {"data": data, "grid": {"budget": 60.0}}
            run_study(plan.resolve(None, settings, None, [strategy]), out=out)
    return folder


@pytest.fixture
def three(three_built: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three stored studies, in the folder where they were run."""
    monkeypatch.chdir(three_built)
    return [three_built / name for name in ("the project/st 1", ".choose/st", "st3")]


@pytest.mark.parametrize("away", [False, True])
def test_every_command_of_a_study_can_be_typed(three, tmp_path, monkeypatch, away, choose):
    home = Path.cwd()
    if away:
        monkeypatch.chdir(tmp_path)
    kinds = set()
    for store in three:
        named = store if away else store.relative_to(home)
        rows = Store.open(named).dataset.examples
        for step in report(named).verdict.steps:
            if step.command is None:
                continue
            kinds.add(step.kind)
            name, study = parsed(typed(typed_here(step.command, named)))
            assert name in ("continue", "check")
            assert load_dataset(study.data, study.task).examples.keys() == rows.keys()
            if step.command.options.get("strategy") == "all":
                assert {"prompt", "lora", "tfidf", "knn"} <= {*names_of(study)}
    assert {"add-candidate", "stronger-model", "metric"} <= kinds
    named = three[0] if away else three[0].relative_to(home)
    again = choose("compare", "-c", named, "--budget", "30s")
    assert again.code == 0
    assert f"Report: {named}" in again.err
    assert not (tmp_path / ".choose").exists()
    assert choose("check", "-c", named, "-o", "issues.csv").code == 0
    assert Path("issues.csv").is_file()


@pytest.mark.parametrize("form", ["choose.toml", "study.toml"])
def test_files_named_in_a_study_file_are_found_from_any_folder(tmp_path, monkeypatch, form):
    home = tmp_path / "project"
    (home / "data").mkdir(parents=True)
    write_csv(home / "data" / "words.csv")
    (home / form).write_text('[data]\npath = "data/words.csv"\n', encoding="utf-8")
    for folder in (tmp_path, home, home / "data"):
        monkeypatch.chdir(folder)
        study = plan.resolve(None, home / form)
        assert load_dataset(study.data, study.task).name == "words"
    # Flags start at the working folder, as they always do.
    assert plan.resolve("data/words.csv", home / form).data.path == "data/words.csv"


def test_all_stands_for_the_usual_candidates_and_the_own_ones() -> None:
    usual = set(names_of(plan.resolve("a.csv")))
    assert set(names_of(plan.resolve("a.csv", None, None, ["all"]))) == usual
    own = {"candidates": [{"strategy": "knn", "name": "near", "params": {"k": 3}}]}
    assert set(names_of(plan.resolve("a.csv", own, None, ["all"]))) == {*usual, "near"}
    assert set(names_of(plan.resolve("a.csv", None, None, ["all", "majority"]))) == usual


@pytest.mark.parametrize(
    ("command", "shell", "call"),
    [
        (
            Command(verb="compare", study="st 1", options={"budget": "15m"}),
            "choose continue 'st 1' --budget 15m",
            "choose.compare(study='st 1', budget='15m')",
        ),
        (
            Command(verb="compare", study="s", options={"set": "seeds=3", "strategy": "all"}),
            "choose continue s --set seeds=3 -s all",
            "choose.compare(study='s', seeds=3, strategies='all')",
        ),
        (
            Command(verb="check", study="s", options={"output": "issues.csv"}),
            "choose check -c s -o issues.csv",
            "choose.check(study='s').labels_to_check()",
        ),
        (
            Command(verb="compare", path="a b.csv", options={"text-column": "body"}),
            "choose compare 'a b.csv' --text-column body",
            "choose.compare('a b.csv', text_column='body')",
        ),
        (
            Command(verb="score", study="s", options={"baseline": ""}),
            "choose score -c s --baseline",
            "choose.score(study='s', baseline=True)",
        ),
        (
            Command(verb="export", study="s", path="router", options={"router": ""}),
            "choose export s router --router",
            "choose export s router --router",
        ),
    ],
)
def test_a_command_is_typed_and_called(command: Command, shell: str, call: str) -> None:
    assert (typed(command), as_call(command)) == (shell, call)


def test_a_printed_decision_leaves_a_command_as_it_is_typed(tmp_path: Path) -> None:
    """The flags of a command became keywords: `choose export s x candidate= lora`."""
    command = Command(verb="export", study="s", path="x", options={"candidate": "lora"})
    step = Step(kind="cascade", code="takeover", names=("lora", "prompt"), command=command)
    base = decision()
    verdict = base.verdict.model_copy(update={"steps": (step,)})
    page = first_screen(base.model_copy(update={"verdict": verdict}), tmp_path)
    assert " x --candidate lora" in " ".join(repr(page).split())


def test_commands_name_no_folder_of_the_machine_and_rows_of_python_get_calls(tmp_path, monkeypatch):
    def shown(data: dict[str, str], folder: Path, grid: Mapping[str, Any], **options: str) -> str:
        command = Command(verb="compare", study="STUDY", options=options)
        step = Step(kind="more-runs", code="repeat", command=command)
        verdict = decision().verdict.model_copy(update={"steps": (step,)})
        return typed(with_commands(verdict, {"data": data, "grid": grid}, folder).steps[0].command)

    data, here = {"path": "a.csv"}, tmp_path / "s"
    assert shown(data, here, {}, set="seeds=3") == "choose continue s --set seeds=3"
    away = tmp_path.parent / "elsewhere" / "the study"
    assert shown(data, away, {}, set="seeds=3") == "choose continue 'the study' --set seeds=3"
    assert shown({}, here, {}, set="seeds=3") == "choose.compare(rows, study='s', seeds=3)"
    # More minutes alone would ask the same few rows.
    more = "choose continue s --budget 2m --set rounds=30"
    assert shown(data, here, resolve_study.QUICK, budget="2m") == more
    # Nor do more seeds: the rounds of a first look end before any is repeated.
    seeds = {"budget": "2m", "set": "seeds=5"}
    again = shown(data, here, resolve_study.QUICK, **seeds)
    assert again == "choose continue s --budget 2m --set seeds=5 --set rounds=30"
    here.mkdir()
    (here / "study.toml").write_text('[data]\npath = "a.csv"\n[grid]\nrounds = 2\n')
    monkeypatch.chdir(tmp_path)
    grid = parsed(again)[1].grid
    assert (grid.budget, grid.seeds, grid.rounds) == (120, 5, 30)
    call = "choose.compare(rows, study='s', budget='2m', seeds=5, rounds=30)"
    assert shown({}, here, resolve_study.QUICK, **seeds) == call
