"""What a request looks like: what a server takes decides, and what never changes stands first."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from choose.models.endpoints.ledger import Worst
from choose.models.endpoints.settings import LIMITS, Endpoint

Message = dict[str, str]


Limit = Literal["max_tokens", "max_completion_tokens"]


# There is no tokeniser at hand; on average a token stands for about so many bytes of text.
BYTES_A_TOKEN = 4


# Room for hidden reasoning, tried one after the other until an answer comes out whole.
ROOMS = (1_024, 4_096, 16_384)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepts:
    """What a server takes, as far as is known; everything until it says no.

    Attributes:
        schema: a JSON schema with the labels as an enum.
        odds: how many alternatives to each token it lists; 0 for no log-probabilities.
        temperature: a temperature of zero.
        system: messages of the role `system`.
        limit: what it calls the limit of an answer.
        room: that limit in tokens.
    """

    schema: bool = True
    odds: int = 20
    temperature: bool = True
    system: bool = True
    limit: Limit = "max_tokens"
    room: int = 64

    @classmethod
    def at_first(cls, endpoint: Endpoint, names: Sequence[str], plain: bool = False) -> Accepts:
        """Return what to try first; `plain` asks for no schema."""
        # No tokeniser makes more tokens of a text than it has bytes; the rest is for JSON, or for
        # a short sentence around the label.
        room = 48 + max((len(name.encode()) for name in names), default=0)
        return cls(
            schema=endpoint.structured == "auto" and not plain,
            odds=20 if endpoint.logprobs == "auto" else 0,
            temperature="temperature" not in endpoint.extra_body,
            room=endpoint.max_output_tokens or room,
        )

    def without(self, said: str) -> Accepts | None:
        """Return what is left after a server's complaint; None where nothing is to be dropped."""
        dropped = self
        if re.search(r"response_format|json|schema|structured|guided|grammar", said, re.I):
            dropped = replace(dropped, schema=False)
        if re.search(r"log_?probs?", said, re.I):
            dropped = replace(dropped, odds=5 if self.odds > 5 and "5" in said else 0)
        if re.search(r"temperature", said, re.I):
            dropped = replace(dropped, temperature=False)
        if re.search(r"max_(completion_)?tokens", said) and self.limit == "max_tokens":
            dropped = replace(dropped, limit="max_completion_tokens")
        if re.search(r"system (role|message)|roles? must alternate|role.{0,20}system", said, re.I):
            dropped = replace(dropped, system=False)
        return dropped if dropped != self else self._one_less()

    def _one_less(self) -> Accepts | None:
        """Drop the likeliest culprit where the server does not name one."""
        if self.schema:
            return replace(self, schema=False)
        if self.odds:
            return replace(self, odds=0)
        if self.temperature:
            return replace(self, temperature=False)
        if self.system:
            return replace(self, system=False)
        if self.limit == "max_tokens":
            return replace(self, limit="max_completion_tokens")
        return None

    def roomier(self) -> Accepts | None:
        """Return the same with more room for an answer, or None where there is no more."""
        more = [room for room in ROOMS if room > self.room]
        return replace(self, room=more[0]) if more else None

    def record(self) -> dict[str, Any]:
        """Return it as it is kept."""
        return asdict(self)


def body_for(
    endpoint: Endpoint, accepts: Accepts, messages: Sequence[Message], names: Sequence[str]
) -> dict[str, Any]:
    """Return the whole request."""
    body: dict[str, Any] = {"model": endpoint.model, "messages": list(messages)}
    if not set(LIMITS) & set(endpoint.extra_body):
        body[accepts.limit] = accepts.room
    if accepts.temperature:
        body["temperature"] = 0
    if accepts.odds:
        body |= {"logprobs": True, "top_logprobs": accepts.odds}
    if accepts.schema:
        body["response_format"] = _schema(names)
    return body | dict(endpoint.extra_body)


def worst_of(body: Mapping[str, Any]) -> Worst:
    """Return the most tokens a request can cost: one a byte in, the whole limit out.

    All of the body counts, since a model is told of tools, say, in words.
    """
    told = json.dumps(body, ensure_ascii=False)
    most = [int(body[name]) for name in LIMITS if name in body]
    return Worst(read=len(told.encode("utf-8", "replace")) + 64, written=max(most))


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
