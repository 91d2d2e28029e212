"""Retrieval: the training rows most similar to the test row, shown to a language model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from choose.engines.weights.resolve import weights_digest
from choose.engines.weights.spec import DEFAULT_ENCODER
from choose.models.prompting.base_strategy import PromptedStrategy, prompter_for
from choose.models.prompting.local_prompter import calibration_rows
from choose.models.retrieval.passage_search import Retriever, load_retriever
from choose.models.saving import read_fitted, write_fitted
from choose.types import Answers, Example, Family, Item, Task


@dataclass(kw_only=True, eq=False)
class Retrieval(PromptedStrategy):
    """The nearest training rows as demonstrations for each text, the nearest one last.

    `k` of them: 5, 3 where records are written, or 2 where texts are.
    """

    title: ClassVar[str] = "prompt with similar labelled rows"
    good_for: ClassVar[str] = "many labels, fine distinctions, labels that come and go"
    needs: ClassVar[str] = "a language model (--model), an encoder, and labelled rows to retrieve"
    family: ClassVar[Family] = "retrieval"
    revision: ClassVar[int] = 13
    # As good as 5 for orders and dialogues (field-f1 .27 and .26, chrf .20), in half of the time.
    # In a later run 3 and 2 reached .32 and .24 on orders, and .185 and .191 on dialogues.
    kind_settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "extraction": {"k": 3},
        "writing": {"k": 2},
    }
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **PromptedStrategy.variants,
        "k=3": {"k": 3},
    }
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        **PromptedStrategy.limits,
        "k": (0, 1_000),
    }

    encoder: str = DEFAULT_ENCODER
    k: int = 5

    def weights(self) -> str:
        return f"{super().weights()} {weights_digest(self.encoder)}"

    def prepare(self) -> None:
        super().prepare()
        load_retriever(self.encoder)

    def shows(self, task: Task) -> int:
        return self.k

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Index the training pool, and calibrate on rows of it that do not retrieve themselves."""
        self.retriever = Retriever(self.encoder, examples)
        self.prompter = prompter_for(self._prompt_settings(), task, examples)
        rows = calibration_rows(examples)
        self.prompter.calibrate(rows, self._demonstrations([row.item() for row in rows]))

    def predict(self, items: Sequence[Item]) -> Answers:
        shown = self._demonstrations(items)
        evidence = tuple(tuple(row.id for row in reversed(rows)) for rows in shown)
        return self.prompter.answer(items, shown, evidence=evidence)

    def facts(self) -> Mapping[str, Any]:
        facts = self.prompter.facts()
        facts["cached_seconds"] += self.retriever.cached_seconds
        return facts

    def save(self, folder: Path) -> None:
        """Write the pool with its texts, labels and vectors; the task; the calibration."""
        facts, arrays = self.prompter.state()
        rows, vectors = self.retriever.state()
        write_fitted(folder, self, {**facts, **rows}, {**arrays, **vectors})

    def load(self, folder: Path) -> None:
        facts, arrays = read_fitted(folder, self)
        self.retriever = Retriever.restored(facts, arrays)
        self._restore(facts, arrays)

    def _demonstrations(self, items: Sequence[Item]) -> list[list[Example]]:
        # A model heeds the end of its prompt most, so the nearest row comes last.
        return [
            [neighbour.example for neighbour in reversed(nearest)]
            for nearest in self.retriever.search(items, self.k)
        ]

    def _demonstrations_note(self, task: Task) -> str:
        note = f"the {self.k} labelled rows nearest to the question, the nearest last"
        return note if self.k > 0 else ""
