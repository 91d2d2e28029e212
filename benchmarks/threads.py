"""Seconds of each engine on one thread, on all, and on the number that it chooses by itself.

    python benchmarks/threads.py [--rounds 1] [--engine NAME] > benchmarks/results/threads.txt

Each figure is the median of the rounds, in which the three ways take turns in one process per
engine: its model is loaded and its weights are packed before, and the choice begins anew each time.
It is measured with nothing beside, and beside a process that keeps one core busy. Exits with 1
where the chosen number takes more than 5 % (nothing beside) or 15 % (beside a busy core) longer
than the better of the others.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from time import perf_counter

from choose.engines.causal.chat_template import Prompt
from choose.engines.environment_settings import cores
from choose.engines.hardware.timed_steps import TimedSteps
from choose.engines.weights.spec import DEFAULT_ENCODER, DEFAULT_LM
from machine import machine

ALLOWED = {False: 0.05, True: 0.15}

# Returns a share of some work for an engine that has not chosen a number of threads yet.
Fresh = Callable[[float], Callable[[], object]]

# The share that packs weights and compiles layers, which is not timed.
FIRST = 0.1


def scoring() -> Fresh:
    """Score four labels after 800 prompts of 40 tokens."""
    from choose.engines.causal.label_scoring import LabelTrie
    from choose.engines.causal.loading import load_causal

    lm, prompts = load_causal(DEFAULT_LM), _prompts(800, 40)
    labels = [lm.template.content(word) for word in ("red", "light green", "blue", "black")]
    trie = LabelTrie.build(labels, lm.template.end)

    def fresh(share: float) -> Callable[[], object]:
        own = replace(lm, cache=None, answers={}, steps=TimedSteps())
        return lambda: own.score(prompts[: int(share * len(prompts))], trie)

    return fresh


def writing() -> Fresh:
    """Write 24 tokens after each of 200 prompts of 40 tokens."""
    from choose.engines.causal.loading import load_generator
    from choose.engines.causal.stop_rules import StopRule

    generator, prompts = load_generator(DEFAULT_LM), _prompts(200, 40)

    def fresh(share: float) -> Callable[[], object]:
        steps = {"reading": TimedSteps(), "writing": TimedSteps()}
        own = replace(generator, cache=None, answers={}, **steps)
        some = prompts[: int(share * len(prompts))]
        return lambda: own.write(some, StopRule(limit=24))

    return fresh


def embedding() -> Fresh:
    """Embed 1,500 texts of 20 words."""
    from choose.engines.embeddings import load_encoder

    encoder, texts = load_encoder(DEFAULT_ENCODER), [" ".join(words) for words in _words(1_500, 20)]

    def fresh(share: float) -> Callable[[], object]:
        own = replace(encoder, cache=None, vectors={}, steps=TimedSteps())
        return lambda: own.embed(texts[: int(share * len(texts))])

    return fresh


def lora(spec: str, steps: int) -> Fresh:
    """Take steps of eight texts of 12 words."""
    from choose.engines.lora.batching import tokenise
    from choose.engines.lora.classifier import ClassifierRun, untrained_model
    from choose.engines.lora.fit import training_step
    from choose.engines.lora.model import AdapterSpec, load_base, seeded
    from choose.engines.lora.training_run import Schedule

    loaded = load_base(spec)
    rows = tokenise(loaded.tokenizer, [" ".join(words) for words in _words(300, 12)], 128).ids
    targets = [n % 6 for n in range(300)]

    def fresh(share: float) -> Callable[[], object]:
        base = replace(loaded, steps=defaultdict(TimedSteps))
        with seeded(0, base.device):
            model = untrained_model(base, AdapterSpec(16, "attention", 0.05), 6, spec)
        run = ClassifierRun(model, rows, targets, Schedule(int(share * steps), 8, 1e-3, 0), 0)

        def train() -> None:
            with training_step([run]) as step:
                while not run.finished:
                    step([(run, run.next_batch())])
                    run.apply_gradients()

        return train

    return fresh


ENGINES: dict[str, Callable[[], Fresh]] = {
    "label scoring": scoring,
    "generation": writing,
    "embedding": embedding,
    "LoRA, decoder": lambda: lora(DEFAULT_LM, 40),
    "LoRA, encoder": lambda: lora(DEFAULT_ENCODER, 120),
}


def _words(rows: int, words: int) -> Iterator[list[str]]:
    chooser = random.Random(1)
    known = ["order", "late", "refund", "card", "where", "please", "account", "open", "change"]
    for _ in range(rows):
        yield [f"{chooser.choice(known)}{chooser.randrange(100)}" for _ in range(words)]


def _prompts(rows: int, tokens: int) -> list[Prompt]:
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


def seconds(engine: str, rounds: int) -> dict[str, float]:
    """Return the median seconds that an engine's work takes in each way."""
    fresh, taken = ENGINES[engine](), defaultdict[str, list[float]](list)
    for number in range(rounds + 1):
        for way, count in (("one", "1"), ("all", str(cores())), ("chosen", "")):
            os.environ["CHOOSE_THREADS"] = count
            work, start = fresh(1.0 if number else FIRST), perf_counter()
            work()
            if number:
                taken[way].append(perf_counter() - start)
    return {way: median(some) for way, some in taken.items()}


def compare(engine: str, busy: bool, rounds: int) -> bool:
    """Measure and print a line; return whether the chosen number is nearly as fast as the best."""
    command = [sys.executable, __file__, "--one", engine, "--rounds", str(rounds)]
    with busy_core(busy):
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    found = json.loads(done.stdout.splitlines()[-1])
    one, every, chosen = (found[way] for way in ("one", "all", "chosen"))
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
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--engine", choices=ENGINES, action="append")
    parser.add_argument("--one", choices=ENGINES, help=argparse.SUPPRESS)
    choice = parser.parse_args()
    if choice.one:
        print(json.dumps(seconds(choice.one, choice.rounds)))
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
