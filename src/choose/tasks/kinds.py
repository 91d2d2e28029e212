"""The kinds of tasks by name, and how a stored one is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from choose.tasks.classification import read_classification
from choose.tasks.extraction import read_extraction
from choose.tasks.writing import read_writing
from choose.types import Task

# Each kind with the function that reads its `facts`; the first is that of stores without a kind.
KINDS: Mapping[str, Callable[[Mapping[str, Any]], Task]] = {
    "classification": read_classification,
    "extraction": read_extraction,
    "writing": read_writing,
}


def read_task(facts: Mapping[str, Any]) -> Task:
    """Return the task that `Task.facts` described; facts without a ``kind`` are of the first kind.

    Raises:
        ValueError: if the kind is unknown, or the facts are not those of a task.
    """
    kind = facts.get("kind", next(iter(KINDS)))
    if kind not in KINDS:
        raise ValueError(f"its task is of the unknown kind {kind!r}")
    return KINDS[kind](facts)
