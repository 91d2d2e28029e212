"""The peer in label_scoring.py: score the questions with lm-evaluation-harness.

    python scoring_peer.py JOB.json     a job as of scoring_choose.py, with threads and batch

It runs in an environment of its own.

The harness gets token ids, so that both sides read exactly the same.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from time import perf_counter

warnings.filterwarnings("ignore")


def main() -> None:
    """Print the seconds and the log-probabilities as JSON."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import torch
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(job["threads"])
    lm = HFLM(pretrained=job["model"], device="cpu", dtype=job["dtype"], batch_size=job["batch"])

    def score(prompts: list[list[list[int]]]) -> list[list[float]]:
        requests = [
            ((f"prompt {n}", f"label {m}"), prefix + rest, label)
            for n, (prefix, rest) in enumerate(prompts)
            for m, label in enumerate(job["labels"])
        ]
        scores = [logprob for logprob, _ in lm._loglikelihood_tokens(requests, disable_tqdm=True)]
        width = len(job["labels"])
        return [scores[i : i + width] for i in range(0, len(scores), width)]

    timed = job["prompts"][job["first"] : job["last"]]
    lm._loglikelihood_tokens(
        [(("warm", "up"), timed[0][0] + timed[0][1], job["labels"][0])], disable_tqdm=True
    )
    start = perf_counter()
    logprobs = score(timed)
    print(json.dumps({"seconds": perf_counter() - start, "logprobs": logprobs}))


if __name__ == "__main__":
    main()
