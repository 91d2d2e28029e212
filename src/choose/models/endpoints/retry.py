"""Why requests fail and when they are sent again."""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["wait", "unsure", "fatal", "rejected", "too-long", "refused", "oversized"]


_TOO_LONG = re.compile(
    r"context[ _-]?(length|size|window)|maximum (context|sequence|input) length|too many tokens"
    r"|prompt is too long|input is too long|exceed\w* .{0,30}(context|tokens)|max_model_len",
    re.I,
)


_FILTER = re.compile(r"content[ _-]?(filter|policy|management)|safety|moderation", re.I)


_NO_CREDIT = re.compile(
    r"insufficient[ _]quota|billing|credit balance|payment|exceeded your .*quota", re.I
)


_TLS = re.compile(r"certificate|SSL|TLS", re.I)


# The server rejected the request before the model ran.
WAIT = frozenset({409, 425, 429, 503, 529})


# The server failed or timed out; whether the model had run by then is unknown.
UNSURE = frozenset({408, 500, 502, 504, 520, 521, 522, 523, 524})


class RequestFault(Exception):
    """A request that got no answer.

    Attributes:
        kind: ``wait``: retry later, nothing was billed. ``unsure``: the same, but it may have been
            billed. ``fatal``: no request to this endpoint can work. ``rejected``: the server does
            not accept a parameter. ``too-long``: the prompt exceeds the context. ``refused``: the
            server does not answer this text. ``oversized``: its answer is too long to be read.
        message: the server's own error message, without API keys.
        retry_after: seconds after which the server accepts a retry.
        unreachable: whether the connection failed.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        retry_after: float | None = None,
        status: int | None = None,
        unreachable: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message, self.retry_after, self.status = message, retry_after, status
        self.unreachable = unreachable

    @property
    def may_be_billed(self) -> bool:
        """Return whether a provider may charge for the request.

        Content filters and context limits are applied after a text was processed. Azure bills for
        both: https://learn.microsoft.com/azure/ai-services/openai/how-to/manage-costs
        """
        if self.kind == "too-long":
            return self.status != 413  # the server did not read the body
        return self.kind in ("unsure", "refused", "oversized")


def fault_from_status(status: int, message: str, retry_after: float | None) -> RequestFault:
    """Classify an HTTP status other than 200."""
    text = f"HTTP {status}: {message}" if message else f"HTTP {status}"
    if status in (402, 429, 403) and _NO_CREDIT.search(message):
        return RequestFault(
            "fatal", f"the account is out of credit or quota ({text})", status=status
        )
    if status == 413 or (status in (400, 422, 500) and _TOO_LONG.search(message)):
        return RequestFault("too-long", text, status=status)
    if status in (400, 422) and _FILTER.search(message):
        return RequestFault("refused", text, status=status)
    if status in (400, 422):
        return RequestFault("rejected", text, status=status)
    if status in WAIT:
        return RequestFault("wait", text, retry_after=retry_after, status=status)
    if status in UNSURE:
        return RequestFault("unsure", text, retry_after=retry_after, status=status)
    return RequestFault("fatal", text, status=status)


def fault_from_payload(code: int | None, message: str) -> RequestFault:
    """Classify an error object sent with HTTP 200; `code` is the HTTP status it names, if any.

    Without a code it is retried, and may have been billed.
    """
    if code is None:
        kind: Kind = "too-long" if _TOO_LONG.search(message) else "unsure"
        return RequestFault(kind, f"it answered HTTP 200 with an error: {message}")
    fault = fault_from_status(code, message, None)
    kind = "unsure" if fault.kind == "wait" and code != 429 else fault.kind
    return RequestFault(kind, f"{fault.message}, sent with HTTP 200", status=code)


def fault_from_connection(message: str, sent: bool) -> RequestFault:
    """Classify a failed connection; `sent` is whether the request was sent before it failed."""
    if _TLS.search(message):
        return RequestFault("fatal", f"the secure connection failed ({message})")
    return RequestFault("unsure" if sent else "wait", message, unreachable=not sent)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When failed requests are sent again: exponential back-off with jitter, in seconds.

    `attempts` bounds the failures of one request, `max_total` the time spent waiting for it.
    """

    attempts: int = 8
    initial: float = 0.5
    max_pause: float = 30.0
    max_total: float = 600.0

    def pause(self, attempt: int, rng: random.Random) -> float:
        """Return the pause after the given attempt, counted from 1."""
        full = min(self.max_pause, self.initial * 2.0 ** min(attempt - 1, 20))
        return full * rng.uniform(0.5, 1.0)


@dataclass
class RetryState:
    """Attempts and failures of one request; a rate limit is an attempt but no failure."""

    policy: RetryPolicy
    failures: int = 0
    attempts: int = 0
    started: float = field(default_factory=time.monotonic)
