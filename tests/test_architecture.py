"""Who may import what, and that a look at the help never loads torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "transformers", "peft", "faiss", "sentence_transformers", "openai"}
STRATEGY_MAY_IMPORT = {"choose.types", "choose.strategy", "choose.errors", "choose.models"}

SOURCES = sorted((ROOT / "src").rglob("*.py"))
STRATEGIES = sorted((ROOT / "strategies").glob("*.py"))


def imports(path: Path, top_only: bool) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 30
    assert {p.stem for p in STRATEGIES} == {
        "choose_baseline",
        "choose_prompting",
        "choose_retrieval",
        "choose_served",
        "choose_lora",
    }


@pytest.mark.parametrize("path", STRATEGIES, ids=lambda p: p.stem)
def test_strategies_see_only_the_seam(path: Path) -> None:
    for name in imports(path, top_only=False):
        if name.split(".")[0] == "choose":
            assert any(name == ok or name.startswith(f"{ok}.") for ok in STRATEGY_MAY_IMPORT), name


@pytest.mark.parametrize("path", SOURCES + STRATEGIES, ids=lambda p: p.stem)
def test_heavy_libraries_load_lazily(path: Path) -> None:
    top = {name.split(".")[0] for name in imports(path, top_only=True)}
    assert not top & HEAVY


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_the_core_imports_heavy_libraries_in_models_only(path: Path) -> None:
    if "models" not in path.parts:
        assert not {n.split(".")[0] for n in imports(path, top_only=False)} & HEAVY


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_the_core_never_asks_which_strategy_it_has(path: Path) -> None:
    modules = {p.stem for p in STRATEGIES}
    assert not {n.split(".")[0] for n in imports(path, top_only=False)} & modules


@pytest.mark.parametrize(
    "code",
    [
        "import choose.cli.app",
        "from choose.strategy import find, available\nfor n in available(): find(n)",
        "import choose.report.terminal, choose.api, choose.judge.verdict",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code: str) -> None:
    check = f"import sys\n{code}\nprint(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_path_of_this_machine_is_committed() -> None:
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    if files == [""]:
        pytest.skip("not a git checkout")
    traces = ("/" + "work/", "/" + "root/", "python" + "hosted", "pypi" + ".org")
    for name in files:
        path = ROOT / name
        if name and path.is_file() and path.suffix in {".py", ".md", ".toml", ".txt", ".json", ""}:
            text = path.read_text(encoding="utf-8", errors="replace")
            assert not [t for t in traces if t in text], name
