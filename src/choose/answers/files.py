"""Read a file of answers: a table, or what a tool or a batch service wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from choose.answers import batches, inspect_log, lm_eval, promptfoo
from choose.answers.columns import AnswerFile, laid_out
from choose.data.readers.table_file import LARGEST, checked_file, read_source
from choose.errors import ChooseError, DataError


def read_answers(path: str, scores: bool = False) -> AnswerFile:
    """Read a file of answers; with `scores`, what a tool scored in place of what models wrote."""
    head = _head(path)
    for tool in (inspect_log, promptfoo, lm_eval, batches):
        if Path(path).is_file() and tool.wrote(path, head):
            return _of_tool(path, tool, head, scores)
    source = read_source(path)
    return AnswerFile(path=path, table=source.table, scores=scores, notes=source.notes)


def _of_tool(path: str, tool: Any, head: Mapping[str, Any], scores: bool) -> AnswerFile:
    """Read what a tool wrote; a reader takes the form of its version for granted."""
    try:
        return laid_out(path, tool.TOOL, tool.read(path, head), scores)
    except ChooseError:
        raise
    except (AttributeError, TypeError, LookupError, ValueError, ArithmeticError) as error:
        raise DataError(
            f"{path!r} is not laid out as {tool.TOOL} writes it. Write it again with a current "
            "version, or give a table with a column label and one a candidate."
        ) from error


def _head(path: str) -> Mapping[str, Any]:
    """Return the object that a JSON file is, or the first line of JSON Lines; else nothing."""
    lower, found = path.lower(), None
    if lower.endswith((".json", ".jsonl", ".ndjson")):
        with suppress(OSError, ValueError, RecursionError), checked_file(path, LARGEST) as file:
            text = file.open(encoding="utf-8-sig")
            with text:
                found = json.loads(text.read() if lower.endswith(".json") else text.readline())
    return found if isinstance(found, Mapping) else {}
