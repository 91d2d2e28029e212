"""Served: an existing model behind an endpoint, compared as it is."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from choose.errors import StrategyError
from choose.models.endpoints.request_session import model_digest
from choose.models.prompting.base_strategy import answer_format
from choose.models.prompting.endpoint_prompter import EndpointPrompter
from choose.models.prompting.prompts import service_messages
from choose.types import Answers, Example, Family, Item, Task


class Served:
    """An existing model behind an endpoint: texts are sent unchanged, nothing is trained.

    It labels texts, or answers questions, with the passage of each before it.
    """

    title: ClassVar[str] = "your own served model"
    good_for: ClassVar[str] = "a model that runs already: is it better than the alternatives?"
    needs: ClassVar[str] = "an endpoint, named in the study file; runs only if you name it"
    family: ClassVar[Family] = "fine-tuning"
    kinds: ClassVar[tuple[str, ...]] = ("classification", "answering")
    revision: ClassVar[int] = 1
    learns: ClassVar[bool] = False
    seeded: ClassVar[bool] = False
    cheap: ClassVar[bool] = False
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    warning: ClassVar[str] = (
        "The served model may have been trained on these very rows, which cannot be checked; its "
        "figures are then too optimistic. Trust them on rows that are newer than the model."
    )
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"max_tokens": (1, 10_000_000)}

    def __init__(self, *, seed: int, model: str, system: str = "", max_tokens: int = 8192) -> None:
        self.seed, self.model = seed, model
        self.system, self.max_tokens = system, max_tokens

    def weights(self) -> str:
        self._check_model()
        return model_digest(self.model)

    def shows(self, task: Task) -> int:
        return 0

    def check(self, task: Task) -> None:
        self._prompter(task).connect()

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Train nothing: the service is already trained, on rows unknown here."""
        self.prompter = self._prompter(task, examples)

    def predict(self, items: Sequence[Item]) -> Answers:
        return self.prompter.answer(items)

    def facts(self) -> Mapping[str, Any]:
        return self.prompter.facts()

    def _check_model(self) -> None:
        if not self.model.startswith("endpoint:"):
            raise StrategyError(
                "The strategy 'served' needs an endpoint: write endpoint:NAME or PROVIDER:MODEL, "
                f"not {self.model!r}."
            )

    def _prompter(self, task: Task, pool: Sequence[Example] = ()) -> EndpointPrompter:
        """Return a prompter that sends texts unchanged and requests no JSON schema.

        Further fields precede the text, a line each. Answers that are no labels are as long as
        those of the pool.
        """
        self._check_model()
        return EndpointPrompter(
            self.model,
            task,
            messages=lambda accepts, turns: service_messages(self.system, accepts, turns[-1]),
            max_tokens=self.max_tokens,
            plain=True,
            answer=answer_format(task, pool),
        )
