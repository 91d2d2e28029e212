"""A linear reader of passages: the answer is the most probable span of what is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from choose.corpus import LOOKED, WORDS, Corpus, Passage, Span
from choose.errors import StrategyError
from choose.models.retrieval.chosen_settings import (
    FEWEST_FOR_NUMBER,
    NUMBERS,
    USUAL,
    PassagesRead,
    Trials,
    chosen_number,
    held_apart,
)
from choose.models.retrieval.passage_search import (
    Library,
    library_for,
    library_from,
    parted,
    shared_index,
)
from choose.models.retrieval.span_features import Chars, Place, Source, occurrences
from choose.models.retrieval.span_reader import LONGEST, Reading, Row, SpanReader
from choose.models.saving import read_fitted, task_facts, write_fitted
from choose.strategy import report_progress
from choose.tasks.answering import NO_ANSWER, Briefly, abstains, passage_field
from choose.tasks.kinds import read_task
from choose.types import Answers, Example, Item, Task
from choose_strategies.texts import TextBaseline

# Passages in which the answer of a training row without evidence is searched.
SEARCHED = 10

# Retrieved passages without the answer that are read beside the one with it, in training.
OTHERS = 2

# Training rows, and passages in which words are counted, at most: more teach nothing.
MOST_ROWS, MOST_COUNTED = 2_000, 5_000

# The share of training rows that decides when there is no answer, and how many passages are read.
HELD_OUT = 0.25

# Rows that are learnt from, at most, to choose how many passages are read.
MOST_TRIED = 150


class Reader(TextBaseline):
    """Answer with the most probable span of the passages: the `tagger` of questions.

    It learns which sentences and words answer which questions from the pool's own passages and from
    others that are retrieved for the same questions.
    """

    title: ClassVar[str] = "linear reader of passages"
    good_for: ClassVar[str] = "answers that occur word for word in what is read"
    needs: ClassVar[str] = "answered questions, and documents (--documents) or a passage (--field)"
    takes: ClassVar[str] = "seconds to train, milliseconds an answer; no model"
    kinds: ClassVar[tuple[str, ...]] = ("answering",)
    revision: ClassVar[int] = 5
    cheap: ClassVar[bool] = False
    always_compared: ClassVar[bool] = False
    reads: ClassVar[bool] = True
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "k=1": {"k": 1},
        "k=5": {"k": 5},
        "regularised": {"C": 0.1},
    }
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        "k": (1, 100),
        "words": (10, 2_000),
        "C": (1e-6, 1e6),
    }

    k: int | None

    def __init__(
        self, *, seed: int, k: int | None = None, words: int = WORDS, C: float = 0.4
    ) -> None:
        self.seed, self.k, self.words, self.C = seed, k, words, C

    def refuses(self, task: Task) -> str | None:
        """Return that there is nothing to read, or None."""
        if passage_field(task) or getattr(task, "documents", ""):
            return None
        return "the questions have no passage (--field), and there are no documents (--documents)."

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Learn from where the answers occur; choose when there is none, and how much is read.

        Both are chosen on rows about other documents than those that are learnt from.
        """
        self.task, self.passage = task, passage_field(task) or ""
        self.library: Library | None = None
        self.cached_seconds = 0.0
        if not self.passage:
            self.library = library_for(task, examples, "bm25", self.words)
            shared = shared_index(self.library.corpus, "bm25", self.words, encoder="")
            self.cached_seconds = shared.cached_seconds
        step = -(-len(examples) // MOST_ROWS) or 1
        chosen = list(examples[::step])
        rows, texts = self._rows(chosen), self._texts(chosen)
        self.threshold, self.read = 1.0, PassagesRead(USUAL if self.k is None else self.k)
        self._choose(chosen, rows, texts)
        self.reader = SpanReader(self.C)
        self.reader.fit(rows, texts)

    def predict(self, items: Sequence[Item]) -> Answers:
        """Answer with a span; the evidence is the passages read, best first."""
        most = max(self.read.number, LOOKED)
        shown, further = parted(items, self._shown(items, most), self.read.number)
        found = []
        for count, (item, passages) in enumerate(zip(items, shown, strict=True), 1):
            found.append(self.reader.read(item.text, self._sources(item, passages)))
            report_progress(count, len(items), "reading")
        outputs = [self._output(reading) for reading in found]
        known = self.library is not None or any(item.passages is not None for item in items)
        return Answers(
            outputs=tuple(output or None for output in outputs),
            status=tuple("ok" if output else "empty" for output in outputs),
            confidence=np.array([self._confidence(reading) for reading in found]),
            evidence=tuple(tuple(p.id for p in row) for row in shown) if known else None,
            further=further if known else None,
        )

    def reread(self, corpus: Corpus) -> float:
        """Answer from other documents; return the seconds of indexing them."""
        if self.library is None:
            raise StrategyError("A reader of a field has no documents that could change.")
        self.library, seconds = self.library.reread(corpus)
        return seconds

    def facts(self) -> Mapping[str, Any]:
        """Return what an index that other fits had built took."""
        notes = [self.read.note] if self.read.note else []
        return {"cached_seconds": self.cached_seconds, "notes": notes}

    def save(self, folder: Path) -> None:
        """Write the weights, how rare words are, the task and the documents."""
        facts, arrays = self.reader.state()
        documents = None if self.library is None else self.library.facts()
        own = {
            "task": task_facts(self.task),
            "passage": self.passage,
            "threshold": self.threshold,
            "read": self.read.number,
            "library": documents,
            "reader": facts,
        }
        write_fitted(folder, self, own, arrays)

    def load(self, folder: Path) -> None:
        """Restore the fitted strategy that was saved."""
        facts, arrays = read_fitted(folder, self)
        self.task, self.passage = read_task(facts["task"]), str(facts["passage"])
        self.threshold, self.cached_seconds = float(facts["threshold"]), 0.0
        # Before it was chosen, it was a setting.
        self.read = PassagesRead(int(facts.get("read", self.k or USUAL)))
        documents = facts["library"]
        self.library = None if documents is None else library_from(documents, self.words, "")
        self.reader = SpanReader.restored(facts["reader"], arrays)

    def _texts(self, examples: Sequence[Example]) -> list[str]:
        """Return passages to count words in: those of the documents, or of the rows."""
        if self.library is None:
            return list(dict.fromkeys(e.fields.get(self.passage, "") for e in examples))
        passages = self.library.corpus.passages(self.words)
        step = -(-len(passages) // MOST_COUNTED) or 1
        return [passage.text for passage in passages[::step]]

    def _rows(self, examples: Sequence[Example]) -> list[Row]:
        """Return the training rows with what each reads: its answer's passage, and others."""
        if self.library is None:
            own = [e.fields.get(self.passage, "") for e in examples]
            return [
                _row(e, [Source("", text)], [_places(e, text)])
                for e, text in zip(examples, own, strict=True)
            ]
        found = self.library.search([e.item() for e in examples], SEARCHED)
        rows = []
        for example, hits in zip(examples, found, strict=True):
            holding = self.library.corpus.overlapping(example.evidence, self.words)
            ids = {passage.id for passage in holding}
            nearest = [p for p in hits if p.id in ids] + [
                p for p in holding if p.id not in {hit.id for hit in hits}
            ]
            places = {p.id: _places(example, p.text, p.span) for p in [*nearest, *hits]}
            right = next((p for p in nearest or hits if places[p.id]), None)
            # The answer in a passage that is not the evidence may be the answer or not.
            others = [p for p in hits if p.id not in ids and not places[p.id]][:OTHERS]
            read = [*([right] if right else []), *others]
            sources = [Source(p.title, p.text) for p in read]
            rows.append(_row(example, sources, [places[p.id] for p in read]))
        return rows

    def _choose(
        self, examples: Sequence[Example], rows: Sequence[Row], texts: Sequence[str]
    ) -> None:
        """Choose how many passages are read, and how probable no answer must be to be said."""
        none = [row.target == NO_ANSWER for row in examples]
        silent = isinstance(self.task, Briefly) and self.task.unanswerable
        silent = silent and any(none) and not all(none)
        held = held_apart(examples, HELD_OUT)[1]
        tried = self.k is None and self.library is not None and len(held) >= FEWEST_FOR_NUMBER
        if not held or not (silent or tried):
            return
        ids, reader = {row.id for row in held}, SpanReader(self.C)
        pairs = zip(examples, rows, strict=True)
        learnt = [row for example, row in pairs if example.id not in ids]
        # Long answers take minutes to learn; where only the number is chosen, fewer rows will do.
        reader.fit(learnt if silent else learnt[:MOST_TRIED], texts)
        found = self._shown([row.item() for row in held], max(NUMBERS))
        trials: Trials[int] = Trials(cost=lambda _: 0)
        thresholds = {}
        for count in NUMBERS if tried else (self.read.number,):
            readings = [
                reader.read(row.text, self._sources(row.item(), passages[:count]))
                for row, passages in zip(held, found, strict=True)
            ]
            scores, thresholds[count] = self._scores(held, readings, silent)
            trials.add(count, scores)
        if tried:
            self.read = chosen_number(trials, self.task.metrics[0])
        self.threshold = thresholds[self.read.number]

    def _scores(
        self, held: Sequence[Example], readings: Sequence[Reading | None], silent: bool
    ) -> tuple[list[float], float]:
        """Return scores with the best threshold above which no answer is given, and this."""
        metric = self.task.metrics[0]

        def score(output: str | None, row: Example) -> float:
            return float(self.task.score(output, row.targets)[metric])

        said = [
            score(reading.answer if reading else NO_ANSWER if silent else None, row)
            for row, reading in zip(held, readings, strict=True)
        ]
        if not silent:
            return said, 1.0
        unsaid = [score(NO_ANSWER, row) for row in held]
        known = [(reading.none, place) for place, reading in enumerate(readings) if reading]
        known.sort(key=lambda pair: (-pair[0], pair[1]))
        totals = np.cumsum([0.0, *(unsaid[place] - said[place] for _, place in known)])
        best = int(totals.argmax())
        if not best:
            return said, 1.0
        lower = known[best][0] if best < len(known) else 0.0
        withheld = {place for _, place in known[:best]}
        scores = [unsaid[n] if n in withheld else said[n] for n in range(len(held))]
        return scores, (known[best - 1][0] + lower) / 2

    def _shown(self, items: Sequence[Item], most: int) -> list[list[Passage]]:
        """Return the passages that each item reads, at most so many, beside a field of its own."""
        if self.library is not None:
            return self.library.search(items, most)
        return [[*(item.passages or ())][:most] for item in items]

    def _sources(self, item: Item, passages: Sequence[Passage]) -> list[Source]:
        if self.library is None and item.passages is None:
            return [Source("", item.fields.get(self.passage, ""))]
        return [Source(passage.title, passage.text) for passage in passages]

    def _output(self, reading: Reading | None) -> str:
        abstains = isinstance(self.task, Briefly) and self.task.unanswerable
        if reading is None or (abstains and reading.none > self.threshold):
            return NO_ANSWER if abstains else ""
        return " ".join(reading.answer.split())

    def _confidence(self, reading: Reading | None) -> float:
        if reading is None:
            return 0.0
        return reading.none if self._output(reading) == NO_ANSWER else reading.probability


def _row(example: Example, sources: Sequence[Source], places: Sequence[Sequence[Chars]]) -> Row:
    every = [Place(n, start, end) for n, own in enumerate(places) for start, end in own]
    return Row(example.text, sources, every)


def _places(example: Example, text: str, span: Span | None = None) -> list[Chars]:
    """Return where the answer of a row occurs in a text, which is a span of a document or not.

    Of several places those that the evidence marks count; where the answer occurs in none of it and
    it is a few words, it counts itself.
    """
    if abstains(example.target):
        return []
    found = [place for answer in example.targets for place in occurrences(answer, text)]
    if span is None:
        return found
    marked = [
        (max(0, one.start - span.start), min(len(text), one.end - span.start))
        for one in example.evidence
        if one.overlaps(span)
    ]
    narrow = [
        (start, end)
        for start, end in found
        if any(start < last and first < end for first, last in marked)
    ]
    brief = [(a, b) for a, b in marked if b - a < len(text) and len(text[a:b].split()) <= LONGEST]
    return narrow or brief or found
