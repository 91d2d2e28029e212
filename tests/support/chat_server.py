"""One chat-completions server for tests: a function answers, and chosen things go wrong on the way.

`serving` runs it on loopback; `endpoint_session` puts it in place of the network.
"""

import gzip
import hashlib
import json
import random
import re
import socket
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from math import inf
from select import select
from typing import Any
from urllib.parse import quote

import httpx2

from choose.conformance import TASK, WORDS_OF, pool
from choose.models.endpoints.client import RetryPolicy
from choose.models.endpoints.request_session import connect_endpoints
from choose.models.endpoints.settings import Endpoint
from choose.strategy import Strategy, build
from choose.types import Answers, Item

Http = tuple[int, dict[str, str], bytes]
Responder = Callable[[dict[str, Any]], Http]

# Seconds of a stall, and between two looks at whether a client is still there.
STALL, STEP, DRIP = 60.0, 0.005, 0.05


# What is answered.


def completion(content: str | None, finish: str = "stop", **more: Any) -> dict[str, Any]:
    usage = more.pop("usage", {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55})
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    choice = {"index": 0, "finish_reason": finish, "message": message}
    return {"id": "c", "object": "chat.completion", "choices": [choice | more], "usage": usage}


def sent(content: str | None, finish: str = "stop", **more: Any) -> Http:
    body = json.dumps(completion(content, finish, **more)).encode()
    return 200, {"content-type": "application/json"}, body


def error(status: int, message: str, **headers: str) -> Http:
    body = json.dumps({"error": {"message": message, "type": "t", "code": None}}).encode()
    return status, {"content-type": "application/json", **headers}, body


def labels_of(body: dict[str, Any]) -> list[str]:
    return body["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"]


def in_form(label: str, body: dict[str, Any]) -> str:
    return json.dumps({"label": label}) if "response_format" in body else label


def by_words(words: dict[str, list[str]]) -> Responder:
    """Answer with the label whose words the question holds."""

    def respond(body: dict[str, Any]) -> Http:
        question = body["messages"][-1]["content"].lower()
        found = [label for label, own in words.items() if any(w in question for w in own)]
        return sent(in_form(found[0] if found else next(iter(words)), body))

    return respond


RIGHT = by_words(WORDS_OF)


def failing(reply: Http, after: int, until: float = inf) -> Responder:
    """Answer right, but for the requests after so many, which get a reply."""
    numbers = count(1)
    return lambda body: reply if after < next(numbers) <= until else RIGHT(body)


_PIECES = re.compile(r"\w{1,4}|\W")


def counting(rule: Callable[[str], str]) -> Responder:
    """Answer with the label that a rule gives to a question; a token has at most four letters."""

    def respond(body: dict[str, Any]) -> Http:
        said = in_form(rule(body["messages"][-1]["content"]), body)
        read = sum(len(_PIECES.findall(m["content"])) for m in body["messages"])
        written = len(_PIECES.findall(said))
        usage = {"prompt_tokens": read, "completion_tokens": written}
        return sent(said, usage={**usage, "total_tokens": read + written})

    return respond


# How a server may spell the key that it was sent.
SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "raw": str,
    "upper": str.upper,
    "blanks": lambda key: " ".join([key[: len(key) // 2], key[len(key) // 2 :]]),
    "spaced": " ".join,
    "url": lambda key: "".join(f"%{ord(char):02X}" for char in key),
    "part url": lambda key: quote(key.lower(), safe=""),
}


# What goes wrong on the way.


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes over the wire.

    `wait` is in seconds; `cut` sends half of the body and hangs up; `drop` hangs up at once;
    `drip` sends blanks for so many seconds before the body, as gateways do to keep a line open.
    `endless` is sent after the body for as long as the other side listens, `every` so many seconds;
    `endless_head` never ends the headers.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    wait: float = 0.0
    drip: float = 0.0
    cut: bool = False
    drop: bool = False
    endless: bytes = b""
    every: float = 0.0
    endless_head: bool = False


@cache
def bomb(encoding: str, megabytes: int = 200) -> bytes:
    packer = zlib.compressobj(1, wbits=31 if encoding == "gzip" else 15)
    parts = [packer.compress(b'{"choices": [{"message": {"content": "')]
    parts += [packer.compress(b"x" * (1 << 20)) for _ in range(megabytes)]
    return b"".join([*parts, packer.compress(b'"}}]}'), packer.flush()])


_BUSY = error(429, "Rate limit reached")[2]
_DATE = "Mon, 1 Jan 99999999999 00:00:00 GMT"

# Nothing is answered in full, and asking again may help: what goes over the wire instead.
PASSING: Mapping[str, Callable[[Reply], Reply]] = {
    "429": lambda whole: Reply(429, {}, _BUSY),
    "429-after": lambda whole: Reply(429, {"retry-after": "1"}, _BUSY),
    "500": lambda whole: Reply(*error(500, "The server had an error")),
    "503": lambda whole: Reply(503, {"content-type": "text/plain"}, b"upstream connect error"),
    "stall": lambda whole: replace(whole, wait=STALL),
    "cut": lambda whole: replace(whole, cut=True),
    "drop": lambda whole: Reply(drop=True),
    "html": lambda whole: Reply(502, {"content-type": "text/html"}, b"<!DOCTYPE html><html>nginx"),
    "half-json": lambda whole: replace(whole, body=whole.body[: len(whole.body) // 2]),
    "drip": lambda whole: replace(whole, drip=STALL),
    "error-200": lambda whole: Reply(body=error(502, "Upstream provider failed")[2]),
}

# A server that means harm; nothing that it sends may cost much time, memory or money.
HOSTILE: Mapping[str, Callable[[Reply], Reply]] = {
    "redirect": lambda whole: Reply(307, {"location": "http://127.0.0.1:9/v1/elsewhere"}),
    "endless-body": lambda whole: Reply(body=b'{"a": "', endless=b"x" * 65_536),
    "endless-error": lambda whole: Reply(500, body=b'{"error": "', endless=b"x" * 65_536),
    "endless-events": lambda whole: Reply(
        headers={"content-type": "text/event-stream"}, endless=b": keep-alive\n\n", every=DRIP
    ),
    "endless-head": lambda whole: Reply(endless_head=True, every=DRIP),
    "gzip-bomb": lambda whole: Reply(200, {"content-encoding": "gzip"}, bomb("gzip")),
    "deflate-bomb": lambda whole: Reply(200, {"content-encoding": "deflate"}, bomb("deflate")),
    "nested-gzip": lambda whole: Reply(
        200, {"content-encoding": "gzip, gzip"}, gzip.compress(bomb("gzip"), 1)
    ),
    "unknown-encoding": lambda whole: Reply(200, {"content-encoding": "zstd"}, b"zip"),
    "deep-json": lambda whole: Reply(body=b"[" * 500_000),
    "absurd-date": lambda whole: Reply(429, {"retry-after": _DATE}, _BUSY),
    "absurd-pause": lambda whole: Reply(429, {"retry-after": "1e308"}, _BUSY),
}

FAULTS = {
    **PASSING,
    **HOSTILE,
    "429-minute": lambda whole: Reply(429, {"retry-after": "60"}, _BUSY),
}


@dataclass(frozen=True, slots=True)
class Mix:
    """A share of all that is asked goes wrong, the same for the same question and attempt."""

    share: float = 0.0
    kinds: Sequence[str] = tuple(PASSING)
    seed: int = 0

    def pick(self, key: str, attempt: int = 0) -> str | None:
        chooser = random.Random(f"{self.seed}-{key}-{attempt}")
        return chooser.choice(self.kinds) if chooser.random() < self.share else None


# The server.


@dataclass(slots=True, eq=False)
class Receipt:
    """One request: its n-th attempt, what went wrong, and the tokens that it cost.

    `paid` is set once the whole answer has gone out; `after_paid` where that had happened before.
    """

    body: dict[str, Any]
    key: str
    attempt: int
    after_paid: bool
    fault: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    paid: bool = False

    @property
    def question(self) -> str:
        return str(self.body["messages"][-1]["content"])


@dataclass(eq=False)
class Server:
    """A running server, what it was asked, and its own account of it.

    While `gate` is clear, replies are held back. The next requests go wrong as `cues` say, others
    as `faults` draws; an answer takes some `seconds`.
    """

    respond: Responder
    faults: Mix = field(default_factory=Mix)
    seconds: float = 0.0
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    cues: deque[str] = field(default_factory=deque)
    gate: threading.Event = field(default_factory=threading.Event)
    ended: bool = False
    peak: int = 0
    _now: int = 0
    _lock: Any = field(default_factory=threading.Lock)

    @property
    def paid(self) -> list[Receipt]:
        return [receipt for receipt in [*self.receipts] if receipt.paid]

    @property
    def paid_twice(self) -> list[Receipt]:
        return [receipt for receipt in [*self.receipts] if receipt.after_paid]

    def take(self, body: dict[str, Any], headers: Mapping[str, str]) -> tuple[Receipt, Reply]:
        """Note a request and return what goes over the wire."""
        key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        with self._lock:
            before = [receipt for receipt in self.receipts if receipt.key == key]
            receipt = Receipt(body, key, 1 + len(before), any(r.paid for r in before))
            self.receipts.append(receipt)
            self.asked.append(body)
            self.headers.append({name.lower(): value for name, value in headers.items()})
            self._now += 1
            self.peak = max(self.peak, self._now)
            cue = self.cues.popleft() if self.cues else None
        whole = Reply(*self.respond(body), wait=self.seconds)
        with suppress(ValueError, AttributeError):
            receipt.usage = json.loads(whole.body).get("usage") or {}
        receipt.fault = cue or self.faults.pick(key, receipt.attempt)
        return receipt, FAULTS[receipt.fault](whole) if receipt.fault else whole

    def close(self, receipt: Receipt, taken: bool) -> None:
        """Note how a request ended."""
        with self._lock:
            self._now -= 1
            receipt.paid = taken and receipt.fault is None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        own: Server = self.server.own
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        receipt, reply = own.take(body, self.headers)
        taken = False
        try:
            taken = self._is_there_after(reply.wait) and self._send(reply)
        except OSError:
            pass
        finally:
            own.close(receipt, taken)
            self.close_connection = self.close_connection or not taken

    def _is_there_after(self, seconds: float) -> bool:
        """Wait, and return whether the other side is still there."""
        own, end = self.server.own, time.monotonic() + seconds
        while not own.ended and (not own.gate.is_set() or time.monotonic() < end):
            time.sleep(STEP)
            if self._has_gone():
                return False
        return not self._has_gone()

    def _has_gone(self) -> bool:
        ready, _, _ = select([self.connection], [], [], 0)
        return bool(ready) and not self.connection.recv(1, socket.MSG_PEEK)

    def _send(self, reply: Reply) -> bool:
        """Write a reply; return whether all of it went out."""
        if reply.drop:
            return False
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.endless or reply.endless_head:
            self._send_without_end(reply)
        blanks = int(reply.drip / DRIP)
        self.send_header("content-length", str(len(reply.body) + blanks))
        self.end_headers()
        for _ in range(blanks):
            self.wfile.write(b" ")
            time.sleep(DRIP)
        self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
        return not reply.cut

    def _send_without_end(self, reply: Reply) -> None:
        """Write headers that never end, or a body that never ends, until the client has gone."""
        self.send_header("connection", "close")
        if reply.endless_head:
            self.flush_headers()
        else:
            self.end_headers()
            self.wfile.write(reply.body)
        for number in range(10**9):
            self.wfile.write(b"x-%d: y\r\n" % number if reply.endless_head else reply.endless)
            time.sleep(reply.every)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def serving(
    respond: Responder, faults: Mix | None = None, seconds: float = 0.0
) -> Iterator[Server]:
    """Run a server that answers each request with `respond`."""
    server = Server(respond, faults or Mix(), seconds)
    server.gate.set()
    http = _Http(("127.0.0.1", 0), _Handler)
    http.own = server  # type: ignore[attr-defined]
    server.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ended = True
        http.shutdown()
        http.server_close()
        thread.join()


# In place of the network.


def broken(kind: str) -> Exception:
    """Return the error of a connection: ConnectError, ReadTimeout, RemoteProtocolError, …"""
    return getattr(httpx2, kind)(kind)


def as_response(respond: Responder, request: Any) -> Any:
    status, headers, content = respond(json.loads(request.content))
    return httpx2.Response(status, headers=headers, content=content)


FAST = RetryPolicy(attempts=8, initial=0.001, max_pause=0.01, max_total=5.0)

PRICED = {"usd_per_million_in": 1.0, "usd_per_million_out": 10.0}


@contextmanager
def endpoint_session(respond, *, asked=None, max_usd=None, retry_policy=FAST, **settings):
    """Yield a session with ``endpoint:big`` without a socket; raise in `respond` to break it."""
    end = Endpoint(**{"base_url": "https://model.example/v1", "model": "m", **settings})

    def handle(request: Any) -> Any:
        if asked is not None:
            asked.append(json.loads(request.content))
        return as_response(respond, request)

    network = httpx2.MockTransport(handle)
    with connect_endpoints(
        {"big": end}, max_usd=max_usd, retry_policy=retry_policy, transport=network
    ) as session:
        yield session


@contextmanager
def asked_of(respond: Responder, **settings: Any) -> Iterator[list[dict[str, Any]]]:
    """Yield what a server behind ``endpoint:big`` is asked."""
    asked: list[dict[str, Any]] = []
    with endpoint_session(respond, asked=asked, **settings):
        yield asked


@contextmanager
def session_with(server, max_usd=None, **more):
    """Yield a session with ``endpoint:big`` at a running server."""
    end = Endpoint(**{"base_url": server.url, "model": "big-model", "timeout": 1.0, **more})
    with connect_endpoints({"big": end}, max_usd=max_usd, retry_policy=FAST) as session:
        yield session


def fitted(name: str = "prompt", **params: Any) -> Strategy:
    strategy = build(name, seed=0, model="endpoint:big", **params)
    strategy.fit(TASK, pool())
    return strategy


def rows(count: int) -> list[Item]:
    return [Item(id=f"r{i}", text=f"{e.text} row {i}") for i, e in enumerate(pool(rows=count))]


def right(answers: Answers, count: int) -> bool:
    return answers.outputs == tuple(e.target for e in pool(rows=count))
