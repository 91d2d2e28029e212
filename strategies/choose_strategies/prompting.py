"""Prompting: the answer that a language model finds most likely, without and with examples."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from choose.models.prompting.base_strategy import PromptedStrategy, prompter_for
from choose.models.weights.spec import DEFAULT_LM
from choose.types import Answers, Example, Family, Item, Task

_WORDINGS = MappingProxyType(
    {
        "categories wording": {"wording": "categories"},
        "bare wording": {"wording": "bare"},
    }
)


class Prompt(PromptedStrategy):
    """Zero-shot: instruction and labels or fields, no examples; the pool calibrates only."""

    title: ClassVar[str] = "zero-shot prompt"
    good_for: ClassVar[str] = "labels that a sentence explains; tasks that change often"
    needs: ClassVar[str] = "a language model of several billion parameters (--model)"
    takes: ClassVar[str] = "no training; one request a row, or a GPU"
    family: ClassVar[Family] = "prompting"
    revision: ClassVar[int] = 7
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = _WORDINGS
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"max_tokens": (1, 1_000_000)}

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

    def shows(self, task: Task) -> int:
        """Return how many demonstrations a prompt shows."""
        return 0

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Estimate the calibration, or choose the form, on some training rows and freeze it."""
        from choose.models.prompting.local_prompter import calibration_rows

        shown = self._demonstrations(task, examples)
        self.prompter = prompter_for(self._prompt_settings(), task, examples, shown)
        used = {example.id for example in shown}
        self.prompter.calibrate(calibration_rows([e for e in examples if e.id not in used]))

    def predict(self, items: Sequence[Item]) -> Answers:
        """Predict the most likely label, or write the answer."""
        return self.prompter.answer(items)

    def _demonstrations(self, task: Task, examples: Sequence[Example]) -> list[Example]:
        return []


class FewShot(Prompt):
    """A few fixed demonstrations, drawn by the seed, the same number from every class."""

    title: ClassVar[str] = "prompt with examples"
    good_for: ClassVar[str] = "conventions that are easier to show than to explain"
    needs: ClassVar[str] = "a language model as for prompt, and a few labelled rows a label"
    takes: ClassVar[str] = "no training; one longer request a row, or a GPU"
    revision: ClassVar[int] = 7
    seeded: ClassVar[bool] = True
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {**_WORDINGS, "shots=16": {"shots": 16}}
    )
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        "shots": (0, 1_000),
        "max_tokens": (1, 1_000_000),
    }

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
        """Return how many demonstrations a prompt shows."""
        if not task.labels:
            return max(0, self.shots)
        return self._rounds(len(task.labels)) * len(task.labels)

    def _demonstrations(self, task: Task, examples: Sequence[Example]) -> list[Example]:
        """Draw about `shots` rows: whole rounds over the classes, one round at least.

        Without labels they are any rows, as frequent as in the pool.
        """
        rng = random.Random(f"few-shot {self.seed}")
        if not task.labels:
            return rng.sample(list(examples), min(max(0, self.shots), len(examples)))
        classes: dict[str, list[Example]] = defaultdict(list)
        for example in examples:
            classes[example.target].append(example)
        rounds = self._rounds(len(classes))
        demonstrations = []
        for target in sorted(classes):
            rows = classes[target]
            demonstrations += rng.sample(rows, min(rounds, len(rows)))
        rng.shuffle(demonstrations)
        return demonstrations

    def _rounds(self, classes: int) -> int:
        return max(1, self.shots // max(classes, 1)) if self.shots > 0 else 0

    def _demonstrations_note(self, task: Task) -> str:
        if not task.labels:
            return f"{self.shots} labelled rows, drawn by the seed" if self.shots > 0 else ""
        rounds = self._rounds(len(task.labels))
        return f"{rounds} of each label, drawn by the seed, shuffled" if rounds else ""
