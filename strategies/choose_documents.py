"""Retrieval from documents: passages that are found for a question, then a model that reads."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from choose.corpus import WORDS, Corpus, Passage
from choose.models.prompting.base_strategy import PromptedStrategy, prompter_for
from choose.models.retrieval.controls import gold_passage
from choose.models.retrieval.echo import without_echo
from choose.models.retrieval.library import (
    encoder_digest,
    example_with,
    library_for,
    library_from,
    no_documents,
    prepare_retriever,
    shown_example,
    with_passages,
)
from choose.models.saving import read_fitted, write_fitted
from choose.models.weights.spec import DEFAULT_ENCODER, DEFAULT_LM, endpoint_name
from choose.tasks.answering import abstains, reading
from choose.types import Answers, Example, Family, Item, Task
from choose_lora import Lora

# How many passages are read: what scores best on so many labelled rows.
COUNTS, CHOSEN_ON = (1, 3), 24


class Rag(PromptedStrategy):
    """Passages found in the documents, then the question, put to a language model.

    The retriever is chosen by how high it ranks the evidence of labelled rows. How many passages
    are read (`k`), and whether the words of the question are left out of answers (`shorten`), is
    what scores best on some labelled rows, unless it is given.
    """

    title: ClassVar[str] = "prompt with retrieved passages"
    good_for: ClassVar[str] = "questions whose answers stand in documents, which change"
    needs: ClassVar[str] = "documents (--documents) and a language model (--model)"
    takes: ClassVar[str] = "an index of the documents; one long request a row, or a GPU"
    family: ClassVar[Family] = "retrieval"
    revision: ClassVar[int] = 1
    seeded: ClassVar[bool] = False
    kinds: ClassVar[tuple[str, ...]] = ("answering",)
    reads: ClassVar[bool] = True
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "bare wording": {"wording": "bare"},
            "2 examples": {"shots": 2},
            "k=5": {"k": 5},
        }
    )
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        "k": (0, 100),
        "shots": (0, 100),
        "words": (10, 2_000),
        "max_tokens": (1, 1_000_000),
    }

    def __init__(
        self,
        *,
        seed: int,
        model: str = DEFAULT_LM,
        encoder: str = DEFAULT_ENCODER,
        retriever: str = "auto",
        words: int = WORDS,
        k: int | None = None,
        shots: int = 0,
        shorten: bool | None = None,
        wording: str = "labels",
        calibrate: bool = True,
        max_tokens: int = 1024,
    ) -> None:
        self.seed, self.model, self.encoder, self.retriever = seed, model, encoder, retriever
        self.words, self.k, self.shots, self.shorten = words, k, shots, shorten
        self.wording, self.calibrate, self.max_tokens = wording, calibrate, max_tokens

    def refuses(self, task: Task) -> str | None:
        """Return that there are no documents, or None."""
        return no_documents(task)

    def weights(self) -> str:
        """Return the digests of the model, and of the encoder if it may be used."""
        return f"{super().weights()} {encoder_digest(self.retriever, self.encoder)}".strip()

    def prepare(self) -> None:
        """Load what answers and what retrieves."""
        super().prepare()
        prepare_retriever(self.retriever, self.encoder)

    def shows(self, task: Task) -> int:
        """Return how many demonstrations a prompt shows."""
        return self.shots

    def passages(self) -> tuple[int, int]:
        """Return how many passages a request shows at most, and the most words of one."""
        return (COUNTS[-1] if self.k is None else self.k), self.words

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Choose the retriever, how many passages are read and the form of answers."""
        self.library = library_for(task, examples, self.retriever, self.words, self.encoder)
        # The same demonstrations for every seed: the rows are in an order of their own already.
        candidates = [row for row in examples if row.evidence] or list(examples)
        rows = random.Random("rag").sample(candidates, min(len(candidates), CHOSEN_ON + self.shots))
        shown = [shown_example(row, self.library) for row in rows[: self.shots]]
        self.prompter = prompter_for(self._prompt_settings(), reading(task), examples, shown)
        self._choose(task, rows[self.shots :])

    def _choose(self, task: Task, rows: Sequence[Example]) -> None:
        """Choose how many passages are read and whether answers are shortened, on labelled rows."""
        counts = COUNTS if self.k is None else (self.k,)
        ways = (False, True) if self.shorten is None else (self.shorten,)
        # Requests to an endpoint cost money, so that nothing is tried there.
        tries = self.calibrate and rows and endpoint_name(self.model) is None
        self.read, self.short = counts[-1], ways[-1] if self.shorten is not None else False
        self.note = f"Passages are found by {self.library.way}; {self.read} are read."
        if not tries or len(counts) * len(ways) == 1:
            return
        items, metric, means = [row.item() for row in rows], task.metrics[0], {}
        for count in counts:
            found = self.library.search(items, count)
            written = self._written(items, found)
            for short in ways:
                outputs = (
                    self._shortened(written, items, found).outputs if short else written.outputs
                )
                scores = [
                    task.score(output, row.targets)[metric]
                    for output, row in zip(outputs, rows, strict=True)
                ]
                means[count, short] = float(np.mean(scores))
        self.read, self.short = max(means, key=lambda key: round(means[key], 9))
        tried = ", ".join(
            f"{value:.2f} with {count}{', shortened' if short else ''}"
            for (count, short), value in means.items()
        )
        self.note = (
            f"Passages are found by {self.library.way}; {self.read} are read and answers are "
            f"{'shortened' if self.short else 'left as written'}: {metric} on {len(rows)} training "
            f"rows {tried}."
        )

    def predict(self, items: Sequence[Item]) -> Answers:
        """Answer from passages; the evidence is the passages that were read, best first."""
        found = self.library.search(items, self.read)
        answers = self._written(items, found)
        return self._shortened(answers, items, found) if self.short else answers

    def reread(self, corpus: Corpus) -> float:
        """Answer from other documents; return the seconds of indexing them."""
        self.library, seconds = self.library.reread(corpus)
        return seconds

    def facts(self) -> Mapping[str, Any]:
        """Return threads, number type, notes and what cached work had cost."""
        facts = dict(self.prompter.facts())
        saved = facts["cached_seconds"] + self.library.cached_seconds
        return {**facts, "notes": [self.note, *facts["notes"]], "cached_seconds": saved}

    def save(self, folder: Path) -> None:
        """Write the documents, the task and what was chosen."""
        facts, arrays = self.prompter.state()
        chosen = {"read": self.read, "short": self.short, "chosen": self.note}
        write_fitted(folder, self, {**facts, **chosen, **self.library.facts()}, arrays)

    def load(self, folder: Path) -> None:
        """Restore the fitted strategy from a folder."""
        facts, arrays = read_fitted(folder, self)
        self.library = library_from(facts, self.words, self.encoder)
        self.read, self.short = int(facts["read"]), bool(facts["short"])
        self.note = str(facts["chosen"])
        self._restore(facts, arrays)

    def _written(self, items: Sequence[Item], found: Sequence[Sequence[Passage]]) -> Answers:
        asked = [with_passages(item, some) for item, some in zip(items, found, strict=True)]
        evidence = tuple(tuple(passage.id for passage in some) for some in found)
        return self.prompter.answer(asked, evidence=evidence)

    def _shortened(
        self, answers: Answers, items: Sequence[Item], found: Sequence[Sequence[Passage]]
    ) -> Answers:
        """Return answers without what repeats the question; `raw` keeps them as written."""
        outputs = tuple(
            output
            if output is None or abstains(output)
            else without_echo(output, item.text, " ".join(passage.text for passage in some))
            for output, item, some in zip(answers.outputs, items, found, strict=True)
        )
        kept = answers.raw or (None,) * len(outputs)
        raw = tuple(
            old if new != old and old is not None else before
            for new, old, before in zip(outputs, answers.outputs, kept, strict=True)
        )
        return replace(answers, outputs=outputs, raw=raw)

    def _demonstrations_note(self, task: Task) -> str:
        return f"{self.shots} labelled rows with their passages" if self.shots else ""


# Of training rows whose evidence was not retrieved, the share that reads it all the same.
GIVEN = 0.8


class LoraRag(Lora):
    """An adapter that is trained to answer from passages as they are retrieved.

    A training row reads what the retriever finds for it, right or not, as test rows do. Of rows for
    which it finds nothing that holds the answer, one in five is left so: a reader must live with
    misses, but learns nothing from many.
    """

    title: ClassVar[str] = "LoRA that reads passages"
    good_for: ClassVar[str] = "questions over documents where reading, not finding, is what fails"
    needs: ClassVar[str] = (
        "documents (--documents), hundreds of answered questions, a model (--tune)"
    )
    takes: ClassVar[str] = "minutes a fit without a GPU, about a second an answer"
    kinds: ClassVar[tuple[str, ...]] = ("answering",)
    revision: ClassVar[int] = 1
    reads: ClassVar[bool] = True
    # A row with a passage takes as long as ten without, and a third time teaches little.
    writing_epochs: ClassVar[float | None] = 2.0
    least_checked: ClassVar[int | None] = 500
    kind_settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {"answering": {"targets": "all"}}
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({"k=3": {"k": 3}})
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Lora.limits,
        "k": (1, 100),
        "words": (10, 2_000),
    }

    def __init__(
        self,
        *,
        seed: int,
        base: str = DEFAULT_LM,
        encoder: str = DEFAULT_ENCODER,
        retriever: str = "auto",
        words: int = WORDS,
        k: int = 1,
        rank: int = 16,
        targets: str = "attention",
        dropout: float = 0.05,
        upper: float = 0.5,
        learning_rate: float | None = None,
        epochs: float | None = None,
        max_tokens: int = 128,
    ) -> None:
        super().__init__(
            seed=seed,
            base=base,
            rank=rank,
            targets=targets,  # type: ignore[arg-type]
            dropout=dropout,
            upper=upper,
            learning_rate=learning_rate,
            epochs=epochs,
            max_tokens=max_tokens,
        )
        self.encoder, self.retriever, self.words, self.k = encoder, retriever, words, k

    def refuses(self, task: Task) -> str | None:
        """Return that there are no documents, or None."""
        return no_documents(task)

    def weights(self) -> str:
        """Return the digests of the base, and of the encoder if it may be used."""
        return f"{super().weights()} {encoder_digest(self.retriever, self.encoder)}".strip()

    def prepare(self) -> None:
        """Load what answers and what retrieves."""
        super().prepare()
        prepare_retriever(self.retriever, self.encoder)

    def _prepare_run(self, task: Task, examples: Sequence[Example]) -> Any:
        self.library = library_for(task, examples, self.retriever, self.words, self.encoder)
        found = self.library.search([row.item() for row in examples], self.k)
        rows = [
            example_with(row, self._read_in_training(row, passages))
            for row, passages in zip(examples, found, strict=True)
        ]
        return super()._prepare_run(reading(task), rows)

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
        """Answer from passages; the evidence is the passages that were read, best first."""
        found = self.library.search(items, self.k)
        asked = [with_passages(item, some) for item, some in zip(items, found, strict=True)]
        evidence = tuple(tuple(passage.id for passage in some) for some in found)
        return replace(super().predict(asked), evidence=evidence)

    def reread(self, corpus: Corpus) -> float:
        """Answer from other documents; return the seconds of indexing them."""
        self.library, seconds = self.library.reread(corpus)
        return seconds

    def facts(self) -> Mapping[str, Any]:
        """Return what `Lora.facts` does, with what cached retrieval had cost."""
        facts = super().facts()
        saved = facts["cached_seconds"] + self.library.cached_seconds
        return {**facts, "cached_seconds": saved}

    def save(self, folder: Path) -> None:
        """Write the adapter as PEFT does, and the documents with their retriever."""
        super().save(folder)
        write_fitted(folder, self, self.library.facts())

    def load(self, folder: Path) -> None:
        """Restore the fitted strategy that was saved."""
        facts, _ = read_fitted(folder, self)
        self.library = library_from(facts, self.words, self.encoder)
        super().load(folder)
