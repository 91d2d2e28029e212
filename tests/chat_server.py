"""A small chat-completions server on loopback, for tests; what it answers is a function."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Responder = Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes]]


def completion(content: str | None, finish: str = "stop", **more: Any) -> dict[str, Any]:
    """Return the body of a chat completion."""
    usage = more.pop("usage", {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55})
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant"}}
    choice["message"] |= {"content": content, **more.pop("message", {})}
    return {"id": "c", "object": "chat.completion", "choices": [choice | more], "usage": usage}


def sent(
    content: str | None, finish: str = "stop", **more: Any
) -> tuple[int, dict[str, str], bytes]:
    """Return a completion as HTTP."""
    body = json.dumps(completion(content, finish, **more)).encode()
    return 200, {"content-type": "application/json"}, body


def error(status: int, message: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return an error as HTTP."""
    body = json.dumps({"error": {"message": message, "type": "t", "code": None}}).encode()
    return status, {"content-type": "application/json", **headers}, body


def labels_of(body: dict[str, Any]) -> list[str]:
    """Return the labels of a request with a schema."""
    schema = body["response_format"]["json_schema"]["schema"]
    labels: list[str] = schema["properties"]["label"]["enum"]
    return labels


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
