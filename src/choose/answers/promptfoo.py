"""Results of promptfoo: ``promptfoo eval -o results.json``, version 3 of its results."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from choose.answers.columns import GOLD, TEXTS, Answered, as_text
from choose.data.readers.column_guess import usual
from choose.errors import DataError

TOOL = "promptfoo"

# The results that are read; others have other fields.
VERSION = 3

# Assertions whose value is a right answer.
_EQUAL = ("equals", "iequals", "icontains", "contains", "is-equal")


def wrote(path: str, head: Mapping[str, Any]) -> bool:
    return "evalId" in head and isinstance(head.get("results"), Mapping)


def read(path: str, head: Mapping[str, Any]) -> Iterator[Answered]:
    """Yield the answers of a file; each prompt of a provider is a candidate of its own."""
    found = head["results"]
    results = found.get("results")
    if found.get("version") != VERSION or not isinstance(results, list):
        raise DataError(
            f"{path!r} holds version {found.get('version')!r} of promptfoo's results, and version "
            f"{VERSION} is read. Run promptfoo eval -o results.json with a current promptfoo."
        )
    prompts: dict[str, list[Any]] = {}
    for one in results:
        known = prompts.setdefault(_provider(one), [])
        if one.get("promptIdx") not in known:
            known.append(one.get("promptIdx"))
    rows: dict[str, str] = {}
    draws: Counter[tuple[str, str]] = Counter()
    for one in results:
        name = _provider(one)
        if len(prompts[name]) > 1:
            name = f"{name} prompt {1 + prompts[name].index(one.get('promptIdx'))}"
        # A repeated test has another number, and the same variables.
        same = json.dumps(one.get("vars"), sort_keys=True)
        row = rows.setdefault(same, str(one.get("testIdx", len(rows))))
        yield _answered(one, name, row, draws[name, row])
        draws[name, row] += 1


def _provider(one: Mapping[str, Any]) -> str:
    provider = one.get("provider") or {}
    return str(provider.get("label") or provider.get("id") or "provider")


def _answered(one: Mapping[str, Any], name: str, row: str, draw: int) -> Answered:
    variables, response = one.get("vars") or {}, one.get("response") or {}
    gold = usual(list(variables), GOLD)
    text = usual([key for key in variables if key != gold], TEXTS)
    tokens, latency = response.get("tokenUsage") or {}, one.get("latencyMs")
    return Answered(
        row=row,
        candidate=name,
        draw=draw,
        answer=as_text(response.get("output")),
        failed=response.get("output") is None,
        text=str(variables[text]) if text else (one.get("prompt") or {}).get("raw"),
        gold=variables[gold] if gold else _asserted(one),
        score=one.get("score"),
        seconds=latency / 1000 if isinstance(latency, int | float) else None,
        tokens_in=tokens.get("prompt"),
        tokens_out=tokens.get("completion"),
        usd=response.get("cost"),
    )


def _asserted(one: Mapping[str, Any]) -> str | None:
    """Return the value of an assertion that an answer is or holds it, if there is one."""
    for part in (one.get("gradingResult") or {}).get("componentResults") or ():
        asserted = part.get("assertion") or {}
        if asserted.get("type") in _EQUAL:
            shown = (part.get("metadata") or {}).get("renderedAssertionValue")
            value = asserted.get("value") if shown is None else shown
            return value if isinstance(value, str) else json.dumps(value)
    return None
