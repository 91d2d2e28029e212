"""Who may import what, and that a look at the help never loads torch."""

import ast
import contextlib
import json
import subprocess
from functools import cache
from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from choose.engines.lora.model import load_base
from choose.errors import ModelError
from choose.models.retrieval.passage_search import Way
from choose.strategy import available
from choose.types import FAMILIES, Status
from house import statements
from support import tiny_models as tiny
from support.commands import run_python

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "transformers", "peft", "faiss", "sentence_transformers", "httpx2"}
STRATEGY_MAY_IMPORT = {
    "choose.corpus",
    "choose.types",
    "choose.strategy",
    "choose.errors",
    "choose.engines",
    "choose.models",
    "choose.tasks",
    "choose.progress",
}

SOURCES = sorted((ROOT / "src").rglob("*.py"))
STRATEGIES = sorted((ROOT / "strategies").rglob("*.py"))


@cache
def source(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(source(path))


@cache
def imports(path: Path, top_only: bool) -> frozenset[str]:
    nodes = parsed(path).body
    found = set()
    for node in nodes if top_only else statements(nodes):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return frozenset(found)


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 30
    assert len(STRATEGIES) > 5


def test_strategies_see_only_the_seam() -> None:
    for path in STRATEGIES:
        for name in imports(path, top_only=False):
            if name.split(".")[0] == "choose":
                allowed = (name == ok or name.startswith(f"{ok}.") for ok in STRATEGY_MAY_IMPORT)
                assert any(allowed), f"{path.name}: {name}"


NETWORK = {
    *("aiohttp", "anyio", "ftplib", "http", "httpcore", "httpx", "httpx2", "huggingface_hub"),
    *("openai", "requests", "smtplib", "socket", "ssl", "urllib", "urllib3", "websockets"),
    "xmlrpc",
}


def packages(path: Path, top_only: bool = False) -> set[str]:
    return {name.split(".")[0] for name in imports(path, top_only) - {"urllib.parse"}}


def test_only_endpoints_weights_and_clusters_import_a_network_client() -> None:
    """SECURITY.md: no telemetry of our own."""
    for path in SOURCES + STRATEGIES:
        if not {"endpoints", "weights", "cluster"} & {*path.relative_to(ROOT).parts, path.stem}:
            assert not packages(path) & NETWORK, path.name


def test_heavy_libraries_load_lazily() -> None:
    for path in SOURCES + STRATEGIES:
        # What computes with torch alone is itself loaded late: by a fit, or a model's first use.
        late = {"question_encoder_tuning", "packed_products", "unpadded_encoder"}
        if path.parent.name not in ("lora", "fused", "causal") and path.stem not in late:
            assert not packages(path, top_only=True) & HEAVY, path.name


def test_the_core_never_asks_which_strategy_it_has() -> None:
    modules = {p.stem for p in STRATEGIES}
    for path in SOURCES:
        assert not packages(path) & modules, path.name


# Where a literal may equal the name of a strategy: `choose check` trains one by its name, since it
# sets hyperparameters of it. "retrieval" is the name of a family too, "empty" of a status,
# "sentence" and "prompt" of a column of texts, "prompt" of a key too (--prompt); "bm25", "dense"
# and "hybrid" of ways to search.
NAMED = {
    ("audit_facts.py", "tfidf"),
    ("column_guess.py", "sentence"),
    ("columns.py", "prompt"),
    ("files.py", "prompt"),
    *((file, "prompt") for file in ("config.py", "resolve_study.py", "options.py", "app.py")),
    *product(("passage_search.py", "question_encoder_tuning.py"), get_args(Way)),
}


def test_the_core_names_no_strategy() -> None:
    names = set(available()) - set(FAMILIES) - set(get_args(Status))
    named = {
        (path.name, node.value)
        for path in SOURCES
        if any(f'"{name}"' in source(path) for name in names)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
    }
    assert named <= NAMED


@pytest.mark.parametrize(
    "code",
    [
        "import choose.cli.app",
        "from choose.strategy import find, available\nfor n in available(): find(n)",
        "import choose.report.terminal.pages, choose.api.compare, choose.judge.verdict",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code: str) -> None:
    check = f"import sys\n{code}\nprint(sorted({HEAVY!r} & set(sys.modules)))"
    assert run_python(check).strip() == "[]"


def test_strategies_and_benchmarks_use_the_fused_engine_through_the_fit_only() -> None:
    # The roofline of a step is about the engine's own products.
    roofline = ROOT / "benchmarks" / "lora_choose.py"
    for path in {*STRATEGIES, *(ROOT / "benchmarks").rglob("*.py")} - {roofline}:
        assert "choose.engines.lora.fused" not in path.read_text("utf-8"), path


def untrusting(call: ast.Call) -> bool:
    said = {word.arg: word.value for word in call.keywords}.get("trust_remote_code")
    return isinstance(said, ast.Constant) and said.value is False


def loads(tree: ast.AST) -> list[ast.Call]:
    """Return the calls that load a model or a tokenizer, and could run code that lies beside it."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            # PEFT puts weights on a model that is there already.
            if name == "SentenceTransformer" or (
                name.endswith(".from_pretrained") and name != "PeftModel.from_pretrained"
            ):
                found.append(node)
    return found


def test_whatever_loads_a_model_runs_no_code_of_it() -> None:
    loading = ("SentenceTransformer", "from_pretrained")
    trees = {
        path.name: parsed(path)
        for path in SOURCES + STRATEGIES
        if any(word in source(path) for word in loading)
    }
    found = [(name, call) for name, tree in trees.items() for call in loads(tree)]
    assert {name for name, _ in found} >= {"model.py", "embeddings.py"}
    assert not [f"{name}: {ast.unparse(call)}" for name, call in found if not untrusting(call)]


def test_a_folder_with_code_of_its_own_asks_nobody_and_runs_nothing(tmp_path, monkeypatch):
    folder = tiny.causal_lm(tmp_path / "lm")
    settings = folder / "tokenizer_config.json"
    about = json.loads(settings.read_text())
    about |= {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}}
    settings.write_text(json.dumps(about))
    ran = tmp_path / "ran"
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w')\nOwn = None\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with contextlib.suppress(ModelError):
        load_base(str(folder))
    assert not ran.exists()


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
