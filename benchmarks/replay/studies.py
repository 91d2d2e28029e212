"""Draw small-budget studies from the stored answers and rebuild their evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from choose.judge.evidence import CandidateInfo, Evidence, Items
from choose.judge.goal import Rule
from choose.strategy import find, traits
from choose.tasks.writing import Writing
from choose.types import CLEAN, Answers, Floats, Run, Status, Trial
from replay.answers import Answered, Fitted
from replay.candidates import Kind

Rng = np.random.Generator

Places = npt.NDArray[np.int64]

FEWEST, MOST = 100, 500

# Always compared: what is right without learning, and the usual classifier or tagger.
BASELINES = ("majority", "tfidf")

RECORD_BASELINES = ("empty", "tagger")

# How often a team compares all candidates, and how often only those without a language model.
EVERYTHING, FREE_ONLY = 0.5, 0.15


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
    kinds = answered.kinds
    baselines = BASELINES if answered.metric is None else RECORD_BASELINES
    there = [name for name in kinds if answered.fitted(name, size)]
    chance = rng.random()
    if chance < EVERYTHING:
        return there
    if chance < EVERYTHING + FREE_ONLY:
        there = [name for name in there if kinds[name].every_row]
    others = [name for name in there if name not in baselines]
    taken = rng.permutation(len(others))[: rng.integers(1, len(others) + 1)]
    return [name for name in there if name in baselines or others.index(name) in taken]


def _draws(
    answered: Answered, names: Sequence[str], size: int, rng: Rng
) -> dict[str, tuple[int, ...]]:
    """Draw repetitions as a small budget allows: fewer of slow candidates."""
    stored = {name: sorted(answered.fitted(name, size)) for name in names}
    fast = {name for name in names if answered.kinds[name].every_row}
    slow = [len(draws) for name, draws in stored.items() if name not in fast]
    free = min(len(draws) for name, draws in stored.items() if name in fast)
    most = int(rng.integers(1, min(slow, default=free) + 1))
    if most == 1:
        shared = set.intersection(*(set(draws) for draws in stored.values()))
        only = int(rng.choice(sorted(shared)))
        return dict.fromkeys(names, (only,))
    often = int(rng.integers(most, free + 1))
    return {name: tuple(draws[: often if name in fast else most]) for name, draws in stored.items()}


def rule_for(answered: Answered) -> Rule:
    """Return the rule of a study on a set that states nothing but its task."""
    return Rule() if answered.metric is None else Rule(metric=answered.metric)


def evidence(occasion: Occasion) -> Evidence:
    """Rebuild the evidence of a study.

    Neither labels nor records are stored, so stand-ins take their places. Labels are spread evenly
    over the rows, and a wrong answer is the label after the right one. A record is a text that no
    other row has; an answer with the score 1 repeats it, and any other answer is a text of its own.
    So figures by class, such as macro-F1, mean nothing here, and there are none by field. No
    recommendation depends on them; they could only lower a confidence.
    """
    answered, rows = occasion.answered, occasion.rows
    # The truth is what pools of this size give, so no further labels are there to learn from: the
    # whole is larger by a row where pools were drawn, which says just that.
    whole = occasion.size + occasion.drawn
    # A row that is drawn twice counts twice.
    ids = tuple(f"row {n}" for n in range(len(rows)))
    targets = StandIns(answered, len(rows))
    return Evidence(
        name=answered.name,
        fingerprint="0" * 32,
        rows=len(rows) + whole,
        labels=targets.labels,
        task=targets.task,
        division="held-out",
        items=Items(ids=ids, targets=targets.right, clusters=ids),
        candidates=tuple(info(name, answered.kinds[name]) for name in occasion.draws),
        pool_rows=(whole,),
        runs=tuple(_runs(occasion, ids, targets)),
    )


def all_pools(answered: Answered) -> Evidence:
    """Return all that a set has answered, up to the largest pool that was fine-tuned on."""
    tuned = [size for size in answered.sizes if answered.fitted("lora", size)]
    *smaller, size = tuned or answered.sizes
    names = [name for name in answered.kinds if answered.fitted(name, size)]
    rows = _asked_of_all(answered, names, (size, *smaller))
    draws = dict.fromkeys(names, (0,))
    return evidence(Occasion(answered, rows, rows, rows, size, tuple(smaller), draws))


class StandIns:
    """Targets and answers of rows of which only scores are stored.

    Attributes:
        labels: none where answers are records.
        task: None where answers are labels.
        right: the target of each row.
    """

    def __init__(self, answered: Answered, rows: int) -> None:
        self.labels = tuple(f"label {i}" for i in range(answered.labels))
        self.metric = answered.metric
        # Of records the judge would count the values, here in vain; it decides by scores alone.
        self.task = None if self.metric is None else Writing()
        if self.task is None:
            self.right = tuple(self.labels[i % len(self.labels)] for i in range(rows))
        else:
            self.right = tuple(f"record {i}" for i in range(rows))

    def answers(self, scores: Floats, trial: Trial) -> tuple[str, ...]:
        """Return answers with these scores, of which those with the score 1 are the targets."""
        if self.task is None:
            places = (np.arange(len(scores)) + (scores < 1)) % len(self.labels)
            return tuple(np.array(self.labels, dtype=object)[places].tolist())
        own = f"{trial.candidate} {trial.train_size} {trial.draw}"
        pairs = zip(self.right, scores.tolist(), strict=True)
        return tuple(right if score == 1 else f"{own} {right}" for right, score in pairs)

    def columns(self, scores: Floats) -> dict[str, Floats]:
        """Return the scores by metric, the set's own first."""
        if self.metric is None or self.task is None:
            return {}
        return dict.fromkeys((self.metric, *self.task.metrics), scores)


def info(name: str, kind: Kind) -> CandidateInfo:
    """Return a candidate as evidence describes it."""
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
        floor=facts["floor"],
    )


def _runs(occasion: Occasion, ids: tuple[str, ...], targets: StandIns) -> Iterator[Run]:
    kinds = occasion.answered.kinds
    for name, draws in occasion.draws.items():
        for size in (occasion.size, *occasion.smaller):
            fits = occasion.answered.fitted(name, size)
            for draw in draws:
                # A smaller pool may have fewer repetitions.
                if draw in fits:
                    trial = _trial(name, kinds[name], size, draw)
                    yield _run(trial, fits[draw], fits[draw].scores[occasion.rows], ids, targets)


def _trial(name: str, kind: Kind, size: int, draw: int) -> Trial:
    cls = find(kind.strategy)
    return Trial(
        candidate=name,
        strategy=kind.strategy,
        revision=cls.revision,
        params=kind.params,
        draw=draw,
        train_size=size,
        seed=draw if cls.seeded else 0,
        task="",
        # Every fit has its own pool and so its own key.
        pool=f"{size} {draw}",
    )


def _run(trial: Trial, fit: Fitted, scores: Floats, ids: tuple[str, ...], targets: StandIns) -> Run:
    columns = targets.columns(scores)
    predicted = fit.ms_per_item * len(ids) / 1000
    return Run(
        trial=trial,
        asked={CLEAN: ids},
        answers={CLEAN: Answers(outputs=targets.answers(scores, trial), status=OK * len(ids))},
        scores={CLEAN: columns} if columns else {},
        fit_seconds=fit.fit_seconds,
        predict_seconds=predicted,
        seconds_alone=fit.fit_seconds + predicted,
        seconds_spent=fit.fit_seconds + predicted,
    )
