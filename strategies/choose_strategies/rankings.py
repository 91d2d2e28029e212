"""Rank documents for a question: by words, by meaning, by both, and by an encoder that is tuned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from choose.corpus import WORDS
from choose.errors import StrategyError
from choose.models.embeddings import Encoder, load_encoder
from choose.models.retrieval.indexes import FUSED_RANKS, DenseIndex
from choose.models.retrieval.passage_search import Library, Way, libraries_for, library_from
from choose.models.retrieval.tuned_encoder import (
    Contrast,
    Pair,
    encoder_of,
    held_apart,
    tune,
    untuned,
    weights_of,
)
from choose.models.saving import read_fitted, write_fitted
from choose.models.weights.resolve import weights_digest
from choose.models.weights.spec import DEFAULT_ENCODER
from choose.strategy import report_progress
from choose.tasks.answering import corpus_of
from choose.tasks.ranking import DEPTH, ranking_text, spans_of_relevant
from choose.types import Answers, Example, Family, Item, Status, Task

# Questions that are learnt from, at most and at least.
MOST_PAIRS, FEWEST_PAIRS = 2_000, 8

# Passages searched for the one that answers a question, and how many others are hard negatives.
SEARCHED, HARD = 50, 4

# One in so many questions is held out with its documents, to say when to stop.
HELD_OUT = 0.25

# The most epochs that are tried, and after how many without a gain training stops.
MOST_EPOCHS, PATIENCE = 8, 3

# The folder of an export that holds a tuned encoder.
ENCODER = "encoder"


class Bm25:
    """Rank documents by the words that they share with the question (BM25).

    A document longer than `words` counts as the best of its passages, here and below.
    """

    title: ClassVar[str] = "documents by shared words (BM25)"
    good_for: ClassVar[str] = "questions in the words of the documents: names, codes, terms"
    needs: ClassVar[str] = "documents (--documents)"
    takes: ClassVar[str] = "under a second for 1,000 documents, about a millisecond a search"
    family: ClassVar[Family] = "baseline"
    revision: ClassVar[int] = 1
    kinds: ClassVar[tuple[str, ...]] = ("ranking",)
    learns: ClassVar[bool] = False
    seeded: ClassVar[bool] = False
    cheap: ClassVar[bool] = True
    always_compared: ClassVar[bool] = True
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"words": (10, 2_000)}

    way: ClassVar[Way] = "bm25"
    # It embeds nothing.
    encoder: str = ""
    words: int
    library: Library

    def __init__(self, *, seed: int, words: int = WORDS) -> None:
        self.seed, self.words = seed, words

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Index the documents."""
        [self.library] = libraries_for(task, self.way, self.words, self.encoder)

    def predict(self, items: Sequence[Item]) -> Answers:
        """Rank the documents for each item, the ten best with their scores."""
        found = ranked_documents(self.library, [item.text for item in items])
        fine: Status = "ok"
        return Answers(
            outputs=tuple(ranking_text(scores) for scores in found), status=(fine,) * len(items)
        )

    def facts(self) -> Mapping[str, Any]:
        """Return what an index that other fits had built took, and what a new one takes."""
        library = self.library
        return {"cached_seconds": library.cached_seconds, "index_seconds": library.index.seconds}

    def save(self, folder: Path) -> None:
        """Write the documents."""
        write_fitted(folder, self, self.library.facts())

    def load(self, folder: Path) -> None:
        """Restore the documents, and index them."""
        facts, _ = read_fitted(folder, self)
        self.library = library_from(facts, self.encoder)


class Dense(Bm25):
    """Rank documents by the similarity of their meaning to the question's, as an encoder sees it.

    The index is exact: the cosine of a question's vector and that of each passage.
    """

    title: ClassVar[str] = "documents by meaning (dense)"
    good_for: ClassVar[str] = "questions in other words than the documents"
    needs: ClassVar[str] = "documents (--documents); an encoder (the default reads English)"
    takes: ClassVar[str] = "a minute for 5,000 passages without a GPU, milliseconds a search"
    family: ClassVar[Family] = "retrieval"
    always_compared: ClassVar[bool] = False

    way: ClassVar[Way] = "dense"

    def __init__(self, *, seed: int, encoder: str = DEFAULT_ENCODER, words: int = WORDS) -> None:
        self.seed, self.encoder, self.words = seed, encoder, words

    def weights(self) -> str:
        """Return the digest of the encoder."""
        return weights_digest(self.encoder)

    def prepare(self) -> None:
        """Load the encoder and the index library."""
        from choose.models.embeddings import load_retriever

        load_retriever(self.encoder)


class Hybrid(Dense):
    """Rank documents by both: the sum of the reciprocals of their ranks by words and by meaning."""

    title: ClassVar[str] = "documents by words and meaning (hybrid)"
    good_for: ClassVar[str] = "most questions; better than either way alone on most sets"
    takes: ClassVar[str] = "as long as both ways together"

    way: ClassVar[Way] = "hybrid"


class TunedEncoder(Dense):
    """Rank documents by an encoder that learns which document answers which training question.

    The encoder of questions learns to put each nearer to its relevant document than to those of
    other questions and to others with the same words; documents keep their vectors. Questions that
    are held out with their documents say how long it is trained, if at all, and whether its ranks
    are joined with those of BM25; then it is trained on all.
    """

    title: ClassVar[str] = "documents by a tuned encoder"
    good_for: ClassVar[str] = "hundreds of questions whose words the documents lack"
    needs: ClassVar[str] = "documents (--documents), hundreds of questions, an encoder"
    takes: ClassVar[str] = "a minute or two a fit without a GPU, milliseconds a search"
    family: ClassVar[Family] = "fine-tuning"
    learns: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    cheap: ClassVar[bool] = False
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Bm25.limits,
        "epochs": (0, 100),
        "learning_rate": (1e-9, 1),
    }

    way: ClassVar[Way] = "hybrid"

    def __init__(
        self,
        *,
        seed: int,
        encoder: str = DEFAULT_ENCODER,
        words: int = WORDS,
        epochs: float | None = None,
        learning_rate: float = 5e-5,
    ) -> None:
        self.seed, self.encoder, self.words = seed, encoder, words
        self.epochs, self.learning_rate = epochs, learning_rate

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Tune the encoder on the questions and their relevant documents."""
        super().fit(task, examples)
        corpus = corpus_of(task)
        assert corpus is not None
        # Only documents that are named count, and not passages that hold the words of a target.
        rows = [
            replace(e, target="{}", evidence=spans_of_relevant(e.target, corpus)) for e in examples
        ]
        found = tuned_retriever(self, self.library, rows)
        self.library, self.tuning, self.artefact_mb = found.library, found.note, found.artefact_mb

    def facts(self) -> Mapping[str, Any]:
        """Return the times of the index, how the encoder was tuned and its size."""
        return {**super().facts(), "notes": [self.tuning], "artefact_mb": self.artefact_mb}

    def save(self, folder: Path) -> None:
        """Write the documents, and the tuned encoder as sentence-transformers loads it."""
        facts = {"tuning": self.tuning, "tuned": self.library.tuned is not None}
        write_fitted(folder, self, {**self.library.facts(), **facts})
        if self.library.tuned is not None:
            self.library.tuned.model.save(str(folder / ENCODER), create_model_card=False)

    def load(self, folder: Path) -> None:
        """Restore the documents and the tuned encoder.

        Raises:
            StrategyError: if the encoder is missing or damaged.
        """
        facts, _ = read_fitted(folder, self)
        tuned: Encoder | None = None
        if facts["tuned"]:
            if not (folder / ENCODER).is_dir():
                raise StrategyError(f"{str(folder / ENCODER)!r} is missing. Export it again.")
            tuned = load_encoder(str(folder / ENCODER))
        self.library = library_from(facts, self.encoder, tuned)
        self.tuning, self.artefact_mb = str(facts["tuning"]), 0.0


def ranked_documents(library: Library, questions: Sequence[str]) -> list[dict[str, float]]:
    """Return the `DEPTH` best documents for each question, with the score of their best passage.

    Passages are searched until so many documents are among them, as a long one can take many
    places. The result of a question does not depend on the others.
    """
    index, found = library.index, dict[int, dict[str, float]]()
    library.cached_seconds += index.cached_seconds(questions)
    depth, left = FUSED_RANKS, [*range(len(questions))]
    while left:
        for place, row in zip(left, index.ranked([questions[n] for n in left], depth), strict=True):
            best: dict[str, float] = {}
            for passage, score in row:
                best.setdefault(index.passages[passage].span.document, round(float(score), 6))
            if len(best) >= DEPTH or len(row) < depth:
                found[place] = dict(list(best.items())[:DEPTH])
        left, depth = [n for n in left if n not in found], 4 * depth
    return [found[n] for n in range(len(questions))]


class Stop(NamedTuple):
    """After how many epochs training stops, and whether ranks are joined with those of BM25."""

    epochs: int
    way: Way


@dataclass(frozen=True, slots=True)
class Tuned:
    """A tuned encoder.

    Attributes:
        library: the documents, and the encoder that learnt from all questions.
        artefact_mb: the size of the weights that differ from the encoder as it was.
        note: how it was tuned and what that gains.
    """

    library: Library
    artefact_mb: float
    note: str


def tuned_retriever(strategy: TunedEncoder, library: Library, examples: Sequence[Example]) -> Tuned:
    """Tune the encoder of questions on rows with evidence, if questions held out gain."""
    trainer = _Trainer(strategy, library, examples)
    if len(trainer.rows) < FEWEST_PAIRS or len(trainer.places) < 2:
        few = f"{len(trainer.rows)} training questions whose passage is known"
        note = f"The retriever is not tuned: there are {few} (at least {FEWEST_PAIRS})."
        if len(trainer.rows) >= FEWEST_PAIRS:
            note = "The retriever is not tuned: the documents are a single passage."
        return Tuned(library, 0.0, note)
    learnt, held, apart = held_apart(trainer.rows, HELD_OUT)
    ranks = trainer.ranks(learnt, held)
    stop = max((s for s in ranks if strategy.epochs in (None, s.epochs)), key=ranks.__getitem__)
    library, size = replace(library, way=stop.way), 0.0
    if stop.epochs:
        model = trainer.train(trainer.rows, stop.epochs)
        library.tuned = encoder_of(model, strategy.encoder)
        size = sum(weights.nbytes for weights in weights_of(model).values()) / 1e6
    where = " about other documents" if apart else ""
    joined = "joined with those of BM25" if stop.way == "hybrid" else "not joined with others"
    tuned = "not tuned, since that gained nothing on held-out questions"
    if stop.epochs:
        epochs = f"{stop.epochs} epoch{'s' * (stop.epochs != 1)}"
        tuned = f"tuned for {epochs} on {len(trainer.rows)} questions"
    elif strategy.epochs == 0:
        tuned = "not tuned, since its epochs are 0"
    note = (
        f"The retriever is {tuned}; its ranks are {joined}: mean reciprocal "
        f"rank {ranks[stop]:.3f} on {len(held)} held-out questions{where}, "
        f"{ranks[Stop(0, 'hybrid')]:.3f} untuned and joined."
    )
    return Tuned(library, size, note)


class _Trainer:
    """The questions of a pool whose passage is known, and training on some of them."""

    def __init__(self, strategy: TunedEncoder, library: Library, rows: Sequence[Example]) -> None:
        self.strategy, self.library = strategy, library
        self.rows: list[Example] = []
        self.pairs: dict[str, Pair] = {}
        self.hard: dict[str, list[int]] = {}
        passages = library.corpus.passages(library.words)
        self.places = {passage.id: place for place, passage in enumerate(passages)}
        asked = rows[:: -(-len(rows) // MOST_PAIRS) or 1]
        words = replace(library, way="bm25")
        found = words.search([row.item() for row in asked], SEARCHED)
        for number, (row, hits) in enumerate(zip(asked, found, strict=True)):
            report_progress(number, len(asked), "pairing")
            holding = [
                passage.id for passage in library.corpus.overlapping(row.evidence, library.words)
            ]
            if not holding:
                continue
            # Of several passages the one that shares most words with the question.
            right = next((hit.id for hit in hits if hit.id in holding), holding[0])
            self.rows.append(row)
            self.hard[row.id] = [self.places[h.id] for h in hits if h.id not in holding][:HARD]
            holds = frozenset(self.places[id] for id in holding)
            self.pairs[row.id] = Pair(row.text, self.places[right], holds)

    def ranks(self, learnt: Sequence[Example], held: Sequence[Example]) -> dict[Stop, float]:
        """Return the mean reciprocal rank on held-out rows after each epoch of learning."""
        epochs, ranks = self.strategy.epochs, dict[Stop, float]()

        def measure(epoch: int, encoder: Encoder | None) -> bool:
            ways: tuple[Way, ...] = ("hybrid", "dense")
            for way in ways:
                library = replace(self.library, way=way, tuned=encoder)
                ranks[Stop(epoch, way)] = library.reciprocal_rank(held)
            best = max(ranks, key=ranks.__getitem__)
            return epochs is None and epoch - best.epochs >= PATIENCE

        measure(0, None)
        if epochs != 0:
            most = MOST_EPOCHS if epochs is None else round(epochs)
            # Not cached, since the weights go on changing.
            self.train(learnt, most, lambda epoch, model: measure(epoch, Encoder(model)))
        return ranks

    def train(
        self,
        rows: Sequence[Example],
        epochs: int,
        after: Callable[[int, Any], bool] = lambda epoch, model: False,
    ) -> Any:
        """Return the encoder's model after training on rows; see `tune` for `after`."""
        strategy = self.strategy
        pairs = [self.pairs[row.id] for row in rows]
        hard = [place for row in rows for place in self.hard[row.id]]
        places = sorted({*(pair.right for pair in pairs), *hard})
        index = replace(self.library, way="dense").index
        assert isinstance(index, DenseIndex)
        model = untuned(strategy.encoder)
        tune(
            model,
            Contrast(pairs, places, index.vectors_of(places)),
            epochs,
            strategy.learning_rate,
            strategy.seed,
            lambda epoch: after(epoch, model),
        )
        return model
