"""The seam: what a strategy is, which ones are installed, and how one is built.

Hyperparameters named `model` (a prompted causal LM), `base` (the model that is tuned) and
`encoder` hold model specs; the command line's ``--model``, ``--tune`` and ``--encoder`` fill them
wherever a strategy's ``__init__`` names them. `max_tokens` is the length to which every text is
cut before a model reads it; the forecast of what endpoints are sent counts on it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from choose.errors import StrategyError, did_you_mean
from choose.progress import TimeLimitReached as TimeLimitReached
from choose.progress import report_progress as report_progress
from choose.types import Answers, Example, Family, Item, Task

GROUP = "choose.strategies"


def __getattr__(name: str) -> Any:
    """Import `read_fitted` and `write_fitted` on first use: they need packages that load slowly."""
    if name not in ("read_fitted", "write_fitted"):
        raise AttributeError(f"module 'choose.strategy' has no attribute {name!r}")
    return getattr(import_module("choose.models.saving"), name)


@runtime_checkable
class Strategy(Protocol):
    """A way to answer a labelled task.

    ``__init__(*, seed, **hyperparameters)`` only stores. A strategy keeps no state between fits,
    and the answer to an item never depends on its neighbours.

    Attributes:
        family: where the strategy stands in the decision.
        revision: an integer to raise whenever answers change for the same input.
        learns: False only if neither examples nor seed can change an answer.
        seeded: False if the seed cannot change an answer given the same pool.
        cheap: True if a fit takes a second or so on a laptop without a GPU.
        variants: named alternative settings (wordings, k, rank): hyperparameters to override.
        warning: optional; what a reader must know of every figure of it, as a sentence.
    """

    family: ClassVar[Family]
    revision: ClassVar[int]
    learns: ClassVar[bool]
    seeded: ClassVar[bool]
    cheap: ClassVar[bool]
    variants: ClassVar[Mapping[str, Mapping[str, Any]]]

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Learn from the examples, choosing whatever is to be chosen on them alone."""

    def predict(self, items: Sequence[Item]) -> Answers:
        """Answer the items."""


@runtime_checkable
class Saves(Protocol):
    """Optional: a fitted strategy that can be written to a folder and read back."""

    def save(self, folder: Path) -> None:
        """Write everything `load` needs; safetensors or JSON, never pickle."""

    def load(self, folder: Path) -> None:
        """Become the fitted strategy that was saved."""


@runtime_checkable
class Portable(Protocol):
    """Optional: a strategy whose saved folder can be used without `choose`."""

    def usage(self, folder: str) -> str:
        """Return Python that loads a saved folder and defines ``label(text)``; a card shows it."""


@runtime_checkable
class Weighted(Protocol):
    """Optional: a strategy that loads weights."""

    def weights(self) -> str:
        """Return a digest of the weights it would load, without loading them."""


@runtime_checkable
class Prepares(Protocol):
    """Optional: a strategy with something to load that is not part of a fit."""

    def prepare(self) -> None:
        """Load weights and libraries, once a process; called before the clock starts."""


@runtime_checkable
class Groups(Protocol):
    """Optional: a strategy that can learn several trials side by side for less than one by one."""

    def side_by_side(self) -> bool:
        """Return whether that pays as this one is set up; called after `prepare`."""

    @classmethod
    def fit_group(
        cls, strategies: Sequence[Any], task: Task, pools: Sequence[Sequence[Example]]
    ) -> Sequence[int] | None:
        """Fit each strategy on its pool; each answers as if alone, within the seeds' spread.

        Return the places of those that did not learn, if any: they will be fitted alone, and say
        why they cannot be. An exception is one of all of them.
        """


@runtime_checkable
class Refuses(Protocol):
    """Optional: a strategy that cannot answer every task."""

    def refuses(self, task: Task) -> str | None:
        """Return why the task cannot be answered, as a sentence, or None."""


@runtime_checkable
class Puts(Protocol):
    """Optional: a strategy that can put its questions to an endpoint."""

    def shows(self, task: Task) -> int:
        """Return how many labelled rows each request shows, for the forecast of its price."""

    def check(self, task: Task) -> None:
        """Ask one question that holds no row, and raise where nothing can work.

        It is called before anything is run or written, and does nothing for a local model.
        """


@runtime_checkable
class Reports(Protocol):
    """Optional: a fitted strategy that says how it was computed.

    Keys understood: ``threads``, ``dtype``, ``artefact_mb`` (what a fit adds to keep), ``base_mb``
    (weights that other tasks can share), ``notes`` (a list of sentences) and ``cached_seconds``
    (what the cached work it used had cost when it was first done).
    """

    def facts(self) -> Mapping[str, Any]:
        """Return the facts of the last fit and of the predictions since."""


@runtime_checkable
class Prompts(Protocol):
    """Optional: a strategy that puts a task to a model in words."""

    def prompt(self, task: Task) -> str:
        """Return what the model reads, for a person to check; no model is loaded."""


@cache
def available() -> dict[str, EntryPoint]:
    """Return every installed strategy by name, importing none."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP))}


def find(name: str) -> type[Strategy]:
    """Import one strategy's class.

    Raises:
        StrategyError: if it is not installed or a package it needs is missing.
    """
    found = available()
    if name not in found:
        installed = ", ".join(found)
        hint = did_you_mean(name, found)
        raise StrategyError(f"No strategy {name!r}.{hint} Installed: {installed}.")
    try:
        loaded: type[Strategy] = found[name].load()
    except ModuleNotFoundError as missing:
        raise StrategyError(
            f"Strategy {name!r} needs the package {missing.name!r}: pip install {missing.name}."
        ) from missing
    return loaded


def hyperparameters(name: str) -> dict[str, Any]:
    """Return a strategy's hyperparameters with their defaults, as its ``__init__`` states them."""
    signature = inspect.signature(find(name).__init__)
    return {
        parameter.name: parameter.default
        for parameter in signature.parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.name != "seed"
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """An installed strategy, or why it cannot be loaded; then only its name and origin are known.

    `origin` is the distribution that brought it, with its version.
    """

    name: str
    origin: str
    family: Family | None = None
    summary: str = ""
    revision: int | None = None
    learns: bool | None = None
    seeded: bool | None = None
    cheap: bool | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    error: str | None = None


def describe(name: str) -> Description:
    """Describe an installed strategy; one that is broken is described by its error."""
    entry = available()[name]
    origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
    try:
        cls = find(name)
        return Description(
            name=name,
            origin=origin,
            family=cls.family,
            summary=((cls.__doc__ or "").strip().splitlines() or [""])[0],
            revision=cls.revision,
            learns=cls.learns,
            seeded=cls.seeded,
            cheap=cls.cheap,
            hyperparameters=hyperparameters(name),
            variants={variant: dict(changed) for variant, changed in cls.variants.items()},
        )
    except Exception as error:  # a stranger's module may raise whatever it likes
        return Description(name=name, origin=origin, error=f"{type(error).__name__}: {error}")


def build(name: str, *, seed: int, **params: Any) -> Strategy:
    """Build a strategy that has learnt nothing yet.

    Raises:
        StrategyError: if it is not installed or does not know a hyperparameter.
    """
    known = hyperparameters(name)
    for param in params:
        if param not in known:
            allowed = ", ".join(known) or "none"
            raise StrategyError(
                f"Strategy {name!r} has no hyperparameter {param!r}."
                f"{did_you_mean(param, known)} It takes: {allowed}."
            )
    cls: Any = find(name)
    strategy: Strategy = cls(seed=seed, **params)
    return strategy
