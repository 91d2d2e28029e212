"""The packed answers of a set: one small JSON file, with no text and no label."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from choose.files import write_json, write_text
from choose.run.trial import versions
from real_sets.measure import Fit
from real_sets.packed import pack
from real_sets.plan import ends
from real_sets.sources import Source, read
from real_sets.worker import Place

FORMAT = 1


def write_packed(place: Place, fits: Sequence[Fit], folder: Path) -> int:
    """Write one file a set from its finished fits; return 1 where a set has none."""
    missing = 0
    for name in dict.fromkeys(fit.set for fit in fits):
        source = read(place.data, name)
        records = [r for fit in fits if fit.set == name and (r := place.finished(fit))]
        stale = [r for r in records if r.pop("hashes") != source.hashes]
        if stale or not records:
            missing = 1
            print(f"{name}: {len(stale)} of {len(records)} fits are of other files; not packed")
            continue
        write_text(folder / f"{name}.json", text_of(_head(source, place.rows), records))
        print(f"{name}: {len(records)} fits packed")
    return missing


def restore_packed(place: Place, fits: Sequence[Fit], folder: Path) -> int:
    """Count fits that are packed already as finished; return how many were not there before.

    A set whose parts of the rows ended elsewhere, or whose files have changed, is left alone.
    """
    restored = 0
    for name in dict.fromkeys(fit.set for fit in fits):
        path, source = folder / f"{name}.json", read(place.data, name)
        if not path.is_file():
            continue
        packed = json.loads(path.read_text(encoding="utf-8"))
        head = _head(source, place.rows)
        if any(packed[part] != head[part] for part in ("format", "sha256", "parts")):
            continue
        records = {_cell(record): record for record in packed["fits"]}
        for fit in fits:
            record = records.get((fit.candidate, fit.size, fit.draw, fit.part))
            if fit.set == name and record and not place.path(fit).exists():
                write_json(place.path(fit), {**record, "hashes": source.hashes})
                restored += 1
    return restored


def _cell(record: dict[str, Any]) -> tuple[str, int, int, int]:
    return record["candidate"], record["size"], record["draw"], record.get("part", 0)


def _head(source: Source, rows: Sequence[int]) -> dict[str, Any]:
    last = ends(source.name, rows)
    parts = [set(source.sample(*part)) for part in pairwise([0, *last])]
    return {
        "format": FORMAT,
        "set": source.name,
        "sha256": source.hashes,
        "labels": source.classes,
        "pool": len(source.train),
        "rows": len(source.test),
        "parts": [pack(np.array([row.id in part for row in source.test])) for part in parts],
        "machine": platform.machine(),
        "versions": versions(),
    }


def text_of(head: dict[str, Any], records: Sequence[dict[str, Any]]) -> str:
    """Return the file's text: the head, then one fit a line."""
    lines = ",\n".join("  " + json.dumps(record) for record in records)
    opened = json.dumps(head, indent=1).removesuffix("\n}")
    return f'{opened},\n "fits": [\n{lines}\n ]\n}}\n'
