"""Exceptions of choose; the command line shows their messages."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches


class ChooseError(Exception):
    """Base of all errors: what is wrong, what is allowed, what to do; exit code 2."""


class DataError(ChooseError):
    """The labelled data cannot be read or used."""


class StudyError(ChooseError):
    """A study file or a flag has an invalid value."""


class NothingToJudge(StudyError):
    """No candidate answered a single row; a first `failure` has its candidate, trials and error."""

    def __init__(self, **failure: object) -> None:
        told = "First failure: {candidate}: {trials} of {planned} trials failed: {error}."
        why = told.format(**failure) if failure else "No trial has finished yet."
        super().__init__(
            f"No candidate answered a single row, so there is nothing to judge. {why} Run choose "
            "compare again with the same --out: finished trials are kept. A longer --budget leaves "
            "time for more."
        )


class StrategyError(ChooseError):
    """A strategy is unknown, lacks a package or rejects its hyperparameters."""


class ModelError(ChooseError):
    """Weights cannot be found, downloaded, verified or loaded."""


class EndpointError(ModelError):
    """An endpoint cannot be reached, rejects requests or lacks a feature."""


class MoneySpent(ChooseError):
    """The next request could exceed the spending limit; the remaining rows are not predicted."""


class StoreError(ChooseError):
    """A stored study cannot be read or written, or is a different study."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn an unexpected error, within a block that reads `what`, into one line."""
    try:
        yield
    except (ChooseError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except MemoryError as error:
        raise DataError(f"There is not enough memory to use {what}. Use a part of it.") from error
    except BaseException as error:  # a panic of polars is no Exception
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(
            f"Cannot use {what}: {in_short(error)}. If nothing is wrong with it, please report "
            "this."
        ) from error


@contextmanager
def told_of(where: str) -> Iterator[None]:
    """Put before an error in the data, within a block, where it is."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{where}{error}") from error


def in_short(error: BaseException) -> str:
    """Return the kind of an error and its text, cut, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest known word, or an empty string."""
    close = get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def quoted(text: str, limit: int = 40) -> str:
    """Quote a cell for a message, cut and with control characters escaped."""
    return repr(text if len(text) <= limit else f"{text[: limit - 1]}…")


def quoted_list(names: Sequence[str], limit: int = 12) -> str:
    shown = ", ".join(quoted(name) for name in names[:limit])
    return f"{shown} and {len(names) - limit:,} more" if len(names) > limit else shown


def rows_named(rows: Iterable[object], limit: int = 3) -> str:
    """Name a few rows in words: ``row 4``, ``rows 4 and 9`` or ``rows 4, 9, 12 and 31 more``."""
    ids = dict.fromkeys(map(str, rows))
    all_rows = [id if id.isprintable() and len(id) <= 40 else quoted(id) for id in ids]
    shown, more = all_rows[:limit], len(all_rows) - limit
    if more > 0:
        return f"rows {', '.join(shown)} and {more:,} more"
    if len(shown) < 2:
        return f"row {shown[0]}" if shown else "no row"
    return f"rows {', '.join(shown[:-1])} and {shown[-1]}"
