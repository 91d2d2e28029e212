"""Chat completions as OpenAI's API words them, from a rule instead of a model."""

import hashlib
import json
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self
from urllib.parse import quote

from support.serving.faults import Mix, error, html, spoilt
from support.serving.wire import Listener, Reply, Request

# The question as the model reads it -> the probability of each label's readable name.
Rule = Callable[[str], Mapping[str, float]]

_PIECES = re.compile(r"\w{1,4}|\W")


def pieces(text: str) -> list[str]:
    """Cut a text into tokens; joined they are the text."""
    return _PIECES.findall(text)


def prompt_pieces(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the prompt's tokens, the roles included."""
    return [p for m in messages for p in (f"<{m['role']}>", *pieces(str(m["content"])))]


def content(label: str, body: Mapping[str, Any]) -> str:
    """Return the answer in the form that was asked for."""
    wanted = body.get("response_format") or {}
    if wanted.get("type") != "json_schema":
        return label
    return json.dumps(fill(wanted["json_schema"]["schema"], label))


def fill(schema: Mapping[str, Any], label: str) -> Any:
    """Return the least value that a schema allows, with the label wherever it fits."""
    if "enum" in schema:
        assert label in schema["enum"], f"{label!r} is not among {schema['enum']}"
        return label
    if schema.get("type") == "object":
        return {name: fill(inner, label) for name, inner in schema["properties"].items()}
    return {"string": label, "number": 0, "integer": 0, "boolean": False, "array": []}[
        schema["type"]
    ]


def completion(model, message, finish, usage):
    """Return a whole chat completion."""
    said = {"role": "assistant", "content": None, "refusal": None, **message}
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [choice],
        **({} if usage is None else {"usage": usage}),
    }


# What a lie says, and the status that a client should file it under.
FILED = {
    "filtered": "refused",
    "refusal": "refused",
    "empty": "empty",
    "length": "cut",
    "off-list": "off-list",
    "bad-json": "off-list",
    "two-labels": "off-list",
}

LIES = tuple(FILED)

# Token counts that no request has; NaN and infinity are written as Python writes them.
ABSURD = {"negative": -(10**9), "huge": 10**30, "nan": float("nan"), "infinite": float("inf")}

# Where a server may repeat the key that it was sent.
PLACES = ("model", "finish_reason", "refusal", "content", "error")


def told(lie: str | None, label: str, labels: Sequence[str], text: str) -> tuple[str, str, str]:
    """Return what is said, how it is said and why it ended: (content, refusal, finish reason).

    `text` is the true answer, which is JSON where JSON was asked for.
    """
    in_json = text != label
    other = next((name for name in labels if name != label), label)

    def form(said: str) -> str:
        return text.replace(json.dumps(label), json.dumps(said)) if in_json else said

    return {
        None: (text, "", "stop"),
        "filtered": ("", "", "content_filter"),
        "refusal": ("", "I'm sorry, but I can't help with that.", "stop"),
        "empty": ("", "", "stop"),
        "length": (text[: len(text) // 2], "", "length"),
        "off-list": (form("a splendid zebra"), "", "stop"),
        "bad-json": ('{"label": ' if in_json else "{]", "", "stop"),
        "two-labels": (form(f"{label} or {other}"), "", "stop"),
    }[lie]


def usage_as_said(usage: Mapping[str, int], counts: str) -> Any:
    """Return the usage as the server reports it."""
    if counts == "none":
        return None
    if counts == "absurd":
        return {"prompt_tokens": -7, "completion_tokens": "many", "total_tokens": 1e300}
    if counts in ABSURD:
        return dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), ABSURD[counts])
    return {
        "prompt_tokens": usage["in"],
        "completion_tokens": usage["out"],
        "total_tokens": usage["in"] + usage["out"],
        "prompt_tokens_details": {"cached_tokens": usage["cached"]},
        "completion_tokens_details": {"reasoning_tokens": usage["reasoning"]},
    }


# How a server may spell the key that it was sent.
SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "raw": str,
    "upper": str.upper,
    "blanks": lambda key: " ".join([key[: len(key) // 2], key[len(key) // 2 :]]),
    "spaced": " ".join,
    "url": lambda key: "".join(f"%{ord(char):02X}" for char in key),
    "part url": lambda key: quote(key.lower(), safe=""),
}


@dataclass(slots=True)
class Receipt:
    """One request: which one it was, asked the n-th time, what went wrong, what it cost.

    `paid` is set once the whole answer has gone out; `after_paid` where that had happened before.
    """

    key: str
    attempt: int
    after_paid: bool
    question: str
    fault: str | None = None
    lie: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    answered: bool = False
    paid: bool = False


class Ledger:
    """The server's own account; a question is identified by everything in its body."""

    def __init__(self) -> None:
        self.receipts: list[Receipt] = []
        self.now = self.peak = self.limited = 0
        self._lock = threading.Lock()
        self._attempts: Counter[str] = Counter()
        self._paid: set[str] = set()

    def open(self, body: Mapping[str, Any]) -> Receipt:
        """Note a request as it comes in."""
        key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        question = str(body["messages"][-1]["content"])
        with self._lock:
            self._attempts[key] += 1
            receipt = Receipt(key, self._attempts[key], key in self._paid, question)
            self.receipts.append(receipt)
            self.now += 1
            self.peak = max(self.peak, self.now)
        return receipt

    def close(self, receipt: Receipt, taken: bool) -> None:
        """Note how a request ended."""
        with self._lock:
            self.now -= 1
            receipt.paid = receipt.answered and taken
            if receipt.paid:
                self._paid.add(receipt.key)

    @property
    def requests(self) -> int:
        return len(self.receipts)

    @property
    def paid(self) -> list[Receipt]:
        return [receipt for receipt in list(self.receipts) if receipt.paid]

    @property
    def twice(self) -> list[Receipt]:
        """Return requests for what had been answered and paid for before."""
        return [receipt for receipt in list(self.receipts) if receipt.after_paid]

    @property
    def faults(self) -> Counter[str]:
        return Counter(receipt.fault for receipt in list(self.receipts) if receipt.fault)

    def tokens(self) -> Counter[str]:
        """Return the tokens of everything paid for, by kind."""
        total: Counter[str] = Counter()
        for receipt in self.paid:
            total.update(receipt.usage)
        return total


BLOCK = 16


class Prefixes:
    """Remembers beginnings; providers use larger blocks, and the principle is the same."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def known(self, prompt: Sequence[str]) -> int:
        """Return how many tokens of this prompt's beginning were seen before, and remember all."""
        running, known, unbroken = hashlib.sha256(), 0, True
        for end in range(BLOCK, len(prompt) + 1, BLOCK):
            running.update("\0".join(prompt[end - BLOCK : end]).encode())
            mark = running.digest()
            unbroken = unbroken and mark in self._seen
            known = end if unbroken else known
            self._seen.add(mark)
        return known


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

    def __init__(self, rule, habits=None, tls=None):
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
        receipt.usage = self._usage(prompt_pieces(body["messages"]), len(pieces(text)))
        usage = usage_as_said(receipt.usage, self.habits.counts)
        if (place := self.habits.echo_in) in message:
            message[place] = f"you sent {self._echo()}"
        answer = completion(self.habits.model, message, finish, usage)
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
