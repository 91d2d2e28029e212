"""Strategies that misbehave, found through entry points like any other."""

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import pytest

from choose import strategy
from choose.corpus import Corpus
from choose.progress import TimeLimitReached, report_progress
from choose.tasks.answering import corpus_of
from choose.types import Answers, Example, Family, Item, Task


class Fake:
    family: ClassVar[Family] = "prompting"
    revision: ClassVar[int] = 1
    learns: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    cheap: ClassVar[bool] = False
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __init__(self, *, seed: int) -> None:
        self.seed = seed

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        self.labels = task.labels

    def predict(self, items: Sequence[Item]) -> Answers:
        return Answers(outputs=(self.labels[0],) * len(items), status=("ok",) * len(items))


class Broken(Fake):
    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        raise ValueError("the weights\nare [bold red]on fire[/]")


class Liar(Fake):
    def predict(self, items: Sequence[Item]) -> Answers:
        return Answers(outputs=("no such label",) * len(items), status=("ok",) * len(items))


class Short(Fake):
    def predict(self, items: Sequence[Item]) -> Answers:
        return super().predict(items[:-1])


class Mute(Fake):
    def predict(self, items: Sequence[Item]) -> Answers:
        return Answers(outputs=(None,) * len(items), status=("empty",) * len(items))


class Slow(Fake):
    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        super().fit(task, examples)
        time.sleep(0.2)


class Steady(Fake):
    """Takes a known time for every row it learns and is asked, and says how far it is."""

    fit_seconds: ClassVar[float] = 0.004
    ask_seconds: ClassVar[float] = 0.002
    fits: ClassVar[list[int]] = []

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        super().fit(task, examples)
        for done in range(1, len(examples) + 1):
            time.sleep(self.fit_seconds)
            report_progress(done, len(examples), "learning")
        self.fits.append(len(examples))

    def predict(self, items: Sequence[Item]) -> Answers:
        time.sleep(self.ask_seconds * len(items))
        return super().predict(items)


class Counting(Steady):
    """Counts words by label; its class is fast, so that all rounds are run, and it is not."""

    family: ClassVar[Family] = "baseline"
    cheap: ClassVar[bool] = True
    seeded: ClassVar[bool] = False

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        super().fit(task, examples)
        self.counts = Counter((w, e.target) for e in examples for w in (e.text or "").split())

    def predict(self, items: Sequence[Item]) -> Answers:
        given = super().predict(items)
        outputs = tuple(max(self.labels, key=self._seen(item)) for item in items)
        return replace(given, outputs=outputs)

    def _seen(self, item: Item) -> Callable[[str], int]:
        words = (item.text or "").split()
        return lambda label: sum(self.counts[word, label] for word in words)


class Sluggish(Steady):
    """The same, and ten times slower to ask."""

    ask_seconds: ClassVar[float] = 0.02


class Baseline(Steady):
    """A baseline that is slow for one."""

    family: ClassVar[Family] = "baseline"
    cheap: ClassVar[bool] = True
    begun: ClassVar[int] = 0

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        type(self).begun += 1
        super().fit(task, examples)


class Remembers(Steady):
    """Takes its time for texts that nobody has asked of it before."""

    seeded: ClassVar[bool] = False
    known: ClassVar[set[str]] = set()

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        self.labels, self.cached = task.labels, 0.0

    def predict(self, items: Sequence[Item]) -> Answers:
        new = {item.text for item in items} - self.known
        self.known.update(new)
        self.cached += self.ask_seconds * (len(items) - len(new))
        time.sleep(self.ask_seconds * len(new))
        return Fake.predict(self, items)

    def facts(self) -> Mapping[str, Any]:
        return {"cached_seconds": self.cached}


class Impatient(Fake):
    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        raise KeyboardInterrupt


class Together(Fake):
    """Learns side by side, and says how many did."""

    sizes: ClassVar[list[int]] = []

    def side_by_side(self) -> bool:
        return True

    @classmethod
    def fit_group(cls, strategies, task, pools):
        cls.sizes.append(len(strategies))
        for one, pool in zip(strategies, pools, strict=True):
            one.fit(task, pool)


class Apart(Together):
    """Fails side by side; and with one seed alone."""

    @classmethod
    def fit_group(cls, strategies, task, pools):
        raise ValueError("not beside others")

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        if self.seed == 1:
            raise ValueError("not with seed one")
        super().fit(task, examples)


class Halting(Together):
    """One seed learns nothing, beside others or alone."""

    @classmethod
    def fit_group(cls, strategies, task, pools):
        places = range(len(strategies))
        for place in places:
            if strategies[place].seed != 1:
                strategies[place].fit(task, pools[place])
        return [place for place in places if strategies[place].seed == 1]

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        if self.seed == 1:
            raise ValueError("learnt nothing")
        super().fit(task, examples)


class Late(Together):
    """The time is over whenever it learns side by side."""

    @classmethod
    def fit_group(cls, strategies, task, pools):
        raise TimeLimitReached


class Tiring(Fake):
    """The time is over at its third question, counted in chunks."""

    asked: ClassVar[int] = 0

    def predict(self, items: Sequence[Item]) -> Answers:
        type(self).asked += 1
        if self.asked >= 3:
            raise TimeLimitReached
        return super().predict(items)


class Memory(Fake):
    """Knows by heart the year of each bridge that it learnt; reads no document."""

    family: ClassVar[Family] = "fine-tuning"
    kinds: ClassVar[tuple[str, ...]] = ("answering",)
    seeded: ClassVar[bool] = False
    cheap: ClassVar[bool] = True

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        self.years = {bridge_in(row.text): row.target for row in examples}

    def predict(self, items: Sequence[Item]) -> Answers:
        outputs = tuple(self.years.get(bridge_in(item.text)) for item in items)
        return Answers(outputs=outputs, status=tuple("ok" if o else "empty" for o in outputs))


class Finder(Memory):
    """Looks the year up in the documents as they are, where the name is not too short for it."""

    family: ClassVar[Family] = "retrieval"
    reads: ClassVar[bool] = True
    learns: ClassVar[bool] = False

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        self.reread(corpus_of(task) or Corpus(()))

    def reread(self, corpus: Corpus) -> float:
        self.years = {}
        for document in corpus.documents:
            found = re.search(r"The (\w+) bridge opened in (\d+)", document.text)
            if found and len(found[1]) > 7:
                self.years[found[1]] = found[2]
        return 0.01


# The two parts of the names of bridges.
BRIDGES = [
    (stem, end)
    for stem in ("Ash", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Gorse", "Hazel")
    for end in ("ford", "ham", "wick", "bury", "ton")
]


def bridge_in(question: str) -> str:
    """Return the name of the bridge that a question asks for, whose parts may stand apart."""
    return next((s + e for s, e in BRIDGES if s in question and e in question), "")


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every fake known under its lower-case name, beside what is installed."""
    fakes = {
        cls.__name__.lower(): EntryPoint(
            cls.__name__.lower(), f"support.fake_strategies:{cls.__name__}", strategy.GROUP
        )
        for cls in (
            *(Broken, Liar, Short, Mute, Slow, Impatient, Together, Apart),
            *(Steady, Sluggish, Baseline, Remembers, Late, Tiring, Halting),
            *(Memory, Finder),
        )
    }
    known = {**strategy.available(), **fakes}
    monkeypatch.setattr(strategy, "available", lambda: known)
