"""Studies whose answers are records, with fake strategies: from rows to a decision on disk."""

import random
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from choose import strategy
from choose.answers.given import GivenRuns
from choose.api.compare import _run_rounds, _write_plan, decide
from choose.api.plan import plan_trials
from choose.data.scenarios import Pools
from choose.run.budget import Budget
from choose.run.worker import Silent
from choose.store.store import Store
from choose.study.config import CandidateSection, Grid, Study
from choose.tasks.extraction import Extraction, as_text, fields_of
from choose.types import Answers, Dataset, Example, Family, Fold, Item, Status
from support.fake_strategies import Fake, entry_points
from support.studies import ONCE

NAMES = ("Ada Reyes", "Bo Lind", "Cem Aydin", "Dee O'Neil", "Eva Horn", "Finn Koch")
TIMES = ("19:30", "8 pm", "noon", "20:15")


def rows(count: int = 120, seed: int = 0) -> list[Example]:
    rng, found = random.Random(seed), []
    for i in range(count):
        record: dict[str, Any] = {}
        text = "Hello there,"
        if rng.random() < 0.8:
            record["people"] = rng.randint(1, 12)
            text += f" a table for {record['people']}"
        if rng.random() < 0.7:
            record["time"] = rng.choice(TIMES)
            text += f" at {record['time']}"
        if rng.random() < 0.6:
            record["name"] = rng.choice(NAMES)
            text += f", the name is {record['name']}"
        found.append(Example(id=f"r{i:03}", text=f"{text}. Number {i}.", target=as_text(record)))
    return found


def dataset(examples: Sequence[Example], folds: int = 5) -> Dataset:
    """Divide rows into folds as they come."""
    ids = [e.id for e in examples]
    return Dataset(
        name="tables",
        task=Extraction(fields=fields_of(e.target for e in examples)),
        examples={e.id: e for e in examples},
        folds=tuple(
            Fold(pool=tuple(id for id in ids if id not in part), questions=tuple(part))
            for part in [ids[f::folds] for f in range(folds)]
        ),
        division="cross-fit",
    )


class Empty(Fake):
    """Answers nothing to every row: the floor."""

    family: ClassVar[Family] = "baseline"
    kinds: ClassVar[tuple[str, ...]] = ("extraction",)
    learns: ClassVar[bool] = False
    seeded: ClassVar[bool] = False
    cheap: ClassVar[bool] = True
    constant: ClassVar[bool] = True

    def predict(self, items: Sequence[Item]) -> Answers:
        return Answers(outputs=("{}",) * len(items), status=("ok",) * len(items))


class Reader(Empty):
    """Reads the record off the text as `rows` writes it, with errors at random."""

    constant: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    wrong: ClassVar[float] = 0.3
    broken: ClassVar[float] = 0.0

    def predict(self, items: Sequence[Item]) -> Answers:
        outputs: list[str | None] = []
        raw: list[str | None] = []
        for item in items:
            rng = random.Random(f"{self.seed} {type(self).__name__} {item.id}")
            text = as_text(self._spoilt(read(item.text), rng))
            cut = rng.random() < self.broken
            outputs.append(None if cut else text)
            raw.append(f"```json\n{text}\n```" if cut else None)
        status: list[Status] = ["malformed" if o is None else "ok" for o in outputs]
        return Answers(outputs=tuple(outputs), status=tuple(status), raw=tuple(raw))

    def _spoilt(self, record: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        for name in list(record):
            if rng.random() < self.wrong:
                how = rng.choice(("missing", "wrong", "invented"))
                value = record.pop(name)
                if how == "wrong":
                    record[name] = 99 if isinstance(value, int) else f"{value} or so"
                if how == "invented":
                    record |= {name: value, "time": "midnight"}
        return record


class Good(Reader):
    """A fine-tuned reader with few errors, whose seed matters."""

    family: ClassVar[Family] = "fine-tuning"
    seeded: ClassVar[bool] = True
    cheap: ClassVar[bool] = False
    wrong: ClassVar[float] = 0.05


class Chatty(Reader):
    """A prompted reader that often writes around its JSON."""

    family: ClassVar[Family] = "prompting"
    learns: ClassVar[bool] = False
    cheap: ClassVar[bool] = False
    wrong: ClassVar[float] = 0.15
    broken: ClassVar[float] = 0.6


def read(text: str) -> dict[str, Any]:
    """Return the record that `rows` wrote into a text."""
    body, record = text.split(". Number")[0], {}
    if "a table for " in body:
        record["people"] = int(body.split("a table for ")[1].split()[0].strip(",."))
    for value in TIMES:
        if f"at {value}" in body:
            record["time"] = value
    for value in NAMES:
        if value in body:
            record["name"] = value
    return record


FAKES = (Empty, Reader, Good, Chatty)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the fakes known, and nothing else."""
    known = entry_points(FAKES)
    monkeypatch.setattr(strategy, "available", lambda: known)


def compared(data, folder, *strategies, **grid):
    """Run a study of fakes into a folder and judge it."""
    study = Study(
        candidates=tuple(CandidateSection(strategy=s) for s in strategies),
        grid=Grid.model_validate({**ONCE, "seeds": 3, **grid}),
    )
    store = Store.create(folder)
    plan, none = plan_trials(study, Pools(data)), GivenRuns((), ())
    _write_plan(store, plan, none, None, data)
    _run_rounds(plan, store, Silent(), budget=Budget(), executor=None, given=none)
    return decide(store), store
