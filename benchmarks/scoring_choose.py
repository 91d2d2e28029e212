"""The side of choose in label_scoring.py: score questions, or measure the speed of matrix products.

    python benchmarks/scoring_choose.py JOB.json

A job holds the fields of `Questions` and `dtype`, and either `first` and `last` (the questions to
score) or `suffixes` (lengths of prompts to compare with the best matrix product).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from machine import operations

SHAPES = ((1024, 1024, 1024), (2048, 2048, 2048), (1024, 576, 1536), (1024, 1536, 576))
ROUNDS = 7


def main() -> None:
    """Print the result of a job as JSON."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.environ["CHOOSE_DTYPE"] = job["dtype"]
    print(json.dumps(_share_of_peak(job) if "suffixes" in job else _score(job)))


def _score(job: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds and the log-probabilities of the job's questions."""
    from choose.engines.causal.chat_template import Prompt
    from choose.engines.causal.label_scoring import LabelTrie
    from choose.engines.causal.loading import load_causal

    lm = load_causal(job["model"])
    trie = LabelTrie.of(job["labels"])
    prompts = [Prompt(tuple(prefix), tuple(rest)) for prefix, rest in job["prompts"]]
    timed = prompts[job["first"] : job["last"]]
    # Warm up: the prefix is cached, as in any study after its first question. The peer's first
    # batch is not timed either.
    lm.score([p for p in prompts if p not in timed][:3], trie)
    start = perf_counter()
    scored = lm.score(timed, trie)
    seconds = perf_counter() - start
    return {"seconds": seconds, "logprobs": scored.logprobs.tolist()}


def _share_of_peak(job: dict[str, Any]) -> dict[str, Any]:
    """Return GFLOP/s of the best matrix product, and of scoring by length of suffix."""
    from choose.engines.causal.loading import load_causal

    lm = load_causal(job["model"])
    peak = peak_of_products(job["dtype"])
    suffixes = {length: _rate(lm, job, length) for length in job["suffixes"]}
    # Measure the peak before and after: other programs must not flatter the share.
    return {"peak": max(peak, peak_of_products(job["dtype"])), "suffixes": suffixes}


def peak_of_products(dtype: str, clock: Callable[[], float] = perf_counter) -> float:
    """Return the best GFLOP/s of any product tried, of packed weights too where torch has them."""
    import torch

    from choose.engines.environment_settings import cores
    from choose.engines.hardware.packed_products import can_pack, pack, packed_product

    torch.set_num_threads(cores())
    best, kind = 0.0, getattr(torch, dtype)
    for m, k, n in SHAPES:
        left, right = torch.randn(m, k).to(kind), torch.randn(n, k).to(kind)
        ways: list[Callable[[], object]] = [partial(torch.nn.functional.linear, left, right)]
        if can_pack(kind):
            ways.append(partial(packed_product, left, pack(right), None))
        for multiply in ways * ROUNDS:
            start = clock()
            multiply()
            best = max(best, 2 * m * k * n / (clock() - start) / 1e9)
    return best


def _rate(lm: Any, job: dict[str, Any], length: int) -> float:
    """Return GFLOP/s of scoring prompts with suffixes of `length` tokens, as torch counts them."""
    from choose.engines.causal.chat_template import Prompt
    from choose.engines.causal.label_scoring import LabelTrie

    trie = LabelTrie.build([label[:-1] for label in job["labels"]], job["labels"][0][-1])
    words = [token for _, rest in job["prompts"] for token in rest]
    prefix = tuple(job["prompts"][0][0])
    rates = []
    for turn in range(ROUNDS):
        first = turn * 97 % (len(words) - 4 * length)
        rests = [tuple(words[first + i * length :][:length]) for i in range(4)]
        prompts = [Prompt(prefix, rest) for rest in rests]
        lm.answers.clear()
        start = perf_counter()
        lm.score(prompts, trie)
        seconds = perf_counter() - start
        lm.answers.clear()
        done = operations(lambda prompts=prompts: lm.score(prompts, trie))  # type: ignore[misc]
        rates.append(done / seconds / 1e9)
    return float(median(rates[1:]))


if __name__ == "__main__":
    main()
