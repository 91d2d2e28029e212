"""The number of threads follows the steps of an engine, and can be set."""

import os
import sys
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from choose.api.compare import export
from choose.models.causal import loading
from choose.models.environment_settings import cores
from choose.models.hardware import timed_steps
from choose.models.hardware.timed_steps import ROUNDS, WARM_UP, TimedSteps, thread_counts
from choose.models.lora.fit import _share_of_step
from support import tiny_models as tiny
from support.studies import small_study, write_csv


class Machine:
    """A clock that a step of `work` moves by `seconds[threads]` a unit."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds, self.now, self.threads = seconds, 0.0, 0
        self.used: list[int] = []

    def clock(self) -> float:
        return self.now

    def run(self, steps: TimedSteps, count: int, work: float = 10.0) -> list[int]:
        """The threads of some steps."""
        for _ in range(count):
            with steps.step(work) as threads:
                assert threads == self.threads
                self.now += work * self.seconds[threads]
            self.used.append(threads)
        return self.used[-count:]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, float]], Machine]:
    """Return a machine with so many cores as the most threads that seconds are given for."""

    def make(seconds: dict[int, float]) -> Machine:
        made = Machine(seconds)
        monkeypatch.setattr(timed_steps, "perf_counter", made.clock)
        monkeypatch.setattr(timed_steps, "_threads_at_start", lambda: max(seconds))
        monkeypatch.setattr(timed_steps, "cores", lambda: max(seconds))
        monkeypatch.setattr(torch, "set_num_threads", lambda n: setattr(made, "threads", n))
        return made

    monkeypatch.delenv("CHOOSE_THREADS", raising=False)
    return make


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({1: 8.0, 2: 4.0, 4: 2.2, 7: 1.3, 8: 1.1}, 8),
        ({1: 8.0, 2: 4.0, 4: 2.2, 7: 1.3, 8: 40.0}, 7),  # one core is busy: all wait for it
        ({1: 8.0, 2: 4.0, 4: 2.2, 7: 30.0, 8: 40.0}, 4),
        ({1: 8.0, 2: 10.0, 4: 20.0, 7: 30.0, 8: 40.0}, 1),
        ({1: 1.9, 2: 1.0}, 2),
        ({1: 1.0, 2: 1.05}, 1),
    ],
)
def test_the_number_with_which_steps_are_fastest(machine, seconds, best):
    made, steps = machine(seconds), TimedSteps()
    made.run(steps, WARM_UP + ROUNDS * len(seconds))
    assert made.run(steps, 5) == [best] * 5


def test_first_steps_do_not_count(machine: Callable[[dict[int, float]], Machine]) -> None:
    made, steps = machine({1: 1.9, 2: 50.0}), TimedSteps()
    made.run(steps, WARM_UP)  # weights are packed, layers compiled
    made.seconds[2] = 1.0
    made.run(steps, 10)
    assert made.run(steps, 5) == [2] * 5


@pytest.mark.parametrize("most", [2, 64])
def test_a_choice_among_all_cores_costs_under_two_percent(machine, most):
    made = machine({n: 1 / n for n in range(1, most + 1)})
    made.run(TimedSteps(), 300)
    assert made.now < 1.02 * 300 * 10 / most


def test_all_cores_are_left_when_another_program_takes_one_and_used_again_after_it(machine):
    made, steps = machine({1: 1.9, 2: 1.0}), TimedSteps()
    assert made.run(steps, 100)[-1] == 2
    made.seconds = {1: 1.9, 2: 6.0}
    before = made.now
    assert made.run(steps, 500)[-1] == 1
    assert made.now - before < 1.04 * 500 * 19
    made.seconds = {1: 1.9, 2: 1.0}
    assert made.run(steps, 1000)[-1] == 2
    assert made.run(steps, 1000) == [2] * 1000


def test_a_single_slow_step_and_longer_texts_change_nothing(machine):
    made, steps = machine({1: 1.9, 2: 1.0}), TimedSteps()
    made.run(steps, 20)
    for n in range(30):
        made.seconds = {1: 1.9, 2: 5.0 if n % 3 else 1.0 + n / 30} if n % 2 else {1: 1.9, 2: 1.0}
        assert made.run(steps, 1) == [2]


def test_a_step_that_fails_is_not_timed(machine: Callable[[dict[int, float]], Machine]) -> None:
    made, steps = machine({1: 1.9, 2: 1.0}), TimedSteps()
    made.run(steps, WARM_UP)
    whole, made.seconds = made.seconds, {}
    with pytest.raises(KeyError):
        made.run(steps, 1)
    made.seconds = whole
    made.run(steps, 10)
    assert made.run(steps, 3) == [2] * 3


def test_a_process_with_one_core_has_nothing_to_choose(machine, monkeypatch):
    made = machine({1: 1.0, 2: 0.5})
    monkeypatch.setattr(timed_steps, "cores", lambda: 1)  # affinity, or half a core's quota
    assert made.run(TimedSteps(), 20) == [1] * 20


def test_cores_heed_affinity_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if sys.platform == "linux":
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(before)})
        assert cores() == 1
        os.sched_setaffinity(0, before)
    monkeypatch.setattr("joblib.cpu_count", lambda: 3)
    assert cores() == 3
    monkeypatch.setattr(timed_steps, "_threads_at_start", lambda: 8)
    assert thread_counts() == [3, 2, 1]


def test_a_number_that_is_set_holds(machine, monkeypatch):
    made, steps = machine({1: 1.9, 2: 1.0}), TimedSteps()
    monkeypatch.setenv("CHOOSE_THREADS", "1")
    assert made.run(steps, 20) == [1] * 20


def test_accelerators_have_higher_limits_and_unknown_ones_those_of_a_cpu() -> None:
    from choose.models.hardware.memory import limits_of

    cpu, mps, cuda = (astuple(limits_of(device)) for device in ("cpu", "mps", "cuda"))
    assert all(a < b < c for a, b, c in zip(cpu, mps, cuda, strict=True))
    assert limits_of("xpu") == limits_of("cpu")


def test_the_batches_of_an_epoch_are_its_steps_by_their_tokens() -> None:
    rows = [[0] * length for length in (2, 4, 30, 40, 8, 12)]
    run = SimpleNamespace(rows=rows, schedule=SimpleNamespace(batch_size=2))
    shares = [_share_of_step(run, some) for some in ((0, 1), (2, 3), (4, 5))]
    assert sum(shares) == pytest.approx(3)
    assert shares == pytest.approx([6 / 32, 70 / 32, 20 / 32])


def test_threads_are_set_before_a_model_is_tested(tmp_path, monkeypatch):
    done: list[str] = []
    monkeypatch.setattr(loading, "set_spare_threads", lambda: done.append("threads"))
    monkeypatch.setattr(loading, "supports_tree_attention", lambda lm: done.append("test") is None)
    assert loading.load_causal(str(tiny.causal_lm(tmp_path / "lm"))).tree
    assert done == ["threads", "test"]


WRONG = [("CHOOSE_THREADS", "two"), ("CHOOSE_THREADS", "²"), ("CHOOSE_DTYPE", "float64")]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a labelled file, a study of it and an export."""
    folder = tmp_path_factory.mktemp("stated")
    study = small_study(folder, "tfidf")
    made = export(study, folder / "made", candidate="tfidf").folder
    return {"DATA": write_csv(folder / "rows.csv"), "STUDY": study, "MADE": made}


@pytest.mark.parametrize(
    "command",
    [
        ["compare", "DATA", "--out", "new"],
        ["demo", "--out", "new"],
        ["plan", "DATA"],
        ["export", "STUDY", "new"],
        ["predict", "MADE", "DATA"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_a_wrong_setting_is_one_red_line(choose, places, monkeypatch, command, name, wrong):
    monkeypatch.setenv(name, wrong)
    result = choose(*[places.get(word, word) for word in command])
    assert result.code == 2
    assert result.out == ""
    assert len(result.err.strip().splitlines()) == 1
    assert result.err.startswith(f"Error: {name} is '{wrong}'")
    assert not Path("new").exists()
