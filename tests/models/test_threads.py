"""The number of threads follows a recent measurement, and can be set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from choose.errors import ModelError
from choose.models.causal import loading
from choose.models.environment_settings import cores
from choose.models.hardware import compute_settings as runtime
from choose.models.hardware.memory import timed_tokens
from choose.models.lora.fit import _share_of_step
from choose.progress import sampling
from support import tiny_models as tiny


@pytest.fixture
def pace(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, float]], int]:
    """Return what is chosen on eight cores where products take so many seconds by threads."""
    before = torch.get_num_threads()
    monkeypatch.setattr(torch, "set_num_threads", lambda count: chosen.append(count))
    monkeypatch.setattr(torch, "get_num_threads", lambda: chosen[-1])
    monkeypatch.setattr(runtime, "cores", lambda: 8)
    chosen = [8]

    def choose(seconds: dict[int, float]) -> int:
        found = runtime._ThreadTuner()
        monkeypatch.setattr(found, "_seconds", seconds.__getitem__)
        return found.threads()

    yield choose
    monkeypatch.undo()
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({1: 8.0, 4: 2.2, 7: 1.3, 8: 1.1}, 8),
        ({1: 8.0, 4: 2.2, 7: 1.3, 8: 40.0}, 7),  # one core is busy: all threads wait for it
        ({1: 8.0, 4: 2.2, 7: 30.0, 8: 40.0}, 4),
        ({1: 8.0, 4: 20.0, 7: 30.0, 8: 40.0}, 1),
        ({1: 1.05, 4: 1.0, 7: 1.0, 8: 1.0}, 1),  # nothing is gained by more
    ],
)
def test_the_fewest_threads_that_are_nearly_fastest(
    pace: Callable[[dict[int, float]], int], seconds: dict[int, float], best: int
) -> None:
    assert pace(seconds) == best


def test_a_choice_holds_for_some_seconds_and_is_measured_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, tried, before = [100.0], [], torch.get_num_threads()
    found = runtime._ThreadTuner()
    found.counts = [1, 2]
    monkeypatch.setattr(found, "_seconds", lambda count: tried.append(count) or 1.0 / count)
    monkeypatch.setattr(runtime.time, "monotonic", lambda: now[0])
    try:
        found.threads()
        now[0] += 5
        found.threads()
        assert tried == [1, 2]
        now[0] += 6
        found.threads()
        assert tried == [1, 2, 1, 2]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("allowed", [1, 3])
def test_no_more_threads_than_the_cores_that_a_process_may_use(
    pace: Callable[[dict[int, float]], int], monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    monkeypatch.setattr(runtime, "cores", lambda: allowed)
    assert pace({1: 8.0, 2: 4.0, 3: 3.0, 4: 2.2, 7: 1.3, 8: 1.1}) == allowed


def test_the_cores_of_both_heed_affinity_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("joblib.cpu_count", lambda: 3)
    assert cores is runtime.cores is cores
    assert cores() == 3


@pytest.mark.parametrize("wrong", ["0", "two", "-1", "1.5", "²"])
def test_a_number_that_is_none_is_refused(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHOOSE_THREADS", wrong)
    with pytest.raises(ModelError, match="positive integer"):
        runtime.set_threads()


def test_a_number_that_is_set_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setenv("CHOOSE_THREADS", "1")
    try:
        assert runtime.set_threads() == torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_accelerators_have_higher_limits_and_unknown_ones_those_of_a_cpu() -> None:
    from choose.models.hardware.memory import limits_of

    cpu, mps, cuda = (astuple(limits_of(device)) for device in ("cpu", "mps", "cuda"))
    assert all(a < b < c for a, b, c in zip(cpu, mps, cuda, strict=True))
    assert limits_of("xpu") == limits_of("cpu")


def test_a_pass_that_is_only_timed_holds_fewer_tokens_on_a_cpu() -> None:
    assert [timed_tokens(1280, device) for device in ("cpu", "cuda")] == [1280, 1280]
    with sampling():
        assert [timed_tokens(1280, device) for device in ("cpu", "cuda")] == [320, 1280]
        assert timed_tokens(100, "cpu") == 100


def test_the_batches_of_an_epoch_are_its_steps_by_their_tokens() -> None:
    rows = [[0] * length for length in (2, 4, 30, 40, 8, 12)]
    run = SimpleNamespace(rows=rows, schedule=SimpleNamespace(batch_size=2))
    shares = [_share_of_step(run, some) for some in ((0, 1), (2, 3), (4, 5))]
    assert sum(shares) == pytest.approx(3)
    assert shares == pytest.approx([6 / 32, 70 / 32, 20 / 32])


def test_threads_are_set_before_a_model_is_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the test of a model that was loaded first took minutes, with all cores."""
    done: list[str] = []
    monkeypatch.setattr(loading, "set_threads", lambda: done.append("threads"))
    monkeypatch.setattr(loading, "supports_tree_attention", lambda lm: done.append("test") is None)
    assert loading.load_causal(str(tiny.causal_lm(tmp_path / "lm"))).tree
    assert done == ["threads", "test"]
