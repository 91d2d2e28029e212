"""The machine that models run on: its device, its memory and its threads."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils import backend_registration

from choose.api.compare import export
from choose.conformance import questions
from choose.engines.causal import loading
from choose.engines.causal.loading import load_causal
from choose.engines.embeddings import load_encoder
from choose.engines.environment_settings import cores
from choose.engines.hardware import device_and_dtype as runtime
from choose.engines.hardware import timed_steps
from choose.engines.hardware.batch_limits import _malloc_trim, limits_of, release_memory
from choose.engines.hardware.timed_steps import ROUNDS, WARM_UP, TimedSteps, thread_counts
from choose.engines.lora import model as adapters
from choose.engines.lora.fit import _share_of_step
from support import tiny_models as tiny
from support.studies import fit_strategy, small_study, write_csv


def test_a_processor_without_avx2_is_said_once(monkeypatch, capsys):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    monkeypatch.setattr(runtime.platform, "machine", lambda: "x86_64")
    runtime.device.cache_clear()
    assert [runtime.device() for _ in range(3)] == ["cpu"] * 3
    assert capsys.readouterr().err.count("no AVX2") == 1


def test_cache_keys_name_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = {0: "Tesla T4", 1: "NVIDIA A100"}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: cards[device.index])
    assert runtime.device_name(torch.device("cuda:1")) == "cuda:1 NVIDIA A100"
    assert runtime.device_name(torch.device("cpu")) == "cpu"
    for module in ("causal.loading", "embeddings"):
        monkeypatch.setattr(
            f"choose.engines.{module}.device_name", lambda device: f"{device} Tesla T4"
        )
    loaded = [
        load_encoder(str(tiny.encoder(tmp_path / "encoder"))),
        load_causal(str(tiny.causal_lm(tmp_path / "lm"))),
    ]
    assert all("cpu Tesla T4" in model.cache.made_by for model in loaded)


# Of transformers' classes; the first is trained by the hand-written engine, the other by autograd.
SETTINGS: dict[str, dict[str, Any]] = {"Qwen2": {}, "Gemma2": {"head_dim": 8}}


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch knows no devices that are written in Python",
)
@pytest.mark.parametrize("kind", ["Llama", *SETTINGS])
def test_a_card_gets_the_same_numbers_and_no_tensor_of_the_processor(kind, tmp_path):
    """Labels, answers and adapters on a pretended card, where mixing devices is an error."""
    from transformers import AutoTokenizer

    folder = tiny.causal_lm(tmp_path / "llama")
    if kind in SETTINGS:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        settings = {
            **tiny.SMALL, "max_position_embeddings": 2048,
            "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
        }  # fmt: skip
        folder = tiny.random_lm(tmp_path / kind, kind, settings | SETTINGS[kind], tokenizer)
    found = {}
    for device in ("cpu", "card"):
        file = tmp_path / f"{device}.npz"
        call = [sys.executable, "-m", "support.pretended_card", str(folder), str(file), device]
        paths = {"PYTHONPATH": os.pathsep.join(sys.path), "CHOOSE_DTYPE": "float32"}
        subprocess.run(call, check=True, env={**os.environ, **paths})
        found[device] = dict(np.load(file))
    assert found["card"].keys() == found["cpu"].keys()
    assert found["card"]["fast"].all()
    for name, values in found["cpu"].items():
        largest = np.abs(values).max()
        assert largest > 1e-4, name
        np.testing.assert_allclose(
            found["card"][name], values, rtol=0, atol=1e-5 * largest, err_msg=name
        )


SPACE = 64 * 1024 * 1024


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHOOSE_DTYPE", "float32")
    monkeypatch.setattr(runtime, "dtype", runtime.dtype.__wrapped__)
    for module in (loading, adapters):
        monkeypatch.setattr(module, "dtype", runtime.dtype)
    return Path(tiny.causal_lm(tmp_path / "lm"))


def tensors(model: torch.nn.Module) -> set[int]:
    return {parameter.data_ptr() for parameter in model.parameters()}


def test_the_same_weights_are_held_once(folder: Path) -> None:
    base, lm = adapters.load_base(str(folder)).model, load_causal(str(folder)).model
    assert tensors(base) <= tensors(lm)


def test_tuning_leaves_the_prompted_model_as_it_was(folder: Path) -> None:
    prompted = fit_strategy("prompt", model=str(folder))
    before = prompted.predict(questions()).scores
    lm = loading.load_causal(str(folder))
    weights = {name: tensor.clone() for name, tensor in lm.model.named_parameters()}
    modules = [type(module) for module in lm.model.modules()]
    fit_strategy("lora", base=str(folder)).predict(questions())
    lm.answers.clear()
    assert np.array_equal(prompted.predict(questions()).scores, before)
    assert [type(module) for module in lm.model.modules()] == modules
    now = dict(lm.model.named_parameters())
    assert now.keys() == weights.keys()
    assert all(torch.equal(now[name], tensor) for name, tensor in weights.items())


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(_malloc_trim() is None, reason="another C library keeps no freed memory")
def test_freed_memory_goes_back_to_the_system() -> None:
    # Small blocks, of which the last is kept: without a word the rest stays with the process.
    blocks = [bytearray(64 * 1024) for _ in range(2 * SPACE // (64 * 1024))]
    kept, full = blocks[-1], resident()
    del blocks[:]
    gc.collect()
    release_memory()
    assert len(kept) == 64 * 1024
    assert resident() < full - SPACE


def test_a_folder_that_holds_another_model_by_now_is_loaded_again(folder: Path) -> None:
    loads = (adapters.load_base, loading.load_causal)
    before = [load(str(folder)) for load in loads]
    assert [load(str(folder)) for load in loads] == before
    file = folder / "model.safetensors"
    save_file({n: 2 * t for n, t in load_file(file).items()}, file, {"format": "pt"})
    for load, old in zip(loads, before, strict=True):
        new = load(str(folder))
        assert new is not old
        own, known = (dict(model.model.named_parameters()) for model in (new, old))
        assert all(torch.equal(own[name], 2 * known[name]) for name in own)


class Machine:
    """A clock that a step of `work` moves by `seconds[threads]` a unit."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds, self.now, self.threads = seconds, 0.0, 0
        self.used: list[int] = []

    def clock(self) -> float:
        return self.now

    def run(self, steps: TimedSteps, count: int, work: float = 10.0) -> list[int]:
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
    assert (steps.most(100), steps.most(2)) == (25, 1)  # until two numbers are compared
    made.run(steps, WARM_UP + ROUNDS * len(seconds))
    assert steps.most(100) == 100
    assert made.run(steps, 5) == [best] * 5


def test_first_steps_and_one_that_fails_do_not_count(machine):
    made, steps = machine({1: 1.9, 2: 50.0}), TimedSteps()
    made.run(steps, WARM_UP)  # weights are packed, layers compiled
    made.seconds = {}
    with pytest.raises(KeyError):
        made.run(steps, 1)
    made.seconds = {1: 1.9, 2: 1.0}
    made.run(steps, 10)
    assert made.run(steps, 5) == [2] * 5


@pytest.mark.parametrize("most", [2, 64])
def test_a_choice_among_all_cores_costs_under_two_percent(machine, most):
    made = machine({n: 1 / n for n in range(1, most + 1)})
    made.run(TimedSteps(), 300)
    assert made.now < 1.02 * 300 * 10 / most


# Like those of benchmarks/threads.py: seconds on one thread and on both, and steps. Where steps are
# small at first, `small` is how much longer these take on both threads for their work than others.
@pytest.mark.parametrize(
    ("one", "both", "count", "small", "allowed"),
    [
        (20.2, 11.1, 29, 1.3, 0.05),  # label scoring
        (20.5, 16.9, 29, 3.0, 0.15),  # beside a busy core: small passes are not divided
        (8.1, 4.5, 14, 1.0, 0.05),  # embedding
        (9.0, 18.0, 95, 0.0, 0.15),  # generation beside a busy core
        (14.0, 7.2, 40, 0.0, 0.05),  # LoRA of a decoder
        (5.5, 13.1, 120, 0.0, 0.15),  # LoRA of an encoder beside a busy core
    ],
)
def test_a_choice_costs_little_in_the_benchmark(machine, one, both, count, small, allowed):
    for seed in range(20):
        made, noise, done = machine({1: one, 2: both}), Random(seed), 0
        steps = TimedSteps()
        while done < 100 * count:
            work = steps.most(100) if small else 100
            factor = noise.uniform(1 - 2 * allowed, 1 + 2 * allowed)
            made.seconds = {1: one, 2: both * factor * (small if work < 100 else 1)}
            made.run(steps, 1, work)
            done += work
        assert made.now < (1 + allowed) * 100 * count * min(one, both)


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
    for n in range(60):
        made.seconds = {1: 1.9, 2: 5.0 if n % 10 == 1 else 1.0 + n / 200}
        assert made.run(steps, 1) == [2]
    made.seconds = {1: 1.9, 2: 500.0}  # the machine slept
    assert made.run(steps, 1) == [2]
    made.seconds = {1: 1.9, 2: 1.3}
    assert made.run(steps, 200) == [2] * 200


@pytest.mark.parametrize(
    ("one", "both"),
    [
        (1.9, [1.0, 5.0, 1.1, 1.1, 1.1, 5.0]),  # a third takes five times as long: 2.4 a step
        (1.3, [1.0, 3.4]),  # beside a busy core: no two slow steps follow one another
    ],
)
def test_steps_that_are_slow_on_average_are_taken_on_fewer_threads(machine, one, both):
    made, steps = machine({1: one, 2: 1.0}), TimedSteps()
    made.run(steps, 20)
    for n in range(400):
        made.seconds = {1: one, 2: both[n % len(both)]}
        made.run(steps, 1)
    assert made.now < 1.12 * 400 * 10 * one
    assert made.used.count(1) > 300


def test_a_process_with_one_core_or_a_number_that_is_set_has_nothing_to_choose(
    machine, monkeypatch
):
    made = machine({1: 1.0, 2: 0.5})
    monkeypatch.setattr(timed_steps, "cores", lambda: 1)  # affinity, or half a core's quota
    assert made.run(TimedSteps(), 20) == [1] * 20
    made, steps = machine({1: 1.9, 2: 1.0}), TimedSteps()
    monkeypatch.setenv("CHOOSE_THREADS", "1")
    assert made.run(steps, 20) == [1] * 20


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


def test_cards_have_higher_limits_and_others_those_of_a_cpu() -> None:
    cpu, cuda = (astuple(limits_of(device)) for device in ("cpu", "cuda"))
    assert all(a < b for a, b in zip(cpu, cuda, strict=True))
    assert limits_of("mps") == limits_of("xpu") == limits_of("cpu")


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
def test_a_wrong_setting_is_one_red_line(refused, places, monkeypatch, command, name, wrong):
    monkeypatch.setenv(name, wrong)
    said = refused(*[places.get(word, word) for word in command])
    assert said.startswith(f"Error: {name} is '{wrong}'")
    assert not Path("new").exists()
