"""The cache: used by later processes, never wrong, never in the way."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from choose.conformance import TASK, pool
from choose.engines import output_cache as cache
from choose.engines.embeddings import Encoder, load_encoder
from choose.engines.output_cache import CacheFile, ResultCache, _file_at, caching
from choose.strategy import build

TEXTS = [example.text for example in pool(rows=40)]
ROW = np.arange(8, dtype=np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHOOSE_KEEP_GB", "1")
    monkeypatch.setattr("choose.engines.output_cache.cache_dir", lambda: tmp_path / "kept-here")
    _file_at.cache_clear()
    return tmp_path / "kept-here" / "kept"


def anew(encoder: str) -> Encoder:
    loaded = load_encoder(encoder)
    return Encoder(loaded.model, loaded.cache)


def file(path: Path, limit: int = 10**9) -> CacheFile:
    return CacheFile(path, limit, pytest.fail)


def test_the_next_process_finds_vectors_to_the_bit_and_what_they_had_cost(encoder, monkeypatch):
    with caching():
        first = anew(encoder)
        vectors = first.embed(TEXTS)
        second = anew(encoder)
        monkeypatch.setattr(second.model, "encode", lambda *_, **__: pytest.fail("computed again"))
        assert np.array_equal(second.embed(TEXTS[::-1]), vectors[::-1])
    first_cost, cost = (one.cached_seconds(TEXTS) for one in (first, second))
    assert cost == pytest.approx(first_cost)
    assert min(seconds for _, seconds in second.vectors.values()) > 0


@pytest.mark.parametrize("name", ["probe", "knn"])
def test_a_warm_fit_answers_the_same_and_costs_what_it_had_cost(name: str, encoder: str) -> None:
    rows = pool(rows=24)
    runs = []
    for _ in ("cold", "warm"):
        load_encoder(encoder).vectors.clear()
        strategy: Any = build(name, seed=0, encoder=encoder)
        with caching():
            strategy.fit(TASK, rows)
            answers = strategy.predict([row.item() for row in rows])
            runs.append((answers, strategy.facts()["cached_seconds"]))
    (cold, before), (warm, after) = runs
    assert np.array_equal(cold.scores, warm.scores)
    assert after > before >= 0


def test_nothing_is_cached_outside_of_a_study_or_in_zero_gigabytes(encoder, folder, monkeypatch):
    anew(encoder).embed(TEXTS)
    monkeypatch.setenv("CHOOSE_KEEP_GB", "0")
    with caching():
        anew(encoder).embed(TEXTS)
    assert not folder.exists()


def test_it_holds_no_text_and_only_its_owner_may_read_it(encoder: str, folder: Path) -> None:
    secret = "the-patient-is-called-Xanthippe"
    with caching():
        anew(encoder).embed([secret])
    files = list(folder.iterdir())
    assert files
    assert not any(b"anthippe" in f.read_bytes() for f in files)
    assert (folder / "work-4.sqlite").stat().st_mode & 0o077 == 0


def test_other_weights_number_types_and_labels_are_other_keys() -> None:
    with caching():
        ResultCache(("a", "float32")).put({b"k": (ROW, 1.0)})
        assert ResultCache(("a", "float32")).get([b"k"])
        assert not ResultCache(("b", "float32")).get([b"k"])
        assert not ResultCache(("a", "bfloat16")).get([b"k"])
        assert not ResultCache(("a", "float32"), np.float64).get([b"k"])


def test_the_oldest_are_evicted(tmp_path):
    here = file(tmp_path / "small.sqlite", limit=2_000_000)
    for part in range(10):
        here.put({b"%d %d" % (part, n): (os.urandom(3_000), 1.0) for n in range(100)})
    with sqlite3.connect(here.path) as other:
        assert other.execute("SELECT sum(length(value)) FROM kept").fetchone()[0] < 2_000_000
    found = here.get([b"%d %d" % (part, 50) for part in range(10)])
    assert b"1 50" not in found
    assert b"9 50" in found


def test_a_flipped_bit_is_not_an_answer(tmp_path: Path) -> None:
    here = file(tmp_path / "f.sqlite")
    here.put({b"k": (b"right", 1.0), b"other": (b"fine", 1.0)})
    with sqlite3.connect(tmp_path / "f.sqlite") as direct:
        direct.execute("UPDATE kept SET value = ? WHERE key = ?", (b"wrong", b"k"))
    assert here.get([b"k", b"other"]) == {b"other": (b"fine", 1.0)}
    here.put({b"k": (b"right", 1.0)})
    assert here.get([b"k"]) == {b"k": (b"right", 1.0)}


@pytest.mark.parametrize(
    "content", [b"no database at all" * 99, b"SQLite format 3\0" + b"\7" * 9000]
)
def test_a_damaged_file_is_replaced(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f.sqlite"
    path.write_bytes(content)
    here = file(path)
    assert here.get([b"k"]) == {}
    here.put({b"k": (b"v", 1.0)})
    assert file(path).get([b"k"]) == {b"k": (b"v", 1.0)}


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_ERROR,
        None,
    ],
)
def test_an_error_that_is_not_of_the_file_deletes_nothing(code, tmp_path, monkeypatch):
    path, told = tmp_path / "f.sqlite", []
    file(path).put({b"k": (b"v", 1.0)})

    def fails(*_: object) -> None:
        error = sqlite3.OperationalError("an error")
        if code is not None:
            error.sqlite_errorcode = code
        raise error

    here = CacheFile(path, 10**9, told.append)
    with monkeypatch.context() as patched:
        patched.setattr(cache, "_write", fails)
        here.put({b"later": (b"v", 1.0)})
    here.put({b"later": (b"v", 1.0)})
    assert told == ["an error"], "given up for this process"
    assert file(path).get([b"k", b"later"]) == {b"k": (b"v", 1.0)}


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_CORRUPT_INDEX, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR_SHORT_READ]
)
def test_an_error_of_the_file_itself_replaces_it(code, tmp_path, monkeypatch):
    here, codes, write = file(tmp_path / "f.sqlite"), [code], cache._write
    here.put({b"k": (b"v", 1.0)})

    def fails_once(*arguments: object) -> None:
        if codes:
            error = sqlite3.DatabaseError("broken")
            error.sqlite_errorcode = codes.pop()
            raise error
        write(*arguments)

    monkeypatch.setattr(cache, "_write", fails_once)
    here.put({b"later": (b"v", 1.0)})
    assert here.get([b"k", b"later"]) == {b"later": (b"v", 1.0)}


def test_an_unusable_path_is_reported_once(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "taken").write_text("a file where the folder would be")
    here = CacheFile(tmp_path / "taken" / "f.sqlite", 10**9, told.append)
    here.put({b"k": (b"v", 1.0)})
    assert here.get([b"k"]) == {}
    assert len(told) == 1


def test_a_full_disk_is_reported_once_and_computed_through(encoder, monkeypatch, capsys):
    def full(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(cache, "_write", full)
    with caching():
        first = anew(encoder).embed(TEXTS)
        again = anew(encoder).embed(TEXTS)
    assert np.array_equal(first, again)
    said = capsys.readouterr().err
    assert said.count("cannot use") == 1
    assert "disk is full" in said
    assert "CHOOSE_KEEP_GB=0" in said


def test_a_locked_file_is_not_waited_for_forever(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "BUSY_TIMEOUT", 0.1)
    here = file(tmp_path / "f.sqlite")
    here.put({b"k": (b"v", 1.0)})
    other = sqlite3.connect(tmp_path / "f.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    here.put({b"later": (b"v", 1.0)})
    assert here.get([b"k", b"later"]) == {b"k": (b"v", 1.0)}
    other.execute("ROLLBACK")
    here.put({b"later": (b"v", 1.0)})
    assert here.get([b"later"])


@pytest.mark.parametrize("file", ["engines/lora/fused/linear_layers.py", "models/saving.py"])
def test_a_changed_file_of_engines_or_models_is_another_key(encoder, tmp_path, monkeypatch, file):
    code = [tmp_path / folder.name for folder in cache.MODEL_CODE]
    for folder, copy in zip(cache.MODEL_CODE, code, strict=True):
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert cache.source_digest(*code) == cache.source_digest(*cache.MODEL_CODE)
    changed = tmp_path / file

    def embedded() -> int:
        monkeypatch.setattr(cache, "MODEL_CODE", code)
        cache.environment.cache_clear()
        loaded, texts = load_encoder(encoder), []
        fresh = Encoder(loaded.model, ResultCache(loaded.cache.made_by))
        encode = fresh._encode
        fresh._encode = lambda some: texts.extend(some) or encode(some)
        with caching():
            fresh.embed(TEXTS)
        return len(texts)

    try:
        assert embedded() == len(set(TEXTS))
        assert embedded() == 0
        changed.write_text(changed.read_text("utf-8") + "\n# changed\n", "utf-8")
        assert embedded() == len(set(TEXTS))
        assert embedded() == 0
    finally:
        cache.environment.cache_clear()


WRITER = """
    import os, sys, zlib
    from pathlib import Path
    from choose.engines.output_cache import CacheFile
    def stop(why): sys.exit(why)
    here, who, n = CacheFile(Path(sys.argv[1]), 10**9, stop), sys.argv[2].encode(), 0
    while n < int(sys.argv[3]):
        part = {b"%s %d" % (who, i): (zlib.crc32(b"%d" % i).to_bytes(4, "big") * 400, float(i))
                for i in range(n, n + 50)}
        here.put(part)
        n += 50
        print(n, flush=True)
"""


def writer(path: Path, who: str, rows: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), who, str(rows)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "f.sqlite"
    for process in [writer(path, who, 500) for who in ("a", "b", "c")]:
        process.communicate(timeout=120)
        assert process.returncode == 0
    keys = [f"{who} {i}".encode() for who in "abc" for i in range(500)]
    assert len(file(path).get(keys)) == len(keys)


def test_a_kill_loses_no_written_entry(tmp_path: Path) -> None:
    path = tmp_path / "f.sqlite"
    process = writer(path, "a", 10**9)
    for line in process.stdout:
        if int(line) >= 1000:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    found = file(path).get([b"a %d" % i for i in range(1000)])
    assert len(found) == 1000
    assert found[b"a 7"][1] == 7.0
