"""The other side: score the same questions with lm-evaluation-harness, in its environment.

    python peer.py JOB.json     a job is as for ours.py, with threads and batch

The harness is handed token ids, so that both sides read exactly the same.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from time import perf_counter

warnings.filterwarnings("ignore")


def main() -> None:
    """Write the seconds and the scores to standard output."""
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
        found = [logprob for logprob, _ in lm._loglikelihood_tokens(requests, disable_tqdm=True)]
        width = len(job["labels"])
        return [found[i : i + width] for i in range(0, len(found), width)]

    asked = job["prompts"][job["first"] : job["last"]]
    lm._loglikelihood_tokens(
        [(("warm", "up"), asked[0][0] + asked[0][1], job["labels"][0])], disable_tqdm=True
    )
    start = perf_counter()
    logprobs = score(asked)
    print(json.dumps({"seconds": perf_counter() - start, "logprobs": logprobs}))


if __name__ == "__main__":
    main()
