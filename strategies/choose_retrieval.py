"""Retrieval: the labelled rows most like the question, shown to a language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from choose.models.prompting.prompter import check, get_ready, prompter_for
from choose.models.prompting.prompts import WORDINGS, Asking, as_sent, numbers_only
from choose.models.saving import read_fitted, write_fitted
from choose.models.weights.resolve import weights_digest
from choose.models.weights.spec import DEFAULT_ENCODER, DEFAULT_LM
from choose.types import Answers, Example, Family, Item, Task


class Retrieval:
    """Demonstrations fetched for each question from the labelled pool, the nearest one last."""

    family: ClassVar[Family] = "retrieval"
    revision: ClassVar[int] = 3
    learns: ClassVar[bool] = True
    seeded: ClassVar[bool] = False
    cheap: ClassVar[bool] = False
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "categories wording": {"wording": "categories"},
            "bare wording": {"wording": "bare"},
            "k=3": {"k": 3},
        }
    )

    def __init__(
        self,
        *,
        seed: int,
        model: str = DEFAULT_LM,
        encoder: str = DEFAULT_ENCODER,
        k: int = 5,
        wording: str = "labels",
        calibrate: bool = True,
        max_tokens: int = 256,
    ) -> None:
        self.seed, self.model, self.encoder, self.k = seed, model, encoder, k
        self.wording, self.calibrate, self.max_tokens = wording, calibrate, max_tokens

    def weights(self) -> str:
        """Return the digests of the model and the encoder."""
        return f"{weights_digest(self.model)} {weights_digest(self.encoder)}"

    def refuses(self, task: Task) -> str | None:
        """Return why a language model cannot read the labels, or None."""
        return numbers_only(task)

    def prompt(self, task: Task) -> str:
        """Return what the model reads."""
        shown = f"the {self.k} labelled rows nearest to the question, the nearest last"
        return as_sent(task, WORDINGS[self.wording], shown if self.k > 0 else "")

    def prepare(self) -> None:
        """Load both models and the index library."""
        from choose.models.embeddings import load_retriever

        get_ready(self.model)
        load_retriever(self.encoder)

    def shows(self, task: Task) -> int:
        """Return how many demonstrations a question shows."""
        return self.k

    def check(self, task: Task) -> None:
        """Ask the endpoint, if the model is behind one, whether it works."""
        check(self._asking(), task)

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Index the pool, and calibrate on rows of it that may not retrieve themselves."""
        from choose.models.embeddings import Retriever
        from choose.models.prompting.local_model import calibration_rows

        self.retriever = Retriever(self.encoder, examples)
        self.prompter = prompter_for(self._asking(), task)
        rows = calibration_rows(examples) if self.prompter.calibrates else []
        self.prompter.calibrate(rows, self._demonstrations([row.item() for row in rows]))

    def predict(self, items: Sequence[Item]) -> Answers:
        """Answer with the most likely label; the evidence is what was shown, nearest first."""
        shown = self._demonstrations(items)
        evidence = tuple(tuple(row.id for row in reversed(rows)) for rows in shown)
        return self.prompter.answer(items, shown, evidence=evidence)

    def facts(self) -> Mapping[str, Any]:
        """Return threads, number type, notes and what cached work had cost."""
        facts = self.prompter.facts()
        facts["cached_seconds"] += self.retriever.cached_seconds
        return facts

    def save(self, folder: Path) -> None:
        """Write the pool itself, texts and labels, with its vectors; the task; the calibration."""
        facts, arrays = self.prompter.state()
        rows, vectors = self.retriever.state()
        write_fitted(folder, self, {**facts, "rows": rows}, {**arrays, **vectors})

    def load(self, folder: Path) -> None:
        """Become the fitted strategy that was saved."""
        from choose.models.embeddings import Retriever
        from choose.models.prompting.local_model import Prompter

        facts, arrays = read_fitted(folder, self)
        self.retriever = Retriever.restored(self.encoder, facts["rows"], arrays)
        self.prompter = Prompter.restored(self._asking(), facts, arrays)

    def _asking(self) -> Asking:
        return Asking(
            model=self.model,
            wording=self.wording,
            calibrate=self.calibrate,
            max_tokens=self.max_tokens,
        )

    def _demonstrations(self, items: Sequence[Item]) -> list[list[Example]]:
        found = self.retriever.search(items, self.k)
        # What stands last is heeded most, so the nearest one does.
        return [[n.example for n in reversed(near)] for near in found]
