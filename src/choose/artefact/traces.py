"""Whether a folder holds labelled texts word for word; who ships it must know."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from choose.types import Example

# Texts that are looked for at most.
SOUGHT = 500


def rows_inside(folder: Path, rows: Sequence[Example]) -> int:
    """Return how many of up to 500 rows can be read in a folder's files.

    Texts of fewer than three words are not looked for: they are found in any vocabulary.
    """
    sought = [_forms(row.text) for row in rows if len(row.text.split()) >= 3][:SOUGHT]
    files = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    return sum(any(form in data for form in forms for data in files) for forms in sought)


def _forms(text: str) -> tuple[bytes, ...]:
    plain = text.encode("utf-8", "surrogatepass")
    escaped = json.dumps(text)[1:-1].encode()
    unescaped = json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")
    return tuple(dict.fromkeys((plain, escaped, unescaped)))
