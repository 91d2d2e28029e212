"""The cache of embeddings and prompt scores, which later studies of the same texts reuse.

The file in the user's cache holds digests, numbers and seconds, no text. Caching is off outside of
studies, so that a program that labels a stream of millions does not fill it.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from choose.errors import ModelError
from choose.formatting import clean
from choose.models.environment_settings import cache_dir, processor
from choose.models.results.sqlite import CacheFile
from choose.schema.inventory import CacheUsage
from choose.untrusted import finite, shown

# The variable sets the limit in gigabytes; 0 switches caching off.
SETTING, DEFAULT_GB, MOST_GB = "CHOOSE_KEEP_GB", 2.0, 1e6


# An array of one dimension, and the seconds it took to compute.
CachedArray = tuple[npt.NDArray[Any], float]

# Any change of this code invalidates the cache.
MODEL_CODE = Path(__file__).parents[1]

_PACKAGES = ("choose-llm", "torch", "transformers", "tokenizers", "sentence-transformers")

_ENABLED: ContextVar[bool] = ContextVar("choose_keeping", default=False)


@contextmanager
def caching() -> Iterator[None]:
    """Let models use the cache inside the block.

    Raises:
        ModelError: if CHOOSE_KEEP_GB is not a size.
    """
    token = _ENABLED.set(size_limit() > 0)
    try:
        yield
    finally:
        _ENABLED.reset(token)


# Results by name, as bytes with the seconds each took; they mean the same on every machine.
Entries = dict[bytes, tuple[bytes, float]]

_ADDED: ContextVar[Entries | None] = ContextVar("choose_added", default=None)


@contextmanager
def collecting() -> Iterator[Entries]:
    """Collect the results that are cached inside the block, so that they can be sent on."""
    added: Entries = {}
    token = _ADDED.set(added)
    try:
        yield added
    finally:
        _ADDED.reset(token)


def add_entries(entries: Entries) -> None:
    """Cache results that another process has computed; no-op outside of `caching`."""
    if entries and _ENABLED.get():
        _file(_path(), size_limit()).put(entries)


@dataclass(frozen=True)
class ResultCache:
    """One model's results; always empty outside of `caching`.

    Keys cover everything that can change the bits or the cost of a result: the weights, the
    versions of the libraries, the code of `choose.models` and the kind of processor.

    Attributes:
        made_by: how the numbers are computed: their kind, the weights, the number type and the
            device, with an accelerator's model.
        dtype: the arrays' number type.
    """

    made_by: tuple[str, ...]
    dtype: npt.DTypeLike = np.float32

    def get(self, keys: Iterable[bytes]) -> dict[bytes, CachedArray]:
        """Return the cached arrays of these keys, with the seconds each had taken."""
        if not _ENABLED.get():
            return {}
        names = {self._name(key): key for key in keys}
        entries = _file(_path(), size_limit()).get(names)
        return {
            names[name]: (np.frombuffer(value, self.dtype), seconds)
            for name, (value, seconds) in entries.items()
        }

    def put(self, entries: Mapping[bytes, CachedArray]) -> None:
        """Write arrays with the seconds each took."""
        if _ENABLED.get():
            named = {
                self._name(key): (np.asarray(array, self.dtype).tobytes(), float(seconds))
                for key, (array, seconds) in entries.items()
            }
            _file(_path(), size_limit()).put(named)
            if (added := _ADDED.get()) is not None:
                added |= named

    def _name(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, digest_size=20, key=self._space).digest()

    @cached_property
    def _space(self) -> bytes:
        whole = repr((self.made_by, np.dtype(self.dtype).str, environment()))
        return hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=32).digest()


def size_limit() -> int:
    """Return the most bytes of the cache.

    Raises:
        ModelError: if CHOOSE_KEEP_GB is not a size.
    """
    setting = os.environ.get(SETTING)
    size = finite(setting) if setting else DEFAULT_GB
    if size is None or not 0 <= size <= MOST_GB:
        raise ModelError(
            f"{SETTING} is {shown(setting)}; it must be a number of gigabytes, such as 2, or 0 to "
            "switch the cache off."
        )
    return int(size * 1e9)


def cache_usage(paths: bool = False) -> CacheUsage:
    """Return the size of the cache and its limit in MB."""
    path, most = _path(), size_limit()
    return CacheUsage(_file(path, most).bytes() / 1e6, most / 1e6, str(path) if paths else None)


def clear_cache() -> None:
    """Delete the cached results; weights and paid answers stay."""
    _file(_path(), size_limit()).clear()


def _path() -> Path:
    return cache_dir() / "kept" / "work-1.sqlite"


@cache
def _file(path: Path, most: int) -> CacheFile:
    def unusable(why: str) -> None:
        message = (
            f"Results are not cached: cannot use {str(path)!r}: {why}. Free some space, name "
            f"another folder in CHOOSE_CACHE, or set {SETTING}=0."
        )
        sys.stderr.write(f"{clean(message)}\n")

    return CacheFile(path, most, unusable)


@cache
def environment() -> tuple[str, ...]:
    """Return what else the bits and the cost of a result depend on."""
    threads = os.environ.get("CHOOSE_THREADS", "")
    return (*_versions(), source_digest(MODEL_CODE), processor(), str(os.cpu_count()), threads)


def _versions() -> Iterator[str]:
    for package in _PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            yield package


def source_digest(folder: Path) -> str:
    """Return a digest of all Python files in a folder and the folders below it."""
    sha = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        sha.update(file.read_bytes())
    return sha.hexdigest()
