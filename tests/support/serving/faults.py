"""What can go wrong on the way between a client and a model."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from support.serving.wire import Reply

# Nothing was answered in full, and asking again may help.
PASSING = (
    "429",
    "429-after",
    "500",
    "503",
    "stall",
    "cut",
    "drop",
    "html",
    "half-json",
    "drip",
    "error-200",
)

STALL = 60.0


@dataclass(frozen=True, slots=True)
class Mix:
    """A share of all that is asked goes wrong, the same for the same question and attempt."""

    share: float = 0.0
    kinds: Sequence[str] = PASSING
    seed: int = 0

    def pick(self, key: str, attempt: int) -> str | None:
        """Return what goes wrong with this attempt, if anything."""
        chooser = random.Random(f"{self.seed}-{key}-{attempt}")
        return chooser.choice(self.kinds) if chooser.random() < self.share else None


def error(status: int, message: str, code: str | None = None, param: str | None = None) -> Reply:
    """Return an error as OpenAI's API words it."""
    kind = {401: "authentication_error", 429: "rate_limit_error"}.get(
        status, "invalid_request_error" if status < 500 else "server_error"
    )
    told = {"message": message, "type": kind, "param": param, "code": code}
    return Reply(status, json.dumps({"error": told}).encode())


def html(status: int) -> Reply:
    """Return a page where an API's answer should be."""
    page = f"<!DOCTYPE html><html><title>{status}</title><body>Welcome to nginx!</body></html>"
    return Reply(status, page.encode(), "text/html; charset=utf-8")


def spoilt(fault: str, whole: Reply) -> Reply:
    """Return what goes over the wire instead of the whole answer."""
    body, tag = whole.body, whole.tag
    if fault == "cut":
        return Reply(body=body, cut=True, tag=tag)
    if fault == "half-json":
        return Reply(body=body[: len(body) // 2], tag=tag)
    if fault == "stall":
        return Reply(body=body, wait=STALL, tag=tag)
    if fault == "drip":
        return Reply(body=body, drip=STALL, tag=tag)
    if fault == "drop":
        return Reply(drop=True, tag=tag)
    return _instead(fault)


def _instead(fault: str) -> Reply:
    limited = error(429, "Rate limit reached for requests", "rate_limit_exceeded").body
    replies = {
        "429": Reply(429, limited),
        "429-after": Reply(429, limited, headers={"retry-after": "1"}),
        "500": error(500, "The server had an error while processing your request"),
        "503": Reply(503, b"upstream connect error", "text/plain"),
        "html": html(502),
        "error-200": Reply(200, error(502, "Upstream provider failed").body),
    }
    return replies[fault]
