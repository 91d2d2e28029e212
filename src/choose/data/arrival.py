"""A class that arrives late: which one is withheld, and how it comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from choose.data.pools import ordered, sample
from choose.data.timeline import timeline
from choose.types import Dataset, Example, Scenario

# A class is late if nine tenths of its rows come after a third of all rows. The tenth allows for
# rows that bear its label by mistake.
EARLY, LATE = 0.1, 1 / 3

LEARNT, ASKED = 20, 10


def new_class(dataset: Dataset, besides: str | None = None) -> str | None:
    """Choose the class to withhold by a rule that looks at no score; None if none is fit for it.

    The class that appears last where timestamps show that one does, else the one of median size.
    Only classes count that leave two others, have 20 rows in every pool and 10 that are asked.
    """
    fit = _fit(dataset, besides)
    if not fit or len(dataset.task.labels) < 3:
        return None
    late = {label: start for label, start in _starts(dataset).items() if label in fit}
    last = max(late, key=lambda label: (late[label], label), default=None)
    if last is not None and late[last] >= LATE:
        return last
    rows = Counter(e.target for e in dataset.examples.values())
    by_size = sorted(fit, key=lambda label: (rows[label], label))
    return by_size[len(by_size) // 2]


def with_examples(pool: Sequence[Example], scenario: Scenario, draw: int) -> list[Example]:
    """Return the pool with only `examples` rows of the scenario's class, nested, in its order."""
    theirs = {e.id: e.target for e in pool if e.target == scenario.label}
    kept = set(ordered(theirs, theirs, draw)[: scenario.examples])
    return [e for e in pool if e.target != scenario.label or e.id in kept]


def asked_with(dataset: Dataset, ids: Sequence[str], scenario: Scenario) -> tuple[str, ...]:
    """Return the questions; with a limit, up to half of them are of the scenario's class."""
    if not scenario.ask:
        return tuple(ids)
    targets = {id: dataset.examples[id].target for id in ids}
    theirs = [id for id in ids if targets[id] == scenario.label]
    others = [id for id in ids if targets[id] != scenario.label]
    few = sample(theirs, targets, scenario.ask // 2, "new-class")
    chosen = {*few, *sample(others, targets, scenario.ask - len(few), "new-class")}
    return tuple(id for id in ids if id in chosen)


def _fit(dataset: Dataset, besides: str | None) -> set[str]:
    rows = dataset.examples
    asked = Counter(rows[id].target for id in dataset.asked)
    pools = [Counter(rows[id].target for id in fold.pool) for fold in dataset.folds]
    return {
        label
        for label in dataset.task.labels
        if label != besides
        and asked[label] >= ASKED
        and min(pool[label] for pool in pools) >= LEARNT
    }


def _starts(dataset: Dataset) -> dict[str, float]:
    """Return the share of all dated rows that comes before each class does."""
    rows = timeline(dataset)
    places: dict[str, list[int]] = {}
    for place, example in enumerate(rows):
        places.setdefault(example.target, []).append(place)
    return {label: at[int(EARLY * len(at))] / len(rows) for label, at in places.items()}
