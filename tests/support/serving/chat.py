"""Chat completions as OpenAI's API words them, from a rule instead of a model."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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


def logprobs(text: str, chances: Mapping[str, float], top: int) -> dict[str, Any]:
    """Return each token's log-probability; the labels' chances stand where a label begins."""
    label = max(chances, key=lambda name: chances[name])
    at = max(text.find(label), 0)
    tokens, place, rows = pieces(text), 0, []
    for token in tokens:
        shares = _first_pieces(chances) if place == at else {token: 1.0}
        shares.setdefault(token, 1e-9)
        ranked = sorted(shares.items(), key=lambda pair: -pair[1])[:top]
        rows.append(_row(token, shares[token], ranked))
        place += len(token)
    return {"content": rows, "refusal": None}


def _first_pieces(chances: Mapping[str, float]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for name, chance in chances.items():
        first = pieces(name)[0]
        shares[first] = shares.get(first, 0.0) + chance
    return shares


def _row(token: str, share: float, ranked: Sequence[tuple[str, float]]) -> dict[str, Any]:
    def entry(piece: str, chance: float) -> dict[str, Any]:
        value = math.log(max(chance, 1e-9))
        return {"token": piece, "logprob": value, "bytes": list(piece.encode())}

    return {**entry(token, share), "top_logprobs": [entry(*pair) for pair in ranked]}


def completion(
    model: str, message: Mapping[str, Any], finish: str, usage: object, more: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a whole chat completion."""
    said = {"role": "assistant", "content": None, "refusal": None, **message}
    choice = {"index": 0, "message": said, "finish_reason": finish, "logprobs": None, **more}
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [choice],
        **({} if usage is None else {"usage": usage}),
    }
