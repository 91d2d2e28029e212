"""Speed and memory of models of real size on a GPU, against the libraries that people use.

    python benchmarks/gpu.py [--models SmolLM2-1.7B,...] [--json] [--folder DIR]
    python benchmarks/gpu.py --tiny          the same code on small shapes, on a CPU too

Weights are random numbers in the real shapes: they say nothing on quality and everything on memory
and speed. Each model is written once into the folder (16 GB for the largest), and each side runs in
a process of its own:

    labels 6, labels 77   choose's label tries | lm-evaluation-harness (hf), or its way of a row a
                          label where it is not installed
    texts                 256 prompts of 600 tokens, 32 new | `generate` at its best batch, and vLLM
                          where it is installed
    lora 128, lora 600    a step of rank 16 on rows of that length | Trainer with PEFT, bfloat16,
                          lengths grouped; choose's in 4 bits too
    peak                  the share of the card's measured bfloat16 peak on prompts of 600 tokens

Exits with 1 where a target is missed; --tiny has none.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from machine import machine

# Published configurations, all of which transformers builds without a hub.
SHAPES: dict[str, dict[str, Any]] = {
    "SmolLM2-1.7B": {
        "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 24, "num_attention_heads": 32, "num_key_value_heads": 32,
        "vocab_size": 49152, "tie_word_embeddings": True,
    },
    "Qwen2.5-7B": {
        "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944,
        "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
        "vocab_size": 152064, "tie_word_embeddings": False, "use_sliding_window": False,
    },
    "Llama-3.1-8B": {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "vocab_size": 128256, "tie_word_embeddings": False,
    },
}  # fmt: skip

TINY = {
    "tiny": {
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 600, "tie_word_embeddings": True,
    }
}  # fmt: skip

# Times faster than the peer, by measurement; GB by kind of weights; share of the peak.
TARGETS = {"labels 77": 5.0, "texts": 3.0, "lora 128": 1.3, "lora 600": 1.3}
MOST_GB = {"bfloat16": 40.0, "4 bits": 16.0}
LEAST_SHARE = 0.40

BATCHES = (8, 32, 128, 256)


@dataclass(frozen=True)
class Work:
    """How much is measured: prompts, their tokens, new tokens, steps and rows of a batch."""

    prompts: int = 256
    tokens: int = 600
    new: int = 32
    scored: int = 128
    prefix: int = 200
    rest: int = 60
    rows: int = 300
    lengths: tuple[int, ...] = (128, 600)
    batch: int = 8
    steps: int = 8
    square: int = 8192


SMALL = Work(6, 24, 4, 4, 12, 8, 12, (12, 24), 4, 2, 64)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a report, and return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description="Models of real size on a GPU.")
    parser.add_argument("--models", default="")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", help="one side of one model, in this process")
    choice = parser.parse_args(arguments)
    if choice.side:
        print(json.dumps(one_side(choice.folder, choice.side, SMALL if choice.tiny else Work())))
        return 0
    shapes = TINY if choice.tiny else SHAPES
    names = [name for name in choice.models.split(",") if name] or list(shapes)
    if unknown := [name for name in names if name not in shapes]:
        parser.error(f"no shape {unknown[0]!r}; known: {', '.join(shapes)}")
    if not choice.tiny and not _cuda():
        parser.error("torch finds no CUDA card here; --tiny runs the same code on a CPU")
    with TemporaryDirectory() as scratch:
        root = choice.folder or Path(scratch)
        found = {name: measured(root / name, shapes[name], choice.tiny) for name in names}
    if choice.json:
        print(json.dumps(found, indent=1))
    else:
        print("\n".join(report(found)))
    missed = [] if choice.tiny else list(misses(found))
    for miss in missed:
        print(f"MISSED  {miss}", file=sys.stderr)
    return 1 if missed else 0


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def measured(folder: Path, shape: dict[str, Any], tiny: bool) -> dict[str, Any]:
    """Return what each side measured of one model; a side that fails is told with its reason."""
    if not (folder / "config.json").is_file():
        write_random(folder, shape)
    sides = ["choose", "peers", "choose 4bit", *(["vllm"] if find_spec("vllm") else [])]
    if find_spec("bitsandbytes") is None:
        sides.remove("choose 4bit")
    found = {}
    for side in sides:
        call = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
        done = subprocess.run(
            [*call, *(["--tiny"] if tiny else [])], capture_output=True, text=True, check=False
        )
        lines = done.stdout.strip().splitlines()
        if done.returncode or not lines:
            found[side] = {"failed": " ".join(done.stderr.split())[-300:]}
        else:
            found[side] = json.loads(lines[-1])
    return found


def write_random(folder: Path, shape: dict[str, Any]) -> None:
    """Write a model of a shape with random weights, and a tokenizer of bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    settings = dict(shape)
    config = AutoConfig.for_model(
        settings.pop("model_type"), max_position_embeddings=8192, bos_token_id=0, eos_token_id=1,
        pad_token_id=1, **settings,
    )  # fmt: skip
    with torch.device("cuda" if _cuda() else "cpu"):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="4GB")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {mark: n for n, mark in enumerate(["<s>", "</s>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    fast.save_pretrained(folder)


def one_side(folder: Path, side: str, work: Work) -> dict[str, Any]:
    """Return the measurements of one side: seconds, tokens a second, and GB at the peak."""
    if side == "vllm":
        return {"texts": _timed(lambda: _vllm(folder, work))}
    if side == "peers":
        return dict(_peers(folder, work))
    spec = f"4bit:{folder}" if side == "choose 4bit" else str(folder)
    return dict(_ours(spec, work, four_bit=side == "choose 4bit"))


def _tokens(count: int, length: int, seed: int) -> list[tuple[int, ...]]:
    chooser = random.Random(seed)
    return [tuple(chooser.randrange(2, 250) for _ in range(length)) for _ in range(count)]


def _labels(count: int) -> list[tuple[int, ...]]:
    chooser = random.Random(7)
    found = dict.fromkeys(
        (*(chooser.randrange(2, 250) for _ in range(chooser.randrange(1, 5))), 1)
        for _ in range(4 * count)
    )
    return list(found)[:count]


def _timed(work: Callable[[], Any]) -> dict[str, Any]:
    """Return the seconds of some work, and the most GB that were in use."""
    import torch

    cuda = _cuda()
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = perf_counter()
    more = work()
    if cuda:
        torch.cuda.synchronize()
    facts = {"seconds": perf_counter() - start}
    if cuda:
        facts["gb"] = torch.cuda.max_memory_allocated() / 1e9
    return facts | (more if isinstance(more, dict) else {})


def _ours(spec: str, work: Work, four_bit: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield choose's measurements; of 4-bit weights, those of training."""
    from choose.models.causal.chat_template import Prompt
    from choose.models.causal.label_scoring import LabelTrie
    from choose.models.causal.loading import load_causal, load_generator
    from choose.models.causal.written_answers import StopRule

    lm = load_causal(spec)
    lm.cache = None
    if not four_bit:
        [prefix] = _tokens(1, work.prefix, 1)
        prompts = [Prompt(prefix, rest) for rest in _tokens(work.scored, work.rest, 2)]
        for count in (6, 77):
            trie = LabelTrie.of(_labels(count))
            lm.score(prompts[:2], trie)
            lm.answers.clear()
            yield f"labels {count}", _timed(partial(lm.score, prompts, trie))
            lm.answers.clear()
        generator = load_generator(spec)
        generator.cache, generator.__dict__["ends"] = None, frozenset()
        asked = [Prompt((), row) for row in _tokens(work.prompts, work.tokens, 3)]
        generator.write(asked[:1], StopRule(2))
        yield "texts", _timed(lambda: generator.write(asked, StopRule(work.new)))
        generator.shared.pasts.clear()
        yield "peak", _share_of_peak(lm, work)
    for length in work.lengths:
        yield f"lora {length}", _lora_step(spec, work, length)


def _share_of_peak(lm: Any, work: Work) -> dict[str, Any]:
    """Return the share of the measured peak in bfloat16 on prompts that share nothing."""
    import torch

    from choose.models.causal.chat_template import Prompt
    from choose.models.causal.label_scoring import LabelTrie

    left = torch.randn(work.square, work.square, device=lm.model.device, dtype=torch.bfloat16)
    seconds = min(_timed(lambda: _product(left))["seconds"] for _ in range(6))
    best = 2 * work.square**3 / seconds
    head = lm.model.get_output_embeddings().weight.numel()
    inner = sum(p.numel() for p in lm.model.model.layers.parameters())
    prompts = [Prompt((), row) for row in _tokens(work.scored, work.tokens, 4)]
    trie = LabelTrie.of(_labels(6))
    taken = _timed(lambda: lm.score(prompts, trie))["seconds"]
    rows = len(prompts) * (work.tokens + len(trie.tokens))
    done = 2 * inner * rows + 2 * head * len(prompts) * (1 + len(trie.tokens))
    tokens = len(prompts) * work.tokens / taken
    return {"share": done / taken / best, "tflops": best / 1e12, "tokens_a_second": tokens}


def _product(left: Any) -> None:
    left @ left


def _lora_step(spec: str, work: Work, length: int) -> dict[str, Any]:
    """Return the median seconds of a step, and the most GB."""
    from choose.models.lora.classifier import ClassifierRun, untrained_model
    from choose.models.lora.fit import training_step
    from choose.models.lora.model import AdapterSpec, load_base, seeded
    from choose.models.lora.training_run import Schedule

    base = load_base(spec)
    with seeded(0, base.device):
        model = untrained_model(base, AdapterSpec(16, "attention", 0.05), 6, "random")
    rows = _tokens(work.rows, length, 5)
    schedule = Schedule(work.steps, work.batch, 1e-4, 0)
    run = ClassifierRun(model, rows, [i % 6 for i in range(len(rows))], schedule, 0)
    ends = list[float]()

    def steps() -> dict[str, Any]:
        with training_step([run]) as step:
            for _ in range(work.steps):
                step([(run, run.next_batch())])
                run.apply_gradients()
                _wait()
                ends.append(perf_counter())
        return {"step": median(after - before for before, after in pairwise(ends))}

    return _timed(steps)


def _wait() -> None:
    import torch

    if _cuda():
        torch.cuda.synchronize()


def _peers(folder: Path, work: Work) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the measurements of other libraries on the same tokens."""
    import torch
    from transformers import AutoModelForCausalLM

    device = "cuda" if _cuda() else "cpu"
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=kind, device_map={"": device}).eval()
    [prefix] = _tokens(1, work.prefix, 1)
    prompts = [(*prefix, *rest) for rest in _tokens(work.scored, work.rest, 2)]
    way = "lm-evaluation-harness" if find_spec("lm_eval") else "a row a label"
    for count in (6, 77):
        labels = _labels(count)
        score = _harness(model, folder) if find_spec("lm_eval") else _row_a_label(model)
        best = [_tried(partial(score, prompts, labels, size)) for size in (32, 128)]
        yield f"labels {count}", {**_least(best), "way": way}
    asked = _tokens(work.prompts, work.tokens, 3)
    tried = [_tried(partial(_generate, model, asked, work.new, size)) for size in BATCHES]
    yield "texts", _least(tried)
    for length in work.lengths:
        yield f"lora {length}", _trainer(model, folder, work, length)


def _tried(work: Callable[[], Any]) -> dict[str, Any]:
    """Time some work; a batch that does not fit into memory takes for ever."""
    import torch

    try:
        return _timed(work)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return {"seconds": float("inf")}


def _least(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return min(found, key=lambda one: one["seconds"])


def _row_a_label(model: Any) -> Callable[..., None]:
    """Score as the harness does: a row for each prompt with each label, sorted by length."""
    import torch

    def score(prompts: Any, labels: Any, size: int) -> None:
        rows = [(*prompt, *label) for prompt in prompts for label in labels]
        rows.sort(key=len, reverse=True)
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            longest = len(some[0])
            ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in some])
            with torch.inference_mode():
                logits = model(input_ids=ids.to(model.device), use_cache=False).logits
                logits[:, -6:].float().log_softmax(-1).max().item()

    return score


def _harness(model: Any, folder: Path) -> Callable[..., None]:
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)

    def score(prompts: Any, labels: Any, size: int) -> None:
        lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=size)
        requests = [
            ((f"{n}", f"{m}"), list(prompt), list(label))
            for n, prompt in enumerate(prompts)
            for m, label in enumerate(labels)
        ]
        lm._loglikelihood_tokens(requests, disable_tqdm=True)

    return score


def _generate(model: Any, prompts: Sequence[Sequence[int]], new: int, size: int) -> None:
    import torch

    for start in range(0, len(prompts), size):
        ids = torch.tensor(prompts[start : start + size]).to(model.device)
        with torch.inference_mode():
            model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=new,
                min_new_tokens=new, pad_token_id=1,
            )  # fmt: skip


def _vllm(folder: Path, work: Work) -> None:
    from vllm import LLM, SamplingParams

    llm = LLM(model=str(folder), dtype="bfloat16", skip_tokenizer_init=True)
    asked = [{"prompt_token_ids": list(row)} for row in _tokens(work.prompts, work.tokens, 3)]
    llm.generate(asked, SamplingParams(temperature=0, max_tokens=work.new, ignore_eos=True))


def _trainer(model: Any, folder: Path, work: Work, length: int) -> dict[str, Any]:
    """Return the median seconds of a step of Trainer with PEFT, and the most GB."""
    import torch
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import (
        AutoModelForSequenceClassification,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            _wait()
            ends.append(perf_counter())

    ends, cuda = list[float](), _cuda()
    model.to("cpu")  # the peak is of training alone
    base = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=6, dtype=torch.bfloat16 if cuda else torch.float32,
        device_map={"": "cuda" if cuda else "cpu"},
    )  # fmt: skip
    base.config.pad_token_id = 1
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS, r=16, lora_alpha=32, lora_dropout=0.05,
        target_modules=["q_proj", "v_proj"],
    )  # fmt: skip
    rows = [
        {"input_ids": list(row), "attention_mask": [1] * length, "labels": n % 6}
        for n, row in enumerate(_tokens(work.rows, length, 5))
    ]
    with TemporaryDirectory() as folder_of_run, _quiet():
        settings = TrainingArguments(
            folder_of_run, use_cpu=not cuda, bf16=cuda, max_steps=work.steps,
            per_device_train_batch_size=work.batch, learning_rate=1e-4,
            train_sampling_strategy="group_by_length", report_to="none", save_strategy="no",
            logging_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        trainer = Trainer(
            get_peft_model(base, config), settings, train_dataset=rows, callbacks=[Clock()]
        )
        facts = _timed(lambda: trainer.train())
    return facts | {"step": median(after - before for before, after in pairwise(ends))}


@contextmanager
def _quiet() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """Return how many times faster choose is than its peer, by measurement."""
    ours, peers = found.get("choose", {}), found.get("peers", {})
    key = {name: "step" if name.startswith("lora") else "seconds" for name in ours}
    return {
        name: peers[name][key[name]] / ours[name][key[name]]
        for name in ours
        if name in peers and key[name] in ours[name]
    }


def misses(found: dict[str, Any]) -> Iterator[str]:
    """Yield the targets that a model missed."""
    for model, sides in found.items():
        for side, facts in sides.items():
            if "failed" in facts:
                yield f"{model}, {side}: {facts['failed']}"
        for name, ratio in ratios(sides).items():
            if ratio < TARGETS.get(name, 0.0):
                yield f"{model}, {name}: {ratio:.2f}x of {TARGETS[name]:g}x"
        share = sides.get("choose", {}).get("peak", {}).get("share")
        if share is not None and share < LEAST_SHARE:
            yield f"{model}: {share:.0%} of the card's peak, {LEAST_SHARE:.0%} asked for"
        for side, kind in (("choose", "bfloat16"), ("choose 4bit", "4 bits")):
            used = [f.get("gb", 0) for n, f in sides.get(side, {}).items() if n.startswith("lora")]
            if model == "Llama-3.1-8B" and used and max(used) > MOST_GB[kind]:
                yield f"{model}, {kind}: {max(used):.1f} GB of {MOST_GB[kind]:g} GB"


def report(found: dict[str, Any]) -> Iterator[str]:
    """Yield the report, a line a measurement."""
    import torch

    card = torch.cuda.get_device_name() if _cuda() else machine(torch.get_num_threads())
    yield f"Random weights in real shapes on {card}; torch {torch.__version__}."
    for model, sides in found.items():
        yield f"\n{model}"
        times = ratios(sides)
        for side, facts in sides.items():
            if "failed" in facts:
                yield f"  {side:12} failed: {facts['failed']}"
                continue
            for name, one in facts.items():
                compared = side == "choose" and name in times
                ratio = f"  {times[name]:5.2f}x the peer" if compared else ""
                yield f"  {side:12} {name:10} {_figures(one)}{ratio}"


def _figures(one: dict[str, Any]) -> str:
    parts = [f"{one['step']:8.3f} s a step"] if "step" in one else []
    parts += [f"{one['seconds']:8.2f} s"] if "seconds" in one and not parts else []
    parts += [f"{one['gb']:6.1f} GB"] if "gb" in one else []
    if "share" in one:
        parts += [f"{one['share']:.0%} of {one['tflops']:.2f} TFLOP/s, "
                  f"{one['tokens_a_second']:,.0f} tokens/s"]  # fmt: skip
    return "  ".join([*parts, *([f"({one['way']})"] if "way" in one else [])])


if __name__ == "__main__":
    raise SystemExit(main())
