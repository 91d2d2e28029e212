"""An OpenAI-compatible server that answers by a rule, keeps its own account and fails on cue.

It speaks real HTTP on 127.0.0.1. What it does is given when it is made (`Habits`, `Mix`) or told to
it while it runs (`cue`); what was asked of it is in `ledger`.
"""

import json
import ssl
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from support.serving.chat import Rule, completion, content, logprobs, pieces, prompt_pieces
from support.serving.faults import Mix, error, html, spoilt
from support.serving.ledger import Ledger, Receipt
from support.serving.lies import LIES, SPELLINGS, told, usage_as_said
from support.serving.prefixes import Prefixes
from support.serving.wire import Listener, Reply, Request

Taken = Literal["taken", "ignored", "refused"]


@dataclass(frozen=True, slots=True)
class Habits:
    """What this server can and cannot do; tokens are pieces of at most four letters.

    `counts` is ``true``, ``none``, ``absurd`` or a key of `ABSURD`. After `refuse_after` answers
    the key is refused. `echo` is the spelling of the key that `echo_in` a field is repeated.
    """

    model: str = "big-model"
    key: str | None = None
    json_mode: Taken = "taken"
    log_probs: Taken = "taken"
    temperature: Taken = "taken"
    max_tokens: Taken = "taken"
    reasoning: int = 0
    context: int | None = None
    seconds: float = 0.0
    per_minute: int | None = None
    counts: str = "true"
    refuse_after: int | None = None
    echo: str = ""
    echo_in: str = ""
    page: bool = False
    faults: Mix = field(default_factory=Mix)
    lies: Mix = field(default_factory=lambda: Mix(kinds=LIES))


class FaultyServer:
    """Use as a context manager; `url` is the base URL that a client is given."""

    def __init__(
        self, rule: Rule, habits: Habits | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.rule, self.habits, self.ledger = rule, habits or Habits(), Ledger()
        self.cues: deque[str] = deque()
        self.bodies: list[Mapping[str, Any]] = []
        self.listener = Listener(self._handle, self._ended, tls)
        self._prefixes, self._times = Prefixes(), deque[float]()
        self.refused, self.given = 0, ""
        self._scheme = "http" if tls is None else "https"

    def __enter__(self) -> Self:
        self.listener.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.gate.set()
        self.listener.__exit__()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.listener.port}/v1"

    def cue(self, *faults: str) -> None:
        """Let the next requests go wrong in these ways, one each."""
        self.cues.extend(faults)

    def _ended(self, reply: Reply, taken: bool) -> None:
        if isinstance(reply.tag, Receipt):
            self.ledger.close(reply.tag, taken)

    def _handle(self, request: Request) -> Reply:
        if self.habits.page:
            return html(200)
        key = self.habits.key
        if key is not None and request.headers.get("authorization") != f"Bearer {key}":
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            return error(401, f"Incorrect API key provided: {given}.", "invalid_api_key")
        limit = self.habits.refuse_after
        if limit is not None and len(self.ledger.receipts) >= limit:
            self.refused += 1
            return error(401, "Incorrect API key provided.", "invalid_api_key")
        self.given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.habits.echo_in == "error":
            return error(400, f"bad key {self._echo()}")
        if request.path == "/v1/models":
            known = {"id": self.habits.model, "object": "model", "created": 0, "owned_by": "us"}
            return Reply(body=json.dumps({"object": "list", "data": [known]}).encode())
        if request.path != "/v1/chat/completions" or request.method != "POST":
            return error(404, f"Unknown request URL: {request.method} {request.path}.")
        return self._chat(json.loads(request.body))

    def _chat(self, body: Mapping[str, Any]) -> Reply:
        refused = self._refused(body) or self._limited()
        if refused is not None:
            return refused
        receipt = self.ledger.open(body)
        self.bodies.append(body)
        whole = self._answer(body, receipt)
        fault = self.cues.popleft() if self.cues else None
        fault = fault or self.habits.faults.pick(receipt.key, receipt.attempt)
        if fault is None:
            receipt.answered = True
            return replace(whole, wait=self.habits.seconds, headers=self._headers())
        receipt.fault = fault
        return replace(spoilt(fault, whole), tag=receipt)

    def _refused(self, body: Mapping[str, Any]) -> Reply | None:
        """Return what a server says that does not take a field, or has no such model."""
        if body.get("model") != self.habits.model:
            told = (
                f"The model `{body.get('model')}` does not exist or you do not have access to it."
            )
            return error(404, told, "model_not_found")
        fields = {
            "response_format": self.habits.json_mode,
            "logprobs": self.habits.log_probs,
            "temperature": self.habits.temperature,
            "max_tokens": self.habits.max_tokens,
        }
        for name, taken in fields.items():
            if taken == "refused" and body.get(name) is not None:
                told = f"Unsupported parameter: '{name}' is not supported with this model."
                return error(400, told, "unsupported_parameter", name)
        length, most = len(prompt_pieces(body["messages"])), self.habits.context
        if most is not None and length > most:
            told = f"This model's maximum context length is {most} tokens. However, your messages "
            told += f"resulted in {length} tokens. Please reduce the length of the messages."
            return error(400, told, "context_length_exceeded", "messages")
        return None

    def _limited(self) -> Reply | None:
        """Hold the server's own limit of requests in any 60 seconds."""
        most, now = self.habits.per_minute, time.monotonic()
        if most is None:
            return None
        while self._times and self._times[0] < now - 60:
            self._times.popleft()
        if len(self._times) < most:
            self._times.append(now)
            return None
        late = error(429, "Rate limit reached for requests", "rate_limit_exceeded")
        self.ledger.limited += 1
        return replace(late, headers={"retry-after": f"{self._free():.1f}", **self._headers()})

    def _free(self) -> float:
        """Return the seconds until the oldest of the counted requests counts no more."""
        return self._times[0] + 60 - time.monotonic() if self._times else 60.0

    def _headers(self) -> Mapping[str, str]:
        most = self.habits.per_minute
        if most is None:
            return {}
        left = max(most - len(self._times), 0)
        return {
            "x-ratelimit-limit-requests": str(most),
            "x-ratelimit-remaining-requests": str(left),
            "x-ratelimit-reset-requests": f"{self._free():.3f}s",
        }

    def _answer(self, body: Mapping[str, Any], receipt: Receipt) -> Reply:
        chances = self.rule(str(body["messages"][-1]["content"]))
        label = max(chances, key=lambda name: chances[name])
        form = body if self.habits.json_mode == "taken" else {}
        lie = self.habits.lies.pick(receipt.key, 0)
        text, refusal, finish = told(lie, label, list(chances), content(label, form))
        message = {"content": text if not refusal else None, "refusal": refusal or None}
        receipt.lie = lie
        more: dict[str, Any] = {}
        if body.get("logprobs") and self.habits.log_probs == "taken":
            more["logprobs"] = logprobs(text, chances, int(body.get("top_logprobs") or 0))
        receipt.usage = self._usage(prompt_pieces(body["messages"]), len(pieces(text)))
        usage = usage_as_said(receipt.usage, self.habits.counts)
        if (place := self.habits.echo_in) in message:
            message[place] = f"you sent {self._echo()}"
        answer = completion(self.habits.model, message, finish, usage, more)
        if place == "model":
            answer["model"] = f"model for {self._echo()}"
        if place == "finish_reason":
            answer["choices"][0]["finish_reason"] = self._echo()
        return Reply(body=json.dumps(answer).encode(), tag=receipt)

    def _echo(self) -> str:
        return SPELLINGS[self.habits.echo](self.given)

    def _usage(self, prompt: Sequence[str], written: int) -> dict[str, int]:
        return {
            "in": len(prompt),
            "cached": self._prefixes.known(prompt),
            "out": written + self.habits.reasoning,
            "reasoning": self.habits.reasoning,
        }
