"""Tune the encoder of questions, so that these lie near the passages that answer them.

Passages keep the vectors of the encoder as it was. One index so serves every fit, an answer needs
no vector that is older than the weights, and a fit takes the time of the questions alone.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from choose.data.stratify import hold_out
from choose.engines.embeddings import Encoder, Vectors, cached_encoder, load_encoder
from choose.engines.hardware.timed_steps import TimedSteps
from choose.engines.lora.training_run import learning_rate_factor
from choose.engines.weights.resolve import weights_digest
from choose.errors import StrategyError
from choose.formatting import plural
from choose.models.retrieval.passage_search import DenseIndex, Library, Way
from choose.models.retrieval.reading import in_order
from choose.progress import report_progress
from choose.types import Example

# Questions that are learnt from, at most and at least.
MOST_PAIRS, FEWEST_PAIRS = 2_000, 8

# Passages searched for the one that answers a question, and how many others are hard negatives.
SEARCHED, HARD = 50, 4

# One in so many questions is held out with its documents, to say when to stop.
HELD_OUT = 0.25

# The most epochs that are tried, and after how many without a gain training stops.
MOST_EPOCHS, PATIENCE = 8, 3

# Questions of a step; all passages of the training rows are candidates of each.
BATCH = 32

# Cosines are multiplied by this before the softmax, as sentence-transformers does.
SCALE = 20.0

# The largest norm of a step's gradient.
LARGEST_NORM = 1.0


class Pair(NamedTuple):
    """A question, the place of the passage that answers it, and places that are no negatives."""

    question: str
    right: int
    holding: frozenset[int]


@dataclass(frozen=True, slots=True)
class Contrast:
    """Questions with the passages among which each has to find its own.

    Attributes:
        pairs: the questions, each with a right passage.
        places: the places of all candidates: the right passages of all questions, and others that
            share words with them (hard negatives).
        vectors: (places, d) unit vectors of the candidates.
    """

    pairs: Sequence[Pair]
    places: Sequence[int]
    vectors: Vectors

    def targets(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return the column of each question's passage, and (pairs, places) what does not count.

        Another passage with the evidence, or with the answer's words, is no wrong one.
        """
        columns = {place: column for column, place in enumerate(self.places)}
        right = np.array([columns[pair.right] for pair in self.pairs], dtype=np.int64)
        left_out = np.zeros((len(self.pairs), len(self.places)), dtype=np.bool_)
        for row, pair in enumerate(self.pairs):
            others = [columns[p] for p in pair.holding if p != pair.right and p in columns]
            left_out[row, others] = True
        return right, left_out


def untuned(spec: str) -> Any:
    """Return a copy of an encoder's model of which everything but the word vectors can learn."""
    # Steps of half-precision weights would be lost in rounding.
    model = deepcopy(load_encoder(spec).model).float()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("embed" not in name)
    # Dropout costs speed and repeatability; rows held out say when to stop.
    return model.eval()


def tune(
    model: Any,
    contrast: Contrast,
    epochs: int,
    rate: float,
    seed: int,
    after: Callable[[int], bool | None] = lambda epoch: None,
) -> float:
    """Train a model that `untuned` returned; return the mean loss of the last epoch.

    The loss is the cross-entropy of a question's own passage among all candidates. `after` is
    called with the number of epochs that are done, and ends the training if it returns True.
    """
    steps, order = epochs * -(-len(contrast.pairs) // BATCH), [*range(len(contrast.pairs))]
    timed = TimedSteps()
    take, chooser, done, loss = _Steps(model, contrast, steps, rate), random.Random(seed), 0, 0.0
    for epoch in range(1, epochs + 1):
        chooser.shuffle(order)
        losses = []
        for first in range(0, len(order), BATCH):
            batch = order[first : first + BATCH]
            with timed.step(len(batch)):
                losses.append(take(batch))
            done += 1
            report_progress(done, steps, "tuning")
        loss = float(np.mean(losses))
        if not np.isfinite(loss):
            raise StrategyError("The tuned encoder's loss is no number. Lower learning_rate.")
        if after(epoch):
            break
    return loss


class _Steps:
    """Steps of AdamW on batches of questions."""

    def __init__(self, model: Any, contrast: Contrast, steps: int, rate: float) -> None:
        self.model, self.pairs = model, contrast.pairs
        self.learns = [p for p in model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(self.learns, lr=rate, weight_decay=0.01)
        self.rates = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: learning_rate_factor(step, steps)
        )
        parts = (contrast.vectors, *contrast.targets())
        self.candidates, self.right, self.left_out = (
            torch.from_numpy(part).to(model.device) for part in parts
        )

    def __call__(self, batch: list[int]) -> float:
        vectors = _embedded(self.model, [self.pairs[n].question for n in batch])
        logits = SCALE * vectors @ self.candidates.T
        loss = torch.nn.functional.cross_entropy(
            logits.masked_fill(self.left_out[batch], -torch.inf), self.right[batch]
        )
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.learns, LARGEST_NORM)
        self.optimiser.step()
        self.rates.step()
        self.optimiser.zero_grad(set_to_none=True)
        return float(loss.detach())


def _embedded(model: Any, texts: Sequence[str]) -> torch.Tensor:
    safe = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
    features = model.preprocess(safe, prompt=(model.prompts or {}).get(model.default_prompt_name))
    moved = {k: v.to(model.device) if torch.is_tensor(v) else v for k, v in features.items()}
    return torch.nn.functional.normalize(model(moved)["sentence_embedding"], dim=1)


def weights_of(model: Any) -> dict[str, npt.NDArray[np.float32]]:
    """Return a copy of the weights that learn, by name."""
    return {
        name: parameter.detach().cpu().float().numpy().copy()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def encoder_of(model: Any, spec: str) -> Encoder:
    """Return the encoder of a tuned model; its cached vectors belong to these very weights."""
    sha = hashlib.sha256(weights_digest(spec).encode())
    for name, values in sorted(weights_of(model).items()):
        sha.update(name.encode() + values.tobytes())
    return cached_encoder(model, "tuned embedding", sha.hexdigest())


def held_apart(rows: Sequence[Example], share: float) -> tuple[list[Example], list[Example], bool]:
    """Divide rows into two parts, the second of about a share of them.

    Rows whose evidence is in one document are in one part, as are rows that documents link through
    others. Where that leaves the second part with less than half of its share, rows are divided one
    by one; the last value says whether documents are apart. Both parts are in the order of
    `in_order`.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, wanted = in_order(rows), round(share * len(rows))
    pairs = [(n, span.document) for n, row in enumerate(rows) for span in row.evidence]
    places = {document: len(rows) + n for n, document in enumerate({d: 0 for _, d in pairs})}
    ends = [n for n, _ in pairs], [places[document] for _, document in pairs]
    graph = coo_array((np.ones(len(pairs)), ends), shape=(len(rows) + len(places),) * 2)
    groups = connected_components(graph, directed=False)[1].astype(str).tolist()
    ids = [row.id for row in rows]
    clusters = dict(zip(ids, groups, strict=False))
    held = {*hold_out(ids, dict.fromkeys(ids, ""), clusters, wanted)}
    apart = bool(rows) and 2 * len(held) >= wanted
    if not apart:
        held = {*ids[:wanted]}
    learnt = [row for row in rows if row.id not in held]
    return learnt, [row for row in rows if row.id in held], apart


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


def tuned_retriever(
    library: Library, examples: Sequence[Example], *, epochs: float | None, rate: float, seed: int
) -> Tuned:
    """Tune the encoder of questions on rows with evidence, if questions held out gain."""
    trainer = _Trainer(library, examples, rate=rate, seed=seed)
    if len(trainer.rows) < FEWEST_PAIRS or len(trainer.places) < 2:
        few = f"{len(trainer.rows)} training questions whose passage is known"
        note = f"The retriever is not tuned: there are {few} (at least {FEWEST_PAIRS})."
        if len(trainer.rows) >= FEWEST_PAIRS:
            note = "The retriever is not tuned: the documents are a single passage."
        return Tuned(library, 0.0, note)
    learnt, held, apart = held_apart(trainer.rows, HELD_OUT)
    ranks = trainer.ranks(learnt, held, epochs)
    stop = max((s for s in ranks if epochs in (None, s.epochs)), key=ranks.__getitem__)
    library, size = replace(library, way=stop.way), 0.0
    if stop.epochs:
        model = trainer.train(trainer.rows, stop.epochs)
        library.tuned = encoder_of(model, library.encoder)
        size = sum(weights.nbytes for weights in weights_of(model).values()) / 1e6
    where = " about other documents" if apart else ""
    joined = "joined with those of BM25" if stop.way == "hybrid" else "not joined with others"
    tuned = "not tuned, since that gained nothing on held-out questions"
    if stop.epochs:
        tuned = f"tuned for {plural(stop.epochs, 'epoch')} on {len(trainer.rows)} questions"
    elif epochs == 0:
        tuned = "not tuned, since its epochs are 0"
    note = (
        f"The retriever is {tuned}; its ranks are {joined}: mean reciprocal "
        f"rank {ranks[stop]:.3f} on {len(held)} held-out questions{where}, "
        f"{ranks[Stop(0, 'hybrid')]:.3f} untuned and joined."
    )
    return Tuned(library, size, note)


class _Trainer:
    """The questions of a pool whose passage is known, and training on some of them."""

    def __init__(
        self, library: Library, rows: Sequence[Example], *, rate: float, seed: int
    ) -> None:
        self.library, self.rate, self.seed = library, rate, seed
        self.rows: list[Example] = []
        self.pairs: dict[str, Pair] = {}
        self.hard: dict[str, list[int]] = {}
        passages = library.corpus.passages(library.words)
        self.places = {passage.id: place for place, passage in enumerate(passages)}
        asked = rows[:: -(-len(rows) // MOST_PAIRS) or 1]
        found = replace(library, way="bm25").search([row.item() for row in asked], SEARCHED)
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

    def ranks(
        self, learnt: Sequence[Example], held: Sequence[Example], epochs: float | None
    ) -> dict[Stop, float]:
        """Return the mean reciprocal rank on held-out rows after each epoch of learning."""
        ranks = dict[Stop, float]()

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
        pairs = [self.pairs[row.id] for row in rows]
        hard = [place for row in rows for place in self.hard[row.id]]
        places = sorted({*(pair.right for pair in pairs), *hard})
        index = replace(self.library, way="dense").index
        assert isinstance(index, DenseIndex)
        model = untuned(self.library.encoder)
        contrast = Contrast(pairs, places, index.vectors_of(places))
        tune(model, contrast, epochs, self.rate, self.seed, lambda epoch: after(epoch, model))
        return model
