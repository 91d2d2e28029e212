"""The base of all kinds of tasks, and how the cells of a column of targets are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from choose.errors import DataError, StudyError, did_you_mean, quoted, quoted_list, rows_named
from choose.files import digest
from choose.tasks.scoring import UserMetric, read_metric
from choose.types import Example

# How fields of a stored task are read; others are taken as they are.
_READERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("labels", "names", "choices", "choice_names"), tuple),
    **dict.fromkeys(("descriptions", "fields"), dict),
    **dict.fromkeys(("headline", "documents"), str),
    **dict.fromkeys(("unanswerable", "day_first"), bool),
    "metric": read_metric,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseTask:
    """Base of tasks, whose answers score from 0 to 1 by one or more metrics.

    A subclass names its usual scores in `own`, gives them in `own_scores`, and sets `headline` to
    the one that counts. `metric` is a user's own, which counts instead. `instruction` says what to
    do in the user's words; `descriptions` are of labels or of the parts of an answer.
    """

    own: ClassVar[tuple[str, ...]] = ()
    instruction: str | None = None
    descriptions: Mapping[str, str] = field(default_factory=dict)
    metric: UserMetric | None = None
    headline: str = ""
    kind: str = ""
    labels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        usual = sorted(self.own, key=lambda name: name != self.headline)
        return (*(self.metric.scores if self.metric else ()), *usual)

    @property
    def digest(self) -> str:
        return digest(self.facts())

    @property
    def scoring(self) -> str:
        own = [self.metric.facts()] if self.metric else []
        return digest([self.kind, *self.metrics, *self.scored_by(), *own])

    def scored_by(self) -> tuple[Any, ...]:
        """Return what else the usual scores depend on, as plain values."""
        return ()

    def score(self, output: str | None, targets: Sequence[str]) -> dict[str, float]:
        if output is None:
            return dict.fromkeys(self.metrics, 0.0)
        own = self.own_scores(output, targets)
        if self.metric is None:
            return own
        return {**self.metric.score(self.parts(output), [*map(self.parts, targets)]), **own}

    def own_scores(self, output: str, targets: Sequence[str]) -> dict[str, float]:
        """Return the scores `own` of an answer, each against its best target."""
        raise NotImplementedError

    def parts(self, text: str) -> Any:
        """Return an answer as a user's metric takes it; the text itself where it has no parts."""
        return text

    def problem_with(self, output: str) -> str | None:
        return None if output.strip() else "it is empty"

    def lenient(self, raw: str) -> str | None:
        return None

    def stratum(self, target: str) -> str:
        return target

    def classes(self, target: str) -> tuple[str, ...]:
        return ()

    def copied(self, target: str) -> tuple[str, ...]:
        return ()

    def facts(self) -> dict[str, Any]:
        """Return the task as plain values for JSON, without documents: `read` makes it again."""
        known = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "corpus"}
        return {name: _plain(value) for name, value in known.items() if value not in (None, (), {})}

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Self:
        """Return the task that `facts` described.

        Raises:
            ValueError, TypeError: if its headline metric is unknown, or it is none of this kind.
        """
        read = {name: _READERS[name](facts[name]) for name in facts if name in _READERS}
        task = cls(**{**facts, **read})
        if task.headline not in cls.own:
            raise ValueError(f"its metric {task.headline[:80]!r} is unknown")
        return task


def _plain(value: Any) -> Any:
    if isinstance(value, UserMetric):
        return value.facts()
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def read_cells(
    values: Sequence[Any],
    rows: Sequence[int],
    column: str,
    *,
    cell: Callable[[Any], tuple[str, ...]],
    expected: str,
) -> list[tuple[str, ...]]:
    """Return the right answers in each cell of a column; none of an empty one.

    `cell` reads one, and raises ValueError saying what is wrong with it.
    """
    found: list[tuple[str, ...]] = []
    wrong: dict[int, str] = {}
    for row, value in zip(rows, values, strict=True):
        try:
            found.append(cell(value))
        except ValueError as error:
            wrong[row] = str(error)
    if wrong:
        [(first, why), *others] = wrong.items()
        named = rows_named(row for row, _ in others)
        more = f" {named.capitalize()} cannot be read either." if others else ""
        raise DataError(f"Row {first}, column {column!r}: {why}.{more} {expected}")
    return found


# Draws a number in [0, 1) for a purpose, always the same for a row.
Draw = Callable[[str], float]

# A target, those of other rows, and a draw give a noisy target.
Disturbance = Callable[[str, Iterable[str], Draw], str]


def swapped(target: str, others: Iterable[str], draw: Draw) -> str:
    """Return the first other target that differs."""
    return next((other for other in others if other != target), target)


def check_differ(pool: Sequence[Example], same: str, verb: str) -> None:
    """Refuse a pool whose targets are all the `same`, so that there is nothing to `verb`."""
    if len({e.targets for e in pool}) == 1:
        raise DataError(
            f"All {len(pool):,} {same} {quoted(pool[0].target)}: there is nothing to {verb}. Name "
            "the right column with --label-column."
        )


def check_named(key: str, given: Mapping[str, str], known: Sequence[str], noun: str) -> None:
    """Refuse a table [task.`key`] with an empty text, or about a label or field that no row has."""
    for name, text in given.items():
        if name not in known:
            raise StudyError(
                f"[task.{key}] has a {noun} {name!r} that no row has.{did_you_mean(name, known)} "
                f"The {noun}s are {quoted_list(known)}."
            )
        if not text.strip():
            raise StudyError(
                f"[task.{key}] is empty for the {noun} {name!r}. Write it, or leave it out."
            )
