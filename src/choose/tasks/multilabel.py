"""Multi-label: the answer is a set of labels, which may be empty.

Targets and answers are texts: a JSON list of different labels in alphabetical order, so that equal
sets are equal texts.
"""

import ast
import json
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, ClassVar, Literal

from choose.errors import DataError, quoted
from choose.schema.study_sections import TaskSection
from choose.tasks.base import Draw, check_differ
from choose.tasks.labels import SEPARATORS, check_numbers, label_order, named_labels
from choose.tasks.metrics import metrics_of
from choose.tasks.value_parsing import json_in, scalar_text, type_name
from choose.types import Example, Status, Task

# Cells hold several labels only if so large a share of them is split by a separator, into parts
# of so many words at most, on average.
SEVERAL, WORDS = 0.05, 4.0


def separator_of(values: Sequence[Any], stated: bool = False) -> str | None:
    """Return what parts several labels in the cells of a column, or None.

    Cells that make a classification as they are need no separator: some cell must hold labels
    that other cells hold alone, or most cells must differ. Parts must be short, and repeat. Where
    the kind is `stated`, what most of the other cells hold parts them.
    """
    cells = [value.strip() for value in values if isinstance(value, str) and value.strip()]
    empty = {cell for cell in set(cells) if cell.startswith("[") and _listed(cell) == []}
    if any(cell.startswith("[") and cell not in empty for cell in cells):
        return None
    for separator in SEPARATORS:
        if _parts_sets(separator, cells, empty):
            return separator
    held = Counter({one: sum(one in cell for cell in cells) for one in SEPARATORS})
    separator, count = held.most_common(1)[0]
    return separator if stated and count else None


def _parts_sets(separator: str, cells: Sequence[str], empty: Collection[str]) -> bool:
    distinct = set(cells)
    parts = [[p.strip() for p in cell.split(separator)] for cell in cells if cell not in empty]
    several = [row for row in parts if len(row) > 1]
    known = Counter(part for row in parts for part in row if part)
    words = sum(count * len(part.split()) for part, count in known.items())
    joined = any(all(part in distinct for part in row) for row in several)
    return (
        len(several) > SEVERAL * len(cells)
        and 2 * len(known) <= known.total()
        and len(known) < len(distinct)
        and words <= WORDS * known.total()
        and (joined or 2 * len(distinct) > len(cells))
    )


def sets_in(values: Sequence[Any]) -> str | None:
    """Return why the cells of a column are sets of labels; None if they are not.

    Most are lists of short texts that repeat, or hold such a list, or a separator parts them.
    """
    lists = [found for value in values if (found := _listed(value)) is not None]
    parts = [text for text in map(scalar_text, chain(*lists)) if text is not None]
    words = sum(len(text.split()) for text in parts)
    short_and_repeated = 2 * len(set(parts)) <= len(parts) and words <= WORDS * len(parts)
    if parts and 2 * len(lists) >= len(values) and short_and_repeated:
        return "the targets are lists of labels"
    separator = separator_of(values)
    return separator and f"cells hold several labels, separated by {separator!r}"


def _listed(value: Any) -> list[Any] | None:
    if isinstance(value, str) and value.lstrip().startswith("["):
        for read in (json.loads, _printed):
            with suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                value = read(value.strip())
                break
    plain = isinstance(value, list) and not any(isinstance(x, list | dict | bytes) for x in value)
    return value if plain else None


def _printed(text: str) -> Any:
    """Return the list that Python prints so; a backslash that escapes nothing is kept."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.literal_eval(text)


def set_cell(value: Any, separator: str | None = None) -> tuple[str, ...]:
    """Return the set of labels of a cell as a text; none of an empty cell.

    A cell is a list, JSON of one, or a text with one label or, with a `separator`, several.

    Raises:
        ValueError: saying what is wrong with it.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    given = _listed(value)
    split_up = given is None and isinstance(value, str) and separator is not None
    if given is None:
        if isinstance(value, list | dict | bytes):
            raise ValueError(f"{quoted(str(value))} is no set of labels")
        if isinstance(value, str) and value.lstrip().startswith("["):
            raise ValueError(f"{quoted(value)} begins like a list but is no JSON list of labels")
        given = value.split(separator) if split_up else [value]
    labels = [(scalar_text(one) or "").strip() for one in given]
    if not all(labels):
        beside = f", beside a stray {separator!r}" if split_up else ""
        raise ValueError(f"{quoted(str(value))} holds a blank label{beside}")
    if twice := [label for label, count in Counter(labels).items() if count > 1]:
        raise ValueError(f"{quoted(str(value))} names the label {quoted(twice[0])} twice")
    if kinds := {type_name(one) for one in given if not isinstance(one, str | int | float)}:
        raise ValueError(f"{quoted(str(value))} holds {min(kinds)}")
    return (set_text(labels),)


def check_sets(pool: Sequence[Example], test: Sequence[Example] | None) -> None:
    known, tested = (
        {label for e in rows for label in read_set(e.target)} for rows in (pool, test or ())
    )
    check_numbers(known | tested)
    check_differ(pool, "rows have the same set of labels", "distinguish")
    labels = sum(len(read_set(e.target)) for e in pool)
    if 2 * len(known) > labels:
        raise DataError(
            f"There are {len(known):,} different labels in {len(pool):,} rows, which name "
            f"{labels:,} in all: they look like free text. There must be at least two rows a label "
            "on average. Name the right column with --label-column, or write each set as a list."
        )
    if test is not None and not known & tested:
        raise DataError(
            "No label of the test file occurs in the pool. Write the labels of both files in one "
            f"way, such as {quoted(min(known))}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Multilabel(Task):
    """The labels that a set may hold, in a fixed order, with readable names and descriptions.

    `choice_names` are aligned with `choices`; `descriptions` are by label.
    """

    own: ClassVar[tuple[str, ...]] = metrics_of("multilabel")
    choices: tuple[str, ...]
    choice_names: tuple[str, ...]
    headline: str = own[0]
    kind: Literal["multilabel"] = "multilabel"

    def __post_init__(self) -> None:
        if len(self.choice_names) != len(self.choices):
            raise ValueError("the task has not one name for each label")

    def problem_with(self, output: str) -> str | None:
        try:
            found = read_set(output)
        except ValueError as error:
            return str(error)
        strange = sorted(set(found) - set(self.choices))
        if strange:
            return f"it holds {quoted(strange[0])}, which is no label"
        return None if set_text(found) == output else "its labels are not in order"

    def own_scores(self, output: str, targets: Sequence[str]) -> dict[str, float]:
        given = {*read_set(output)}
        right = [{*read_set(target)} for target in targets]
        # Two empty sets are equal; of an empty one and another the F1 is 0.
        f1 = [2 * len(given & one) / (len(given) + len(one) or 1) for one in right]
        exact = float(given in right)
        return {"example-f1": exact or max(f1), "exact-set": exact}

    def parts(self, text: str) -> list[str]:
        return list(read_set(text))

    def counts(self, output: str | None, target: str) -> dict[str, tuple[int, int, int]]:
        given, right = read_set(output or "[]"), read_set(target)
        found = {label: (label in given, label in right) for label in sorted({*given, *right})}
        return {label: (int(g and r), int(g), int(r)) for label, (g, r) in found.items()}

    def named(self, written: str) -> str | None:
        """Return the label that a text is, by itself or by its name, whatever its case."""
        return _spellings(self.choices, self.choice_names).get(_plain(written))

    def parted(self, cell: str) -> str | None:
        """Return the set of labels that a cell holds with a separator between them, or None."""
        for separator in SEPARATORS:
            labels = [self.named(part) for part in cell.split(separator) if part.strip()]
            if labels and None not in labels:
                return set_text(label for label in labels if label is not None)
        return None

    def classes(self, target: str) -> tuple[str, ...]:
        return read_set(target)


def multilabel_from(
    pool: Sequence[Example], test: Sequence[Example], section: TaskSection
) -> Multilabel:
    """Return the task of the labels of all rows; raise StudyError as `labels.task_from`."""
    found = {label for e in (*pool, *test) for label in read_set(e.target)}
    choices = tuple(sorted(found, key=label_order))
    return Multilabel(
        choices=choices,
        choice_names=named_labels(choices, section),
        descriptions=dict(section.descriptions),
        instruction=section.instruction,
    )


@lru_cache(maxsize=64)
def _spellings(choices: tuple[str, ...], names: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for label, name in zip(choices, names, strict=True):
        for written in (label, name):
            found.setdefault(_plain(written), set()).add(label)
    return {key: min(labels) for key, labels in found.items() if key and len(labels) == 1}


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[\s_\-]+", " ", text.strip().strip("\"'`*.")).casefold().split())


@lru_cache(maxsize=100_000)
def read_set(text: str) -> tuple[str, ...]:
    """Return the labels of a set that a text holds, strictly: a JSON list of different texts.

    Raises:
        ValueError: saying what is wrong.
    """
    found = json_in(text, "[")
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError("it is no JSON list of labels")
    if len(set(found)) < len(found):
        raise ValueError("it names a label twice")
    return tuple(found)


def set_text(labels: Iterable[str]) -> str:
    return json.dumps(sorted(set(labels)), ensure_ascii=False)


def names_of(task: Multilabel, target: str) -> list[str]:
    by_label = dict(zip(task.choices, task.choice_names, strict=True))
    return [by_label[label] for label in read_set(target)]


def judged_set(task: Multilabel, answer: str) -> tuple[str | None, Status]:
    """Return the set that a JSON list of labels or names makes; nothing is repaired."""
    found = json_in(answer, "[", "{")
    if isinstance(found, dict) and found.keys() == {"labels"}:
        found = found["labels"]
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        return None, "malformed"
    labels = [task.named(one) for one in found]
    if any(label is None for label in labels):
        return None, "off-list"
    return set_text(label for label in labels if label is not None), "ok"


def label_dropped_or_added(target: str, others: Iterable[str], draw: Draw) -> str:
    """Leave out a label or add one of another row, each as often; a row without labels gets one."""
    labels = read_set(target)
    if labels and draw("way") < 0.5:
        gone = int(draw("label") * len(labels))
        return set_text((*labels[:gone], *labels[gone + 1 :]))
    for other in others:
        if new := [label for label in read_set(other) if label not in labels]:
            return set_text((*labels, new[int(draw("label") * len(new))]))
    return target
