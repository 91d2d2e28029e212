"""Logs of inspect: ``.eval``, a ZIP archive with a file a sample, and ``.json``."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import polars as pl

from choose.answers.columns import Answered, as_text
from choose.data.readers.table_file import LARGEST
from choose.errors import DataError

TOOL = "inspect"

# Method 93 of a ZIP archive is zstd, which Python reads from 3.14 on.
ZSTD = 93

# Scores that inspect writes as letters.
_LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}


def wrote(path: str, head: Mapping[str, Any]) -> bool:
    return path.lower().endswith(".eval") or {"eval", "status", "version"} <= head.keys()


def read(path: str, head: Mapping[str, Any]) -> Iterator[Answered]:
    """Yield the answers of a log; epochs are draws, and samples with an error have none."""
    log = head or _archive(path)
    if not log.get("samples"):
        raise DataError(f"{path!r} holds no samples: it was written with --no-log-samples.")
    name = str(log["eval"].get("model", "model")).rpartition("/")[2]
    for sample in log["samples"]:
        scored: Mapping[str, Any] = next(iter((sample.get("scores") or {}).values()), {})
        usage: Mapping[str, Any] = next(iter((sample.get("model_usage") or {}).values()), {})
        completion = (sample.get("output") or {}).get("completion")
        asked, target = sample.get("input"), sample.get("target")
        value = scored.get("value")
        yield Answered(
            row=str(sample.get("id")),
            candidate=name,
            draw=int(sample.get("epoch") or 1) - 1,
            answer=as_text(scored.get("answer") or completion),
            failed=bool(sample.get("error")),
            text=asked if isinstance(asked, str) else as_text((asked or [{}])[-1].get("content")),
            gold=target[0] if isinstance(target, list) and target else target or None,
            score=_LETTERS.get(value) if isinstance(value, str) else value,
            seconds=sample.get("working_time"),
            tokens_in=usage.get("input_tokens"),
            tokens_out=usage.get("output_tokens"),
        )


def _archive(path: str) -> Mapping[str, Any]:
    try:
        with ZipFile(path) as archive:
            parts = {i.filename: i for i in archive.infolist()}
            if sum(part.file_size for part in parts.values()) > LARGEST:
                raise DataError(f"{path!r} unpacks to more than {LARGEST / 1e9:g} GB.")
            if "header.json" not in parts:
                raise DataError(f"{path!r} is a log of a run that has not ended. Wait for it.")
            samples = [_part(path, parts[name]) for name in parts if name.startswith("samples/")]
            return {**_part(path, parts["header.json"]), "samples": samples}
    except (BadZipFile, OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path!r} cannot be read as a log of inspect: {error}.") from error


def _part(path: str, part: ZipInfo) -> Mapping[str, Any]:
    """Return one JSON file of an archive; polars decompresses zstd."""
    if part.compress_type != ZSTD:
        with ZipFile(path) as archive:
            found = json.loads(archive.read(part))
    else:
        with Path(path).open("rb") as file:
            file.seek(part.header_offset)
            head = file.read(30)  # the lengths of the name and of further fields come last
            lengths = (int.from_bytes(head[i : i + 2], "little") for i in (26, 28))
            file.seek(part.header_offset + 30 + sum(lengths))
            lines = pl.read_lines(io.BytesIO(file.read(part.compress_size))).to_series()
        found = json.loads("\n".join(lines))
    return found if isinstance(found, Mapping) else {}
