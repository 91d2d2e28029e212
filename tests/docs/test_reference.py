"""The documentation says what the code says."""

import inspect
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
import typer

from choose.cli.app import app
from choose.engines.lora import answer_tuning, classifier
from choose.judge.decision.trust_conditions import TASK_STABLE
from choose.judge.goal import Rule
from choose.judge.verdict import judge
from choose.models import tfidf_and_logistic as logistic
from choose.models.prompting import prompt_search
from choose.models.retrieval import passage_search
from choose.strategy import available, find
from choose.study.config import Study
from choose.study.resolve_study import check
from choose.types import Kind
from choose_strategies import baselines, prompting, rag, rankings
from generate import FOLDER, pages
from generate.records import decision_schema
from support.commands import blocks, run_script
from support.decisions import decision
from support.html import parsed
from support.simulated_studies import lora, prompt, study, tfidf

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LOADED = ("script", "img", "iframe", "link", "source")


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_generated_page_is_not_stale(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == pages()[name], "run: make docs"


def test_nothing_else_lies_among_the_generated_pages() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(pages())


def default(name: str, setting: str) -> float:
    return inspect.signature(find(name)).parameters[setting].default


NUMBERS = {1: "one", 2: "twice", 3: "three", 5: "five", 6: "six", 0.2: "fifth", 0.25: "quarter"}


def stated() -> dict[str, list[str]]:
    words, calls = NUMBERS, default("tuned-prompt", "calls")
    written = prompting.TunedPrompt.kind_settings["writing"]["calls"]
    return {
        "tfidf": [f"C = {default('tfidf', 'C'):g}"],
        "probe": [
            f"C, {len(logistic.STRENGTHS)} values, on {baselines.STRENGTH_ROWS:,} "
            f"rows in {words[logistic.PARTS]} parts; of sets C = {baselines.STRENGTHS[0]:g}"
        ],
        "knn": [
            f"k, {len(baselines.NEIGHBOURS)} values, on at most {baselines.NEIGHBOUR_ROWS:,} rows"
        ],
        "tagger": [f"C = {default('tagger', 'C'):g}"],
        "bm25": [f"k1 = {passage_search.K1}, b = {passage_search.B}"],
        "tuned-prompt": [f"up to {calls:,} questions a fit, {written} where answers"],
        "retrieval": [f"{words[int(default('retrieval', 'k'))]} nearest rows"],
        "rag": [
            f"{words[rag.LOCAL]} passage of {rag.WORDS} words, at an endpoint {words[rag.SERVED]}"
        ],
        "hybrid": [f"the constant {passage_search.RANK_CONSTANT}", f"{rankings.WORDS} words"],
        "lora": [
            f"from {classifier.EARLY_STOPPING_MIN_ROWS:,} rows on, from "
            f"{answer_tuning.EARLY_STOPPING_MIN_ROWS} where answers are written"
        ],
        "lora-rag": [f"from {rag.LoraRag.least_checked} rows on"],
        "setfit": ["C = 10"],
        "full-fine-tuning": [f"from {classifier.EARLY_STOPPING_MIN_ROWS:,} rows on"],
    }


def test_the_figures_of_what_is_tried_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "methods" / "what-is-tried.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    named = {name for row in rows[1:] for name in re.findall(r"`([\w-]+)`", row.split(" | ")[0])}
    assert named <= {*available()}
    for name, figures in stated().items():
        own = [row for row in rows if f"`{name}`" in row.split(" | ")[0]]
        assert own, name
        for figure in figures:
            assert any(figure in row for row in own), (name, figure)
    told, words = " ".join(text.split()), NUMBERS
    for figure in (
        f"fewer than {prompt_search.FEWEST_ROWS} rows",
        f"at most {baselines.STRENGTH_ROWS:,} training rows into {words[logistic.PARTS]} ",
        f"at most {baselines.NEIGHBOUR_ROWS:,} training rows from the others",
        "C = 1, 3, 10, 30 and 100",
        "k = 1, 3, 5, 10, 15, 25 and 40",
        f"e-fold less with each {words[1 / baselines.SHARPNESS]} of",
        f"(three where fewer than {prompting.ENOUGH_ASKED} rows can be asked)",
        f"at most a {words[prompt_search.MONEY_SHARE]} of the dollars that are left",
    ):
        assert figure in told, figure


def test_every_command_and_flag_is_in_the_reference() -> None:
    text = pages()["commands.md"]
    for name, command in typer.main.get_command(app).commands.items():
        section = re.search(rf"^## choose {name}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
        assert section, name
        flags = [flag for param in command.params for flag in param.opts if flag[0] == "-"]
        assert all(f"`{flag}`" in section[1] for flag in flags if flag != "--help"), name


@pytest.fixture(scope="module")
def published() -> jsonschema.Draft202012Validator:
    schema = decision_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_record_keeps_to_the_published_schema(kind, published):
    record = json.loads(decision(kind).model_dump_json(by_alias=True))
    published.validate(record)
    with pytest.raises(jsonschema.ValidationError):
        published.validate({**record, "verdict": None})


def test_no_name_of_a_module_shows_in_a_schema() -> None:
    assert not [name for name in decision_schema()["$defs"] if "__" in name]


def test_every_key_of_the_study_file_is_explained() -> None:
    unexplained = re.findall(r"^\| `(\w+)` \|  \|", pages()["study-file.md"], re.MULTILINE)
    assert not unexplained, "add a description in study/config.py"


def test_study_files_that_are_shown_can_be_read() -> None:
    shown = [
        tomllib.loads(block) for page in PAGES for block in blocks(page.read_text("utf-8"), "toml")
    ]
    studies = [block for block in shown if set(block) & set(Study.model_fields)]
    assert len(studies) >= 3
    for settings in studies:
        check(settings, "the page")


def test_defaults_in_the_readme_are_those_of_the_code() -> None:
    minutes = Study().grid.budget / 60
    assert f"choose compare tickets.csv     # {minutes:g} minutes" in README
    assert decision_schema()["properties"]["schema"]["const"] == 1


def test_verdicts_and_gates_are_explained() -> None:
    reading = (ROOT / "docs" / "reading-a-report.md").read_text(encoding="utf-8")
    methods = (ROOT / "docs" / "methods" / "decision.md").read_text(encoding="utf-8")
    assert all(f"| `{kind}` |" in reading for kind in get_args(Kind))
    for gate in judge(study([tfidf(0.7), prompt(0.6), lora(0.8)], 200, 0), Rule()).gates:
        assert f"| {gate.name} |" in methods
    assert f"| {TASK_STABLE} |" in methods


@pytest.mark.slow(seconds=34)
def test_the_first_steps_of_the_tutorial_work_and_say_what_it_says(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8").partition("## 5.")[0]
    printed, shown = run_script("\n".join(blocks(text)), tmp_path), blocks(text, "text")
    assert len(shown) == 3
    assert all(block in printed for block in shown)
    assert "detect differences of 5.1 points or more" in " ".join(printed.split())
    assert (tmp_path / "tickets.html").exists()
    assert (tmp_path / "tickets.md").exists()
    assert len((tmp_path / "answers.csv").read_text("utf-8").splitlines()) == 603


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    built = list(tmp_path.rglob("*.html"))
    assert len(built) >= len(PAGES) - 1
    for page in built:
        tags = parsed(page.read_text(encoding="utf-8")).seen
        loads = [a for tag, a in tags if tag in LOADED and a.get("rel") != "canonical"]
        assert loads
        urls = [a.get("src") or a.get("href") or "" for a in loads]
        assert not [url for url in urls if re.match(r"(https?:)?//", url)], page.name
    for sheet in (*tmp_path.rglob("*.css"), *tmp_path.rglob("*.svg")):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", sheet.read_text("utf-8"))
    assert not list(tmp_path.rglob("*.py"))
