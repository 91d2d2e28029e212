"""One side: score questions with `choose.models`, in a process of its own.

python ours.py JOB.json     a job is what `Questions` holds, and first, last, dtype
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any


def main() -> None:
    """Write the seconds and the scores to standard output."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.environ["CHOOSE_DTYPE"] = job["dtype"]

    from choose.models.causal.chat_template import Prompt
    from choose.models.causal.label_scoring import LabelTrie
    from choose.models.causal.loading import load_causal

    lm = load_causal(job["model"])
    trie = LabelTrie.of(job["labels"])
    prompts = [Prompt(tuple(prefix), tuple(rest)) for prefix, rest in job["prompts"]]
    asked = prompts[job["first"] : job["last"]]
    # Warm: the prefix is in memory, as in any study after its first question; the same is
    # granted to the peer, whose first batch is not timed either.
    lm.score([p for p in prompts if p not in asked][:3], trie)
    start = perf_counter()
    scored = lm.score(asked, trie)
    seconds = perf_counter() - start
    result: dict[str, Any] = {"seconds": seconds, "logprobs": scored.logprobs.tolist()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
