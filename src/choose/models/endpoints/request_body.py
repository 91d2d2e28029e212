"""The body of a request, by what the server accepts, and its worst case in tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from choose.models.endpoints.ledger import WorstCase
from choose.models.endpoints.settings import LIMITS, Endpoint

Message = dict[str, str]


LimitName = Literal["max_tokens", "max_completion_tokens"]


# No tokeniser of the model is at hand; on average a token is about this many bytes of text.
BYTES_PER_TOKEN = 4


# Longest answers in tokens, tried in turn until one has room for the hidden reasoning.
OUTPUT_LIMITS = (1_024, 4_096, 16_384)


# Field names in the cache of answers, where they are part of keys.
_RECORDED_AS = {"top_logprobs": "odds", "limit_name": "limit", "max_tokens": "room"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a server accepts; everything until it rejects it.

    Attributes:
        schema: a JSON schema with the labels as an enum.
        top_logprobs: alternatives listed for each token; 0 for no log-probabilities.
        temperature: a temperature of zero.
        system: messages of the role `system`.
        limit_name: the server's name for the longest answer.
        max_tokens: the longest answer in tokens.
    """

    schema: bool = True
    top_logprobs: int = 20
    temperature: bool = True
    system: bool = True
    limit_name: LimitName = "max_tokens"
    max_tokens: int = 64

    @classmethod
    def initial(cls, endpoint: Endpoint, names: Sequence[str], plain: bool = False) -> Capabilities:
        """Return what to try first; `plain` requests no schema."""
        # A text has at most as many tokens as bytes; the rest is for JSON, or for a short sentence
        # around the label.
        max_tokens = 48 + max((len(name.encode()) for name in names), default=0)
        return cls(
            schema=endpoint.structured == "auto" and not plain,
            top_logprobs=20 if endpoint.logprobs == "auto" else 0,
            temperature="temperature" not in endpoint.extra_body,
            max_tokens=endpoint.max_output_tokens or max_tokens,
        )

    def without(self, message: str) -> Capabilities | None:
        """Drop what an error message names, else the likeliest cause; None if nothing is left."""
        dropped = self
        if re.search(r"response_format|json|schema|structured|guided|grammar", message, re.I):
            dropped = replace(dropped, schema=False)
        if re.search(r"log_?probs?", message, re.I):
            dropped = replace(
                dropped, top_logprobs=5 if self.top_logprobs > 5 and "5" in message else 0
            )
        if re.search(r"temperature", message, re.I):
            dropped = replace(dropped, temperature=False)
        if re.search(r"max_(completion_)?tokens", message) and self.limit_name == "max_tokens":
            dropped = replace(dropped, limit_name="max_completion_tokens")
        if re.search(
            r"system (role|message)|roles? must alternate|role.{0,20}system", message, re.I
        ):
            dropped = replace(dropped, system=False)
        return dropped if dropped != self else self._drop_next()

    def _drop_next(self) -> Capabilities | None:
        """Drop the likeliest cause, for servers that do not name one."""
        if self.schema:
            return replace(self, schema=False)
        if self.top_logprobs:
            return replace(self, top_logprobs=0)
        if self.temperature:
            return replace(self, temperature=False)
        if self.system:
            return replace(self, system=False)
        if self.limit_name == "max_tokens":
            return replace(self, limit_name="max_completion_tokens")
        return None

    def with_more_tokens(self) -> Capabilities | None:
        """Return the same with the next longer answer, or None if there is none."""
        longer = [limit for limit in OUTPUT_LIMITS if limit > self.max_tokens]
        return replace(self, max_tokens=longer[0]) if longer else None

    def record(self) -> dict[str, Any]:
        """Return the values as the cache of answers holds them."""
        return {_RECORDED_AS.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Capabilities:
        """Read back what `record` returned."""
        names = {old: name for name, old in _RECORDED_AS.items()}
        return cls(**{names.get(old, old): value for old, value in record.items()})


def request_body(
    endpoint: Endpoint, accepts: Capabilities, messages: Sequence[Message], names: Sequence[str]
) -> dict[str, Any]:
    """Return the body of a request."""
    body: dict[str, Any] = {"model": endpoint.model, "messages": list(messages)}
    if not set(LIMITS) & set(endpoint.extra_body):
        body[accepts.limit_name] = accepts.max_tokens
    if accepts.temperature:
        body["temperature"] = 0
    if accepts.top_logprobs:
        body |= {"logprobs": True, "top_logprobs": accepts.top_logprobs}
    if accepts.schema:
        body["response_format"] = _schema(names)
    return body | dict(endpoint.extra_body)


def worst_case(body: Mapping[str, Any]) -> WorstCase:
    """Return the most tokens a request can cost: one for each byte of input, and all of the output.

    The whole body counts, because servers put fields such as tools into the prompt.
    """
    text = json.dumps(body, ensure_ascii=False)
    limits = [int(body[name]) for name in LIMITS if name in body]
    return WorstCase(read=len(text.encode("utf-8", "replace")) + 64, written=max(limits))


def _schema(names: Sequence[str]) -> dict[str, Any]:
    label = {"type": "string", "enum": list(names)}
    schema = {
        "type": "object",
        "properties": {"label": label},
        "required": ["label"],
        "additionalProperties": False,
    }
    named = {"name": "answer", "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": named}
