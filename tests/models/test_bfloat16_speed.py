"""The number type is decided by a pass of layers, measured once a machine and cached."""

import json
from pathlib import Path

import pytest

from choose.models.hardware import compute_settings as machine
from choose.models.hardware.compute_settings import time_layers


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHOOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "multiplies_bfloat16", lambda: True)
    monkeypatch.setattr(machine, "time_layers", lambda: {"float32": 2.0, "bfloat16": 1.0})
    return tmp_path / "cache"


def test_layers_are_timed_in_both_types_without_a_trace(cache: Path) -> None:
    import torch

    before, threads = torch.get_rng_state(), torch.get_num_threads()
    seconds = time_layers()
    torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), before)
    assert seconds.keys() == {"float32", "bfloat16"}
    assert min(seconds.values()) > 0


def test_the_result_is_cached(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.bfloat16_is_fast()
    assert len([*cache.iterdir()]) == 1
    monkeypatch.setattr(machine, "time_layers", None)
    assert machine.bfloat16_is_fast()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"float32": "x", "bfloat16": 1}'])
def test_a_broken_file_is_measured_again(cache: Path, content: str) -> None:
    cache.mkdir()
    kept = cache / f"machine-{machine._machine_identity()}.json"
    kept.write_text(content)
    assert machine.bfloat16_is_fast()
    assert json.loads(kept.read_text())["float32"] == 2.0


def test_close_is_not_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "time_layers", lambda: {"float32": 1.2, "bfloat16": 1.0})
    assert not machine.bfloat16_is_fast()


def test_nothing_is_measured_without_instructions_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "multiplies_bfloat16", lambda: False)
    monkeypatch.setattr(machine, "time_layers", None)
    assert not machine.bfloat16_is_fast()


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHOOSE_CACHE", str(tmp_path / "file" / "cache"))
    assert machine.bfloat16_is_fast()
