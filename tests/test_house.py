"""The layout of the source: its size, no import circles, no long function."""

import ast
from pathlib import Path

import pytest

from house import SOURCE, House, statements, survey


@pytest.fixture(scope="module")
def house() -> House:
    return survey()


# Never raised. The sums are some hundred lines below, so that an addition changes nothing here.
LINES = {("src", "strategies"): 49_312, ("tests",): 34_492}
MODULES = 172


def test_the_sum_of_lines_only_falls() -> None:
    root = SOURCE.parent
    lines = {
        folders: sum(
            len(file.read_text("utf-8").splitlines())
            for folder in folders
            for file in (root / folder).rglob("*.py")
        )
        for folders in LINES
    }
    assert {folders: n for folders, n in lines.items() if n > LINES[folders]} == {}


def test_there_are_few_modules(house: House) -> None:
    assert len(house.lines) <= MODULES


def test_no_module_imports_itself_through_others(house: House) -> None:
    assert house.circles == []


def test_no_function_is_longer_than_forty_lines(house: House) -> None:
    more = [*SOURCE.rglob("__init__.py"), *(SOURCE.parent / "strategies").rglob("*.py")]
    trees = {**house.trees, **{str(f): ast.parse(f.read_text("utf-8")) for f in more}}
    lengths = {
        f"{name}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, tree in trees.items()
        for node in statements(tree.body)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: n for name, n in lengths.items() if n > 40} == {}


def test_circles_are_found(tmp_path: Path) -> None:
    package = tmp_path / "choose"
    package.mkdir()
    (package / "a.py").write_text("def f():\n    from choose.b import g\n")
    (package / "b.py").write_text("from choose.c import h\n")
    (package / "c.py").write_text("from choose import a\n")
    (package / "d.py").write_text("from choose.a import f\n")
    assert survey(tmp_path).circles == [["choose.a", "choose.b", "choose.c"]]


def test_every_module_says_what_lives_there(house: House) -> None:
    for name, tree in house.trees.items():
        assert ast.get_docstring(tree), name


# Texts of five words or more, without docstrings: these return codes and numbers, which
# `report/words.py` says, and `errors.py` has what they raise.
def test_judge_and_check_compose_no_sentences(house: House) -> None:
    found = [
        (name, text)
        for name, tree in house.trees.items()
        if name.startswith(("choose.judge.", "choose.check."))
        for text in texts(tree)
        if len(text.split()) >= 5
    ]
    assert not found


def texts(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Assert):
        return []
    if isinstance(node, ast.JoinedStr):
        return ["".join(v.value if isinstance(v, ast.Constant) else "x" for v in node.values)]
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return [] if docstring else [text for n in ast.iter_child_nodes(node) for text in texts(n)]
