"""How near the scorer comes to the matrix products this machine can do.

python peak.py JOB.json     a job is what `Questions` holds, and dtype and suffixes
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

SHAPES = ((1024, 1024, 1024), (2048, 2048, 2048), (1024, 576, 1536), (1024, 1536, 576))
ROUNDS = 7


def main() -> None:
    """Write GFLOP/s of products and of scoring, by length of suffix, to standard output."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.environ["CHOOSE_DTYPE"] = job["dtype"]
    from choose.models.causal.loading import load_causal

    lm = load_causal(job["model"])
    found: dict[str, Any] = {"peak": _peak(job["dtype"]), "suffixes": {}}
    for length in job["suffixes"]:
        found["suffixes"][length] = _scoring(lm, job, length)
    # Before and after: what another program takes meanwhile must not flatter the share.
    found["peak"] = max(found["peak"], _peak(job["dtype"]))
    print(json.dumps(found))


def _peak(dtype: str) -> float:
    """Return the best GFLOP/s of any product tried."""
    import torch

    from choose.models.hardware.device import threads

    threads()
    best = 0.0
    for m, k, n in SHAPES:
        left = torch.randn(m, k).to(getattr(torch, dtype))
        right = torch.randn(n, k).to(getattr(torch, dtype))
        for _ in range(ROUNDS):
            start = perf_counter()
            torch.nn.functional.linear(left, right)
            best = max(best, 2 * m * k * n / (perf_counter() - start) / 1e9)
    return best


def _scoring(lm: Any, job: dict[str, Any], length: int) -> float:
    """Return GFLOP/s of scoring prompts whose own part has so many tokens, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    from choose.models.causal.chat_template import Prompt
    from choose.models.causal.label_scoring import LabelTrie

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
        with FlopCounterMode(display=False) as counter:
            lm.score(prompts, trie)
        rates.append(counter.get_total_flops() / seconds / 1e9)
    return float(median(rates[1:]))


if __name__ == "__main__":
    main()
