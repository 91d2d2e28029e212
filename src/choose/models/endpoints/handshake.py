"""The first request to an endpoint: whether it works, and which parameters it accepts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from choose.errors import EndpointError
from choose.files import digest
from choose.models.endpoints.answer_cache import PaidAnswer
from choose.models.endpoints.providers import provider_at
from choose.models.endpoints.request_body import (
    OUTPUT_LIMITS,
    Capabilities,
    Message,
    request_body,
    worst_case,
)
from choose.models.endpoints.request_channel import RequestChannel, RetriesExhausted
from choose.models.endpoints.retry import RequestFault

# Most requests, each with less in it than the one before.
MAX_TRIES = 12


PROBE_TEXT = "This is a test of the connection; any of the labels will do."


@dataclass(frozen=True, slots=True)
class Probe:
    """A request without a row of the data.

    Attributes:
        names: the labels as the model should write them.
        messages: lays out the prompt for what the server accepts.
        first: what to try first.
    """

    names: Sequence[str]
    messages: Callable[[Capabilities], list[Message]]
    first: Capabilities

    def key(self, channel: RequestChannel) -> str:
        """Identify the probe in the cache."""
        return digest([channel.endpoint.digest, self.first.record(), self.messages(self.first)])


async def handshake(channel: RequestChannel, probe: Probe) -> Capabilities:
    """Return what a server accepts, from the cache if it is known.

    Raises:
        EndpointError: if no request can work; says what is wrong and what to do.
    """
    key = probe.key(channel)
    cached = channel.cache.facts.get(key)
    if cached is not None:
        return Capabilities.from_record(cached)
    accepts = probe.first
    for _ in range(MAX_TRIES):
        accepts, complete = await _try(channel, probe, accepts)
        if complete:
            channel.cache.add_facts(key, accepts.record(), time.time())
            return accepts
    raise EndpointError(_unusable(channel, "it accepts no known form of request"))


class ProbeResult(NamedTuple):
    """What to try next, or, if `complete`, what the server accepts."""

    accepts: Capabilities
    complete: bool = False


async def _try(channel: RequestChannel, probe: Probe, accepts: Capabilities) -> ProbeResult:
    """Send one request."""
    body = request_body(channel.endpoint, accepts, probe.messages(accepts), probe.names)
    try:
        paid = await channel.send(body, worst_case(body))
    except RetriesExhausted as failure:
        # Some servers fail on an unknown parameter instead of rejecting it.
        if (less := accepts.without("")) is not None and "HTTP 5" in str(failure):
            return ProbeResult(less)
        raise EndpointError(_unusable(channel, str(failure), failure.unreachable)) from None
    except RequestFault as fault:
        less = accepts.without(fault.message) if fault.kind == "rejected" else None
        if less is None:
            raise EndpointError(fault_message(channel, fault)) from None
        return ProbeResult(less)
    return _interpret(channel, accepts, paid)


def _interpret(channel: RequestChannel, accepts: Capabilities, paid: PaidAnswer) -> ProbeResult:
    """Allow more tokens for reasoning, and drop what the server silently ignored."""
    cut = paid.finish == "length" and channel.endpoint.max_output_tokens is None
    visible = paid.content.strip()
    reasons = bool(paid.usage.hidden) or not visible or visible.startswith("<think")
    if (cut and reasons) or (paid.usage.hidden and accepts.max_tokens < OUTPUT_LIMITS[0]):
        more = accepts.with_more_tokens() if channel.endpoint.max_output_tokens is None else None
        if more is not None:
            return ProbeResult(more)
    supported = replace(
        accepts,
        schema=accepts.schema and _is_json(paid.content),
        top_logprobs=accepts.top_logprobs if paid.odds is not None else 0,
    )
    return ProbeResult(supported, complete=True)


def _is_json(content: str) -> bool:
    try:
        return isinstance(json.loads(content), dict)
    except ValueError:
        return False


def fault_message(channel: RequestChannel, fault: RequestFault) -> str:
    """Return what is wrong and what to do about it."""
    endpoint, message = channel.endpoint, fault.message
    variable = endpoint.api_key_env
    if fault.status == 401:
        key = f"the key in {variable}" if variable else "a request without a key"
        problem = f"refuses {key} ({message}). " + (
            "Check the key." if variable else "Name its variable: api_key_env or --api-key-env."
        )
    elif fault.status == 403:
        problem = f"does not let us use the model {endpoint.model!r} ({message})."
    elif fault.status == 404:
        problem = (
            f"has no model {endpoint.model!r}, or its base_url is no API ({message}). Check the "
            "model's name; base_url is what /chat/completions is added to, and often ends in /v1."
        )
    elif fault.status is not None and (300 <= fault.status < 400 or fault.status == 405):
        problem = f"is no API at this base_url ({message}). base_url often ends in /v1."
    else:
        problem = f"cannot be used: {message}."
    return f"The endpoint {channel.name!r} ({endpoint.host}) {problem}"


def _unusable(channel: RequestChannel, why: str, unreachable: bool = False) -> str:
    no_api = "HTML" in why or "no chat completion" in why
    hint = " Its base_url is probably no API; it often ends in /v1." if no_api else ""
    provider = provider_at(channel.name, channel.endpoint.host)
    if unreachable and channel.endpoint.is_local and provider and provider.start:
        hint = f" Is {provider.name} running? Start it: {provider.start}."
    return f"The endpoint {channel.name!r} ({channel.endpoint.host}) cannot be used: {why}.{hint}"
