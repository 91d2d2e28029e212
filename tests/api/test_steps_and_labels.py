"""One list of doubted labels in check and report, and commands of next steps that can be typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from choose.api import plan
from choose.api.compare import report
from choose.api.study_evidence import with_commands
from choose.conformance import pool
from choose.schema.answer import Step
from choose.schema.decision import Decision
from support.decisions import decision
from support.studies import write_csv

QUICK = ("-s", "tfidf", "--seeds", "1", "--sizes", "1", "--noise", "0", "--budget", "60")


@pytest.fixture
def studied(choose, tmp_path: Path) -> Decision:  # type: ignore[no-untyped-def]
    """The decision of a small study in `.choose`, three of whose labels were exchanged."""
    rows = [(e.text, e.target) for e in pool(seed=1, rows=90)]
    labels = sorted({label for _, label in rows})
    for i in (4, 31, 62):
        other = labels[(labels.index(rows[i][1]) + 1) % len(labels)]
        rows[i] = (rows[i][0], other)
    write_csv(tmp_path / "words.csv", rows)
    assert choose("compare", "words.csv", *QUICK).code == 0
    (folder,) = Path(".choose").iterdir()
    return report(folder)


def test_check_shows_the_list_of_the_study(studied: Decision) -> None:
    """22 doubted labels (check), 29 (report), 50, 6 and 23: now one list, order and count."""
    assert studied.audit is not None
    checked = plan.check("words.csv").record
    assert checked.audited_in is not None
    assert Path(checked.audited_in).parent == Path(".choose")
    assert checked.audit is not None
    assert checked.audit.doubted == studied.audit.doubted
    assert len(checked.audit.doubted) >= 1
    listed = [issue.row for issue in checked.issues if issue.kind == "suspected label"]
    assert listed == [suspect.id for suspect in studied.audit.doubted]
    wrong = next(line.says for line in checked.lines if line.topic == "Wrong labels")
    assert f"tfidf of the study {checked.audited_in}" in wrong


@pytest.mark.slow
def test_another_set_has_its_own_audit(studied: Decision, tmp_path: Path) -> None:
    rows = [(e.text, e.target) for e in pool(seed=2, rows=90)]
    assert plan.check(write_csv(tmp_path / "others.csv", rows)).record.audited_in is None


@pytest.mark.slow
def test_a_damaged_record_is_passed_over(studied: Decision) -> None:
    (folder,) = Path(".choose").iterdir()
    (folder / "decision.json").write_text("{", encoding="utf-8")
    assert plan.check("words.csv").record.audited_in is None


def test_commands_of_a_study_name_its_data_and_its_folder(studied: Decision) -> None:
    commands = [step.command for step in studied.verdict.steps if step.command]
    assert commands
    for command in commands:
        assert not {"DATA", "STUDY", "FOLDER"} & set(command.split())
    assert any(command.startswith("choose compare words.csv") for command in commands)


@pytest.mark.parametrize(
    ("data", "folder", "wanted"),
    [
        ({"path": "my file.csv", "label_column": "team"}, "s", "'my file.csv' --label-column team"),
        ({"path": "sample:tickets"}, "s", "sample:tickets"),
        ({}, "s", "DATA"),
    ],
)
def test_commands_are_quoted_and_name_no_folder_of_the_machine(
    data: dict[str, str], folder: str, wanted: str, tmp_path: Path
) -> None:
    verdict = decision().verdict.model_copy(
        update={
            "steps": (
                Step(kind="metric", text="x", command="choose compare DATA"),
                Step(kind="other", text="x", command="choose compare -c STUDY --out FOLDER"),
                Step(kind="other", text="x"),
            )
        }
    )
    first, second, third = with_commands(verdict, data, tmp_path / folder).steps
    assert first.command == f"choose compare {wanted}"
    assert second.command == "choose compare -c s/study.toml --out s"
    assert third.command is None
    away = with_commands(verdict, data, tmp_path.parent / "elsewhere" / "the study").steps[1]
    assert away.command == "choose compare -c 'the study/study.toml' --out 'the study'"
