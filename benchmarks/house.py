"""How the source is laid out: modules, lines, folders, import circles, names used twice.

python benchmarks/house.py           a table
python benchmarks/house.py --names   every module, to guess from its name what lives there
python benchmarks/house.py --route   every file of which a small comparison calls a function
"""

from __future__ import annotations

import argparse
import ast
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from inspect import CO_OPTIMIZED
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parents[1] / "src"


class House(NamedTuple):
    """Facts about the modules of the package, by dotted name."""

    lines: Mapping[str, int]
    trees: Mapping[str, ast.Module]
    importers: Mapping[str, set[str]]
    folders: Mapping[str, int]
    circles: list[list[str]]

    @property
    def single(self) -> list[str]:
        """Modules that exactly one other module imports."""
        return [name for name in self.lines if len(self.importers.get(name, ())) == 1]

    @property
    def shared_names(self) -> dict[str, list[str]]:
        """Module names that several folders use, with the modules."""
        by_stem: dict[str, list[str]] = defaultdict(list)
        for name in self.lines:
            by_stem[name.rpartition(".")[2]].append(name)
        return {stem: names for stem, names in by_stem.items() if len(names) > 1}


def survey(source: Path = SOURCE) -> House:
    """Read every module below `source/choose` and its imports."""
    files = {
        ".".join(file.relative_to(source).with_suffix("").parts): file
        for file in sorted((source / "choose").rglob("*.py"))
        if file.name != "__init__.py"
    }
    texts = {name: file.read_text("utf-8") for name, file in files.items()}
    trees = {name: ast.parse(text) for name, text in texts.items()}
    importers: dict[str, set[str]] = defaultdict(set)
    at_run_time: dict[str, set[str]] = defaultdict(set)
    for name, tree in trees.items():
        for target, typing_only in _imports(tree, set(files)):
            if target != name:
                importers[target].add(name)
                if not typing_only:
                    at_run_time[name].add(target)
    folders = Counter(str(file.parent.relative_to(source)) for file in files.values())
    for folder in folders:
        folders[folder] += sum(
            any(child.glob("*.py")) for child in (source / folder).iterdir() if child.is_dir()
        )
    lines = {name: len(text.splitlines()) for name, text in texts.items()}
    return House(lines, trees, importers, folders, _circles(at_run_time))


def statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield statements and those within them; imports are among them, expressions are not."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from statements(getattr(node, part, ()))


def _imports(tree: ast.Module, known: set[str]) -> Iterator[tuple[str, bool]]:
    nodes = list(statements(tree.body))
    typing_only = {
        id(node)
        for branch in nodes
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in statements([branch])
    }
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                target = module if module in known else node.module
                if target in known:
                    yield target, id(node) in typing_only


def _circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the modules that can reach each other, imports inside functions included."""
    reach = {name: _reachable(name, edges) for name in edges}
    circles: list[list[str]] = []
    for name in sorted(edges):
        if name in reach[name] and not any(name in circle for circle in circles):
            circles.append(sorted(n for n in reach[name] if name in reach.get(n, ())))
    return circles


def _reachable(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [*edges.get(start, ())]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(edges.get(name, ()))
    return seen


def route() -> list[str]:
    """Return the files of which ``choose.compare(FILE, strategies=["tfidf"])`` calls a function."""
    import choose

    seen: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and not code.co_name.startswith("<") and code.co_flags & CO_OPTIMIZED:
            seen.add(code.co_filename)

    threading.setprofile(note)
    sys.setprofile(note)
    with TemporaryDirectory() as folder:
        choose.compare(
            "sample:tickets", strategies=["tfidf"], quick=True, progress=False, out=f"{folder}/st"
        )
    sys.setprofile(None)
    home = (str(SOURCE), str(SOURCE.parent / "strategies"))
    return sorted(
        str(Path(file).relative_to(SOURCE.parent)) for file in seen if file.startswith(home)
    )


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", action="store_true", help="print the name of every module")
    parser.add_argument("--route", action="store_true", help="print the files of a comparison")
    house, asked = survey(), parser.parse_args()
    if asked.names or asked.route:
        print("\n".join(route() if asked.route else house.lines))
        return
    longest = sorted(house.lines, key=lambda name: -house.lines[name])[:5]
    fullest = sorted(house.folders, key=lambda name: -house.folders[name])[:5]
    print(f"modules            {len(house.lines)}")
    print(f"lines              {sum(house.lines.values()):,}")
    print(f"longest            {', '.join(f'{n} {house.lines[n]}' for n in longest)}")
    print(f"fullest folders    {', '.join(f'{n} {house.folders[n]}' for n in fullest)}")
    print(f"import circles     {len(house.circles)}")
    print(f"single importer    {len(house.single)}")
    print(f"names used twice   {', '.join(sorted(house.shared_names)) or 'none'}")


if __name__ == "__main__":
    main()
