"""The same questions for both sides: prompts and labels as token ids."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from choose.data.task import task_from
from choose.models.prompting.local_model import Prompter
from choose.models.prompting.prompts import Asking
from choose.models.weights.resolve import resolve
from choose.models.weights.spec import DEFAULT_LM
from choose.types import Example, Item

SETS = ("trec6", "banking77")


@dataclass(frozen=True)
class Questions:
    """Prompts of one set, each as (prefix shared by all, rest), and the labels with their end."""

    name: str
    model: str
    prompts: list[tuple[list[int], list[int]]]
    labels: list[list[int]]

    def without_end(self) -> Questions:
        """Return the same questions with labels that do not end."""
        labels = [label[:-1] for label in self.labels]
        return replace(self, name=f"{self.name} open", labels=labels)

    def as_json(self) -> dict[str, Any]:
        """Return what `Questions(**…)` takes."""
        return asdict(self)


def questions(data: Path, name: str, count: int) -> Questions:
    """Return zero-shot questions of a set, as `choose compare` asks them."""
    train, test = (_rows(data / name / f"{part}.csv") for part in ("train", "test"))
    asking = Asking(model=DEFAULT_LM, wording="labels", calibrate=False, max_tokens=256)
    prompter = Prompter(asking, task_from(train))
    prompts = [prompter._ask(Item(id=row.id, text=row.text), ()) for row in test[:count]]
    trie = prompter.trie
    labels = [trie.step_token[trie.step_label == n].tolist() for n in range(len(trie.lengths))]
    return Questions(
        name=name,
        model=str(resolve(DEFAULT_LM)),
        prompts=[(list(p.prefix), list(p.rest)) for p in prompts],
        labels=labels,
    )


def _rows(path: Path) -> tuple[Example, ...]:
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(
            Example(id=f"r{n}", text=row["text"], target=row["label"])
            for n, row in enumerate(csv.DictReader(file))
        )
