"""What the README tells people to copy works."""

import csv
import html
import io
import json
import re
import shlex
from importlib.resources import files
from pathlib import Path

import pytest
import typer

from choose.cli.app import app
from choose.cli.ci_gates import PANEL
from choose.conformance import pool
from choose.judge.goal import RULE
from choose.report import words
from choose.schema.decision import Decision
from support.commands import blocks, run_python, run_script
from support.studies import write_csv

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
LORA = "## From labels to a working LoRA in ten minutes"


def commands(page: Path) -> list[list[str]]:
    text = page.read_text(encoding="utf-8")
    whole = (block.replace("\\\n", " ") for block in blocks(text, r"(?:\w*)"))
    lines = [line for block in whole for line in block.splitlines()]
    found = [line.split("|")[-1].strip() for line in lines]
    return [shlex.split(line, comments=True) for line in found if line.startswith("choose ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_shown_exists_with_its_flags(page: Path) -> None:
    known, shown = typer.main.get_command(app).commands, commands(page)
    assert len(shown) >= 8 or page.name != "README.md"
    every = {flag for command in known.values() for p in command.params for flag in p.opts}
    assert set(re.findall(r"`(--[a-z0-9-]+)", page.read_text("utf-8"))) <= {*every, "--help"}
    for _, name, *rest in shown:
        flags = {flag for one in known[name].params for flag in (*one.opts, *one.secondary_opts)}
        for word in rest:
            if word.startswith("-") and word != "-":
                assert word in flags, f"{page.name}: choose {name} has no {word}"


@pytest.mark.slow
def test_the_python_block_runs(tmp_path: Path) -> None:
    write_csv(tmp_path / "tickets.csv")
    (block,) = blocks((ROOT / "README.md").read_text(encoding="utf-8"), "python")
    assert "tfidf" in run_python(block, cwd=tmp_path)
    assert (tmp_path / "router" / "README.md").exists()


def test_the_workflow_of_the_docs_runs(choose, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    folded = re.search(r"run: >\n((?: {10}.*\n)+)", text)
    assert folded
    command = shlex.split(folded[1])
    assert command[0] == "choose"
    # Without the encoder's weights only one candidate is left, and that is no choice.
    command = [word for at, word in enumerate(command) if "probe" not in command[at : at + 2]]
    # So many that hardly anything is left to gain, although one family is all that is asked.
    write_csv(tmp_path / "labels.csv", [(e.text, e.target) for e in pool(seed=3, rows=600)])
    result = choose(*command[1:], "--set", "seeds=1", "--set", "noise=0", "--budget", "20s")
    assert result.code == 0, result.err
    assert all((tmp_path / name).stat().st_size for name in ("report.html", "study/decision.json"))


def test_the_flags_of_builds_are_in_the_docs() -> None:
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    compare = typer.main.get_command(app).commands["compare"]
    flags = [o.opts[0] for o in compare.params if getattr(o, "rich_help_panel", None) == PANEL]
    assert len(flags) == 3
    assert all(flag in text for flag in flags)


def told(page: str) -> str:
    return " ".join(page.split())


def test_the_figures_of_the_plan_without_data_are_what_it_prints(choose) -> None:
    found = re.search(r"^choose (plan --no-data .*?) +# (.*)$", README, re.MULTILINE)
    assert found
    printed = told(choose(*shlex.split(found[1])).out)
    assert all(figure in printed for figure in found[2].split(", "))


def test_the_requests_and_dollars_are_what_plan_forecasts(choose) -> None:
    requests, read, written, cost = re.findall(
        r"up to ([\d,]+) requests, (\d+)k tokens in, (\d+)k out: about \$([\d.]+) at", told(README)
    )[0]
    server = shlex.split("--model m --base-url http://127.0.0.1:9/v1 --usd-per-million 0.15,0.6")
    plan = choose("plan", "sample:tickets", "-s", "prompt", *server, "--json")
    (bill,) = json.loads(plan.out)["sending"]["endpoints"]
    assert bill["requests"] == int(requests.replace(",", ""))
    assert round(bill["read"] / 1000) == int(read)
    assert round(bill["written"] / 1000) == int(written)
    assert round(bill["usd"], 2) == float(cost)


def test_the_sizes_of_the_weights_are_what_is_fetched_and_kept(choose) -> None:
    models = json.loads(choose("models", "--json").out)["models"][:2]
    fetched, kept = re.findall(r"fetches (\d+) MB of weights .*?(\d+) MB on disk", told(README))[0]
    assert int(fetched) == round(sum(model["download_mb"] for model in models))
    here = [model["cached_mb"] for model in models]
    assert None in here or int(kept) == round(sum(here))


def test_the_picture_is_of_the_demo_and_shows_its_verdict() -> None:
    record = json.loads((ROOT / "docs" / "generate" / "demo.json").read_text(encoding="utf-8"))
    assert record["dataset"]["name"] == "tickets"
    assert record["rule"] == RULE  # judged anew whenever the rule changes: make picture
    shown = html.unescape((ROOT / "docs" / "generated" / "report.svg").read_text(encoding="utf-8"))
    first = words.answer(Decision.model_validate(record)).split()[:4]
    assert " ".join(first) in shown.replace("\xa0", " ")
    assert "docs/generated/report.svg" in README
    for path in ("/home/", "/ro" + "ot/", "/tmp/", "/wo" + "rk/"):
        assert path not in json.dumps(record)


def few_tickets(file: Path) -> int:
    """Write every third sample ticket of three labels; return how many there are."""
    sample = (files("choose.data") / "samples" / "tickets" / "tickets.csv").read_text("utf-8")
    rows = [
        (row["id"], row["text"], row["label"])
        for row in csv.DictReader(io.StringIO(sample))
        if row["label"] in ("access", "billing", "calendar")
    ][::3]
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("id", "text", "label"), *rows])
    return len(rows)


@pytest.mark.slow(seconds=110)
def test_the_lora_lines_of_the_tutorial_give_a_working_model(tmp_path: Path) -> None:
    """The lines as they are, but on fewer rows; the sample itself is taken by the first steps."""
    script = blocks(TUTORIAL[TUTORIAL.index(LORA) :])[0]
    assert script.count("sample:tickets") == 2
    rows = few_tickets(tmp_path / "tickets.csv")
    printed = run_script(script.replace("sample:tickets", "tickets.csv"), tmp_path)
    (answer,) = [line for line in printed.splitlines() if line.startswith("1,")]
    manifest = (tmp_path / "tuned-router" / "export.json").read_text("utf-8")
    assert answer.split(",")[1] in json.loads(manifest)["task"]["labels"]
    answers = (tmp_path / "answers.csv").read_text(encoding="utf-8").splitlines()
    assert answers[0] == "id,text,label,confidence,status"
    assert len(answers) == rows + 1
    assert (tmp_path / "tuned" / "report.html").read_text(encoding="utf-8").startswith("<!")
    record = json.loads((tmp_path / "tuned" / "decision.json").read_text(encoding="utf-8"))
    accuracy = {
        card["candidate"]: card["accuracy"]["value"]
        for card in record["scorecards"]
        if card["accuracy"] is not None
    }
    assert accuracy["lora"] > accuracy["majority"] + 0.2


PAGE = (ROOT / "SECURITY.md").read_text("utf-8")


def test_every_promise_names_tests_that_exist() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    defined = {name for text in sources for name in re.findall(r"^ *def (test_\w+)", text, re.M)}
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 20
    assert len(PAGE.splitlines()) <= 60
    assert "(SECURITY.md)" in README
    assert named <= defined
    promises = PAGE.split("## What is promised")[1].split("## What is not promised")[0]
    assert all("`test_" in promise for promise in promises.strip().split("\n\n"))
