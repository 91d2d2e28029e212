"""Answers that are whole, billed and of no use, and usage that is not true."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

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
