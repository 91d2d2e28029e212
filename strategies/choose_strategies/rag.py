"""Retrieval from documents: passages that are found for a question, then a model that reads."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from choose.corpus import WORDS, Passage
from choose.models.classical import is_level
from choose.models.prompting.base_strategy import PromptedStrategy, prompter_for
from choose.models.prompting.prompts import Prompter
from choose.models.retrieval.passage_search import (
    MOST_EMBEDDED,
    WAYS,
    Library,
    Way,
    gold_passage,
    library_for,
    library_from,
    shared_index,
    takes_too_long,
)
from choose.models.retrieval.reading import (
    Measures,
    ReadsDocuments,
    example_with,
    in_order,
    shown_example,
    with_passages,
    without_echo,
)
from choose.models.saving import read_fitted, write_fitted
from choose.models.weights.spec import DEFAULT_ENCODER, DEFAULT_LM, endpoint_name
from choose.progress import decided_in_time, seconds_to_aim
from choose.strategy import as_part
from choose.tasks.answering import abstains, reading
from choose.types import Answers, Example, Family, Floats, Item, Task
from choose_strategies.lora import Lora

if TYPE_CHECKING:
    from choose.models.lora.answer_writer import AnswerPrompts

# Limits of choosing: labelled rows, words of the passages that are read, and seconds.
ROWS_TRIED, FEWEST_TRIED, WORDS_TRIED, SECONDS_TRIED = 24, 4, 20_000, 90.0

# Words of a passage and how many are read, in the order in which they are tried.
SHAPES = ((100, 1), (100, 3), (200, 1), (50, 3), (50, 1))

# Passages that are read where nothing is tried.
UNTRIED = 3

# Demonstrations that are tried: the shortest of some rows.
SHOTS, SHORTEST_OF = 2, 12

# Passages, of the usual length, that are embedded again in other lengths to try these.
MOST_EMBEDDED_AGAIN = 1_000


class Setting(NamedTuple):
    """How passages are found and shown, and whether answers are shortened."""

    way: Way
    words: int
    read: int
    shots: int
    short: bool

    @property
    def cost(self) -> int:
        """Return the most words of the passages in a prompt."""
        return self.words * (self.read + self.shots)

    def __str__(self) -> str:
        examples = f" after {self.shots} examples" if self.shots else ""
        return (
            f"{self.read} passage{'s' * (self.read != 1)} of at most {self.words} words found by "
            f"{self.way}{examples}, answers {'shortened' if self.short else 'as written'}"
        )


@dataclass(kw_only=True, eq=False)
class Rag(ReadsDocuments, PromptedStrategy):
    """Passages found in the documents, then the question, put to a language model.

    How passages are found (`retriever`), their length (`words`), how many are read (`k`), whether
    demonstrations with their passages precede them (`shots`), and whether the question's words are
    left out of answers (`shorten`) is chosen by the scores of labelled rows, unless it is given.
    """

    title: ClassVar[str] = "prompt with passages of documents"
    good_for: ClassVar[str] = "questions whose answers occur in documents, which change"
    needs: ClassVar[str] = "documents (--documents) and a language model (--model)"
    takes: ClassVar[str] = "an index of the documents; one long request a row, or a GPU"
    family: ClassVar[Family] = "retrieval"
    revision: ClassVar[int] = 4
    seeded: ClassVar[bool] = False
    kinds: ClassVar[tuple[str, ...]] = ("answering",)
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

    seed: int
    model: str = DEFAULT_LM
    encoder: str = DEFAULT_ENCODER
    retriever: str = "auto"
    words: int | None = None
    k: int | None = None
    shots: int | None = None
    shorten: bool | None = None
    wording: str = "labels"
    calibrate: bool = True
    max_tokens: int = 1024

    def shows(self, task: Task) -> int:
        return self.shots or 0

    def passages(self) -> tuple[int, int]:
        """Return how many passages a request shows, and the most words of one, as `fit` chose them.

        Before `fit` they are those where nothing is tried, as at endpoints.
        """
        if hasattr(self, "library"):
            return self.read, self.library.words
        return (UNTRIED if self.k is None else self.k), self.words or WORDS

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Choose the retriever, how many passages are read and the form of answers."""
        words = self.words or WORDS
        library = library_for(task, examples, self.retriever, words, self.encoder)
        trying = _Trying(self, task, examples, library)
        usual = trying.default()
        # Requests to an endpoint cost money, so nothing is tried there.
        tries = self.calibrate and endpoint_name(self.model) is None and bool(trying.rows)
        first = usual._replace(read=SHAPES[0][1]) if tries and self.k is None else usual
        self._use(trying, first)  # a fit that is stopped here can answer, so that it can be timed
        self._use(trying, trying.run() if tries else usual)

    def _use(self, trying: _Trying, chosen: Setting) -> None:
        self.library, self.prompter = trying.library(chosen), trying.prompter(chosen.shots)
        self.library.cached_seconds = trying.cached_seconds(chosen)
        self.read, self.short = chosen.read, chosen.short
        self.note, self._fewer = trying.note(chosen), {}

    def predict(self, items: Sequence[Item]) -> Answers:
        shown = self.shown_with(items, self.library.search_below(items, self.read))
        answers = self.prompter.answer(shown.items, **shown.facts)
        return _shortened(answers, items, shown.passages) if self.short else answers

    def facts(self) -> Mapping[str, Any]:
        return self._with_search(self.prompter.facts(), self.note)

    def _measure(self) -> Measures | None:
        return self.prompter if isinstance(self.prompter, Measures) else None

    def save(self, folder: Path) -> None:
        facts, arrays = self.prompter.state()
        chosen = {"read": self.read, "short": self.short, "chosen": self.note}
        write_fitted(folder, self, {**facts, **chosen, **self.library.facts()}, arrays)

    def load(self, folder: Path) -> None:
        facts, arrays = read_fitted(folder, self)
        self.library = library_from(facts, self.encoder)
        self.read, self.short = int(facts["read"]), bool(facts["short"])
        self.note = str(facts["chosen"])
        self._restore(facts, arrays)

    def _demonstrations_note(self, task: Task) -> str:
        return f"{self.shots} labelled rows with their passages" if self.shots else ""


def _shortened(
    answers: Answers, items: Sequence[Item], found: Sequence[Sequence[Passage]]
) -> Answers:
    """Return answers without what repeats the question; `raw` keeps them as written."""
    outputs = tuple(
        _short(output, item, some)
        for output, item, some in zip(answers.outputs, items, found, strict=True)
    )
    kept = answers.raw or (None,) * len(outputs)
    raw = tuple(
        old if new != old and old is not None else before
        for new, old, before in zip(outputs, answers.outputs, kept, strict=True)
    )
    return replace(answers, outputs=outputs, raw=raw)


def _short(output: str | None, item: Item, passages: Sequence[Passage]) -> str | None:
    if output is None or abstains(output):
        return output
    return without_echo(output, item.text, " ".join(passage.text for passage in passages))


def _documents(rows: Sequence[Example]) -> set[str]:
    return {span.document for row in rows for span in row.evidence}


class _Trying:
    """Tries settings of `rag` on labelled rows, each distinct prompt once, within the limits.

    Demonstrations are of other documents than the rows, where the pool has some.
    """

    def __init__(
        self, strategy: Rag, task: Task, pool: Sequence[Example], library: Library
    ) -> None:
        self.strategy, self.task, self.pool, self.first = strategy, task, pool, library
        # A fit that should end soon tries fewer rows, for fewer seconds.
        self.limit = min(SECONDS_TRIED, seconds_to_aim())
        rows = max(FEWEST_TRIED, int(ROWS_TRIED * self.limit / SECONDS_TRIED))
        self.most = int(decided_in_time("rows tried", rows, ROWS_TRIED))
        found = in_order([row for row in pool if row.evidence] or pool)
        shots = SHOTS if strategy.shots is None else strategy.shots
        self.shown = self._demonstrations(found, shots)
        self.rows = self._rows(found)
        self.items = [row.item() for row in self.rows]
        self.scores: dict[Setting, Floats] = {}
        self.read, self.planned, self.seconds, self.left_out = 0, 0, 0.0, False
        self._started = perf_counter()
        self._libraries = {(library.way, library.words): library}
        self._found: dict[tuple[Way, int], list[list[Passage]]] = {}
        self._prompters: dict[int, Prompter] = {}
        self._written: dict[tuple[int, str, tuple[str, ...]], str | None] = {}

    def run(self) -> Setting:
        strategy, first = self.strategy, self.first
        usual, shapes = self.default(), self._shapes()
        self.planned = self._planned([words * count for words, count in shapes])
        for words, count in shapes:
            self._try(first.way, words, count, usual.shots)
        best = self.best()
        for way in WAYS if strategy.retriever == "auto" else ():
            if self._may_index(way, best.words):
                self._try(way, best.words, best.read, usual.shots)
        best = self.best()
        if strategy.shots is None and self.shown:
            self._try(best.way, best.words, best.read, len(self.shown))
        self.seconds = self._spent()
        return self.best()

    def best(self) -> Setting:
        """Return the best setting so far.

        One that shows more words than another is taken only if it is better by more than one
        standard error of their mean difference; of equals the first counts.
        """
        means = {setting: round(float(own.mean()), 9) for setting, own in self.scores.items()}
        levels: dict[int, Setting] = {}
        for setting, mean in means.items():
            if setting.cost not in levels or mean > means[levels[setting.cost]]:
                levels[setting.cost] = setting
        by_cost = [levels[cost] for cost in sorted(levels)]
        top = max(by_cost, key=means.__getitem__)
        gaps = {setting: self.scores[top] - self.scores[setting] for setting in by_cost}
        return next(s for s in by_cost if s == top or is_level(gaps[s]))

    def _planned(self, shapes: Sequence[int]) -> int:
        """Return the words of passages to read if the first shape wins, whose sizes are given."""
        own = self.strategy
        ways = len(WAYS) - 1 if own.retriever == "auto" else 0
        again = ways + (own.shots is None and bool(self.shown))
        return min(WORDS_TRIED, len(self.rows) * (sum(shapes) + again * sum(shapes[:1])))

    def default(self) -> Setting:
        """Return what is used where nothing is tried."""
        strategy = self.strategy
        count = UNTRIED if strategy.k is None else strategy.k
        shots, short = len(self.shown) if strategy.shots else 0, bool(strategy.shorten)
        return Setting(self.first.way, self.first.words, count, shots, short)

    def library(self, setting: Setting) -> Library:
        key = setting.way, setting.words
        if key not in self._libraries:
            cached = shared_index(
                self.first.corpus, setting.way, setting.words, self.first.encoder
            ).cached_seconds
            self._libraries[key] = replace(
                self.first, way=setting.way, words=setting.words, cached_seconds=cached
            )
        return self._libraries[key]

    def prompter(self, shots: int) -> Prompter:
        """Return the prompter that shows so many demonstrations."""
        if shots not in self._prompters:
            settings = self.strategy._prompt_settings()
            shown = [shown_example(row, self.first) for row in self.shown[:shots]]
            self._prompters[shots] = prompter_for(settings, reading(self.task), self.pool, shown)
        return self._prompters[shots]

    def cached_seconds(self, chosen: Setting) -> float:
        """Return the seconds of cached work, without those that the chosen prompter reports."""
        of_words: dict[int, float] = {}
        for (_, words), library in self._libraries.items():
            # Both indexes are parts of the hybrid one.
            of_words[words] = max(of_words.get(words, 0.0), library.cached_seconds)
        others = [p for shots, p in self._prompters.items() if shots != chosen.shots]
        return sum(of_words.values()) + _cached(others)

    def note(self, chosen: Setting) -> str:
        """Return what was chosen, its score on the training rows, and what the choice cost."""
        if len(self.scores) < 2:
            paid = endpoint_name(self.strategy.model) is not None
            return f"Read: {chosen}.{' Nothing was tried, since requests cost money.' * paid}"
        first, metric = next(iter(self.scores)), self.task.metrics[0]
        others = " Others were left out." if self.left_out else ""
        return (
            f"Read: {chosen}. {metric} on {len(self.rows)} training rows "
            f"{self.scores[chosen].mean():.2f}; {self.scores[first].mean():.2f} with {first}. "
            f"{len(self.scores)} settings took {self.read:,} words of passages and "
            f"{self.seconds:.0f} s; the limits are {self.most} rows, {WORDS_TRIED:,} words and "
            f"{self.limit:.0f} s.{others}"
        )

    def _demonstrations(self, rows: Sequence[Example], shots: int) -> list[Example]:
        """Return the shortest of some rows that are about other documents than the first rows."""
        tried = _documents(rows[: self.most])
        apart = [row for row in rows[self.most :] if tried.isdisjoint(_documents([row]))]
        if len(apart) < shots:  # the pool is small, or all of it is about a few documents
            apart = list(rows[-shots:]) if self.strategy.shots or len(rows) > shots else []

        def length(row: Example) -> int:
            gold = gold_passage(row, self.first.corpus, self.first.words)
            return len(row.text) + len(gold.text if gold else "")

        return sorted(apart[: max(shots, SHORTEST_OF)], key=length)[:shots]

    def _rows(self, rows: Sequence[Example]) -> list[Example]:
        """Return the rows to try settings on: about other documents than the demonstrations."""
        ids, shown = {row.id for row in self.shown}, _documents(self.shown)
        others = [row for row in rows if row.id not in ids]
        return ([r for r in others if shown.isdisjoint(_documents([r]))] or others)[: self.most]

    def _shapes(self) -> list[tuple[int, int]]:
        """Return the lengths of passages in words and numbers of passages to try."""
        strategy, corpus = self.strategy, self.first.corpus
        if strategy.words is None and strategy.k is None:
            shapes = [*SHAPES]
        else:
            counts = (1, 3) if strategy.k is None else (strategy.k,)
            sizes = (100, 200, 50) if strategy.words is None else (strategy.words,)
            shapes = [(words, count) for words in sizes for count in counts]
        cuts: dict[int, Any] = {}
        for words in dict.fromkeys(words for words, _ in shapes):
            cut = [passage.span for passage in corpus.passages(words)]
            # Documents may be so short that passages of any length are the same.
            same = words != self.first.words and cut in cuts.values()
            if self._may_index(self.first.way, words) and not same:
                cuts[words] = cut
        return [shape for shape in shapes if shape[0] in cuts]

    def _may_index(self, way: Way, words: int) -> bool:
        """Return whether there is an index already, or it takes little time to build one."""
        most = MOST_EMBEDDED if words == self.first.words else MOST_EMBEDDED_AGAIN
        if (way, words) == (self.first.way, self.first.words) or way == WAYS[0]:
            return True
        corpus, encoder = self.first.corpus, self.first.encoder
        return len(corpus.passages()) <= most and not takes_too_long(corpus, words, encoder)

    def _try(self, way: Way, words: int, count: int, shots: int) -> None:
        """Add the scores of a setting, with answers shortened or not, unless limits are reached."""
        forms = (False, True) if self.strategy.shorten is None else (self.strategy.shorten,)
        settings = [Setting(way, words, count, shots, short) for short in forms]
        if settings[0] in self.scores:
            return
        in_time = decided_in_time(f"trying {settings[0]}", self._spent() <= self.limit, 1)
        most = self.read + words * count * len(self.items)
        if self.scores and (most > WORDS_TRIED or not in_time):
            self.left_out = True
            return
        key = way, words
        if key not in self._found:
            most = max(count, *(n for _, n in SHAPES))
            self._found[key] = self.library(settings[0]).search(self.items, most)
        measure = self.prompter(shots)
        found = [some[:count] for some in self._found[key]]
        if isinstance(measure, Measures):
            found = self.strategy.fitting(self.items, found, measure)
        asked = [
            (shots, item.id, tuple(passage.id for passage in some))
            for item, some in zip(self.items, found, strict=True)
        ]
        new = [place for place, one in enumerate(asked) if one not in self._written]
        more = sum(words * len(found[place]) for place in new)
        items = [with_passages(self.items[place], found[place]) for place in new]
        total, left = max(self.planned, self.read + more), self.limit - self._spent()
        with as_part(self.read, more, total, "choosing passages", left):
            outputs = self.prompter(shots).answer(items).outputs
        self.read += more
        self._written |= dict(zip([asked[place] for place in new], outputs, strict=True))
        metric = self.task.metrics[0]
        for setting in settings:
            scores = []
            for one, row, item, some in zip(asked, self.rows, self.items, found, strict=True):
                written = self._written[one]
                output = _short(written, item, some) if setting.short else written
                scores.append(self.task.score(output, row.targets)[metric])
            self.scores[setting] = np.array(scores, dtype=np.float64)

    def _spent(self) -> float:
        """Return the seconds so far, with those of answers that were cached."""
        return perf_counter() - self._started + _cached(self._prompters.values())


def _cached(prompters: Iterable[Prompter]) -> float:
    """Return the seconds that cached answers had taken."""
    return sum(float(prompter.facts()["cached_seconds"]) for prompter in prompters)


# Of training rows whose evidence was not retrieved, the share that reads it all the same.
GIVEN = 0.8


@dataclass(kw_only=True, eq=False)
class LoraRag(ReadsDocuments, Lora):
    """An adapter that is trained to answer from passages as they are retrieved.

    A training row reads what the retriever finds for it, right or not, as test rows do. Of rows for
    which it finds nothing that holds the answer, one in five is left so: a reader must live with
    misses, but learns nothing from many.
    """

    title: ClassVar[str] = "LoRA that reads passages"
    good_for: ClassVar[str] = "questions over documents where reading, not finding, is what fails"
    needs: ClassVar[str] = "documents (--documents), hundreds of answered questions, a model (tune)"
    takes: ClassVar[str] = "minutes a fit without a GPU, about a second an answer"
    kinds: ClassVar[tuple[str, ...]] = ("answering",)
    revision: ClassVar[int] = 5
    # A row with a passage takes as long as ten without. All layers learn more in fewer passes than
    # half of them in the same time.
    writing_epochs: ClassVar[float | None] = 1.4
    least_checked: ClassVar[int | None] = 500
    kind_settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {"answering": {"targets": "all"}}
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({"k=3": {"k": 3}})

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
        self.library = library_for(task, examples, self.retriever, self.words, self.encoder)
        found = self.library.search([row.item() for row in examples], self.k)
        pairs = zip(examples, found, strict=True)
        read = [self._read_in_training(row, passages) for row, passages in pairs]
        self._prompts, self._fewer = self._prompts_of(reading(task)), {}
        fit = self.fitting([row.item() for row in examples], read)
        rows = [example_with(row, some) for row, some in zip(examples, fit, strict=True)]
        return super()._prepare_run(reading(task), rows)

    def _measure(self) -> Measures | None:
        return self._prompts

    def _prompts_of(self, task: Task) -> AnswerPrompts:
        """Return what measures the prompts of training and of answers, with room for an answer."""
        from choose.models.causal.chat_template import ChatTemplate
        from choose.models.lora.answer_writer import MOST_NEW, TEXT_FACTOR, AnswerPrompts
        from choose.models.lora.model import load_base

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
        shown = self.shown_with(items, self.library.search_below(items, self.k))
        return replace(super().predict(shown.items), **shown.facts)

    def facts(self) -> Mapping[str, Any]:
        return self._with_search(super().facts())

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        facts, arrays = super()._state()
        return {**facts, **self.library.facts()}, arrays

    def load(self, folder: Path) -> None:
        facts, _ = read_fitted(folder, self)
        self.library = library_from(facts, self.encoder)
        super().load(folder)
        assert self._writer is not None
        self._prompts = self._prompts_of(self._writer.task)
