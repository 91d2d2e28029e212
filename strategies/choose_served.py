"""Served: a tuned model or an in-house service that already answers, compared as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from choose.errors import StrategyError
from choose.models.prompting.prompter import WARNING, Service
from choose.models.weights.resolve import weights_digest
from choose.types import Answers, Example, Family, Item, Task


class Served:
    """A text goes out as it is and a label comes back; nothing is learnt or explained here."""

    family: ClassVar[Family] = "fine-tuning"
    revision: ClassVar[int] = 1
    learns: ClassVar[bool] = False
    seeded: ClassVar[bool] = False
    cheap: ClassVar[bool] = False
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})
    warning: ClassVar[str] = WARNING

    def __init__(self, *, seed: int, model: str, system: str = "", max_tokens: int = 8192) -> None:
        self.seed, self.model = seed, model
        self.system, self.max_tokens = system, max_tokens

    def weights(self) -> str:
        """Return the digest of the endpoint's URL, model and parameters."""
        self._service()
        return weights_digest(self.model)

    def shows(self, task: Task) -> int:
        """Return how many demonstrations a question shows."""
        return 0

    def check(self, task: Task) -> None:
        """Ask the service whether it works."""
        self._service().ask_about(task).greet()

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Learn nothing: what is served has learnt already, from rows that nobody here knows."""
        self.asker = self._service().ask_about(task)

    def predict(self, items: Sequence[Item]) -> Answers:
        """Answer with what the service says."""
        return self.asker.answer(items)

    def facts(self) -> Mapping[str, Any]:
        """Return how it was asked, with the warning."""
        return self.asker.facts()

    def _service(self) -> Service:
        if not self.model.startswith("endpoint:"):
            raise StrategyError(
                f"What is served is behind an endpoint: write endpoint:NAME, not {self.model!r}."
            )
        return Service(self.model, self.system, self.max_tokens)
