"""Outputs of batches at OpenAI and Anthropic, one answer a line, joined by ``custom_id``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from choose.answers.columns import Answered, json_lines

TOOL = "a batch service"


def wrote(path: str, head: Mapping[str, Any]) -> bool:
    return "custom_id" in head and bool({"response", "result"} & head.keys())


def read(path: str, head: Mapping[str, Any]) -> Iterator[Answered]:
    """Yield the answers of a file; requests that failed or expired have none."""
    bodies = {str(line.get("custom_id")): _body(line) for _, line in json_lines(path)}
    # A request that failed names no model.
    model = next((str(body["model"]) for body in bodies.values() if body.get("model")), "batch")
    for row, body in bodies.items():
        usage, text = body.get("usage") or {}, _text(body)
        yield Answered(
            row=row,
            candidate=str(body.get("model") or model),
            answer=text,
            failed=text is None,
            tokens_in=usage.get("prompt_tokens", usage.get("input_tokens")),
            tokens_out=usage.get("completion_tokens", usage.get("output_tokens")),
        )


def _body(line: Mapping[str, Any]) -> Mapping[str, Any]:
    response, result = line.get("response") or {}, line.get("result") or {}
    return result.get("message") or response.get("body") or {}


def _text(body: Mapping[str, Any]) -> str | None:
    """Return what a model wrote: a chat completion, a response, or a message of Anthropic."""
    if choices := body.get("choices"):
        message = choices[0].get("message") or {}
        return message.get("content") or message.get("refusal") or ""
    said = [part for item in body.get("output") or () for part in item.get("content") or ()]
    parts = [part.get("text") for part in said or body.get("content") or ()]
    texts = [text for text in parts if isinstance(text, str)]
    return "".join(texts) if texts else None
