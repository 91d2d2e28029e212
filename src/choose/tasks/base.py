"""What kinds of tasks share: noise in targets, and what is refused."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from choose.errors import DataError, StudyError, did_you_mean, quoted, quoted_list
from choose.types import Example

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
