"""How a model is asked, wherever it runs: the door through which strategies reach one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from choose.models.prompting.prompts import WORDINGS, Asking, Asks
from choose.models.weights.spec import endpoint_name
from choose.types import Example, Task

if TYPE_CHECKING:
    from choose.models.prompting.endpoint_model import Asker


def prompter_for(asking: Asking, task: Task, shown: Sequence[Example] = ()) -> Asks:
    """Return what puts the task to the model: in this process, or behind an endpoint."""
    if endpoint_name(asking.model) is not None:
        return _asker(asking, task, shown)
    from choose.models.prompting.local_model import Prompter

    return Prompter(asking, task, shown)


def get_ready(model: str) -> None:
    """Load a local model; there is nothing to load of one behind an endpoint."""
    if endpoint_name(model) is None:
        from choose.models.causal.loading import load_causal

        load_causal(model)


def check(asking: Asking, task: Task) -> None:
    """Ask an endpoint one question without a row of the data; do nothing for a local model.

    Raises:
        EndpointError: what is wrong and what to do, where no request can work.
    """
    if endpoint_name(asking.model) is not None:
        _asker(asking, task).greet()


def _asker(asking: Asking, task: Task, shown: Sequence[Example] = ()) -> Asker:
    from choose.models.prompting.endpoint_model import Asker, Manner
    from choose.models.prompting.prompts import messages_for

    wording = WORDINGS[asking.wording]
    manner = Manner(
        model=asking.model,
        lay_out=lambda accepts, turns: messages_for(task, wording, accepts, turns),
        max_tokens=asking.max_tokens,
    )
    return Asker(manner, task, shown)


WARNING = (
    "What is served may have learnt from these very rows, which nobody here can know; its figures "
    "are then too good. Believe them on rows that are newer than the model."
)


class Service(NamedTuple):
    """Where a text goes: the endpoint's spec, its own system prompt if any, the longest text."""

    model: str
    system: str = ""
    max_tokens: int = 8192

    def ask_about(self, task: Task) -> Asker:
        """Return an asker that puts a text as it is and leaves the answer's form to the service."""
        from choose.models.prompting.endpoint_model import Asker, Manner
        from choose.models.prompting.prompts import plain_messages

        manner = Manner(
            model=self.model,
            lay_out=lambda accepts, turns: plain_messages(self.system, accepts, turns[-1].text),
            max_tokens=self.max_tokens,
            plain=True,
        )
        return Asker(manner, task)
