"""The cache of embeddings and prompt scores, which later studies of the same texts reuse.

The file in the user's cache holds digests, numbers and seconds, no text. Caching is off outside of
studies, so that a program that labels a stream of millions does not fill it.
"""

import hashlib
import os
import sqlite3
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from choose.engines.environment_settings import cache_dir, processor
from choose.errors import ModelError
from choose.formatting import clean
from choose.outside_values import finite, shown

T = TypeVar("T")

# The bytes of an array, and the seconds it took to compute.
Entry = tuple[bytes, float]

# A page holds several entries of the usual 1 to 2 kB; SQLite's own 4 kB are four times slower.
PAGE_BYTES = 16_384

# Keys in one query: SQLite before 3.32 takes 999 at most.
KEYS_PER_QUERY = 500

# Seconds to wait for another process; an entry that is not written then is computed again.
BUSY_TIMEOUT = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS kept (
    key BLOB UNIQUE NOT NULL, value BLOB NOT NULL, seconds REAL NOT NULL, checksum INTEGER NOT NULL
);
"""

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

# Codes that mean that the file itself is damaged; a truncated one shows as a short read.
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_TRUNCATED = sqlite3.SQLITE_IOERR_SHORT_READ


class CacheFile:
    """A cache file; if it vanishes, is damaged, full or locked, lookups return nothing.

    It is opened anew each time, so that threads and forked processes may share it; only its owner
    may read it. `unusable` is called once, with the reason why it cannot be used at all.
    """

    def __init__(self, path: Path, limit: int, unusable: Callable[[str], None]) -> None:
        self.path, self.limit, self._unusable = path, limit, unusable
        self._off = False

    def get(self, keys: Iterable[bytes]) -> dict[bytes, Entry]:
        """Return the entries of these keys that are in the file."""
        wanted = list(keys)
        return self._attempt(lambda file: _read(file, wanted), {}) if wanted else {}

    def put(self, entries: Mapping[bytes, Entry]) -> None:
        """Write entries, all or none; evict the oldest over the limit."""
        if entries:
            self._attempt(lambda file: _write(file, entries, self.limit), None)

    def clear(self) -> None:
        for end in ("", "-journal", "-wal", "-shm"):
            with suppress(OSError):
                self.path.with_name(self.path.name + end).unlink(missing_ok=True)

    def _attempt(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Work with the file; if it is damaged, once more with a new one."""
        for again in (True, False):
            if self._off:
                break
            try:
                return self._work(work)
            except sqlite3.Error as error:
                code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
                if code & 0xFF in _BUSY:
                    break
                # Other processes use the file, so no error of disk, memory or code deletes it.
                if again and (code & 0xFF in _CORRUPT or code == _TRUNCATED):
                    self.clear()
                else:
                    self._give_up(str(error))
            except OSError as error:
                self._give_up(error.strerror or str(error))
        return otherwise

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        opened = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT, isolation_level="IMMEDIATE")
        with closing(opened) as file, file:
            file.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            # A kill loses no written entry; a power cut may damage the file, which shows.
            file.execute("PRAGMA synchronous = OFF")
            file.execute(_SCHEMA)
            return work(file)

    def _give_up(self, why: str) -> None:
        self._off = True
        self._unusable(why)


def _read(file: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, Entry]:
    entries: dict[bytes, Entry] = {}
    for first in range(0, len(keys), KEYS_PER_QUERY):
        part = keys[first : first + KEYS_PER_QUERY]
        marks = ",".join("?" * len(part))
        for key, *entry, checksum in file.execute(
            f"SELECT * FROM kept WHERE key IN ({marks})", part
        ):
            if checksum == _checksum(key, *entry):
                entries[key] = entry[0], entry[1]
    return entries


def _write(file: sqlite3.Connection, entries: Mapping[bytes, Entry], limit: int) -> None:
    """Write entries; delete the oldest over the limit, down to 90 % of it."""
    file.executemany(
        "INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)",
        ((key, *entry, _checksum(key, *entry)) for key, entry in entries.items()),
    )
    (pages,) = file.execute("PRAGMA page_count").fetchone()
    (free,) = file.execute("PRAGMA freelist_count").fetchone()
    if (size := int(pages - free) * PAGE_BYTES) > limit:
        (count,) = file.execute("SELECT count(*) FROM kept").fetchone()
        oldest = "SELECT rowid FROM kept ORDER BY rowid LIMIT ?"
        most = ceil(count * (1 - 0.9 * limit / size))
        file.execute(f"DELETE FROM kept WHERE rowid IN ({oldest})", (most,))


def _checksum(key: bytes, value: bytes, seconds: float) -> int:
    """Return a checksum, since SQLite has none: a flipped bit must not change a result."""
    return zlib.crc32(struct.pack("<d", seconds), zlib.crc32(value, zlib.crc32(key)))


# The variable sets the limit in gigabytes; 0 switches caching off.
SETTING, DEFAULT_GB, MOST_GB = "CHOOSE_KEEP_GB", 2.0, 1e6

# An array of one dimension, and the seconds it took to compute.
CachedArray = tuple[npt.NDArray[Any], float]

# Any change of this code invalidates the cache.
MODEL_CODE = tuple(Path(__file__).parents[1] / folder for folder in ("engines", "models"))

_PACKAGES = ("torch", "transformers", "tokenizers", "sentence-transformers")

_ENABLED: ContextVar[bool] = ContextVar("choose_keeping", default=False)


@contextmanager
def caching() -> Iterator[None]:
    """Let models use the cache inside the block."""
    token = _ENABLED.set(size_limit() > 0)
    try:
        yield
    finally:
        _ENABLED.reset(token)


@dataclass(frozen=True)
class ResultCache:
    """One model's results; always empty outside of `caching`.

    Keys cover everything that can change the bits or the cost of a result: the weights, the
    versions of the libraries, the code of engines and models, and the kind of processor.

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
        return {
            names[name]: (np.frombuffer(value, self.dtype), seconds)
            for name, (value, seconds) in _file().get(names).items()
        }

    def put(self, entries: Mapping[bytes, CachedArray]) -> None:
        if _ENABLED.get():
            named = {
                self._name(key): (np.asarray(array, self.dtype).tobytes(), float(seconds))
                for key, (array, seconds) in entries.items()
            }
            _file().put(named)

    def _name(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, digest_size=20, key=self._space).digest()

    @cached_property
    def _space(self) -> bytes:
        whole = repr((self.made_by, np.dtype(self.dtype).str, environment()))
        return hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=32).digest()


def size_limit() -> int:
    setting = os.environ.get(SETTING)
    size = finite(setting) if setting else DEFAULT_GB
    if size is None or not 0 <= size <= MOST_GB:
        raise ModelError(
            f"{SETTING} is {shown(setting)}; it must be a number of gigabytes, such as 2, or 0 to "
            "switch the cache off."
        )
    return int(size * 1e9)


def _file() -> CacheFile:
    return _file_at(cache_dir() / "kept" / "work-4.sqlite", size_limit())


@cache
def _file_at(path: Path, most: int) -> CacheFile:
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
    machine = (processor(), str(os.cpu_count()), os.environ.get("CHOOSE_THREADS", ""))
    return (*map(version, _PACKAGES), source_digest(*MODEL_CODE), *machine)


def source_digest(*folders: Path) -> str:
    sha = hashlib.sha256()
    for file in (file for folder in folders for file in sorted(folder.rglob("*.py"))):
        sha.update(file.read_bytes())
    return sha.hexdigest()
