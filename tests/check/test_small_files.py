"""Small correct files: `check` calls no label doubtful that it cannot know, and sees the rest."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from choose.api import plan
from choose.report import check_words as words
from choose.report.words import typed
from choose.schema.check import Check

# As teams bring them, shuffled; in stars.csv no word tells the stars of another review.
FILES = Path(__file__).parents[1] / "fixtures" / "small"

# Every label of these is right, and a text baseline is too weak to say so or otherwise.
WEAK = ("stars", "japanese", "german", "twelve", "rare")


def audited(name: str, folder: Path, **goal: str) -> Check:
    file = shutil.copy(FILES / f"{name}.csv", folder)
    text, label = Path(file).read_text("utf-8").splitlines()[0].split(",")
    columns = {"text_column": text, "label_column": label}
    overrides = {"data": columns, **({"goal": goal} if goal else {})}
    return plan.check(plan.resolve(file, None, overrides)).record


def line(check: Check, topic: str) -> tuple[str, str]:
    found = next(x for x in check.lines if words.topic(x) == topic)
    return found.status, words.line(check, found)


def said(check: Check) -> str:
    steps = [words.step(check, step) for step in check.first]
    return " ".join([words.headline(check), *steps, *(words.line(check, x) for x in check.lines)])


@pytest.mark.parametrize("name", WEAK)
def test_no_list_and_no_points_where_the_auditor_is_near_chance(name: str, tmp_path: Path) -> None:
    check = audited(name, tmp_path)
    audit = check.audit
    assert audit.accuracy is not None
    assert audit.doubted == ()
    assert audit.suspects == ()
    assert audit.suspected == 0
    assert audit.overlaps == ()
    assert audit.noise is None
    assert audit.weak is not None
    assert line(check, "Wrong labels")[0] == "unknown"
    assert not any(issue.kind == "suspected label" for issue in check.issues)
    assert "Review the" not in said(check)
    assert not any(step.points for step in check.first if name != "twelve")


def test_a_dozen_rows_are_told_what_more_would_show(tmp_path: Path) -> None:
    check = audited("twelve", tmp_path)
    few = "are too few to compare candidates. Your margin of 2 points takes about "
    assert few in line(check, "Size")[1]


def test_rare_positives_are_seen_and_the_command_of_the_step_can_be_typed(choose, tmp_path):
    """The plan of the very command that the step names is the plan with that metric."""
    first, second, *arguments = typed(audited("rare", tmp_path).first[0].command).split()
    assert (first, second, *arguments[-2:]) == ("choose", "compare", "--metric", "balanced")
    assert choose("plan", *arguments, "-s", "tfidf").code == 0
    # Where the metric counts every label the same, there is nothing to say.
    assert "--metric" not in said(audited("rare", tmp_path, metric="balanced"))


def test_a_set_in_which_every_row_repeats_another_is_no_pass(tmp_path: Path) -> None:
    check = audited("stars", tmp_path)
    status, says = line(check, "Duplicates")
    assert check.within.near == 150
    assert status == "look"
    assert says.startswith("Rows that repeat another row: 150 of 150")


@pytest.mark.parametrize("name", ["japanese", "german"])
def test_a_language_that_the_encoder_does_not_know_is_noticed(name, tmp_path):
    status, says = line(audited(name, tmp_path), "Languages")
    assert status == "look"
    assert "was trained on English" in says
    assert "--set encoder=SPEC" in says


@pytest.mark.slow
def test_a_check_of_the_tickets_takes_seconds() -> None:
    """D24: 12 to 20 seconds of processor time for 602 rows.

    On one thread of its own, since threads that wait for each other count as processor time.
    """
    code = "from time import process_time as t; from choose.api import plan; start = t(); "
    code += 'plan.check(plan.resolve("sample:tickets")); print(t() - start)'
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert float(told.stdout.split()[-1]) < 10
