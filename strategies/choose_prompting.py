"""Prompting: the label that a language model finds most likely, without and with examples."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from choose.models.prompting.prompter import check, get_ready, prompter_for
from choose.models.prompting.prompts import WORDINGS, Asking, as_sent, numbers_only
from choose.models.saving import read_fitted, write_fitted
from choose.models.weights.resolve import weights_digest
from choose.models.weights.spec import DEFAULT_LM
from choose.types import Answers, Example, Family, Item, Task

_WORDINGS = MappingProxyType(
    {
        "categories wording": {"wording": "categories"},
        "bare wording": {"wording": "bare"},
    }
)


class Prompt:
    """Zero-shot: instruction and labels, no examples; the pool serves calibration only."""

    family: ClassVar[Family] = "prompting"
    revision: ClassVar[int] = 3
    learns: ClassVar[bool] = True
    seeded: ClassVar[bool] = False
    cheap: ClassVar[bool] = False
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = _WORDINGS

    def __init__(
        self,
        *,
        seed: int,
        model: str = DEFAULT_LM,
        wording: str = "labels",
        calibrate: bool = True,
        max_tokens: int = 256,
    ) -> None:
        self.seed, self.model, self.wording = seed, model, wording
        self.calibrate, self.max_tokens = calibrate, max_tokens

    def weights(self) -> str:
        """Return the model's digest."""
        return weights_digest(self.model)

    def refuses(self, task: Task) -> str | None:
        """Return why a language model cannot read the labels, or None."""
        return numbers_only(task)

    def prompt(self, task: Task) -> str:
        """Return what the model reads."""
        return as_sent(task, WORDINGS[self.wording], self._shown(task))

    def prepare(self) -> None:
        """Load the model."""
        get_ready(self.model)

    def shows(self, task: Task) -> int:
        """Return how many demonstrations a question shows."""
        return 0

    def check(self, task: Task) -> None:
        """Ask the endpoint, if the model is behind one, whether it works."""
        check(self._asking(), task)

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Estimate the calibration on some rows of the pool and freeze it."""
        from choose.models.prompting.local_model import calibration_rows

        shown = self._demonstrations(examples)
        self.prompter = prompter_for(self._asking(), task, shown)
        used = {example.id for example in shown}
        self.prompter.calibrate(calibration_rows([e for e in examples if e.id not in used]))

    def predict(self, items: Sequence[Item]) -> Answers:
        """Answer with the most likely label."""
        return self.prompter.answer(items)

    def facts(self) -> Mapping[str, Any]:
        """Return threads, number type, notes and what cached scores had cost."""
        return self.prompter.facts()

    def save(self, folder: Path) -> None:
        """Write the task, the demonstrations if any, and the calibration."""
        write_fitted(folder, self, *self.prompter.state())

    def load(self, folder: Path) -> None:
        """Become the fitted strategy that was saved."""
        from choose.models.prompting.local_model import Prompter

        facts, arrays = read_fitted(folder, self)
        self.prompter = Prompter.restored(self._asking(), facts, arrays)

    def _asking(self) -> Asking:
        return Asking(
            model=self.model,
            wording=self.wording,
            calibrate=self.calibrate,
            max_tokens=self.max_tokens,
        )

    def _demonstrations(self, examples: Sequence[Example]) -> list[Example]:
        return []

    def _shown(self, task: Task) -> str:
        return ""


class FewShot(Prompt):
    """A few fixed demonstrations, drawn by the seed, the same number from every class."""

    seeded: ClassVar[bool] = True
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {**_WORDINGS, "shots=16": {"shots": 16}}
    )

    def __init__(
        self,
        *,
        seed: int,
        model: str = DEFAULT_LM,
        wording: str = "labels",
        shots: int = 8,
        calibrate: bool = True,
        max_tokens: int = 256,
    ) -> None:
        super().__init__(
            seed=seed, model=model, wording=wording, calibrate=calibrate, max_tokens=max_tokens
        )
        self.shots = shots

    def shows(self, task: Task) -> int:
        """Return how many demonstrations a question shows."""
        return self._rounds(len(task.labels)) * len(task.labels)

    def _demonstrations(self, examples: Sequence[Example]) -> list[Example]:
        """Draw about `shots` rows: whole rounds over the classes, one round at least."""
        chooser = random.Random(f"few-shot {self.seed}")
        classes: dict[str, list[Example]] = defaultdict(list)
        for example in examples:
            classes[example.target].append(example)
        rounds = self._rounds(len(classes))
        drawn = []
        for target in sorted(classes):
            rows = classes[target]
            drawn += chooser.sample(rows, min(rounds, len(rows)))
        chooser.shuffle(drawn)
        return drawn

    def _rounds(self, classes: int) -> int:
        return max(1, self.shots // max(classes, 1)) if self.shots > 0 else 0

    def _shown(self, task: Task) -> str:
        rounds = self._rounds(len(task.labels))
        return f"{rounds} of each label, drawn by the seed, shuffled" if rounds else ""
