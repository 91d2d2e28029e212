"""A retriever that is tuned on labelled questions, then a model that reads what it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy.typing as npt

from choose.corpus import WORDS
from choose.models.embeddings import Encoder
from choose.models.retrieval.chosen_settings import held_apart
from choose.models.retrieval.indexes import DenseIndex
from choose.models.retrieval.passage_search import Library, Way, libraries_for, library_from
from choose.models.retrieval.tuned_encoder import (
    Contrast,
    Pair,
    encoder_of,
    tune,
    untuned,
    weights_of,
    with_weights,
)
from choose.models.saving import read_fitted, write_fitted
from choose.models.weights.spec import DEFAULT_ENCODER, DEFAULT_LM
from choose.strategy import report_progress
from choose.tasks.answering import abstains
from choose.tasks.values import occurs
from choose.types import Example, Family, Task
from choose_strategies.rag import Rag

# Questions that are learnt from, at most and at least.
MOST_PAIRS, FEWEST_PAIRS = 2_000, 8

# Passages searched for the one that answers a question, and how many others are hard negatives.
SEARCHED, HARD = 50, 4

# One in so many questions is held out with its documents, to say when to stop.
HELD_OUT = 0.25

# The most epochs that are tried, and after how many without a gain training stops.
MOST_EPOCHS, PATIENCE = 8, 3


class Stop(NamedTuple):
    """After how many epochs training stops, and whether ranks are joined with those of BM25."""

    epochs: int
    way: Way


class TunedRetriever(Rag):
    """Passages found by a tuned encoder and BM25, then the question, put to a language model.

    The encoder of questions learns to put each question nearer to the passage that answers it than
    to those of other questions and to others with the same words. Passages keep their vectors.
    Questions that are held out with their documents say how long it is trained, if at all, and
    whether its ranks are joined with those of BM25; then it is trained on all. Answers are written
    as by `rag`.
    """

    title: ClassVar[str] = "prompt with passages by a tuned retriever"
    good_for: ClassVar[str] = "questions over documents where finding, not reading, is what fails"
    needs: ClassVar[str] = (
        "documents (--documents), hundreds of questions whose evidence is known, a model"
    )
    takes: ClassVar[str] = "a minute or two a fit without a GPU; one long request a row"
    family: ClassVar[Family] = "fine-tuning"
    # No gain over untuned ranks was shown on a real set yet.
    on_request: ClassVar[bool] = True
    revision: ClassVar[int] = 3
    seeded: ClassVar[bool] = True
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"k=5": {"k": 5}}
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Rag.limits,
        "epochs": (0, 100),
        "learning_rate": (1e-9, 1),
    }

    # It is always embedded, and joined with BM25 or not.
    retriever = "hybrid"

    def __init__(
        self,
        *,
        seed: int,
        model: str = DEFAULT_LM,
        encoder: str = DEFAULT_ENCODER,
        words: int = WORDS,
        k: int | None = None,
        shots: int | None = None,
        shorten: bool | None = None,
        epochs: float | None = None,
        learning_rate: float = 5e-5,
        wording: str = "labels",
        calibrate: bool = True,
        max_tokens: int = 1024,
    ) -> None:
        self.seed, self.model, self.encoder = seed, model, encoder
        self.words, self.k, self.shots, self.shorten = words, k, shots, shorten
        self.epochs, self.learning_rate = epochs, learning_rate
        self.wording, self.calibrate, self.max_tokens = wording, calibrate, max_tokens

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Tune the encoder, then choose how many passages are read and the form of answers."""
        [hybrid] = libraries_for(task, "hybrid", self.words or WORDS, self.encoder)
        found = tuned_retriever(self, hybrid, examples)
        # On rows that were not learnt from, lest retrieval look better than it will be.
        self._choose(task, examples, found.held, found.begun)
        self.library.tuned, self._tuned = found.library.tuned, found.weights
        self.tuning = found.note

    def facts(self) -> Mapping[str, Any]:
        """Return what `Rag.facts` does, with how the retriever was tuned and its size."""
        facts = super().facts()
        size = sum(weights.nbytes for weights in self._tuned.values()) / 1e6
        return {**facts, "notes": [self.tuning, *facts["notes"]], "artefact_mb": size}

    def save(self, folder: Path) -> None:
        """Write the tuned weights, the documents, the task and what was chosen."""
        facts, arrays = self.prompter.state()
        chosen = {"read": self.read, "short": self.short, "chosen": self.note}
        own = {**facts, **chosen, **self.library.facts(), "tuning": self.tuning}
        tuned = {f"tuned.{name}": weights for name, weights in self._tuned.items()}
        write_fitted(folder, self, own, {**arrays, **tuned})

    def load(self, folder: Path) -> None:
        """Restore the fitted strategy from a folder.

        Raises:
            ValueError: if its weights are not those of the encoder.
        """
        facts, arrays = read_fitted(folder, self)
        self._tuned = {
            name.removeprefix("tuned."): weights
            for name, weights in arrays.items()
            if name.startswith("tuned.")
        }
        tuned = None
        if self._tuned:
            tuned = encoder_of(with_weights(untuned(self.encoder), self._tuned), self.encoder)
        self.library = library_from(facts, self.words, self.encoder, tuned)
        self.tuning = str(facts["tuning"])
        self._restore_reading(facts, arrays)


class Tunes(Protocol):
    """A strategy with the hyperparameters of tuning."""

    seed: int
    encoder: str
    epochs: float | None
    learning_rate: float


class Tuned(NamedTuple):
    """A tuned retriever.

    Attributes:
        library: the documents with the encoder that learnt from all questions.
        weights: what of it differs from the encoder as it was, by name; empty if nothing does.
        begun: the documents with the encoder that did not learn from the questions held out.
        held: these questions; all where nothing was tuned.
        note: how it was tuned and what that gains.
    """

    library: Library
    weights: Mapping[str, npt.NDArray[Any]]
    begun: Library
    held: Sequence[Example]
    note: str


def tuned_retriever(strategy: Tunes, hybrid: Library, examples: Sequence[Example]) -> Tuned:
    """Tune the encoder of questions on rows whose evidence is known, if held-out ones gain."""
    trainer = _Trainer(strategy, hybrid, examples)
    if len(trainer.rows) < FEWEST_PAIRS or len(trainer.places) < 2:
        few = f"{len(trainer.rows)} training questions whose passage is known"
        note = f"The retriever is not tuned: there are {few} (at least {FEWEST_PAIRS})."
        if len(trainer.rows) >= FEWEST_PAIRS:
            note = "The retriever is not tuned: the documents are a single passage."
        return Tuned(hybrid, {}, hybrid, examples, note)
    learnt, held, apart = held_apart(trainer.rows, HELD_OUT)
    stop, begun, ranks = trainer.stop(learnt, held)
    weights: Mapping[str, npt.NDArray[Any]] = {}
    library = replace(hybrid, way=stop.way)
    if stop.epochs:
        weights, library.tuned = trainer.trained(trainer.rows, stop.epochs)
    where = " about other documents" if apart else ""
    joined = "joined with those of BM25" if stop.way == "hybrid" else "not joined with others"
    tuned = "not tuned, since that gained nothing on held-out questions"
    if stop.epochs:
        epochs = f"{stop.epochs} epoch{'s' * (stop.epochs != 1)}"
        tuned = f"tuned for {epochs} on {len(trainer.rows)} questions"
    elif not any(tried.epochs for tried in ranks):
        tuned = "not tuned, since its epochs are 0"
    note = (
        f"The retriever is {tuned}; its ranks are {joined}: mean reciprocal "
        f"rank {ranks[stop]:.3f} on {len(held)} held-out questions{where}, "
        f"{ranks[Stop(0, 'hybrid')]:.3f} untuned and joined."
    )
    return Tuned(library, weights, replace(hybrid, way=stop.way, tuned=begun), held, note)


class _Trainer:
    """The questions of a pool whose passage is known, and training on some of them."""

    def __init__(self, strategy: Tunes, hybrid: Library, rows: Sequence[Example]) -> None:
        self.strategy, self.hybrid = strategy, hybrid
        self.rows: list[Example] = []
        self.pairs: dict[str, Pair] = {}
        self.hard: dict[str, list[int]] = {}
        passages = hybrid.corpus.passages(hybrid.words)
        self.places = {passage.id: place for place, passage in enumerate(passages)}
        asked = [row for row in rows if not abstains(row.target)]
        asked = asked[:: -(-len(asked) // MOST_PAIRS) or 1]
        words = replace(hybrid, way="bm25")
        found = words.search([row.item() for row in asked], SEARCHED)
        for number, (row, hits) in enumerate(zip(asked, found, strict=True)):
            report_progress(number, len(asked), "pairing")
            holding = hybrid.corpus.overlapping(row.evidence, hybrid.words)
            ids = {passage.id for passage in holding}
            # Evidence in the order of BM25; without any, the first passage with the answer.
            right = [hit for hit in hits if hit.id in ids] or holding
            exact = [passage for passage in right or hits if occurs(row.targets, passage.text)]
            gold = next(iter(exact or right), None)
            if gold is None:
                continue
            ids |= {hit.id for hit in hits if occurs(row.targets, hit.text)} | {gold.id}
            others = [self.places[hit.id] for hit in hits if hit.id not in ids][:HARD]
            self.rows.append(row if row.evidence else replace(row, evidence=(gold.span,)))
            self.hard[row.id] = others
            holds = frozenset(self.places[id] for id in ids)
            self.pairs[row.id] = Pair(row.text, self.places[gold.id], holds)

    def stop(
        self, learnt: Sequence[Example], held: Sequence[Example]
    ) -> tuple[Stop, Encoder | None, dict[Stop, float]]:
        """Return when to stop, the encoder then, and mean reciprocal ranks on held-out rows."""
        epochs = self.strategy.epochs
        given, best, weights = None if epochs is None else round(epochs), Stop(0, "hybrid"), None
        ranks: dict[Stop, float] = {}

        def measure(epoch: int, encoder: Encoder | None) -> None:
            ways: tuple[Way, ...] = ("hybrid", "dense")
            for way in ways:
                library = replace(self.hybrid, way=way, tuned=encoder)
                ranks[Stop(epoch, way)] = library.reciprocal_rank(held)

        def after(epoch: int, model: Any) -> bool:
            nonlocal best, weights
            # Not cached, since the weights go on changing.
            measure(epoch, Encoder(model))
            own = max((stop for stop in ranks if stop.epochs == epoch), key=ranks.__getitem__)
            if ranks[own] > ranks[best] or epoch == given:
                best, weights = own, weights_of(model)
            return given is None and epoch - best.epochs >= PATIENCE

        measure(0, None)
        best = max(ranks, key=ranks.__getitem__)
        if given != 0:
            self.trained(learnt, given or MOST_EPOCHS, after)
        if weights is None:
            return best, None, ranks
        spec = self.strategy.encoder
        model = with_weights(untuned(spec), weights)
        return best, encoder_of(model, spec), ranks

    def _contrast(self, rows: Sequence[Example]) -> Contrast:
        """Return the pairs of some rows with all their passages."""
        pairs = [self.pairs[row.id] for row in rows]
        hard = [place for row in rows for place in self.hard[row.id]]
        places = sorted({*(pair.right for pair in pairs), *hard})
        index = replace(self.hybrid, way="dense").index
        assert isinstance(index, DenseIndex)
        return Contrast(pairs, places, index.vectors_of(places))

    def trained(
        self,
        rows: Sequence[Example],
        epochs: int,
        after: Callable[[int, Any], bool | None] = lambda epoch, model: None,
    ) -> tuple[dict[str, npt.NDArray[Any]], Encoder]:
        """Return the weights and the encoder after training on rows; see `tune` for `after`."""
        strategy = self.strategy
        model = untuned(strategy.encoder)
        tune(
            model,
            self._contrast(rows),
            epochs,
            strategy.learning_rate,
            strategy.seed,
            lambda epoch: after(epoch, model),
        )
        encoder = encoder_of(model, strategy.encoder)
        return weights_of(model), encoder
