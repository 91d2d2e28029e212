"""HTTP client of an endpoint, the faults of its requests, and when they are sent again."""

import asyncio
import json
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal
from urllib.parse import urlsplit

from choose.models.endpoints.settings import Endpoint, header_in, redact
from choose.outside_values import finite

Kind = Literal["wait", "unsure", "fatal", "rejected", "refused", "oversized"]

_TOO_LONG = re.compile(
    r"context[ _-]?(length|size|window)|maximum (context|sequence|input) length|too many tokens"
    r"|prompt is too long|input is too long|exceed\w* .{0,30}(context|tokens)|max_model_len",
    re.I,
)

_FILTER = re.compile(r"content[ _-]?(filter|policy|management)|safety|moderation", re.I)

_NO_CREDIT = re.compile(
    r"insufficient[ _]quota|billing|credit balance|payment|exceeded your .*quota", re.I
)

# The server rejected the request before the model ran.
WAIT = frozenset({409, 425, 429, 503, 529})

# The server failed or timed out; whether the model had run by then is unknown.
UNSURE = frozenset({408, 500, 502, 504, 520, 521, 522, 523, 524})


@dataclass(eq=False)
class RequestFault(Exception):
    """A request that got no answer.

    Attributes:
        kind: ``wait``: retry later, nothing was billed. ``unsure``: the same, but it may have been
            billed. ``fatal``: no request to this endpoint can work. ``rejected``: the server does
            not accept a parameter. ``refused``: the server does not answer this text, or it does
            not fit the model. ``oversized``: its answer is too long to be read.
        message: the server's own error message, without API keys.
        retry_after: seconds after which the server accepts a retry.
    """

    kind: Kind
    message: str
    retry_after: float | None = None
    status: int | None = None

    @property
    def may_be_billed(self) -> bool:
        """Return whether a provider may charge for the request.

        Content filters and context limits are applied after a text was processed. Azure bills for
        both: https://learn.microsoft.com/azure/ai-services/openai/how-to/manage-costs
        """
        # With 413 the server did not read the body.
        return self.kind in ("unsure", "refused", "oversized") and self.status != 413

    @property
    def too_long(self) -> bool:
        """Return whether the request was refused because it does not fit the model."""
        return self.status == 413 or (
            self.kind == "refused" and _TOO_LONG.search(self.message) is not None
        )


def fault_from_status(status: int, message: str, retry_after: float | None) -> RequestFault:
    text = f"HTTP {status}: {message}" if message else f"HTTP {status}"
    if status in (402, 429, 403) and _NO_CREDIT.search(message):
        return RequestFault(
            "fatal", f"the account is out of credit or quota ({text})", status=status
        )
    kind: Kind = "wait" if status in WAIT else "unsure" if status in UNSURE else "fatal"
    if status == 413 or (status in (400, 422, 500) and _TOO_LONG.search(message)):
        kind = "refused"
    elif status in (400, 422):
        kind = "refused" if _FILTER.search(message) else "rejected"
    return RequestFault(kind, text, retry_after=retry_after, status=status)


def fault_from_payload(code: int | None, message: str) -> RequestFault:
    """Classify an error object sent with HTTP 200; `code` is the HTTP status it names, if any.

    Without a code it is retried, and may have been billed.
    """
    if code is None:
        kind: Kind = "refused" if _TOO_LONG.search(message) else "unsure"
        return RequestFault(kind, f"it answered HTTP 200 with an error: {message}")
    fault = fault_from_status(code, message, None)
    kind = "unsure" if fault.kind == "wait" and code != 429 else fault.kind
    return RequestFault(kind, f"{fault.message}, sent with HTTP 200", status=code)


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
        full = min(self.max_pause, self.initial * 2.0 ** min(attempt - 1, 20))
        return full * rng.uniform(0.5, 1.0)


@dataclass
class Retries:
    """Attempts and failures of one request; a rate limit is an attempt but no failure."""

    failures: int = 0
    attempts: int = 0
    started: float = field(default_factory=time.monotonic)


Body = Mapping[str, Any]

_HTML = "an HTML page"

# Most bytes of an answer, unpacked.
MAX_BYTES = 4 << 20

# Encodings that unpack once, a piece at a time; none is requested.
_ENCODINGS = ("", "identity", "gzip", "deflate")


async def read_bounded(response: Any) -> str:
    """Return the text of a response of at most `MAX_BYTES`; JSON is UTF-8."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise RequestFault("unsure", f"it answered with the encoding {encoding[:40]!r}")
    parts, size = list[bytes](), 0
    async for part in response.aiter_bytes():
        parts.append(part)
        if (size := size + len(part)) > MAX_BYTES:
            # An answer gets no shorter when it is asked for again, and may be billed again.
            kind: Kind = "oversized" if response.status_code == 200 else "unsure"
            raise RequestFault(kind, f"what it sent is longer than {MAX_BYTES >> 20} MB")
    return b"".join(parts).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Reply:
    """The JSON object of an HTTP 200 response, and the seconds it took."""

    payload: dict[str, Any]
    seconds: float


class EndpointClient:
    """Sends requests to one endpoint from one event loop.

    `transport` replaces the network in tests.
    """

    def __init__(self, endpoint: Endpoint, key: str | None, transport: Any = None) -> None:
        import httpx2

        self._secrets, self._timeout = [key] if key else [], endpoint.timeout
        parts = urlsplit(endpoint.base_url)
        self._url = parts._replace(path=f"{parts.path}/chat/completions").geturl()
        headers = {"Accept-Encoding": "identity", "User-Agent": "choose"}
        if key is not None:
            own = endpoint.api_key_header
            headers |= {own: key} if own else {"Authorization": f"Bearer {key}"}
        if parts.hostname == "api.openai.com":  # no other host is told the organisation
            named = ("Organization", "OPENAI_ORG_ID"), ("Project", "OPENAI_PROJECT_ID")
            headers |= {f"OpenAI-{name}": own for name, of in named if (own := header_in(of))}
        self._client = httpx2.AsyncClient(
            headers=headers,
            timeout=endpoint.timeout,
            transport=transport,
            # Rows go to the confirmed host only, and a server on this machine is never reached
            # through a proxy.
            follow_redirects=False,
            trust_env=not endpoint.is_local,
            limits=httpx2.Limits(max_connections=None),
        )

    async def post(self, body: Body) -> Reply:
        """Request one chat completion.

        Raises:
            RequestFault: on every failure; its message contains no API key.
        """
        import httpx2

        start = perf_counter()
        try:
            # The client's own timeout is between bytes, so a slow stream would never reach it.
            async with (
                asyncio.timeout(self._timeout),
                self._client.stream("POST", self._url, json=body) as response,
            ):
                text = await read_bounded(response)
        except RequestFault:
            raise
        except Exception as error:  # some errors of the client quote a header
            unsent: tuple[type[Exception], ...] = httpx2.ConnectError, httpx2.ConnectTimeout
            unsent += httpx2.PoolTimeout, httpx2.ProxyError, httpx2.UnsupportedProtocol
            why = redact(str(error) or type(error).__name__, self._secrets)
            if isinstance(error, TimeoutError | httpx2.TimeoutException):
                why = "it did not answer in time"
            raise RequestFault("wait" if isinstance(error, unsent) else "unsure", why) from None
        return Reply(self._completion(response, text), perf_counter() - start)

    def _completion(self, response: Any, text: str) -> dict[str, Any]:
        status, headers = response.status_code, response.headers
        try:
            payload = json.loads(text)
        except (ValueError, RecursionError):
            payload = _HTML if text.lstrip()[:1] == "<" else text
        if not response.is_success:
            moved = f"it redirects to {headers.get('location', 'nowhere')}"
            why = moved if 300 <= status < 400 else _message(payload)
            # A date is not read: the usual pauses will do.
            pause = finite(headers.get("retry-after"), 0.0)
            raise fault_from_status(status, redact(why, self._secrets), pause)
        if isinstance(payload, dict) and (error := _error_in(payload)) is not None:
            raise fault_from_payload(_code_of(error), redact(_message(error), self._secrets))
        if not isinstance(payload, dict) or not payload.keys() & {"choices", "usage"}:
            what = "HTML instead of JSON" if payload == _HTML else "no chat completion"
            raise RequestFault("unsure", f"it answered with {what}")
        return payload

    async def close(self) -> None:
        await self._client.aclose()


def _error_in(payload: Mapping[str, Any]) -> Any:  # some gateways send it with status 200
    choices = payload.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if isinstance(first, dict):
        message = first.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        return None if content else first.get("error") or None
    return payload.get("error") or None


def _code_of(error: Any) -> int | None:
    text = str(error.get("code", error.get("status")) if isinstance(error, dict) else None)
    return int(text) if text.isdecimal() and 400 <= int(text) < 600 else None


def _message(error: Any) -> str:
    for name in ("error", "detail"):
        if isinstance(error, dict) and error.get(name):
            error = error[name]
    if not isinstance(error, dict):
        return str(error)
    message = str(error.get("message") or error)
    codes = [str(error[name]) for name in ("code", "type", "param") if error.get(name)]
    return f"{message} ({', '.join(codes)})" if codes else message
