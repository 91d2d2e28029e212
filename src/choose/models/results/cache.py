"""Work of models that later studies of the same texts need not do again.

It lies in the user's cache: digests, numbers and seconds, no text. Off unless a study runs, so that
a program that labels a stream of millions does not fill it, nor a test meet what another one left.
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
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from choose.errors import ModelError
from choose.models.hardware.environment import cache_dir, processor
from choose.models.results.sqlite import CacheFile
from choose.schema.inventory import Kept

# Sets the limit in gigabytes; 0 keeps nothing.
SETTING, DEFAULT_GB = "CHOOSE_KEEP_GB", 2.0


# An array of one dimension, and the seconds it took to compute.
CachedArray = tuple[npt.NDArray[Any], float]


# Any change of this code invalidates the cache.
MODEL_CODE = Path(__file__).parents[1]

_PACKAGES = ("choose-llm", "torch", "transformers", "tokenizers", "sentence-transformers")


_ENABLED: ContextVar[bool] = ContextVar("choose_keeping", default=False)


@contextmanager
def caching() -> Iterator[None]:
    """Let models look up and keep their work inside the block.

    Raises:
        ModelError: if CHOOSE_KEEP_GB is no size.
    """
    token = _ENABLED.set(size_limit() > 0)
    try:
        yield
    finally:
        _ENABLED.reset(token)


@dataclass(frozen=True)
class ResultCache:
    """What one model computes in one way; empty, and nothing stays on it, outside of `keeping`.

    Entries hold for one set of weights, one version of the libraries and of `choose.models`, and
    one kind of processor: whatever can change their bits or what they cost.

    Attributes:
        made_by: all that identifies how the numbers come about: what they are, the weights, the
            number type, the device and, of an accelerator, its model.
        dtype: the arrays' own.
    """

    made_by: tuple[str, ...]
    dtype: npt.DTypeLike = np.float32

    def get(self, keys: Iterable[bytes]) -> dict[bytes, CachedArray]:
        """Return what has been computed before, and what that had cost, of what is asked for."""
        if not _ENABLED.get():
            return {}
        names = {self._name(key): key for key in keys}
        found = _file(_path(), size_limit()).get(names)
        return {
            names[name]: (np.frombuffer(value, self.dtype), seconds)
            for name, (value, seconds) in found.items()
        }

    def put(self, entries: Mapping[bytes, CachedArray]) -> None:
        """Keep what has been computed."""
        if _ENABLED.get():
            named = {
                self._name(key): (np.asarray(array, self.dtype).tobytes(), float(seconds))
                for key, (array, seconds) in entries.items()
            }
            _file(_path(), size_limit()).put(named)

    def _name(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, digest_size=20, key=self._space).digest()

    @cached_property
    def _space(self) -> bytes:
        whole = repr((self.made_by, np.dtype(self.dtype).str, _environment()))
        return hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=32).digest()


def size_limit() -> int:
    """Return how many bytes may be kept.

    Raises:
        ModelError: if CHOOSE_KEEP_GB is no size.
    """
    wanted = os.environ.get(SETTING)
    try:
        size = float(wanted) if wanted else DEFAULT_GB
        if not (isfinite(size) and size >= 0):
            raise ValueError
    except ValueError:
        raise ModelError(
            f"{SETTING} is {wanted!r}; it must be a number of gigabytes, such as 2, or 0 to keep "
            "nothing."
        ) from None
    return int(size * 1e9)


def cache_usage(paths: bool = False) -> Kept:
    """Return how much work is kept."""
    path, most = _path(), size_limit()
    return Kept(_file(path, most).bytes() / 1e6, most / 1e6, str(path) if paths else None)


def clear_cache() -> None:
    """Forget all kept work; weights and paid answers stay."""
    _file(_path(), size_limit()).clear()


def _path() -> Path:
    return cache_dir() / "kept" / "work-1.sqlite"


@cache
def _file(path: Path, most: int) -> CacheFile:
    def unusable(why: str) -> None:
        sys.stderr.write(
            f"Nothing is kept for the next study: cannot use {str(path)!r}: {why}. Free some "
            f"space, name another folder in CHOOSE_CACHE, or set {SETTING}=0.\n"
        )

    return CacheFile(path, most, unusable)


@cache
def _environment() -> tuple[str, ...]:
    """Return what else the bits and the cost of an entry depend on."""
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
