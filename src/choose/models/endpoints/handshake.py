"""What a server accepts: the first request finds it out, and bodies of requests follow it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple, Self

from choose.errors import EndpointError
from choose.files import digest
from choose.models.endpoints.client import RequestFault
from choose.models.endpoints.ledger import PaidAnswer
from choose.models.endpoints.request_session import RequestChannel, RetriesExhausted
from choose.models.endpoints.settings import LIMITS, Endpoint
from choose.tasks.value_parsing import json_in

Message = dict[str, str]

LimitName = Literal["max_tokens", "max_completion_tokens"]

# No tokeniser of the model is at hand; on average a token is about this many bytes of text.
BYTES_PER_TOKEN = 4

# Longest answers in tokens, tried in turn until one has room for the hidden reasoning.
OUTPUT_LIMITS = (1_024, 4_096, 16_384)


class AnswerFormat(NamedTuple):
    """What an answer may be: held to a JSON `schema`, or else any text; of at most `max_tokens`."""

    schema: Mapping[str, Any] | None
    max_tokens: int


def label_format(names: Sequence[str]) -> AnswerFormat:
    """Return the format of an answer that is one of the labels, named as the model writes them."""
    # A text has at most as many tokens as bytes; the rest is for JSON, or for a short sentence
    # around the label.
    longest = 48 + max((len(name.encode()) for name in names), default=0)
    return AnswerFormat(_object({"label": {"type": "string", "enum": list(names)}}), longest)


def record_format(fields: Mapping[str, str], max_tokens: int) -> AnswerFormat:
    # All fields are required, so null is allowed.
    types: dict[str, Any] = {"number": {"type": ["number", "null"]}}
    types["list"] = {"type": ["array", "null"], "items": {"type": "string"}}
    text = {"type": ["string", "null"]}
    named = {name: types.get(kind, text) for name, kind in fields.items()}
    return AnswerFormat(_object(named), max_tokens)


def set_format(names: Sequence[str]) -> AnswerFormat:
    """Return the format of an answer that is a list of labels, named as the model writes them."""
    longest = 48 + sum(len(name.encode()) + 4 for name in names) // 2
    items = {"type": "string", "enum": list(names)}
    return AnswerFormat(_object({"labels": {"type": "array", "items": items}}), longest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a server accepts; everything until it rejects it.

    Attributes:
        schema: a JSON schema, such as one with the labels as an enum.
        temperature: a temperature of zero.
        system: messages of the role `system`.
        limit_name: the server's name for the longest answer.
        max_tokens: the longest answer in tokens.
    """

    schema: bool = True
    temperature: bool = True
    system: bool = True
    limit_name: LimitName = "max_tokens"
    max_tokens: int = 64

    @classmethod
    def initial(cls, endpoint: Endpoint, answer: AnswerFormat, plain: bool = False) -> Self:
        """Return what to try first; `plain` requests no schema."""
        return cls(
            schema=endpoint.structured == "auto" and not plain and answer.schema is not None,
            temperature="temperature" not in endpoint.extra_body,
            max_tokens=endpoint.max_output_tokens or answer.max_tokens,
        )

    def without(self, message: str) -> Self | None:
        """Drop what an error message names, else the likeliest cause; None if nothing is left."""
        left = {name: off for name, (off, _) in OPTIONAL.items() if getattr(self, name) != off}
        named = {n: off for n, off in left.items() if re.search(OPTIONAL[n][1], message, re.I)}
        dropped: dict[str, Any] = named or dict([*left.items()][:1])
        return replace(self, **dropped) if dropped else None


# What a request can do without, likeliest causes first: by name, the value that leaves it out, and
# how error messages call it.
OPTIONAL: Mapping[str, tuple[Any, str]] = {
    "schema": (False, r"response_format|json|schema|structured|guided|grammar"),
    "temperature": (False, r"temperature"),
    "system": (False, r"system (role|message)|roles? must alternate|role.{0,20}system"),
    "limit_name": ("max_completion_tokens", r"max_(completion_)?tokens"),
}


def request_body(
    endpoint: Endpoint, accepts: Capabilities, messages: Sequence[Message], answer: AnswerFormat
) -> dict[str, Any]:
    body: dict[str, Any] = {"model": endpoint.model, "messages": list(messages)}
    if not set(LIMITS) & set(endpoint.extra_body):
        body[accepts.limit_name] = accepts.max_tokens
    if accepts.temperature:
        body["temperature"] = 0
    if accepts.schema:
        named = {"name": "answer", "strict": True, "schema": answer.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return body | dict(endpoint.extra_body)


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


# Most requests, each with less in it than the one before.
MAX_TRIES = 12

PROBE_TEXT = "This is a test of the connection; any of the labels will do."


async def handshake(
    channel: RequestChannel,
    answer: AnswerFormat,
    *,
    messages: Callable[[Capabilities], list[Message]],
    first: Capabilities,
) -> Capabilities:
    """Return what a server accepts, of which `first` is tried first; it is asked once in a session.

    `messages` lays out a request without a row of the data.
    """
    key = digest([asdict(first), messages(first)])
    if (known := channel.accepted.get(key)) is not None:
        return known
    accepts = first
    for _ in range(MAX_TRIES):
        body = request_body(channel.endpoint, accepts, messages(accepts), answer)
        try:
            paid = await channel.send(body)
        except RetriesExhausted as failure:
            # Some servers fail on an unknown parameter instead of rejecting it.
            less = accepts.without("") if "HTTP 5" in str(failure) else None
            if less is None:
                raise EndpointError(_unusable(channel, str(failure))) from None
        except RequestFault as fault:
            less = accepts.without(fault.message) if fault.kind == "rejected" else None
            if less is None:
                raise EndpointError(fault_message(channel, fault)) from None
        else:
            less = _as_answered(channel, accepts, paid)
            if less.max_tokens == accepts.max_tokens:
                channel.accepted[key] = less
                return less
        accepts = less
    raise EndpointError(_unusable(channel, "it accepts no known form of request"))


def _as_answered(channel: RequestChannel, accepts: Capabilities, paid: PaidAnswer) -> Capabilities:
    """Allow more tokens for reasoning, or else drop what the server silently ignored."""
    free = channel.endpoint.max_output_tokens is None
    longer = [limit for limit in OUTPUT_LIMITS if limit > accepts.max_tokens] if free else []
    visible = paid.content.strip()
    reasons = bool(paid.usage.hidden) or not visible or visible.startswith("<think")
    short = paid.usage.hidden and accepts.max_tokens < OUTPUT_LIMITS[0]
    if longer and (short or (reasons and paid.finish == "length")):
        return replace(accepts, max_tokens=longer[0])
    return replace(accepts, schema=accepts.schema and isinstance(json_in(paid.content, "{"), dict))


def fault_message(channel: RequestChannel, fault: RequestFault) -> str:
    endpoint, why, status = channel.endpoint, fault.message, fault.status or 0
    problem = f"cannot be used: {why}."
    if status == 401 and endpoint.api_key_env:
        problem = f"refuses the key in {endpoint.api_key_env} ({why}). Check the key."
    elif status == 401:
        name = "Name its variable: --set api_key_env=VARIABLE."
        problem = f"refuses a request without a key ({why}). {name}"
    elif status == 403:
        problem = f"does not let us use the model {endpoint.model!r} ({why})."
    elif status in (404, 405) or 300 <= status < 400:
        problem = (
            f"has no model {endpoint.model!r}, or its base_url is no API ({why}). Check the "
            "model's name; base_url is what /chat/completions is added to, and often ends in /v1."
        )
    return f"The endpoint {channel.name!r} ({endpoint.host}) {problem}"


def _unusable(channel: RequestChannel, why: str) -> str:
    no_api = "HTML" in why or "no chat completion" in why
    hint = " Its base_url is probably no API; it often ends in /v1." if no_api else ""
    if channel.endpoint.is_local and "connect" in why.lower():
        hint = " Is the server running?"
    return f"The endpoint {channel.name!r} ({channel.endpoint.host}) cannot be used: {why}.{hint}"
