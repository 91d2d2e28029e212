"""The number type is measured once by a fresh process, and cached."""

import json
import subprocess
from pathlib import Path

import pytest

from choose.models.hardware import compute_settings as machine


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHOOSE_CACHE", str(tmp_path / "cache"))
    machine.bfloat16_is_fast.cache_clear()
    yield tmp_path / "cache"
    machine.bfloat16_is_fast.cache_clear()


@pytest.mark.slow
def test_a_fresh_process_measures_and_the_result_is_cached(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = machine.bfloat16_is_fast()
    (kept,) = cache.iterdir()
    found = json.loads(kept.read_text())
    assert found["float32"] > 0
    assert first == (machine.MIN_SPEEDUP * found["bfloat16"] < found["float32"])
    machine.bfloat16_is_fast.cache_clear()
    monkeypatch.setattr(subprocess, "run", None)  # it would fail to start another
    monkeypatch.setattr(machine, "measure_products", None)
    assert machine.bfloat16_is_fast() == first


@pytest.mark.slow
def test_modules_of_the_working_folder_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("open('ran', 'w').close()\nraise SystemExit(1)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "measure_products", None)  # the fresh process must do it
    assert machine._measure_in_subprocess()["float32"] > 0
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"float32": "x", "bfloat16": 1}'])
def test_a_broken_note_is_measured_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    cache.mkdir()
    kept = cache / f"machine-{machine._machine_identity()}.json"
    kept.write_text(content)
    monkeypatch.setattr(
        machine, "_measure_in_subprocess", lambda: {"float32": 2.0, "bfloat16": 1.0}
    )
    assert machine.bfloat16_is_fast()
    assert json.loads(kept.read_text())["float32"] == 2.0


def test_close_is_not_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        machine, "_measure_in_subprocess", lambda: {"float32": 1.2, "bfloat16": 1.0}
    )
    assert not machine.bfloat16_is_fast()


@pytest.mark.slow
def test_without_another_process_it_is_measured_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object, **kwargs: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(subprocess, "run", fails)
    assert machine._measure_in_subprocess()["bfloat16"] > 0


def test_a_cache_that_cannot_be_written_only_costs_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHOOSE_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(
        machine, "_measure_in_subprocess", lambda: {"float32": 2.0, "bfloat16": 1.0}
    )
    assert machine.bfloat16_is_fast()
