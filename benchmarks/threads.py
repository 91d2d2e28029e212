"""Seconds of each engine on one thread, on all, and on the number that it chooses by itself.

    python benchmarks/threads.py [--rounds 3] [--engine NAME] > benchmarks/results/threads.txt

Each figure is of a process of its own, without loading: the median of the rounds, in which the
three ways take turns. It is measured with nothing beside, and beside a process that keeps one core
busy. Exits with 1 where the chosen number takes more than 5 % (nothing beside) or 15 % (beside a
busy core) longer than the better of the others.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter

from choose.models.environment_settings import cores
from choose.models.weights.spec import DEFAULT_ENCODER, DEFAULT_LM
from machine import machine

ALLOWED = {False: 0.05, True: 0.15}

Work = Callable[[], object]


def scoring() -> Work:
    """Score four labels after 1,000 prompts of 40 tokens."""
    from choose.models.causal.label_scoring import LabelTrie
    from choose.models.causal.loading import load_causal

    lm = load_causal(DEFAULT_LM)
    lm.cache = None
    labels = [lm.template.content(word) for word in ("red", "light green", "blue", "black")]
    trie = LabelTrie.build(labels, lm.template.end)
    return lambda: lm.score(_prompts(1000, 40), trie)


def writing() -> Work:
    """Write 24 tokens after each of 192 prompts of 40 tokens."""
    from choose.models.causal.loading import load_generator
    from choose.models.causal.written_answers import StopRule

    generator = load_generator(DEFAULT_LM)
    generator.cache = None
    return lambda: generator.write(_prompts(192, 40), StopRule(limit=24))


def embedding() -> Work:
    """Embed 3,000 texts of 20 words."""
    from choose.models.embeddings import load_encoder

    encoder = load_encoder(DEFAULT_ENCODER)
    encoder.cache = None
    return lambda: encoder.embed([" ".join(words) for words in _words(3_000, 20)])


def lora(spec: str, steps: int) -> Work:
    """Take steps of eight texts of 12 words."""
    from choose.models.lora.batching import tokenise
    from choose.models.lora.classifier import ClassifierRun, untrained_model
    from choose.models.lora.fit import training_step
    from choose.models.lora.model import AdapterSpec, load_base, seeded
    from choose.models.lora.training_run import Schedule

    base = load_base(spec)
    rows = tokenise(base.tokenizer, [" ".join(words) for words in _words(300, 12)], 128).ids
    with seeded(0, base.device):
        model = untrained_model(base, AdapterSpec(16, "attention", 0.05), 6, spec)
    targets = [n % 6 for n in range(300)]
    run = ClassifierRun(model, rows, targets, Schedule(steps, 8, 1e-3, 0), 0)

    def train() -> None:
        with training_step([run]) as step:
            while not run.finished:
                step([(run, run.next_batch())])
                run.apply_gradients()

    return train


ENGINES: dict[str, Callable[[], Work]] = {
    "label scoring": scoring,
    "generation": writing,
    "embedding": embedding,
    "LoRA, decoder": lambda: lora(DEFAULT_LM, 100),
    "LoRA, encoder": lambda: lora(DEFAULT_ENCODER, 400),
}


def _words(rows: int, words: int) -> Iterator[list[str]]:
    chooser = random.Random(1)
    known = ["order", "late", "refund", "card", "where", "please", "account", "open", "change"]
    for _ in range(rows):
        yield [f"{chooser.choice(known)}{chooser.randrange(100)}" for _ in range(words)]


def _prompts(rows: int, tokens: int) -> list[object]:
    from choose.models.causal.chat_template import Prompt

    chooser = random.Random(1)
    ids = [tuple(chooser.randrange(1_000, 40_000) for _ in range(tokens)) for _ in range(rows)]
    return [Prompt((), row) for row in ids]


@contextmanager
def busy_core(wanted: bool) -> Iterator[None]:
    """Keep one core busy inside the block."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if wanted else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def seconds(engine: str, threads: int | None) -> float:
    """Return the seconds that an engine takes in a process of its own."""
    given = {name: v for name, v in os.environ.items() if name != "CHOOSE_THREADS"}
    if threads is not None:
        given["CHOOSE_THREADS"] = str(threads)
    command = [sys.executable, __file__, "--one", engine]
    done = subprocess.run(command, env=given, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return float(done.stdout.split()[-1])


def compare(engine: str, busy: bool, rounds: int) -> bool:
    """Measure and print a line; return whether the chosen number is nearly as fast as the best."""
    ways: dict[str, int | None] = {"one": 1, "all": cores(), "chosen": None}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    with busy_core(busy):
        for _ in range(rounds):
            for name, threads in ways.items():
                taken[name].append(seconds(engine, threads))
    one, every, chosen = (median(taken[name]) for name in ways)
    more = chosen / min(one, every) - 1
    beside = "one core busy" if busy else "nothing beside"
    print(
        f"{engine:15} {beside:15} {one:8.1f} {every:8.1f} {chosen:8.1f}   {more:+6.1%} "
        f"({ALLOWED[busy]:.0%} allowed)",
        flush=True,
    )
    return more <= ALLOWED[busy]


def main() -> int:
    """Measure all engines, and return 1 where one misses its target."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", choices=ENGINES, action="append")
    parser.add_argument("--one", choices=ENGINES, help=argparse.SUPPRESS)
    choice = parser.parse_args()
    if choice.one:
        work = ENGINES[choice.one]()
        start = perf_counter()
        work()
        print(perf_counter() - start)
        return 0
    print(f"Seconds on one thread, on all {cores()}, and on the chosen number; {machine(cores())}.")
    print(f"{'':31} {'one':>8} {'all':>8} {'chosen':>8}   over the better")
    kept = [
        compare(engine, busy, choice.rounds)
        for engine in choice.engine or ENGINES
        for busy in (False, True)
    ]
    return int(not all(kept))


if __name__ == "__main__":
    sys.exit(main())
