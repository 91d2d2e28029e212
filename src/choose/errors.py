"""Exceptions of choose; the command line shows their messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ChooseError(Exception):
    """Base of all errors: what is wrong, what is allowed, what to do; exit code 2."""


class DataError(ChooseError):
    """The labelled data cannot be read or used."""


class StudyError(ChooseError):
    """A study file or a flag has an invalid value."""


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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest known word, or an empty string."""
    close = get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
