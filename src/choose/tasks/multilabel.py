"""Multi-label: the answer is a set of labels, which may be empty.

Targets and answers are texts: a JSON list of different labels in alphabetical order, so that equal
sets are equal texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

from choose.errors import quoted
from choose.tasks.graded_task import GradedTask, common_settings
from choose.types import Status

# What may part several labels in a cell.
SEPARATORS = (";", "|", ",")

# The scores of every answer.
OWN = ("example-f1", "exact-set")


@dataclass(frozen=True, slots=True, kw_only=True)
class Multilabel(GradedTask):
    """The labels that a set may hold, in a fixed order, with readable names and descriptions.

    `choice_names` are aligned with `choices`; `descriptions` are by label.
    """

    own: ClassVar[tuple[str, ...]] = OWN
    choices: tuple[str, ...]
    choice_names: tuple[str, ...]
    headline: str = OWN[0]
    kind: Literal["multilabel"] = "multilabel"

    def problem_with(self, output: str) -> str | None:
        """Return why a text is no set of these labels as `set_text` writes it, or None."""
        try:
            found = read_set(output)
        except ValueError as error:
            return str(error)
        strange = sorted(set(found) - set(self.choices))
        if strange:
            return f"it holds {quoted(strange[0])}, which is no label"
        return None if set_text(found) == output else "its labels are not in order"

    def own_scores(self, output: str | None, targets: Sequence[str]) -> dict[str, float]:
        """Return example-F1 and whether the whole set is right, against the best target."""
        if output is None:
            return dict.fromkeys(OWN, 0.0)
        given = read_set(output)
        right = [read_set(target) for target in targets]
        return {
            OWN[0]: max(example_f1(given, one) for one in right),
            OWN[1]: float(any(set(given) == set(one) for one in right)),
        }

    def parts(self, text: str) -> list[str]:
        """Return the labels of a set."""
        return list(read_set(text))

    def counts(self, output: str | None, target: str) -> dict[str, tuple[int, int, int]]:
        """Return (right, answered, expected) of each label that occurs, for micro-F1."""
        given, right = read_set(output or "[]"), read_set(target)
        return {
            label: (
                int(label in given and label in right),
                int(label in given),
                int(label in right),
            )
            for label in sorted({*given, *right})
        }

    def errors(self, output: str, target: str) -> list[tuple[str, str]]:
        """Return each wrong label, and whether it is ``missing`` or ``spurious``."""
        given, right = read_set(output), read_set(target)
        missing = [(label, "missing") for label in right if label not in given]
        return [*missing, *((label, "spurious") for label in given if label not in right)]

    def lenient(self, raw: str) -> str | None:
        """Return the known labels of the first list in a text, or of its parts; None without any.

        An unknown label beside known ones is left out, and words around a list do not count.
        """
        listed = re.search(r"\[[^\[\]]*\]", raw)
        if listed:
            try:
                parts = [str(one) for one in json.loads(listed[0])]
            except (ValueError, RecursionError):
                parts = re.split(r"[,;|\n]", listed[0].strip("[]"))
        else:
            parts = re.split(r"[,;|\n]", raw)
        named = [found for part in parts if (found := self.named(part)) is not None]
        return set_text(named) if named or (listed and not "".join(parts).strip()) else None

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

    def stratum(self, target: str) -> str:
        """Return the set; `choose.data.stratify` divides rows label by label."""
        return target

    def classes(self, target: str) -> tuple[str, ...]:
        """Return the labels of the set."""
        return read_set(target)

    def facts(self) -> dict[str, Any]:
        """Return the task as plain values for JSON."""
        choices = {"choices": list(self.choices), "choice_names": list(self.choice_names)}
        return {**choices, **self.common_facts()}


@lru_cache(maxsize=64)
def _spellings(choices: tuple[str, ...], names: tuple[str, ...]) -> dict[str, str]:
    """Return the label by its own spelling and that of its name; ambiguous ones are left out."""
    found: dict[str, set[str]] = {}
    for label, name in zip(choices, names, strict=True):
        for written in (label, name):
            found.setdefault(_plain(written), set()).add(label)
    return {key: min(labels) for key, labels in found.items() if key and len(labels) == 1}


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[\s_\-]+", " ", text.strip().strip("\"'`*.")).casefold().split())


def read_multilabel(facts: Mapping[str, Any]) -> Multilabel:
    """Return the task that `Multilabel.facts` described.

    Raises:
        ValueError: if it has not one name for each label.
    """
    task = Multilabel(
        choices=tuple(facts["choices"]),
        choice_names=tuple(facts["choice_names"]),
        **common_settings(facts, OWN),
    )
    if len(task.choice_names) != len(task.choices):
        raise ValueError("the task has not one name for each label")
    return task


def example_f1(given: Collection[str], right: Collection[str]) -> float:
    """Return the F1 of two sets of labels; 1 if both are empty, 0 if one of them is."""
    total = len(given) + len(right)
    return 2 * len({*given} & {*right}) / total if total else 1.0


@lru_cache(maxsize=100_000)
def read_set(text: str) -> tuple[str, ...]:
    """Return the labels of a set that a text holds, strictly: a JSON list of different texts.

    Raises:
        ValueError: saying what is wrong.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON list of labels") from None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError("it is no JSON list of labels")
    if len(set(found)) < len(found):
        raise ValueError("it names a label twice")
    return tuple(found)


def set_text(labels: Iterable[str]) -> str:
    """Return the text that represents a set of labels."""
    return json.dumps(sorted(set(labels)), ensure_ascii=False)


def names_of(task: Multilabel, target: str) -> list[str]:
    """Return the names of the labels of a set."""
    by_label = dict(zip(task.choices, task.choice_names, strict=True))
    return [by_label[label] for label in read_set(target)]


def judged_set(task: Multilabel, answer: str) -> tuple[str | None, Status]:
    """Return the set that a JSON list of labels or names makes; nothing is repaired."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return None, "malformed"
    if isinstance(found, dict) and found.keys() == {"labels"}:
        found = found["labels"]
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        return None, "malformed"
    labels = [task.named(one) for one in found]
    if any(label is None for label in labels):
        return None, "off-list"
    return set_text(label for label in labels if label is not None), "ok"
