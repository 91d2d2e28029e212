"""The peer in label_scoring.py and generation.py: lm-evaluation-harness.

    python scoring_peer.py JOB.json     a job as of scoring_choose.py, with threads and batch;
                                        or prompts as text to complete, with limit, until, batches

It runs in an environment of its own.

For label scoring the harness gets token ids, so that both sides read exactly the same. Its
`generate_until` takes text only: its tokens are compared with the ids that were meant.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any

warnings.filterwarnings("ignore")


def main() -> None:
    """Print what the job asks for as JSON."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import torch
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(job["threads"])
    batch = job.get("batch", 1)
    lm = HFLM(pretrained=job["model"], device="cpu", dtype=job["dtype"], batch_size=batch)
    print(json.dumps(_complete(lm, job) if "until" in job else _score(lm, job)))


def _complete(lm: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds of `generate_until` by batch size, the texts, and the tokens read."""
    from lm_eval.api.instance import Instance

    how = {"until": job["until"], "max_gen_toks": job["limit"], "do_sample": False}
    asked = [Instance("generate_until", {}, (text, dict(how)), n)
             for n, text in enumerate(job["prompts"])]  # fmt: skip
    seconds, texts = {}, []
    lm.generate_until(asked[-1:], disable_tqdm=True)
    for size in job["batches"]:
        lm.batch_size_per_gpu = size
        start = perf_counter()
        texts = lm.generate_until(asked, disable_tqdm=True)
        seconds[size] = perf_counter() - start
    return {"seconds": seconds, "texts": texts, "ids": [lm.tok_encode(t) for t in job["prompts"]]}


def _score(lm: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds and the log-probabilities of each label."""

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
    return {"seconds": perf_counter() - start, "logprobs": logprobs}


if __name__ == "__main__":
    main()
