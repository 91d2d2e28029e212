"""What can go wrong on the way between a client and a model."""

import gzip
import json
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from support.serving.wire import DRIP, Reply

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

# A server that means harm; nothing that it sends may cost much time, memory or money.
HOSTILE = (
    "redirect",
    "endless-body",
    "endless-error",
    "endless-events",
    "endless-head",
    "gzip-bomb",
    "deflate-bomb",
    "nested-gzip",
    "unknown-encoding",
    "deep-json",
    "absurd-date",
    "absurd-pause",
    "absurd-limits",
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


@cache
def bomb(encoding: str, megabytes: int = 200) -> bytes:
    """Return JSON that unpacks to so many megabytes of one text."""
    packer = zlib.compressobj(1, wbits=31 if encoding == "gzip" else 15)
    parts = [packer.compress(b'{"choices": [{"message": {"content": "')]
    parts += [packer.compress(b"x" * (1 << 20)) for _ in range(megabytes)]
    return b"".join([*parts, packer.compress(b'"}}]}'), packer.flush()])


def hostile(fault: str) -> Reply:
    """Return a reply that means harm."""
    limited = error(429, "Rate limit reached").body
    absurd = {
        "x-ratelimit-limit-requests": "1e-300",
        "x-ratelimit-remaining-requests": "-1e300",
        "x-ratelimit-reset-requests": "nan",
    }
    return {
        "redirect": lambda: Reply(307, headers={"location": "http://127.0.0.1:9/v1/elsewhere"}),
        "endless-body": lambda: Reply(body=b'{"a": "', endless=b"x" * 65_536),
        "endless-error": lambda: Reply(500, body=b'{"error": "', endless=b"x" * 65_536),
        "endless-events": lambda: Reply(
            kind="text/event-stream", endless=b": keep-alive\n\n", every=DRIP
        ),
        "endless-head": lambda: Reply(endless_head=True, every=DRIP),
        "gzip-bomb": lambda: Reply(body=bomb("gzip"), headers={"content-encoding": "gzip"}),
        "deflate-bomb": lambda: Reply(
            body=bomb("deflate"), headers={"content-encoding": "deflate"}
        ),
        "nested-gzip": lambda: Reply(
            body=gzip.compress(bomb("gzip"), 1), headers={"content-encoding": "gzip, gzip"}
        ),
        "unknown-encoding": lambda: Reply(body=b"zip", headers={"content-encoding": "zstd"}),
        "deep-json": lambda: Reply(body=b"[" * 500_000),
        "absurd-date": lambda: Reply(
            429, limited, headers={"retry-after": "Mon, 1 Jan 99999999999 00:00:00 GMT"}
        ),
        "absurd-pause": lambda: Reply(429, limited, headers={"retry-after": "1e308"}),
        "absurd-limits": lambda: Reply(503, limited, headers=absurd),
    }[fault]()


def _instead(fault: str) -> Reply:
    if fault in HOSTILE:
        return hostile(fault)
    limited = error(429, "Rate limit reached for requests", "rate_limit_exceeded").body
    replies = {
        "429": Reply(429, limited),
        "429-minute": Reply(429, limited, headers={"retry-after": "60"}),
        "429-after": Reply(429, limited, headers={"retry-after": "1"}),
        "500": error(500, "The server had an error while processing your request"),
        "503": Reply(503, b"upstream connect error", "text/plain"),
        "html": html(502),
        "error-200": Reply(200, error(502, "Upstream provider failed").body),
    }
    return replies[fault]
