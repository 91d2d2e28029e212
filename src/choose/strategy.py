"""The interface of strategies, and how installed ones are found and built.

Hyperparameters named `model` (a prompted causal LM), `base` (the model that is fine-tuned) and
`encoder` hold model specs; ``--model``, ``--set tune=`` and ``--set encoder=`` set them in every
strategy whose ``__init__`` has them. `max_tokens` is the length to which a strategy cuts every
text: the forecast of tokens relies on it.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import Parameter
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from choose.corpus import Corpus
from choose.errors import StrategyError, did_you_mean
from choose.outside_values import number, shown, whole
from choose.progress import TimeLimitReached as TimeLimitReached
from choose.progress import as_part as as_part
from choose.progress import report_progress as report_progress
from choose.types import Answers, Example, Family, Item, Task

GROUP = "choose.strategies"
# Optional class attributes: what holds of a strategy, and words for readers.
TRAITS = ("constant", "floor", "always_compared", "on_request", "reads")
WORDS = ("title", "good_for", "needs")


def __getattr__(name: str) -> Any:
    """Import `read_fitted` and `write_fitted` on first use: they need packages that load slowly."""
    if name in ("read_fitted", "write_fitted"):
        return getattr(import_module("choose.models.saving"), name)
    raise AttributeError(f"module 'choose.strategy' has no attribute {name!r}")


@runtime_checkable
class Strategy(Protocol):
    """A way to answer rows of a task.

    ``__init__(*, seed, **hyperparameters)`` only stores its arguments. A fit starts from scratch,
    and the answer to an item must not depend on the other items of a call.

    Attributes:
        family: how the decision groups strategies.
        revision: raise it whenever answers change for the same input.
        learns: False only if neither examples nor seed can change an answer.
        seeded: False if the seed cannot change an answer given the same training pool.
        cheap: True if a fit takes about a second on a laptop without a GPU.
        variants: named alternative settings (wording, k, rank): hyperparameters to override.
        title: optional; the name in reports, such as "nearest neighbours", in place of its own.
        good_for: optional; the tasks that it suits; and `needs`, rows or models.
        warning: optional; a sentence shown with every figure of the strategy.
        kinds: optional; kinds of tasks that it answers; without it those that have labels.
        kind_settings: optional; by kind of task, hyperparameters whose default is another there.
        constant: optional; True if every item gets the same answer.
        floor: optional; True if it understands nothing of the task: a reference, never used.
        always_compared: optional; True to take part in every study; so `on_request`: only if named.
        reads: optional; True if it answers from passages of documents, and takes an item's
            `passages` in place of those that it retrieves: as many as it would have retrieved.
        starts_from: optional; the strategy whose prompt a search starts from if none is given.
        limits: optional; the smallest and largest values of numeric hyperparameters, by name.
    """

    family: ClassVar[Family]
    revision: ClassVar[int]
    learns: ClassVar[bool]
    seeded: ClassVar[bool]
    cheap: ClassVar[bool]
    variants: ClassVar[Mapping[str, Mapping[str, Any]]]

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Train on the examples; select thresholds, prompts and the like on them alone."""

    def predict(self, items: Sequence[Item]) -> Answers:
        """Return one answer for each item, in order."""


@runtime_checkable
class Saves(Protocol):
    """Optional: a fitted strategy can be written to a folder and read back."""

    def save(self, folder: Path) -> None:
        """Write everything `load` needs, as safetensors or JSON, never pickle."""

    def load(self, folder: Path) -> None:
        """Restore the fitted strategy from a folder."""


@runtime_checkable
class Weighted(Protocol):
    """Optional: the strategy loads model weights."""

    def weights(self) -> str:
        """Return a digest of the weights, without loading them."""


@runtime_checkable
class Prepares(Protocol):
    """Optional: the strategy loads weights or libraries before its first fit."""

    def prepare(self) -> None:
        """Load them, once a process; the time is not counted as part of a fit."""


@runtime_checkable
class Groups(Protocol):
    """Optional: the strategy can fit several trials together, faster than one by one."""

    def side_by_side(self) -> bool:
        """Return whether fitting together is faster with these hyperparameters; after `prepare`."""

    @classmethod
    def fit_group(
        cls, strategies: Sequence[Any], task: Task, pools: Sequence[Sequence[Example]]
    ) -> Sequence[int] | None:
        """Fit each strategy on its training pool, equal to single fits up to seed variance.

        Return indices of strategies that failed to train, to be retried alone. Raising fails all.
        """


@runtime_checkable
class Refuses(Protocol):
    """Optional: the strategy cannot answer every task."""

    def refuses(self, task: Task) -> str | None:
        """Return a sentence on why the task cannot be answered, or None."""


@runtime_checkable
class Puts(Protocol):
    """Optional: the strategy can send requests to an endpoint."""

    def shows(self, task: Task) -> int:
        """Return how many demonstrations each request shows, for the cost forecast."""

    def check(self, task: Task) -> None:
        """Send one request without a row of the data; raise EndpointError if none can work.

        Called before anything is run or written. Does nothing for a local model.
        """


@runtime_checkable
class Searches(Protocol):
    """Optional: `fit` chooses a prompt by asking training rows, which forecasts count."""

    def asks(self, task: Task, rows: int) -> int:
        """Return the most questions of a fit on so many rows."""


@runtime_checkable
class SendsPassages(Protocol):
    """Optional: prompts hold passages of documents, which forecasts count and controls match."""

    def passages(self) -> tuple[int, int]:
        """Return how many passages a prompt shows at most, and the most words of one."""


@runtime_checkable
class Reports(Protocol):
    """Optional: a fitted strategy reports how its answers were computed.

    Known keys: ``threads``, ``dtype``, ``artefact_mb`` (fitted model), ``notes`` (sentences), and
    uncached seconds: ``cached_seconds``, ``index_seconds`` (documents).
    """

    def facts(self) -> Mapping[str, Any]:
        """Return the facts of the last fit and of the predictions since."""


@runtime_checkable
class Embeds(Protocol):
    """Optional: a fit embeds all passages of the documents."""

    def embeds(self) -> str:
        """Return the spec of the encoder; empty where these settings embed nothing."""


@runtime_checkable
class Rereads(Protocol):
    """Optional: a fitted strategy can go on with other documents, as when they have changed."""

    def reread(self, corpus: Corpus) -> float:
        """Learn nothing; return the seconds that indexing takes where nothing is cached."""


@runtime_checkable
class Prompts(Protocol):
    """Optional: the strategy prompts a language model."""

    def prompt(self, task: Task) -> str:
        """Return the prompt for display, without loading a model."""


@cache
def available() -> dict[str, EntryPoint]:
    """Return the entry points of installed strategies by name, without importing them."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP))}


def find(name: str) -> type[Strategy]:
    """Import a strategy's class.

    Raises:
        StrategyError: if it is not installed or a package it needs is missing.
    """
    entries = available()
    if name not in entries:
        known = did_you_mean(name, entries) or f" Installed: {', '.join(entries)}."
        raise StrategyError(f"No strategy {name!r}.{known}")
    try:
        loaded: type[Strategy] = entries[name].load()
    except ModuleNotFoundError as missing:
        raise StrategyError(
            f"Strategy {name!r} needs the package {missing.name!r}: pip install {missing.name}."
        ) from missing
    return loaded


def traits(name: str) -> dict[str, bool]:
    """Return the optional class attributes of a strategy; False where it does not state them."""
    return {key: bool(getattr(find(name), key, False)) for key in TRAITS}


def kinds(name: str) -> tuple[str, ...]:
    return tuple(getattr(find(name), "kinds", ("classification",)))


def kind_settings(name: str, kind: str) -> Mapping[str, Any]:
    """Return the hyperparameters of a strategy that have another default for a kind of task."""
    return dict(getattr(find(name), "kind_settings", {}).get(kind, {}))


def words(name: str) -> dict[str, str]:
    """Return what a strategy says of itself to readers, `WORDS`; empty where it does not."""
    return {key: str(getattr(find(name), key, "") or "") for key in WORDS}


def hyperparameters(name: str) -> dict[str, Any]:
    """Return a strategy's hyperparameters with their defaults, from its ``__init__``."""
    return {
        parameter.name: parameter.default
        for parameter in inspect.signature(find(name).__init__).parameters.values()
        if parameter.kind is Parameter.KEYWORD_ONLY and parameter.name != "seed"
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """An installed strategy, from the distribution `origin`; or the `error` of loading it."""

    name: str
    origin: str
    family: Family | None = None
    summary: str = ""
    title: str = ""
    good_for: str = ""
    needs: str = ""
    kinds: tuple[str, ...] = ()
    only_if_named: bool = False
    revision: int | None = None
    learns: bool | None = None
    seeded: bool | None = None
    cheap: bool | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    error: str | None = None


def describe(name: str) -> Description:
    """Describe an installed strategy; does not raise if it cannot be loaded."""
    entry = available()[name]
    origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
    try:
        cls, settings = find(name), hyperparameters(name)
        return Description(
            name=name,
            origin=origin,
            family=cls.family,
            summary=((cls.__doc__ or "").strip().splitlines() or [""])[0],
            **words(name),
            kinds=kinds(name),
            only_if_named=traits(name)["on_request"] or Parameter.empty in settings.values(),
            revision=cls.revision,
            learns=cls.learns,
            seeded=cls.seeded,
            cheap=cls.cheap,
            hyperparameters=settings,
            variants={variant: dict(changed) for variant, changed in cls.variants.items()},
        )
    except Exception as error:  # third-party modules may raise anything
        return Description(name=name, origin=origin, error=f"{type(error).__name__}: {error}")


def build(name: str, /, *, seed: int, **params: Any) -> Strategy:
    """Build a strategy that is not fitted yet.

    Raises:
        StrategyError: if it is not installed, does not know a hyperparameter or cannot use a value.
    """
    known = hyperparameters(name)
    for param in params:
        if param not in known:
            raise StrategyError(
                f"Strategy {name!r} has no hyperparameter {param!r}."
                f"{did_you_mean(param, known)} It takes: {', '.join(known) or 'none'}."
            )
    cls: Any = find(name)
    check_hyperparameters(name, cls, params)
    strategy: Strategy = cls(seed=seed, **params)
    return strategy


# Plain annotations of hyperparameters, and the types of value that each takes.
_TYPES: dict[str, Any] = {"int": int, "float": (int, float), "str": str, "bool": bool}


def check_hyperparameters(name: str, cls: Any, params: Mapping[str, Any]) -> None:
    """Refuse values of another type than the annotation, or outside the class's `limits`."""
    limits: Mapping[str, tuple[float, float]] = getattr(cls, "limits", {})
    signature = inspect.signature(cls.__init__).parameters
    for param, value in params.items():
        default, annotation = signature[param].default, signature[param].annotation
        annotation = str(getattr(annotation, "__name__", annotation))
        if value is None and annotation.endswith(" | None"):
            continue
        annotation = annotation.removesuffix(" | None")
        types = _TYPES.get(annotation)
        truth = isinstance(value, bool) and annotation != "bool"
        if types is not None and (truth or not isinstance(value, types)):
            such = "" if default is None else f", such as {default!r}"
            raise StrategyError(
                f"Strategy {name!r}: {param} is {shown(value)}; it must be of the type "
                f"{annotation}{such}."
            )
        if param in limits and value is not None:
            (low, high), key = limits[param], f"Strategy {name!r}: {param}"
            if annotation == "int":
                whole(value, key, int(low), int(high), StrategyError)
            else:
                number(value, key, low, high, StrategyError)
