"""How a model is asked, wherever it runs: the door through which strategies reach one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from choose.errors import StrategyError, did_you_mean
from choose.models.endpoints.spec import endpoint_name
from choose.models.prompt_text import WORDINGS
from choose.types import Answers, Example, Item, Task

if TYPE_CHECKING:
    from choose.models.endpoints.asker import Asker


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How a model is asked: which one, in which wording, calibrated or not."""

    model: str
    wording: str
    calibrate: bool
    max_tokens: int

    def __post_init__(self) -> None:
        """Refuse settings that do not exist."""
        if self.wording not in WORDINGS:
            raise StrategyError(
                f"There is no wording {self.wording!r}.{did_you_mean(self.wording, WORDINGS)} "
                f"The wordings are {', '.join(WORDINGS)}."
            )
        if self.max_tokens < 1:
            raise StrategyError(f"max_tokens is {self.max_tokens}; it must be at least 1.")


class Asks(Protocol):
    """A task before a model, with the demonstrations that every question shows.

    Attributes:
        calibrates: whether labelled rows can be used to calibrate its scores.
    """

    calibrates: bool

    def calibrate(
        self, examples: Sequence[Example], demonstrations: Sequence[Sequence[Example]] = ()
    ) -> None:
        """Estimate and freeze the calibration on labelled rows, asked like any other."""

    def answer(
        self, items: Sequence[Item], demonstrations: Sequence[Sequence[Example]] = (), **facts: Any
    ) -> Answers:
        """Answer the items, each with its own demonstrations, if any, in the order shown."""

    def facts(self) -> dict[str, Any]:
        """Return how it was computed since it was made."""

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what an export needs to answer alike, or say why there can be none."""


def prompter_for(asking: Asking, task: Task, shown: Sequence[Example] = ()) -> Asks:
    """Return what puts the task to the model: in this process, or behind an endpoint."""
    if endpoint_name(asking.model) is not None:
        return _asker(asking, task, shown)
    from choose.models.prompter import Prompter

    return Prompter(asking, task, shown)


def get_ready(model: str) -> None:
    """Load a local model; there is nothing to load of one behind an endpoint."""
    if endpoint_name(model) is None:
        from choose.models.causal_load import load_causal

        load_causal(model)


def check(asking: Asking, task: Task) -> None:
    """Ask an endpoint one question without a row of the data; do nothing for a local model.

    Raises:
        EndpointError: what is wrong and what to do, where no request can work.
    """
    if endpoint_name(asking.model) is not None:
        _asker(asking, task).greet()


def _asker(asking: Asking, task: Task, shown: Sequence[Example] = ()) -> Asker:
    from choose.models.endpoints.asker import Asker, Manner
    from choose.models.endpoints.requests import messages_for

    wording = WORDINGS[asking.wording]
    manner = Manner(
        model=asking.model,
        lay_out=lambda accepts, turns: messages_for(task, wording, accepts, turns),
        max_tokens=asking.max_tokens,
    )
    return Asker(manner, task, shown)
