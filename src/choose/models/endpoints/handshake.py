"""The first request to an endpoint: whether it works at all, and what it takes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from choose.errors import EndpointError
from choose.files import digest
from choose.models.endpoints.channel import Line, NoAnswer
from choose.models.endpoints.ledger import Paid
from choose.models.endpoints.requests import ROOMS, Accepts, Message, body_for, worst_of
from choose.models.endpoints.retry import Fault

# So often something is dropped from a request that is not taken.
TRIES = 12


PROBE = "This is a test of the connection; any of the labels will do."


@dataclass(frozen=True, slots=True)
class Probe:
    """A question without a row of anybody's data.

    Attributes:
        names: the labels as the model is to write them; none where it is not told any.
        lay_out: writes the prompt for what the server takes.
        first: what to try first.
    """

    names: Sequence[str]
    lay_out: Callable[[Accepts], list[Message]]
    first: Accepts

    def key(self, line: Line) -> str:
        """Identify it, so that what was found out is not asked for again."""
        return digest([line.endpoint.digest, self.first.record(), self.lay_out(self.first)])


async def handshake(line: Line, probe: Probe) -> Accepts:
    """Return what a server takes, from disk if it was found out before.

    Raises:
        EndpointError: in one sentence, what is wrong and what to do, where nothing can work.
    """
    key = probe.key(line)
    known = line.journal.facts.get(key)
    if known is not None:
        return Accepts(**known)
    accepts = probe.first
    for _ in range(TRIES):
        accepts, settled = await _try(line, probe, accepts)
        if settled:
            line.journal.note(key, accepts.record(), time.time())
            return accepts
    raise EndpointError(_sentence(line, "it takes no form of request that is known"))


class Tried(NamedTuple):
    """What is known after a request, and whether there is nothing more to find out."""

    accepts: Accepts
    settled: bool = False


async def _try(line: Line, probe: Probe, accepts: Accepts) -> Tried:
    """Ask once and return what to try next."""
    body = body_for(line.endpoint, accepts, probe.lay_out(accepts), probe.names)
    try:
        paid = await line.ask(body, worst_of(body))
    except NoAnswer as failure:
        # Some servers break on what they do not know instead of refusing it.
        if (less := accepts.without("")) is not None and "HTTP 5" in str(failure):
            return Tried(less)
        raise EndpointError(_sentence(line, str(failure))) from None
    except Fault as fault:
        less = accepts.without(fault.said) if fault.kind == "rejected" else None
        if less is None:
            raise EndpointError(explained(line, fault)) from None
        return Tried(less)
    return _learnt(line, accepts, paid)


def _learnt(line: Line, accepts: Accepts, paid: Paid) -> Tried:
    """Give it room for its reasoning, and take back what the server silently ignores."""
    cramped = paid.finish == "length" and line.endpoint.max_output_tokens is None
    visible = paid.content.strip()
    reasons = bool(paid.usage.hidden) or not visible or visible.startswith("<think")
    if (cramped and reasons) or (paid.usage.hidden and accepts.room < ROOMS[0]):
        more = accepts.roomier() if line.endpoint.max_output_tokens is None else None
        if more is not None:
            return Tried(more)
    heeded = replace(
        accepts,
        schema=accepts.schema and _is_json(paid.content),
        odds=accepts.odds if paid.odds is not None else 0,
    )
    return Tried(heeded, settled=True)


def _is_json(content: str) -> bool:
    try:
        return isinstance(json.loads(content), dict)
    except ValueError:
        return False


def explained(line: Line, fault: Fault) -> str:
    """Return what is wrong and what to do about it."""
    endpoint, said = line.endpoint, fault.said
    variable = endpoint.api_key_env
    if fault.status == 401:
        key = f"the key in {variable}" if variable else "a request without a key"
        told = f"refuses {key} ({said}). " + (
            "Check the key." if variable else "Name its variable: api_key_env or --api-key-env."
        )
    elif fault.status == 403:
        told = f"does not let us use the model {endpoint.model!r} ({said})."
    elif fault.status == 404:
        told = (
            f"has no model {endpoint.model!r}, or its base_url is no API ({said}). Check the "
            "model's name; base_url is what /chat/completions is added to, and often ends in /v1."
        )
    elif fault.status is not None and (300 <= fault.status < 400 or fault.status == 405):
        told = f"is no API at this base_url ({said}). base_url often ends in /v1."
    else:
        told = f"cannot be used: {said}."
    return f"The endpoint {line.name!r} ({endpoint.host}) {told}"


def _sentence(line: Line, why: str) -> str:
    said = (
        ""
        if "HTML" not in why and "no chat completion" not in why
        else (" Its base_url is probably no API; it often ends in /v1.")
    )
    return f"The endpoint {line.name!r} ({line.endpoint.host}) cannot be used: {why}.{said}"
