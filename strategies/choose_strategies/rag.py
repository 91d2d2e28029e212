"""Retrieval from documents: passages that are found for a question, then a model that reads."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from choose.corpus import WORDS, Passage
from choose.engines.weights.spec import DEFAULT_ENCODER, endpoint_name
from choose.models.prompting.base_strategy import PromptedStrategy, prompter_for
from choose.models.retrieval.passage_search import gold_passage, library_for, library_from
from choose.models.retrieval.reading import (
    Measures,
    ReadsDocuments,
    example_with,
    in_order,
    shown_example,
)
from choose.models.saving import read_fitted, write_fitted
from choose.progress import seconds_to_aim, time_limit
from choose.tasks.answering import reading
from choose.types import Answers, Example, Family, Item, Task
from choose_strategies.lora import Lora

if TYPE_CHECKING:
    from choose.models.prompting.answer_writer import AnswerPrompts

# Passages that are read where `k` is not given: small models in this process read more of them
# worse, and slower.
LOCAL, SERVED = 1, 3

# Demonstrations are the shortest of so many rows.
SHORTEST_OF = 12


@dataclass(kw_only=True, eq=False)
class Rag(ReadsDocuments, PromptedStrategy):
    """Passages found in the documents, then the question, put to a language model.

    The `retriever` that ranks the evidence of labelled rows best finds `k` passages of at most
    `words` words; `shots` demonstrations with their passages may precede them.
    """

    title: ClassVar[str] = "prompt with passages of documents"
    good_for: ClassVar[str] = "questions whose answers occur in documents, which change"
    needs: ClassVar[str] = "documents (--documents) and a language model (--model)"
    family: ClassVar[Family] = "retrieval"
    revision: ClassVar[int] = 8
    kinds: ClassVar[tuple[str, ...]] = ("answering",)
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "bare wording": {"wording": "bare"},
        "2 examples": {"shots": 2},
        "k=5": {"k": 5},
    }
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        **PromptedStrategy.limits,
        "k": (0, 100),
        "shots": (0, 100),
        "words": (10, 2_000),
    }

    encoder: str = DEFAULT_ENCODER
    retriever: str = "auto"
    words: int = WORDS
    k: int | None = None
    shots: int = 0
    max_tokens: int = 1024
    calibrate: bool = field(default=False, init=False)

    def shows(self, task: Task) -> int:
        return self.shots

    def passages(self) -> tuple[int, int]:
        if self.k is not None:
            return self.k, self.words
        return LOCAL if endpoint_name(self.model) is None else SERVED, self.words

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        self.library = library_for(task, examples, self.retriever, self.words, self.encoder)
        shown = self._demonstrations(examples) if self.shots else []
        settings = self._prompt_settings()
        self.prompter, self._short = prompter_for(settings, reading(task), examples, shown), set()

    def _demonstrations(self, examples: Sequence[Example]) -> list[Example]:
        rows = in_order([row for row in examples if row.evidence] or examples)[:SHORTEST_OF]
        shown = [shown_example(row, self.library) for row in rows]
        return sorted(shown, key=lambda row: sum(map(len, row.fields.values())))[: self.shots]

    def predict(self, items: Sequence[Item]) -> Answers:
        read = self.find_passages(items)
        return self.prompter.answer(read.items, evidence=read.evidence)

    def facts(self) -> Mapping[str, Any]:
        return self._with_search(self.prompter.facts())

    def _measure(self) -> Measures | None:
        return self.prompter if isinstance(self.prompter, Measures) else None

    def save(self, folder: Path) -> None:
        facts, arrays = self.prompter.state()
        write_fitted(folder, self, {**facts, **self.library.facts()}, arrays)

    def load(self, folder: Path) -> None:
        facts, arrays = read_fitted(folder, self)
        self.library, self._short = library_from(facts), set()
        self._restore(facts, arrays)

    def _demonstrations_note(self, task: Task) -> str:
        return f"{self.shots} labelled rows with their passages" if self.shots else ""


# Of training rows whose evidence was not retrieved, the share that reads it all the same.
GIVEN = 0.8

# Share of the time of a fit in which passages may be embedded: on covid_qa that took a quarter of
# 100 s, and the retriever that was chosen needs no embeddings.
SEARCH_SHARE = 0.1


@dataclass(kw_only=True, eq=False)
class LoraRag(ReadsDocuments, Lora):
    """An adapter that is trained to answer from passages as they are retrieved.

    A training row reads what the retriever finds for it, right or not, as test rows do. Of rows for
    which it finds nothing that holds the answer, one in five is left so: a reader must live with
    misses, but learns nothing from many. Studies take "all" targets and no dropout, as for `lora`.
    """

    title: ClassVar[str] = "LoRA that reads passages"
    good_for: ClassVar[str] = "questions over documents where reading, not finding, is what fails"
    needs: ClassVar[str] = "documents (--documents), hundreds of answered questions, a model (tune)"
    kinds: ClassVar[tuple[str, ...]] = ("answering",)
    revision: ClassVar[int] = 9
    # A row with a passage takes as long as ten without. All layers learn more in fewer passes than
    # half of them in the same time.
    writing_epochs: ClassVar[float | None] = 1.4
    least_checked: ClassVar[int | None] = 500
    kind_settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "answering": Lora.kind_settings["answering"]
    }
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"k=3": {"k": 3}}

    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Lora.limits,
        "k": (1, 100),
        "words": (10, 2_000),
    }

    encoder: str = DEFAULT_ENCODER
    retriever: str = "auto"
    words: int = WORDS
    k: int = 1

    def passages(self) -> tuple[int, int]:
        return self.k, self.words

    def _prepare_run(self, task: Task, examples: Sequence[Example]) -> Any:
        with time_limit(fits=True, aim=SEARCH_SHARE * seconds_to_aim()):
            self.library = library_for(task, examples, self.retriever, self.words, self.encoder)
        found = self.library.search([row.item() for row in examples], self.k)
        pairs = zip(examples, found, strict=True)
        read = [self._read_in_training(row, passages) for row, passages in pairs]
        self._prompts, self._short = self._prompts_of(reading(task)), set()
        fit = self.fitting([row.item() for row in examples], read)
        rows = [example_with(row, some) for row, some in zip(examples, fit, strict=True)]
        return super()._prepare_run(reading(task), rows)

    def _measure(self) -> Measures | None:
        return self._prompts

    def _prompts_of(self, task: Task) -> AnswerPrompts:
        """Return what measures the prompts of training and of answers, with room for an answer."""
        from choose.engines.causal.chat_template import ChatTemplate
        from choose.engines.lora.model import load_base
        from choose.models.prompting.answer_writer import MOST_NEW, TEXT_FACTOR, AnswerPrompts

        base = load_base(self.base, True)
        longest = base.max_tokens - min(MOST_NEW, base.max_tokens // 2)
        return AnswerPrompts(
            ChatTemplate(base.tokenizer), task, self.max_tokens * TEXT_FACTOR, longest
        )

    def _read_in_training(self, row: Example, passages: Sequence[Passage]) -> Sequence[Passage]:
        """Return what a training row reads: what was retrieved, or its evidence in the last place.

        Which rows get their evidence depends on the row alone, so that pools share their rows.
        """
        held = any(p.span.overlaps(span) for p in passages for span in row.evidence)
        if held or not row.evidence or random.Random(f"given {row.id}").random() >= GIVEN:
            return passages
        gold = gold_passage(row, self.library.corpus, self.words)
        return passages if gold is None else [*passages[: self.k - 1], gold]

    def predict(self, items: Sequence[Item]) -> Answers:
        read = self.find_passages(items)
        return replace(super().predict(read.items), evidence=read.evidence)

    def facts(self) -> Mapping[str, Any]:
        return self._with_search(super().facts())

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        facts, arrays = super()._state()
        return {**facts, **self.library.facts()}, arrays

    def load(self, folder: Path) -> None:
        facts, _ = read_fitted(folder, self)
        self.library, self._short = library_from(facts), set()
        super().load(folder)
        assert self._writer is not None
        self._prompts = self._prompts_of(self._writer.task)
