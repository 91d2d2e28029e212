"""Draw small-budget studies from the stored answers and rebuild their evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from choose.judge.evidence import CandidateInfo, Evidence, Items
from choose.strategy import find, traits
from choose.types import STANDARD, Answers, Run, Status, Trial
from replay.answers import Answered, Bits, Fitted
from replay.candidates import KINDS

Rng = np.random.Generator

Places = npt.NDArray[np.int64]

FEWEST, MOST = 100, 500

BASELINES = ("majority", "tfidf")

FREE = tuple(name for name, kind in KINDS.items() if kind.every_row)

DEAR = tuple(name for name, kind in KINDS.items() if not kind.every_row)

# How often a team compares all candidates, and how often only those without a language model.
EVERYTHING, FREE_ONLY = 0.5, 0.15

CLEAN = ("clean", 0)

OK: tuple[Status, ...] = ("ok",)


@dataclass(frozen=True, eq=False)
class Occasion:
    """A small-budget study.

    Attributes:
        rows: its test rows.
        common: all rows that every candidate has answered, including the test rows.
        unseen: rows that the decision does not use; they measure the truth.
        size: labels in the pool that is compared.
        smaller: labels in the smaller pools that are tried as well.
        draws: the repetitions of each candidate; several repetitions have several pools.
    """

    answered: Answered
    rows: Places
    common: Places
    unseen: Places
    size: int
    smaller: tuple[int, ...]
    draws: dict[str, tuple[int, ...]]

    @property
    def drawn(self) -> bool:
        """Return whether pools were drawn from a larger one, or are all the rows of the team."""
        return max(len(draws) for draws in self.draws.values()) > 1


def draw(answered: Answered, rng: Rng) -> Occasion:
    """Draw a decision on a set: a size, candidates, repetitions and test rows."""
    size = int(rng.choice(answered.sizes))
    names = _candidates(answered, size, rng)
    smaller = tuple(s for s in answered.sizes if s < size) if rng.random() < 0.5 else ()
    order = rng.permutation(_asked_of_all(answered, names, (size, *smaller)))
    most = min(MOST, len(order) // 2)
    assert most >= FEWEST, f"{len(order)} rows of {answered.name} leave too few unseen"
    count = int(np.exp(rng.uniform(np.log(FEWEST), np.log(most + 1))))
    rows = np.sort(order[:count])
    return Occasion(
        answered=answered,
        rows=rows,
        common=np.concatenate([rows, order[count:]]),
        unseen=np.setdiff1d(np.arange(answered.rows), rows),
        size=size,
        smaller=smaller,
        draws=_draws(answered, names, size, rng),
    )


def _asked_of_all(answered: Answered, names: Sequence[str], sizes: Sequence[int]) -> Places:
    """Return the rows that every fit of these candidates has answered."""
    fits = [f for name in names for size in sizes for f in answered.fitted(name, size).values()]
    return np.flatnonzero(np.logical_and.reduce([fit.asked for fit in fits]))


def _candidates(answered: Answered, size: int, rng: Rng) -> list[str]:
    """Choose candidates, always including the baselines."""
    there = [name for name in KINDS if answered.fitted(name, size)]
    luck = rng.random()
    if luck < EVERYTHING:
        return there
    if luck < EVERYTHING + FREE_ONLY:
        there = [name for name in there if name in FREE]
    others = [name for name in there if name not in BASELINES]
    taken = rng.permutation(len(others))[: rng.integers(1, len(others) + 1)]
    return [name for name in there if name in BASELINES or others.index(name) in taken]


def _draws(
    answered: Answered, names: Sequence[str], size: int, rng: Rng
) -> dict[str, tuple[int, ...]]:
    """Draw repetitions as a small budget allows: fewer of slow candidates."""
    stored = {name: sorted(answered.fitted(name, size)) for name in names}
    dear = [len(draws) for name, draws in stored.items() if name in DEAR]
    free = min(len(draws) for name, draws in stored.items() if name in FREE)
    most = int(rng.integers(1, min(dear, default=free) + 1))
    if most == 1:
        shared = set.intersection(*(set(draws) for draws in stored.values()))
        only = int(rng.choice(sorted(shared)))
        return dict.fromkeys(names, (only,))
    often = int(rng.integers(most, free + 1))
    return {name: tuple(draws[: often if name in FREE else most]) for name, draws in stored.items()}


def evidence(occasion: Occasion) -> Evidence:
    """Rebuild the evidence of a study.

    Labels are not stored. Placeholder labels are spread evenly over the rows, and a wrong answer is
    the placeholder after the right one. So figures by class, such as macro-F1, mean nothing here.
    No recommendation depends on them; they could only lower a confidence.
    """
    answered, rows = occasion.answered, occasion.rows
    labels = tuple(f"label {i}" for i in range(answered.labels))
    # A row that is drawn twice counts twice.
    ids = tuple(f"row {n}" for n in range(len(rows)))
    return Evidence(
        name=answered.name,
        fingerprint="0" * 32,
        rows=len(rows) + (answered.pool if occasion.drawn else occasion.size),
        labels=labels,
        division="held-out",
        items=Items(ids=ids, targets=_targets(labels, len(rows)), clusters=ids),
        candidates=tuple(info(name) for name in occasion.draws),
        pool_rows=(answered.pool if occasion.drawn else occasion.size,),
        runs=tuple(_runs(occasion, ids, labels)),
        dated=0,
    )


def info(name: str) -> CandidateInfo:
    """Return a candidate as evidence describes it."""
    kind = KINDS[name]
    cls, facts = find(kind.strategy), traits(kind.strategy)
    return CandidateInfo(
        name=name,
        strategy=kind.strategy,
        family=kind.family,
        model=kind.model,
        cheap=cls.cheap,
        seeded=cls.seeded,
        learns=cls.learns,
        constant=facts["constant"],
        reference=facts["reference"],
    )


def _targets(labels: tuple[str, ...], rows: int) -> tuple[str, ...]:
    return tuple(labels[i % len(labels)] for i in range(rows))


def _runs(occasion: Occasion, ids: tuple[str, ...], labels: tuple[str, ...]) -> Iterator[Run]:
    for name, draws in occasion.draws.items():
        for size in (occasion.size, *occasion.smaller):
            fits = occasion.answered.fitted(name, size)
            for draw in draws:
                # A smaller pool may have fewer repetitions.
                if draw in fits:
                    trial = _trial(name, size, draw)
                    yield _run(trial, fits[draw], fits[draw].right[occasion.rows], ids, labels)


def _trial(name: str, size: int, draw: int) -> Trial:
    kind = KINDS[name]
    cls = find(kind.strategy)
    return Trial(
        candidate=name,
        strategy=kind.strategy,
        revision=cls.revision,
        params=kind.params,
        variant="",
        scenario=STANDARD,
        fold=0,
        draw=draw,
        train_size=size,
        seed=draw if cls.seeded else 0,
        weights="",
        task="",
        # Every fit has its own pool and so its own key.
        pool=f"{size} {draw}",
        questions="",
    )


def _run(
    trial: Trial, fit: Fitted, right: Bits, ids: tuple[str, ...], labels: tuple[str, ...]
) -> Run:
    places = (np.arange(len(ids)) + ~right) % len(labels)
    outputs = tuple(np.array(labels, dtype=object)[places].tolist())
    predicted = fit.ms_per_item * len(ids) / 1000
    return Run(
        trial=trial,
        asked={CLEAN: ids},
        answers={CLEAN: Answers(outputs=outputs, status=OK * len(ids))},
        fit_seconds=fit.fit_seconds,
        predict_seconds=predicted,
        seconds_alone=fit.fit_seconds + predicted,
        seconds_spent=fit.fit_seconds + predicted,
    )
