"""A service behind an endpoint that knows its task already."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from choose.types import Task

if TYPE_CHECKING:
    from choose.models.endpoints.asker import Asker

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
        from choose.models.endpoints.asker import Asker, Manner
        from choose.models.endpoints.requests import plain_messages

        manner = Manner(
            model=self.model,
            lay_out=lambda accepts, turns: plain_messages(self.system, accepts, turns[-1].text),
            max_tokens=self.max_tokens,
            plain=True,
        )
        return Asker(manner, task)
