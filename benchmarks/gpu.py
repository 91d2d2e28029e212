"""Speed and memory of models of real size on a GPU, against the libraries that people use.

    python benchmarks/gpu.py [--models Llama-3.1-8B,...] [--sides choose,harness,...]
                             [--folder DIR] [--results DIR] [--json]
    python benchmarks/gpu.py --tiny          the same code on small shapes, on a CPU too

Weights are random numbers in the real shapes: they say nothing on quality and everything on memory
and speed. Each model is written once into the folder (35 GB for all), and each side runs in a
process of its own:

    choose     label tries (6 and 77 labels), 256 prompts of 600 tokens with 32 new ones (all apart,
               and with 450 tokens in common), the share of the card's measured bfloat16 peak, and
               LoRA steps of rank 16 on rows of 128 and of 600 tokens
    harness    lm-evaluation-harness (hf), or its way of a row a label where it is not installed
    generate   transformers' `generate`, at its best batch
    trainer    Trainer with PEFT, bfloat16, lengths grouped
    vllm       where it is installed

Every measurement is written to the results as it is made, so a side that fails or is stopped keeps
what it has, and sides can be measured one call after another: a call reports all that is there.
An 8B model takes about seven minutes on an H100 by estimate. Exits with 1 where a target is missed
or was not measured; --tiny has none.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

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

# Times faster than the peer, by measurement; GB of the card; share of the peak.
TARGETS = {"labels 77": 5.0, "texts": 3.0, "lora 128": 1.3, "lora 600": 1.3}
MOST_GB = 40.0
LARGEST = "Llama-3.1-8B"
LEAST_SHARE = 0.40

# Who measures what choose does, and which package each needs.
PEERS = {"labels": "harness", "texts": "generate", "lora": "trainer"}
PACKAGES = {"vllm": "vllm"}
SIDES = ("choose", "harness", "generate", "trainer", "vllm")

# What writes the weights, in a process of its own too: one that has used a card keeps memory of it.
WRITER = "weights"

# Seconds after which a side is stopped.
LIMIT = 1200

BATCHES = (8, 32, 128, 256)


# A measurement: its name, and what measures it.
Measure = tuple[str, Callable[[], dict[str, Any]]]
Found = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Work:
    """How much is measured: prompts, their tokens, new tokens, steps and rows of a batch."""

    prompts: int = 256
    tokens: int = 600
    shared: int = 450
    new: int = 32
    scored: int = 128
    prefix: int = 200
    rest: int = 60
    rows: int = 300
    lengths: tuple[int, ...] = (128, 600)
    batch: int = 8
    steps: int = 8
    square: int = 8192


SMALL = Work(6, 24, 16, 4, 4, 12, 8, 12, (12, 24), 4, 3, 64)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a report, and return 1 where a target is missed or was not measured."""
    parser = argparse.ArgumentParser(description="Models of real size on a GPU.")
    parser.add_argument("--models", default="")
    parser.add_argument("--sides", default="")
    parser.add_argument("--folder", type=Path, help="where weights are written, and stay")
    parser.add_argument("--results", type=Path, help="where results are written; else --folder")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", help="one side of one model, in this process")
    choice = parser.parse_args(arguments)
    work = SMALL if choice.tiny else Work()
    if choice.side == WRITER:
        write_random(choice.folder, (TINY | SHAPES)[choice.folder.name])
        return 0
    if choice.side:
        one_side(choice.folder, choice.side, work, choice.results)
        return 0
    shapes = TINY if choice.tiny else SHAPES
    names = _known(parser, "model", choice.models, shapes)
    sides = _known(parser, "side", choice.sides, SIDES)
    if not choice.tiny and not _cuda():
        parser.error("torch finds no CUDA card here; --tiny runs the same code on a CPU")
    with TemporaryDirectory() as scratch:
        root = choice.folder or Path(scratch)
        results = choice.results or root
        for name in names:
            measure(root / name, results / f"{name}.results", sides, choice.tiny)
        every = [name for name in shapes if (results / f"{name}.results").is_dir()]
        found = {name: read_results(results / f"{name}.results") for name in every}
    if choice.json:
        print(json.dumps(found, indent=1))
    else:
        print("\n".join(report(found)))
    return 0 if choice.tiny or all(one.met for one in targets(found)) else 1


def _known(
    parser: argparse.ArgumentParser, what: str, given: str, known: Mapping[str, Any] | Sequence[str]
) -> list[str]:
    names = [name for name in given.split(",") if name] or list(known)
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no {what} {unknown[0]!r}; known: {', '.join(known)}")
    return names


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def measure(folder: Path, results: Path, sides: Sequence[str], tiny: bool) -> None:
    """Let each side measure one model in a process of its own; a failure is a result too."""
    _tell(folder.name)
    results.mkdir(parents=True, exist_ok=True)
    if not (folder / "tokenizer.json").is_file():  # the last file that is written
        subprocess.run(_call(WRITER, folder, results, tiny), check=True)
    for side in sides:
        file = results / f"{side}.jsonl"
        file.write_text("", encoding="utf-8")
        if (package := PACKAGES.get(side)) and find_spec(package) is None:
            _add(file, "absent", {"failed": f"{package} is not installed"})
            continue
        call = _call(side, folder, file, tiny)
        error, log = "", results / f"{side}.log"
        with log.open("w", encoding="utf-8") as stream:
            try:
                done = subprocess.run(call, stdout=stream, stderr=stream, timeout=LIMIT)
                if done.returncode:
                    error = f"exit status {done.returncode}, see {log.name}"
            except subprocess.TimeoutExpired:
                error = f"stopped after {LIMIT} s"
        if error:
            last = " ".join(log.read_text(encoding="utf-8", errors="replace").split())[-300:]
            _add(file, "the rest", {"failed": f"{error}: {last}"})
        for name, facts in read_results(results)[side].items():
            _tell(f"  {side:9} {name:12} {_said(facts)}")


def _call(side: str, folder: Path, file: Path, tiny: bool) -> list[str]:
    call = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    return [*call, "--results", str(file), *(["--tiny"] if tiny else [])]


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _add(file: Path, name: str, facts: dict[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"name": name, **facts}) + "\n")


def read_results(folder: Path) -> dict[str, Found]:
    """Return what each side measured, by measurement."""
    found = {}
    for side in SIDES:
        if (file := folder / f"{side}.jsonl").is_file():
            rows = map(json.loads, file.read_text(encoding="utf-8").splitlines())
            found[side] = {row.pop("name"): row for row in rows}
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
    # The rest of the vocabulary stands in no text; a tokenizer without it would be refused.
    rest = [f"<{n}>" for n in range(config.vocab_size - len(letters) - 2)]
    words = {mark: n for n, mark in enumerate(["<s>", "</s>", *letters, *rest])}
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    fast.save_pretrained(folder)


def one_side(folder: Path, side: str, work: Work, file: Path) -> None:
    """Write the measurements of one side; one that fails is told with its reason."""
    sides: dict[str, Callable[[], Iterator[Measure]]] = {
        "choose": lambda: _ours(str(folder), work),
        "harness": lambda: _scored(folder, work),
        "generate": lambda: _generated(folder, work),
        "trainer": lambda: _trained(folder, work),
        "vllm": lambda: _served(folder, work),
    }
    for name, take in sides[side]():
        try:
            facts = take()
        except Exception as error:  # the other measurements are still worth having
            traceback.print_exc()  # into the side's log
            facts = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        _add(file, name, facts)
        _release()


def _release() -> None:
    """Let go of what the last measurement left, so that the next one's peak is its own."""
    import torch

    gc.collect()
    if _cuda():
        torch.cuda.empty_cache()


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


def _timed(work: Callable[[], Any], tokens: int = 0) -> dict[str, Any]:
    """Return the seconds of some work, its tokens a second, and GB at the peak.

    `gb` is what tensors took, `reserved_gb` what torch took of the card for them.
    """
    import torch

    cuda = _cuda()
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = perf_counter()
    more = work()
    if cuda:
        torch.cuda.synchronize()
    seconds = perf_counter() - start
    facts = {"seconds": seconds} | ({"tokens_a_second": tokens / seconds} if tokens else {})
    if cuda:
        facts["gb"] = torch.cuda.max_memory_allocated() / 1e9
        facts["reserved_gb"] = torch.cuda.max_memory_reserved() / 1e9
    return facts | (more if isinstance(more, dict) else {})


def _asked(work: Work, shared: int) -> list[tuple[int, ...]]:
    """Return prompts of so many tokens, which begin with `shared` tokens in common."""
    [common] = _tokens(1, shared, 6)
    return [(*common, *row) for row in _tokens(work.prompts, work.tokens - shared, 3)]


def _ours(spec: str, work: Work) -> Iterator[Measure]:
    """Yield choose's measurements."""
    from choose.engines.causal.chat_template import Prompt
    from choose.engines.causal.label_scoring import LabelTrie
    from choose.engines.causal.loading import load_causal, load_generator
    from choose.engines.causal.stop_rules import StopRule

    lm, generator = load_causal(spec), load_generator(spec)
    lm.cache = generator.cache = None
    generator.__dict__["ends"] = frozenset()  # each answer is as long as it may be
    ways = {"way": " ".join(dict.fromkeys([*lm.notes(), *generator.notes()]))}

    def scored(count: int) -> dict[str, Any]:
        [prefix] = _tokens(1, work.prefix, 1)
        prompts = [Prompt(prefix, rest) for rest in _tokens(work.scored, work.rest, 2)]
        trie, tokens = LabelTrie.of(_labels(count)), work.scored * (work.prefix + work.rest)
        return _twice(lambda: lm.score(prompts, trie), lm.answers.clear, tokens) | ways

    def written(shared: int) -> dict[str, Any]:
        prompts = [Prompt((), row) for row in _asked(work, shared)]

        def forget() -> None:
            generator.answers.clear()
            generator.shared.pasts.clear()

        def write() -> None:
            new = generator.write(prompts, StopRule(work.new)).tokens_out
            assert (new == work.new).all(), "answers as long as the peer's"

        tokens = work.prompts * (work.tokens + work.new)
        return _twice(write, forget, tokens) | ways

    yield "labels 6", partial(scored, 6)
    yield "labels 77", partial(scored, 77)
    yield "texts", partial(written, 0)
    yield "texts shared", partial(written, work.shared)
    yield "peak", lambda: _share_of_peak(lm, work)
    for length in work.lengths:
        yield f"lora {length}", partial(_lora_step, spec, work, length)


def _twice(work: Callable[[], Any], forget: Callable[[], None], tokens: int) -> dict[str, Any]:
    """Return the better of two tries: the first one of a shape chooses kernels."""
    tries = []
    for _ in range(2):
        forget()
        tries.append(_timed(work, tokens))
    forget()
    return _least(tries)


def _share_of_peak(lm: Any, work: Work) -> dict[str, Any]:
    """Return the share of the measured peak in bfloat16 on prompts that share nothing."""
    from choose.engines.causal.chat_template import Prompt
    from choose.engines.causal.label_scoring import LabelTrie

    best = _peak(work, lm.model.device)
    head = lm.model.get_output_embeddings().weight.numel()
    inner = sum(p.numel() for p in lm.model.model.layers.parameters())
    prompts = [Prompt((), row) for row in _tokens(work.scored, work.tokens, 4)]
    trie = LabelTrie.of(_labels(6))
    facts = _twice(lambda: lm.score(prompts, trie), lm.answers.clear, len(prompts) * work.tokens)
    rows = len(prompts) * (work.tokens + len(trie.tokens))
    done = 2 * inner * rows + 2 * head * len(prompts) * (1 + len(trie.tokens))
    return facts | {"share": done / facts["seconds"] / best, "tflops": best / 1e12}


def _peak(work: Work, device: Any) -> float:
    """Return the operations a second of the best of some large products in bfloat16."""
    import torch

    left = torch.randn(work.square, work.square, device=device, dtype=torch.bfloat16)
    return 2 * work.square**3 / min(_timed(lambda: _product(left))["seconds"] for _ in range(9))


def _product(left: Any) -> None:
    left @ left


def _lora_step(spec: str, work: Work, length: int) -> dict[str, Any]:
    """Return the median seconds of a step, its tokens a second, and GB at the peak."""
    from choose.engines.hardware.batch_limits import within_memory
    from choose.engines.lora.classifier import ClassifierRun, untrained_model
    from choose.engines.lora.fit import engine_notes, training_step
    from choose.engines.lora.model import AdapterSpec, load_base, seeded
    from choose.engines.lora.training_run import Schedule

    base = load_base(spec)
    with seeded(0, base.device):
        model = untrained_model(base, AdapterSpec(16, "attention", 0.05), 6, "random")
    rows = _tokens(work.rows, length, 5)
    schedule = Schedule(work.steps, work.batch, 1e-4, 0)
    run = ClassifierRun(model, rows, [i % 6 for i in range(len(rows))], schedule, 0)
    ends = list[float]()

    def steps() -> None:
        with training_step([run]) as step:
            for _ in range(work.steps):
                batch = run.next_batch()
                within_memory(base.device, partial(step, [(run, batch)]))
                run.apply_gradients()
                _wait()
                ends.append(perf_counter())

    facts = _timed(steps) | _step(ends, work, length)
    return facts | {"way": " ".join(engine_notes(base, "attention"))}


def _step(ends: Sequence[float], work: Work, length: int) -> dict[str, Any]:
    step = median(after - before for before, after in pairwise(ends))
    return {"step": step, "tokens_a_second": work.batch * length / step}


def _wait() -> None:
    import torch

    if _cuda():
        torch.cuda.synchronize()


def _plain(folder: Path) -> Any:
    """Return the model as transformers loads it."""
    import torch
    from transformers import AutoModelForCausalLM

    device = "cuda" if _cuda() else "cpu"
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    return AutoModelForCausalLM.from_pretrained(folder, dtype=kind, device_map={"": device}).eval()


def _scored(folder: Path, work: Work) -> Iterator[Measure]:
    """Yield the label scores of lm-evaluation-harness, at the better of two batches."""
    model = _plain(folder)
    [prefix] = _tokens(1, work.prefix, 1)
    prompts = [(*prefix, *rest) for rest in _tokens(work.scored, work.rest, 2)]
    known = find_spec("lm_eval") is not None
    score = _harness(model, folder) if known else _row_a_label(model)
    way = "lm-evaluation-harness" if known else "a row a label, as the harness does"
    tokens, sizes = work.scored * (work.prefix + work.rest), [32, 128]

    def scored(count: int) -> dict[str, Any]:
        facts = _at_best_batch(partial(score, prompts, _labels(count)), sizes, tokens)
        return facts | {"way": f"{way}, {facts['way']}"}

    yield "labels 6", partial(scored, 6)
    yield "labels 77", partial(scored, 77)


def _generated(folder: Path, work: Work) -> Iterator[Measure]:
    """Yield the times of `generate` at its best batch."""
    model, tokens, sizes = _plain(folder), work.prompts * (work.tokens + work.new), [*BATCHES]

    def written(shared: int) -> dict[str, Any]:
        write = partial(_generate, model, _asked(work, shared), work.new)
        return _at_best_batch(write, sizes, tokens)

    yield "texts", partial(written, 0)
    yield "texts shared", partial(written, work.shared)


def _trained(folder: Path, work: Work) -> Iterator[Measure]:
    """Yield the steps of Trainer."""
    for length in work.lengths:
        yield f"lora {length}", partial(_trainer, folder, work, length)


def _served(folder: Path, work: Work) -> Iterator[Measure]:
    """Yield the times of vLLM, once it has loaded the model and written an answer."""
    from vllm import LLM, SamplingParams

    llm = LLM(model=str(folder), dtype="bfloat16", skip_tokenizer_init=True)

    def write(asked: Sequence[Sequence[int]]) -> None:
        rule = SamplingParams(temperature=0, max_tokens=work.new, ignore_eos=True, detokenize=False)
        llm.generate([{"prompt_token_ids": list(row)} for row in asked], rule, use_tqdm=False)

    def written(shared: int) -> dict[str, Any]:
        write(_tokens(2, work.tokens, 8))
        facts = _timed(lambda: write(_asked(work, shared)), work.prompts * (work.tokens + work.new))
        # It works in a process of its own, and takes most of the card beforehand.
        return {name: facts[name] for name in ("seconds", "tokens_a_second")}

    yield "texts", partial(written, 0)
    yield "texts shared", partial(written, work.shared)


def _at_best_batch(work: Callable[[int], Any], sizes: list[int], tokens: int) -> dict[str, Any]:
    """Time some work at each size of batches, and leave the best in `sizes` for what follows.

    The best gets a second try, as choose does.

    Raises:
        MemoryError: if none fits: a peer that cannot run is no peer to be faster than.
    """
    tries = {n: _tried(partial(work, n), tokens) for n in sizes}
    best = min(sizes, key=lambda n: tries[n]["seconds"])
    if tries[best]["seconds"] == float("inf"):
        raise MemoryError(f"no batch of {', '.join(map(str, sizes))} fits into the card's memory")
    sizes[:] = [best]
    return _least([tries[best], _tried(partial(work, best), tokens)]) | {
        "way": f"batches of {best}"
    }


def _tried(work: Callable[[], Any], tokens: int) -> dict[str, Any]:
    """Time some work; a batch that does not fit into memory takes for ever."""
    import torch

    try:
        return _timed(work, tokens)
    except torch.OutOfMemoryError:
        _release()
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


def _trainer(folder: Path, work: Work, length: int) -> dict[str, Any]:
    """Return the median seconds of a step of Trainer with PEFT, and GB at the peak."""
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
    # Its name since transformers 5; the rows are of one length in any case.
    new = "train_sampling_strategy" in TrainingArguments.__dataclass_fields__
    grouped = {"train_sampling_strategy": "group_by_length"} if new else {"group_by_length": True}
    with TemporaryDirectory() as folder_of_run, _quiet():
        settings = TrainingArguments(
            folder_of_run, use_cpu=not cuda, bf16=cuda, max_steps=work.steps,
            per_device_train_batch_size=work.batch, learning_rate=1e-4, report_to="none",
            save_strategy="no", logging_strategy="no", disable_tqdm=True, **grouped,
        )  # fmt: skip
        trainer = Trainer(
            get_peft_model(base, config), settings, train_dataset=rows, callbacks=[Clock()]
        )
        facts = _timed(trainer.train)
    return facts | _step(ends, work, length)


@contextmanager
def _quiet() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def ratios(sides: dict[str, Found]) -> dict[str, float]:
    """Return how many times faster choose is than its peer, by measurement."""
    found = {}
    for name, ours in sides.get("choose", {}).items():
        peer = sides.get(PEERS.get(name.split()[0], ""), {}).get(name, {})
        key = "step" if name.startswith("lora") else "seconds"
        if key in ours and key in peer:
            found[name] = peer[key] / ours[key]
    return found


class Target(NamedTuple):
    """What is asked for, what was found, and whether that suffices; None was not measured."""

    what: str
    wanted: str
    found: str | None
    met: bool


def targets(found: dict[str, dict[str, Found]]) -> Iterator[Target]:
    """Yield each target of each model that was measured."""
    for model, sides in found.items():
        times = ratios(sides)
        for name, least in TARGETS.items():
            got = times.get(name)
            yield _target(f"{model}, {name}: times faster", least, got, "{:.2f}x", at_least=True)
        ours = sides.get("choose", {})
        share = ours.get("peak", {}).get("share")
        what = f"{model}: share of the card's peak"
        yield _target(what, LEAST_SHARE, share, "{:.0%}", at_least=True)
        for name in (name for name in TARGETS if name.startswith("lora")):
            most = sides.get("trainer", {}).get(name, {}).get("gb")
            own = ours.get(name, {}).get("gb")
            yield _target(f"{model}, {name}: GB, Trainer's", most, own, "{:.1f}", at_least=False)
        if model == LARGEST:
            lora = [ours.get(name, {}) for name in TARGETS if "lora" in name]
            known = all("reserved_gb" in one for one in lora)
            own = max(one["reserved_gb"] for one in lora) if known else None
            what = f"{model}, LoRA: GB of the card"
            yield _target(what, MOST_GB, own, "{:.1f}", at_least=False)


def _target(
    what: str, wanted: float | None, found: float | None, form: str, *, at_least: bool
) -> Target:
    met = (
        wanted is not None
        and found is not None
        and (found >= wanted if at_least else found <= wanted)
    )
    asked = "?" if wanted is None else form.format(wanted)
    return Target(
        what,
        f"{'at least' if at_least else 'at most'} {asked}",
        None if found is None else form.format(found),
        met,
    )


def report(found: dict[str, dict[str, Found]]) -> Iterator[str]:
    """Yield the report: a line a measurement, then a line a target."""
    import torch

    card = torch.cuda.get_device_name() if _cuda() else machine(torch.get_num_threads())
    yield f"Random weights in real shapes on {card}; torch {torch.__version__}."
    for model, sides in found.items():
        yield f"\n{model}"
        times = ratios(sides)
        for side, facts in sides.items():
            for name, one in facts.items():
                compared = side == "choose" and name in times
                ratio = f"  {times[name]:5.2f}x {PEERS[name.split()[0]]}" if compared else ""
                yield f"  {side:9} {name:12} {_said(one)}{ratio}"
    yield "\nTargets (those of the large shapes)"
    for one in targets(found):
        state = "not measured" if one.found is None else "met" if one.met else "MISSED"
        yield f"  {state:12} {one.what}: {one.found or '-'} ({one.wanted})"


def _said(one: dict[str, Any]) -> str:
    return f"failed: {one['failed']}" if "failed" in one else _figures(one)


def _figures(one: dict[str, Any]) -> str:
    parts = [f"{one['step']:8.3f} s a step"] if "step" in one else []
    parts += [f"{one['seconds']:8.2f} s"] if "seconds" in one and not parts else []
    parts += [f"{one['tokens_a_second']:,.0f} tokens/s"] if "tokens_a_second" in one else []
    parts += [f"{one['gb']:.1f} GB"] if "gb" in one else []
    parts += [f"{one['share']:.0%} of {one['tflops']:.2f} TFLOP/s"] if "share" in one else []
    return "  ".join([*parts, *([f"({one['way']})"] if one.get("way") else [])])


if __name__ == "__main__":
    raise SystemExit(main())
