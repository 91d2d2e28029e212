"""What one fit with its questions costs at a point, in processor seconds of a process."""

from __future__ import annotations

import argparse
import json
import os
from time import process_time
from typing import Any

from growing.rows import examples, task

# Seconds of measuring after which a point needs no repetition.
ENOUGH = 2.0


def cost(strategy: str, params: dict[str, Any], labels: int, rows: int, classes: int) -> float:
    """Return the processor seconds of one fit on `labels` rows and of asking `rows` others."""
    from choose.strategy import build

    built = build(strategy, seed=0, **params)
    pool = examples(labels, classes, "pool")
    asked = [row.item() for row in examples(rows, classes, "asked")]
    start = process_time()
    built.fit(task(classes), pool)
    built.predict(asked)
    return process_time() - start


def main() -> None:
    """Write the cost of each point, the first of which is asked twice, since it warms up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", help="JSON: strategy, params, points")
    job = json.loads(parser.parse_args().job)
    os.environ.setdefault("CHOOSE_THREADS", "1")
    costs = [_alone(job, point) for point in [job["points"][0], *job["points"]]]
    print(json.dumps(costs[1:]))


def _alone(job: dict[str, Any], point: dict[str, int]) -> float:
    """Return the cost where nothing is known yet; of a short one the least of three."""
    found: list[float] = []
    while len(found) < 3 and sum(found) < ENOUGH:
        if encoder := job["params"].get("encoder"):
            from choose.models.embeddings import load_encoder

            load_encoder(encoder).vectors.clear()
            load_encoder(encoder).seconds.clear()
        if model := job["params"].get("model"):
            from choose.models.causal.loading import load_causal

            load_causal(model).answers.clear()
        found.append(cost(job["strategy"], job["params"], **point))
    return min(found)


if __name__ == "__main__":
    main()
