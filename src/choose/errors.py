"""One error tree: every message is written for the person at the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ChooseError(Exception):
    """What is wrong, what is allowed, what to do; shown as one red line, exit code 2."""


class DataError(ChooseError):
    """The labelled set cannot be read or cannot be used."""


class StudyError(ChooseError):
    """A study file or a flag asks for something that does not exist."""


class StrategyError(ChooseError):
    """A strategy is unknown, is missing a package or refuses its hyperparameters."""


class ModelError(ChooseError):
    """Weights cannot be found, fetched, verified or loaded."""


class EndpointError(ModelError):
    """An endpoint cannot be reached, refuses us or cannot do what is asked of it."""


class MoneySpent(ChooseError):
    """The next request could cost more than is left; what was not asked stays unasked."""


class StoreError(ChooseError):
    """A study on disk cannot be read, written or is not the one that was asked for."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest known word, or an empty string."""
    close = get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
