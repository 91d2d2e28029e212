"""Rank documents for a question: by words, by meaning, by both, and by an encoder that is tuned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from choose.corpus import WORDS
from choose.engines.embeddings import Encoder, load_encoder
from choose.engines.weights.spec import DEFAULT_ENCODER
from choose.errors import StrategyError
from choose.models.retrieval.passage_search import (
    FUSED_RANKS,
    Library,
    Way,
    libraries_for,
    library_from,
)
from choose.models.saving import Learnt, read_fitted, write_fitted
from choose.tasks.answering import corpus_of
from choose.tasks.ranking import DEPTH, ranking_text, spans_of_relevant
from choose.types import Answers, Example, Family, Item, Task
from choose_strategies.baselines import Baseline, Encoded
from choose_strategies.texts import text_answers

# The folder of an export that holds a tuned encoder.
ENCODER = "encoder"


class Bm25(Baseline):
    """Rank documents by the words that they share with the question (BM25).

    A document longer than `words` counts as the best of its passages, here and below.
    """

    title: ClassVar[str] = "documents by shared words (BM25)"
    good_for: ClassVar[str] = "questions in the words of the documents: names, codes, terms"
    needs: ClassVar[str] = "documents (--documents)"
    kinds: ClassVar[tuple[str, ...]] = ("ranking",)
    learns: ClassVar[bool] = False
    always_compared: ClassVar[bool] = True
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"words": (10, 2_000)}
    learnt: ClassVar[Learnt] = {"library": library_from}

    way: ClassVar[Way] = "bm25"
    # It embeds nothing.
    encoder: str = ""
    words: int
    library: Library

    def __init__(self, *, seed: int, words: int = WORDS) -> None:
        self.seed, self.words = seed, words

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        [self.library] = libraries_for(task, self.way, self.words, self.encoder)

    def predict(self, items: Sequence[Item]) -> Answers:
        found = ranked_documents(self.library, [item.text for item in items])
        return text_answers([ranking_text(scores) for scores in found])

    def facts(self) -> Mapping[str, Any]:
        library = self.library
        return {"cached_seconds": library.cached_seconds, "index_seconds": library.index.seconds}


class Dense(Encoded, Bm25):
    """Rank documents by the similarity of their meaning to the question's, as an encoder sees it.

    The index is exact: the cosine of a question's vector and that of each passage.
    """

    title: ClassVar[str] = "documents by meaning (dense)"
    good_for: ClassVar[str] = "questions in other words than the documents"
    needs: ClassVar[str] = "documents (--documents); an encoder (the default reads English)"
    family: ClassVar[Family] = "retrieval"
    revision: ClassVar[int] = 2
    always_compared: ClassVar[bool] = False

    way: ClassVar[Way] = "dense"

    def __init__(self, *, seed: int, encoder: str = DEFAULT_ENCODER, words: int = WORDS) -> None:
        self.seed, self.encoder, self.words = seed, encoder, words

    def embeds(self) -> str:
        return self.encoder


class Hybrid(Dense):
    """Rank documents by both: the sum of the reciprocals of their ranks by words and by meaning."""

    title: ClassVar[str] = "documents by words and meaning (hybrid)"
    good_for: ClassVar[str] = "most questions; better than either way alone on most sets"

    way: ClassVar[Way] = "hybrid"


@dataclass(kw_only=True, eq=False)
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
    family: ClassVar[Family] = "fine-tuning"
    revision: ClassVar[int] = 4
    learns: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    cheap: ClassVar[bool] = False
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Bm25.limits,
        "epochs": (0, 100),
        "learning_rate": (1e-9, 1),
    }

    way: ClassVar[Way] = "hybrid"

    seed: int
    encoder: str = DEFAULT_ENCODER
    words: int = WORDS
    epochs: float | None = None
    learning_rate: float = 5e-5

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        from choose.models.retrieval.question_encoder_tuning import tuned_retriever

        super().fit(task, examples)
        corpus = corpus_of(task)
        assert corpus is not None
        # Only documents that are named count, and not passages that hold the words of a target.
        rows = [
            replace(e, target="{}", evidence=spans_of_relevant(e.target, corpus)) for e in examples
        ]
        found = tuned_retriever(
            self.library, rows, epochs=self.epochs, rate=self.learning_rate, seed=self.seed
        )
        self.library, self.tuning, self.artefact_mb = found.library, found.note, found.artefact_mb

    def facts(self) -> Mapping[str, Any]:
        return {**super().facts(), "notes": [self.tuning], "artefact_mb": self.artefact_mb}

    def save(self, folder: Path) -> None:
        facts = {"tuning": self.tuning, "tuned": self.library.tuned is not None}
        write_fitted(folder, self, {**self.library.facts(), **facts})
        if self.library.tuned is not None:
            self.library.tuned.model.save(str(folder / ENCODER), create_model_card=False)

    def load(self, folder: Path) -> None:
        facts, _ = read_fitted(folder, self)
        tuned: Encoder | None = None
        if facts["tuned"]:
            if not (folder / ENCODER).is_dir():
                raise StrategyError(f"{str(folder / ENCODER)!r} is missing. Export it again.")
            tuned = load_encoder(str(folder / ENCODER))
        self.library = library_from(facts, tuned)
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
