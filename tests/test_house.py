"""The layout of the source: sizes, folders, no import circles, no name that misleads."""

import ast
from pathlib import Path

import pytest

from house import SOURCE, House, statements, survey


@pytest.fixture(scope="module")
def house() -> House:
    return survey()


# A command's module, what it calls and the record it prints may share the command's name.
COMMANDS = {"check", "compare", "export", "plan", "report"}


def test_there_are_few_modules_and_none_is_long(house: House) -> None:
    assert len(house.lines) <= 297
    assert {name: n for name, n in house.lines.items() if n > 350} == {}


def test_folders_have_about_a_dozen_entries(house: House) -> None:
    root = house.folders["choose"]
    assert root <= 23
    assert {
        f: n
        for f, n in house.folders.items()
        if n > 14 + 2 * (f == "choose/tasks") + (f == "choose/schema") and f != "choose"
    } == {}


def test_no_module_imports_itself_through_others(house: House) -> None:
    assert house.circles == []


def test_a_module_name_is_used_once(house: House) -> None:
    assert set(house.shared_names) <= COMMANDS


def test_no_function_is_longer_than_forty_lines(house: House) -> None:
    packages = {str(f): ast.parse(f.read_text("utf-8")) for f in SOURCE.rglob("__init__.py")}
    lengths = {
        f"{name}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, tree in {**packages, **house.trees}.items()
        for node in statements(tree.body)
        if isinstance(node, ast.FunctionDef)
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
