"""Strategies that misbehave, found through entry points like any other."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import pytest

from choose import strategy
from choose.progress import TimeLimitReached, report_progress
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


class Steady(Fake):
    """Takes a known time for every row it learns, and says how far it is."""

    fit_seconds: ClassVar[float] = 0.0

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        super().fit(task, examples)
        for done in range(1, len(examples) + 1):
            time.sleep(self.fit_seconds)
            report_progress(done, len(examples), "learning")


class Counting(Steady):
    """Counts words by label; its class is fast, so that all rounds are run, and it is not."""

    family: ClassVar[Family] = "baseline"
    cheap: ClassVar[bool] = True
    seeded: ClassVar[bool] = False
    fit_seconds: ClassVar[float] = 0.004

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        super().fit(task, examples)
        self.counts = Counter((w, e.target) for e in examples for w in (e.text or "").split())

    def predict(self, items: Sequence[Item]) -> Answers:
        time.sleep(0.002 * len(items))
        given = super().predict(items)
        outputs = tuple(max(self.labels, key=self._seen(item)) for item in items)
        return replace(given, outputs=outputs)

    def _seen(self, item: Item) -> Callable[[str], int]:
        words = (item.text or "").split()
        return lambda label: sum(self.counts[word, label] for word in words)


class Sluggish(Steady):
    """The same; tests let it take longer."""


class Certain(Steady):
    """The same, whatever the seed."""

    seeded: ClassVar[bool] = False


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


class Halting(Apart):
    """One seed learns nothing, beside others or alone."""

    @classmethod
    def fit_group(cls, strategies, task, pools):
        places = range(len(strategies))
        for place in places:
            if strategies[place].seed != 1:
                strategies[place].fit(task, pools[place])
        return [place for place in places if strategies[place].seed == 1]


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


FAKES = (
    *(Broken, Liar, Short, Mute, Together, Apart),
    *(Steady, Sluggish, Certain, Late, Tiring, Halting),
)


def entry_points(fakes: Iterable[type]) -> dict[str, EntryPoint]:
    return {
        cls.__name__.lower(): EntryPoint(
            cls.__name__.lower(), f"{cls.__module__}:{cls.__name__}", strategy.GROUP
        )
        for cls in fakes
    }


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every fake known, beside what is installed."""
    known = {**strategy.available(), **entry_points(FAKES)}
    monkeypatch.setattr(strategy, "available", lambda: known)
