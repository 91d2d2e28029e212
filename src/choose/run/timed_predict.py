"""Ask a fitted strategy its questions, all of them or as many as a deadline allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np

from choose.data.stratify import stratified_order
from choose.errors import MoneySpent, StrategyError
from choose.progress import TimeLimitReached
from choose.strategy import Strategy
from choose.types import Answers, Dataset, Item, Task

# While the study has time, so many questions are asked whatever a candidate's share of it is, if
# all can be asked as many: fewer say little, and the race that spares the hopeless needs them.
MIN_ROWS = 100


# Questions asked between two looks at the clock, and the fewest that are asked however late it is.
CHUNK = 25


class SpendingShare(Protocol):
    """A share of the dollars."""

    def covers(self, asked: int, more: int) -> bool:
        """Return whether so many more rows, after so many asked, are within it."""


class Deadline(NamedTuple):
    """When a candidate's share of the time is used up, and when all of it is (`perf_counter`).

    `least` rows are asked whatever its share is; `purse` is its share of the dollars, where they
    are limited.
    """

    share: float = inf
    end: float = inf
    least: int = MIN_ROWS
    purse: SpendingShare | None = None


def predict(strategy: Strategy, items: Sequence[Item], task: Task) -> Answers:
    """Return the answers, checked.

    Raises:
        StrategyError: if they do not fit the items or the labels.
    """
    answers = strategy.predict(items)
    if len(answers) != len(items) or len(answers.status) != len(items):
        raise StrategyError(f"It gave {len(answers)} answers to {len(items)} items.")
    strange = [o for o in answers.outputs if o is not None and o not in task.labels]
    if strange:
        raise StrategyError(
            f"It answered {strange[0]!r}, which is no label; unusable answers "
            "must be None with a status."
        )
    if answers.scores is not None and answers.scores.shape != (len(items), len(task.labels)):
        raise StrategyError(
            f"Its scores have the shape {answers.scores.shape} instead of "
            f"({len(items)}, {len(task.labels)})."
        )
    return answers


def predict_until(
    strategy: Strategy,
    items: Sequence[Item],
    dataset: Dataset,
    deadline: Deadline,
    known: Answers | None = None,
) -> tuple[list[Item], Answers]:
    """Return what was asked by the deadline, and the answers.

    Questions come in a stratified order that depends on the rows alone, so that candidates cut
    short share their rows. As many as the deadline says at least are asked, unless the study's time
    or money runs out, and 25 then. What was answered before they ran out counts. An answer does
    not depend on its neighbours. `known` are the answers to the first ones, where they have been
    asked before.
    """
    targets = {item.id: dataset.examples[item.id].target for item in items}
    by_id = {item.id: item for item in items}
    order = [by_id[id] for id in stratified_order(sorted(by_id), targets, "asked")]
    parts = [] if known is None else [known]
    done = sum(map(len, parts))
    while done < len(order):
        start = perf_counter()
        chunk = order[done : done + CHUNK]
        try:
            parts.append(predict(strategy, chunk, dataset.task))
        except (MoneySpent, TimeLimitReached):
            if not parts:
                raise
            break
        done += len(chunk)
        now = perf_counter()
        if now + (now - start) > (deadline.share if done >= deadline.least else deadline.end):
            break
        more = min(CHUNK, len(order) - done)
        if deadline.purse is not None and not deadline.purse.covers(done, more):
            break
    return order[:done], concatenated(parts)


def concatenated(parts: Sequence[Answers]) -> Answers:
    """Return the answers one behind the other; a column that a part lacks is None."""

    def column(name: str) -> np.ndarray | None:
        values = [getattr(part, name) for part in parts]
        return None if any(v is None for v in values) else np.concatenate(values)

    return Answers(
        outputs=tuple(o for part in parts for o in part.outputs),
        status=tuple(s for part in parts for s in part.status),
        evidence=(
            None
            if any(part.evidence is None for part in parts)
            else tuple(e for part in parts for e in part.evidence or ())
        ),
        **{
            name: column(name)
            for name in ("scores", "tokens_in", "tokens_cached", "tokens_out", "latency")
        },
    )


# Whoever can be asked all rows for this part of what is shared, after its fit, is: against cheap
# candidates, which all rows were asked of, every row counts.
SMALL_SHARE = 0.05


class PassCost(NamedTuple):
    """What a first pass takes: for its fit, for each row, and how many rows it has."""

    fit: float
    each: float
    rows: int

    def reaches(self, amount: float) -> float:
        """Return how many rows an amount suffices for, after the fit."""
        return (amount - self.fit) / self.each if self.each > 0 else self.rows


def allocate(needs: Mapping[str, PassCost | None], amount: float) -> dict[str, float]:
    """Return shares of an amount so that all can be asked the same number of their rows.

    Those to whom all their rows take little are asked all of them. Those whose need is not
    known get an even share. Where not even 25 rows would be left to ask, whoever takes most waits
    for what the others leave, and so on; the last one gets it all.
    """
    even = dict.fromkeys(needs, amount / max(1, len(needs)))
    known = {name: need for name, need in needs.items() if need is not None}
    rest = amount - sum(even[name] for name in needs if name not in known)
    for name, need in known.items():
        if need.each * need.rows <= SMALL_SHARE * amount:
            known[name] = PassCost(need.fit + need.each * need.rows, 0.0, need.rows)
    within = sorted(known, key=lambda n: known[n].fit + MIN_ROWS * known[n].each)
    while len(within) > 1 and _equal_rows([known[n] for n in within], rest) < CHUNK:
        within.pop()
    asked = _equal_rows([known[n] for n in within], rest)
    shared = {n: known[n].fit + known[n].each * min(known[n].rows, asked) for n in within}
    last = max(0.0, rest - sum(shared.values()))
    return even | dict.fromkeys(known, last) | shared


def _equal_rows(needs: Sequence[PassCost], amount: float) -> float:
    """Return r so that fits, and asking all the smaller of r and their rows, take an amount."""
    left, asked = amount - sum(need.fit for need in needs), 0.0
    ends = sorted({need.rows for need in needs})
    for end in ends:
        going = sum(need.each for need in needs if need.rows >= end)
        if going <= 0:
            asked = end
            continue
        more = min(end - asked, left / going)
        if more <= 0:
            break
        asked, left = asked + more, left - more * going
    return inf if ends and asked >= ends[-1] else asked
