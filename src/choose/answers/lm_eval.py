"""Samples of lm-evaluation-harness: ``samples_TASK_DATE.jsonl``, written with ``--log_samples``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from choose.answers.columns import TEXTS, Answered, as_text, json_lines
from choose.data.readers.column_guess import usual

TOOL = "lm-eval"


def wrote(path: str, head: Mapping[str, Any]) -> bool:
    return {"doc_id", "filtered_resps", "target"} <= head.keys()


def read(path: str, head: Mapping[str, Any]) -> Iterator[Answered]:
    """Yield the answers of a file, of the first of its filters.

    The candidate is named after the folder, which lm-eval names after the model.
    """
    name = Path(path).absolute().parent.name.rpartition("__")[2] or "model"
    first = head.get("filter")
    for _, line in json_lines(path):
        if line.get("filter") != first:
            continue
        choices, answer = _choices(line), line["filtered_resps"][0]
        target = as_text(line["target"]) or ""
        if choices:
            likeliest = [float(pair[0]) for pair in line["filtered_resps"]]
            answer = choices[likeliest.index(max(likeliest))]
            if target.isdigit() and int(target) < len(choices):
                target = choices[int(target)]
        metrics = [line.get(metric) for metric in line.get("metrics", ())]
        yield Answered(
            row=str(line["doc_id"]),
            candidate=name,
            answer=as_text(answer),
            text=_question(line),
            gold=target.strip() or None,
            score=next((m for m in metrics if isinstance(m, int | float)), None),
        )


def _choices(line: Mapping[str, Any]) -> list[str]:
    """Return the texts whose likelihood was compared; none where an answer was generated."""
    compared = all(isinstance(r, list) and len(r) == 2 for r in line["filtered_resps"])
    asked = line.get("arguments") or {}
    parts = asked.values() if isinstance(asked, Mapping) else asked
    if not compared:
        return []
    return [str(p["arg_1"] if isinstance(p, Mapping) else p[1]).strip() for p in parts]


def _question(line: Mapping[str, Any]) -> str | None:
    doc = line.get("doc") or {}
    key = usual(list(doc), TEXTS)
    return str(doc[key]) if key else None
