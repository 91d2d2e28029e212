"""Run one trial as a script of one's own would, in a process of its own.

python trial.py JOB.json     writes {"load", "fit", "ask", "fitted", "asked", "answers"} to stdout

`load`, `fit` and `ask` are seconds; a job may say that only some steps or rows are to be done, and
`fitted` and `asked` are how many were.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from pathlib import Path
from time import perf_counter

METHODS = {
    "tfidf": "cheap",
    "probe": "cheap",
    "knn": "cheap",
    "prompt": "scoring",
    "retrieval": "scoring",
    "lora": "tuning",
}


def main() -> None:
    """Load, fit, ask, and write how long each took."""
    start = perf_counter()
    warnings.filterwarnings("ignore")
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    method = importlib.import_module(METHODS[job["strategy"]])
    model = method.load(job)
    loaded = perf_counter()
    fitted = method.fit(model, job)
    ready = perf_counter()
    answers = method.ask(model, job)
    done = perf_counter()
    found = {
        "load": loaded - start,
        "fit": ready - loaded,
        "ask": done - ready,
        "fitted": fitted,
        "asked": len(answers),
        "answers": answers,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
