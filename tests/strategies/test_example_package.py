"""A third-party package: installed, compared, exported and checked for conformance."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tests" / "example_package"
DOCS = ROOT / "docs" / "your-own-strategy.md"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(PACKAGE, folder / "source")
    quiet = "--quiet --disable-pip-version-check --no-input"
    offline = "--no-deps --no-build-isolation --no-index"
    command = [sys.executable, *f"-m pip install {quiet} {offline} --target".split()]
    places = [folder / "site", folder / "source"]
    subprocess.run([*command, *places], check=True, capture_output=True)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "site"), *sys.path])}


def run(installed: dict[str, str], *arguments: object, code: str = "") -> str:
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "choose"]
    done = subprocess.run(
        [*command, *map(str, arguments)], env=installed, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_it_is_found_compared_and_exported(installed: dict[str, str], data: Path) -> None:
    listed = run({**installed, "COLUMNS": "200"}, "strategies")
    assert "shared-words" in listed
    assert "choose-shared-words" in listed
    grid = ("--set", "seeds=1", "--set", "noise=0", "--out", "st", "--json")
    record = json.loads(run(installed, "compare", data, "-s", "shared-words", *grid))
    cards = {card["candidate"]: card for card in record["scorecards"]}
    assert cards["shared-words"]["accuracy"]["value"] > 0.9
    assert cards["shared-words"]["errors"] == []
    run(installed, "export", "st", "out", "--candidate", "shared-words")
    assert "choose-shared-words==0.1.0" in Path("out/requirements.txt").read_text()
    assert run(installed, "predict", "out", data).count(",ok\n") == 60


def test_it_keeps_the_contract(installed: dict[str, str]) -> None:
    code = (
        "from choose.conformance import CHECKS\n"
        "from choose.strategy import build\n"
        "for check in CHECKS:\n"
        "    check(lambda seed: build('shared-words', seed=seed))\n"
        "print(len(CHECKS))\n"
    )
    assert int(run(installed, code=code)) >= 11


@pytest.mark.slow
def test_its_metric_decides_a_comparison(installed: dict[str, str], tmp_path: Path) -> None:
    """A stored study is judged by the stored scores where the package is not installed."""
    rows = [
        {"text": f"Cup {i} of tea for {i * 7919 % 101}, with milk", "target": f"Cup {i} of tea"}
        for i in range(60)
    ]
    data = tmp_path / "letters.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    grid = ("--set", "noise=0", "--budget", "20s", "--out", tmp_path / "st", "--json")
    metric = ("--metric", "choose_same_words:same_words")
    record = json.loads(run(installed, "compare", data, "-s", "copy", *metric, *grid))
    assert record["goal"]["metric"] == "same-words"
    [copy] = [card for card in record["scorecards"] if card["candidate"] == "copy"]
    shares = [len(set(r["target"].lower().split())) / 8 for r in rows]
    assert copy["accuracy"]["value"] == pytest.approx(sum(shares) / len(shares))
    assert {"same-length", "chrf", "rouge-l"} <= copy["text"]["metrics"].keys()
    assert copy["text"]["metrics"]["same-length"]["value"] == 0
    again = subprocess.run(
        [sys.executable, "-m", "choose", "report", tmp_path / "st", "--fail-under", "0.9"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 3
    assert "same-words of at least 0.9" in " ".join(again.stderr.split())


def test_the_docs_show_the_package_as_it_is() -> None:
    text = DOCS.read_text(encoding="utf-8")
    module = (PACKAGE / "choose_shared_words.py").read_text(encoding="utf-8")
    project = (PACKAGE / "pyproject.toml").read_text(encoding="utf-8")
    metric = (PACKAGE / "choose_same_words.py").read_text(encoding="utf-8")
    shown = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert (shown[0], shown[-1]) == (module, metric)
    assert re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0] in project


def test_it_takes_twenty_lines() -> None:
    tree = ast.parse((PACKAGE / "choose_shared_words.py").read_text(encoding="utf-8"))
    cls = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    parts = [
        n for n in cls.body if not (isinstance(n, ast.FunctionDef) and n.name in ("save", "load"))
    ]
    assert sum((n.end_lineno or 0) - n.lineno + 1 for n in parts) <= 20
