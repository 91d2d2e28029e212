"""Served: an existing model behind an endpoint, compared as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from choose.errors import StrategyError
from choose.models.prompting.base_strategy import SERVICE_WARNING, Service
from choose.models.weights.resolve import weights_digest
from choose.types import Answers, Example, Family, Item, Task


class Served:
    """An existing model behind an endpoint: texts are sent unchanged, nothing is trained.

    It labels texts, or answers questions, with the passage of each before it.
    """

    title: ClassVar[str] = "your own served model"
    good_for: ClassVar[str] = "a model that runs already: is it better than the alternatives?"
    needs: ClassVar[str] = "an endpoint, named in the study file; runs only if you name it"
    takes: ClassVar[str] = "no training; one request a row"
    family: ClassVar[Family] = "fine-tuning"
    kinds: ClassVar[tuple[str, ...]] = ("classification", "answering")
    revision: ClassVar[int] = 1
    learns: ClassVar[bool] = False
    seeded: ClassVar[bool] = False
    cheap: ClassVar[bool] = False
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})
    warning: ClassVar[str] = SERVICE_WARNING
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"max_tokens": (1, 10_000_000)}

    def __init__(self, *, seed: int, model: str, system: str = "", max_tokens: int = 8192) -> None:
        self.seed, self.model = seed, model
        self.system, self.max_tokens = system, max_tokens

    def weights(self) -> str:
        """Return the digest of the endpoint's URL, model and parameters."""
        self._service()
        return weights_digest(self.model)

    def shows(self, task: Task) -> int:
        """Return 0: the service shows no demonstrations."""
        return 0

    def check(self, task: Task) -> None:
        """Send the service one test request."""
        self._service().prompter(task).connect()

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Train nothing: the service is already trained, on rows unknown here."""
        self.prompter = self._service().prompter(task, examples)

    def predict(self, items: Sequence[Item]) -> Answers:
        """Return what the service answers."""
        return self.prompter.answer(items)

    def facts(self) -> Mapping[str, Any]:
        """Return notes on the requests, and what reused answers had cost."""
        return self.prompter.facts()

    def _service(self) -> Service:
        if not self.model.startswith("endpoint:"):
            raise StrategyError(
                "The strategy 'served' needs an endpoint: write endpoint:NAME or PROVIDER:MODEL, "
                f"not {self.model!r}."
            )
        return Service(self.model, self.system, self.max_tokens)
