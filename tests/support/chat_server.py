"""A small chat-completions server on loopback, for tests; what it answers is a function."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from choose.conformance import TASK, WORDS_OF, pool
from choose.models.endpoints.client import RetryPolicy
from choose.models.endpoints.command_session import connect_endpoints
from choose.models.endpoints.settings import Endpoint
from choose.strategy import Strategy, build
from choose.types import Answers, Item

Http = tuple[int, dict[str, str], bytes]
Responder = Callable[[dict[str, Any]], Http]


def completion(content: str | None, finish: str = "stop", **more: Any) -> dict[str, Any]:
    """Return the body of a chat completion."""
    counts = {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55}
    usage = more.pop("usage", counts)
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    choice = {"index": 0, "finish_reason": finish, "message": message}
    return {"id": "c", "object": "chat.completion", "choices": [choice | more], "usage": usage}


def sent(content: str | None, finish: str = "stop", **more: Any) -> Http:
    """Return a completion as HTTP."""
    body = json.dumps(completion(content, finish, **more)).encode()
    return 200, {"content-type": "application/json"}, body


def error(status: int, message: str, **headers: str) -> Http:
    """Return an error as HTTP."""
    body = json.dumps({"error": {"message": message, "type": "t", "code": None}}).encode()
    return status, {"content-type": "application/json", **headers}, body


def labels_of(body: dict[str, Any]) -> list[str]:
    """Return the labels of a request with a schema."""
    schema = body["response_format"]["json_schema"]["schema"]
    return schema["properties"]["label"]["enum"]


@dataclass
class Server:
    """A running server and what it was asked."""

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def questions(self) -> list[str]:
        """Return the last message of each request."""
        return [body["messages"][-1]["content"] for body in self.asked]


def transport(respond: Responder, asked: list[dict[str, Any]] | None = None) -> Any:
    """Return what replaces the network, without a socket; raise in `respond` to break it."""
    try:
        import httpx2 as http
    except ModuleNotFoundError:  # before openai 3
        import httpx as http

    def handle(request: Any) -> Any:
        body = json.loads(request.content)
        if asked is not None:
            asked.append(body)
        status, headers, content = respond(body)
        return http.Response(status, headers=headers, content=content)

    return http.MockTransport(handle)


def broken(kind: str) -> Exception:
    """Return the error of a connection: ConnectError, ReadTimeout, RemoteProtocolError, …"""
    try:
        import httpx2 as http
    except ModuleNotFoundError:
        import httpx as http
    return getattr(http, kind)(kind)


def by_words(words: dict[str, list[str]]) -> Responder:
    """Answer with the label whose words the question holds, in JSON where a schema is given."""

    def respond(body: dict[str, Any]) -> Http:
        question = body["messages"][-1]["content"].lower()
        found = [label for label, own in words.items() if any(w in question for w in own)]
        label = found[0] if found else next(iter(words))
        return sent(json.dumps({"label": label}) if "response_format" in body else label)

    return respond


@contextmanager
def serving(respond: Responder) -> Iterator[Server]:
    """Run a server that answers each request with `respond`."""
    server = Server("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = json.loads(self.rfile.read(length))
            server.asked.append(body)
            server.headers.append({k.lower(): v for k, v in self.headers.items()})
            status, headers, content = respond(body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


RIGHT = by_words(WORDS_OF)


FAST = RetryPolicy(attempts=8, initial=0.001, max_pause=0.01, max_total=5.0)


PRICED = {"usd_per_million_in": 1.0, "usd_per_million_out": 10.0}


@contextmanager
def endpoint_session(respond, *, asked=None, max_usd=None, retry_policy=FAST, **settings):
    end = Endpoint(**{"base_url": "https://model.example/v1", "model": "m", **settings})
    network = transport(respond, asked)
    with connect_endpoints(
        {"big": end}, max_usd=max_usd, retry_policy=retry_policy, transport=network
    ) as session:
        yield session


def fitted(name: str = "prompt", **params: Any) -> Strategy:
    strategy = build(name, seed=0, model="endpoint:big", **params)
    strategy.fit(TASK, pool())
    return strategy


def rows(count: int) -> list[Item]:
    return [Item(id=f"r{i}", text=f"{e.text} row {i}") for i, e in enumerate(pool(rows=count))]


def right(answers: Answers, count: int) -> bool:
    return answers.outputs == tuple(e.target for e in pool(rows=count))


def as_response(respond: Callable[[dict[str, Any]], Http], request: Any) -> Any:
    import httpx2

    status, headers, content = respond(json.loads(request.content))
    return httpx2.Response(status, headers=headers, content=content)
