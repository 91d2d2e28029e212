"""From a chat completion as a server wrote it to the answer that is kept; nothing is trusted."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from choose.models.endpoints.journal import Alternatives, Paid
from choose.models.endpoints.ledger import Usage
from choose.models.endpoints.wire import Reply

# No label is this long; what a server adds beyond it is not worth keeping.
LONGEST = 4_000

# Alternatives below this log-probability cannot change a score that anyone would read.
FLOOR = math.log(1e-6)


def paid_from(reply: Reply) -> Paid:
    """Read the first choice and the counts; what is missing or no figure is None."""
    choice = _first(reply.payload.get("choices"))
    message = _mapping(choice.get("message"))
    finish, refusal = choice.get("finish_reason"), message.get("refusal")
    return Paid(
        content=_text(message.get("content")),
        refusal=refusal[:LONGEST] if isinstance(refusal, str) and refusal else None,
        finish=finish if isinstance(finish, str) else "stop",
        usage=usage_from(reply.payload.get("usage")),
        seconds=reply.seconds,
        odds=_odds(choice.get("logprobs")),
        when=time.time(),
        model=str(reply.payload.get("model") or "")[:200] or None,
    )


def usage_from(given: Any) -> Usage:
    """Read the counts; reasoning that a server hides from `completion_tokens` is added."""
    counts = _mapping(given)
    read, written = _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens"))
    hidden = _count(_mapping(counts.get("completion_tokens_details")).get("reasoning_tokens"))
    total = _count(counts.get("total_tokens"))
    if hidden and None not in (read, written, total):
        written = max(written or 0, (total or 0) - (read or 0))
    details = _mapping(counts.get("prompt_tokens_details"))
    cached = _count(details.get("cached_tokens"))
    if cached is None:
        cached = _count(counts.get("prompt_cache_hit_tokens"))
    if cached is not None and read is not None:
        cached = min(cached, read)
    return Usage(read=read, cached=cached, written=written, hidden=hidden)


def _odds(given: Any) -> Alternatives | None:
    content = _mapping(given).get("content")
    if not isinstance(content, list) or not content:
        return None
    found = []
    for token in content[:200]:
        this = _pair(token)
        if this is None:
            return None
        others = [_pair(other) for other in _mapping(token).get("top_logprobs") or []]
        found.append((*this, tuple(pair for pair in others if pair and pair[1] > FLOOR)))
    return tuple(found)


def _pair(given: Any) -> tuple[str, float] | None:
    token, logprob = _mapping(given).get("token"), _mapping(given).get("logprob")
    if not isinstance(token, str) or not isinstance(logprob, int | float) or math.isnan(logprob):
        return None
    return token, max(min(float(logprob), 0.0), -100.0)


def _text(content: Any) -> str:
    """Return the text of a message, which some servers write in parts."""
    if isinstance(content, list):
        content = "".join(str(_mapping(part).get("text") or "") for part in content)
    return content[:LONGEST] if isinstance(content, str) else ""


def _first(choices: Any) -> Mapping[str, Any]:
    listed = isinstance(choices, Sequence) and not isinstance(choices, str) and len(choices) > 0
    return _mapping(choices[0]) if listed else {}


def _mapping(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}


def _count(given: Any) -> int | None:
    whole = isinstance(given, int) and not isinstance(given, bool) and 0 <= given < 1 << 40
    return int(given) if whole else None
