"""How a model behind an endpoint is served: latency, prefix cache, unusable answers, repeats."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from choose.judge.answers import CLEAN
from choose.judge.panel import Measured
from choose.judge.record_service import Service
from choose.types import Answers, Run


def service_of(candidate: Measured) -> Service | None:
    """Return what was seen of the service, None where there is none or nothing was answered."""
    info = candidate.info
    if candidate.main is None or info.behind is None:
        return None
    answers = [run.answers[CLEAN] for run in candidate.main.runs]
    counts = Counter(status for found in answers for status in found.status)
    rows = max(1, counts.total())
    p50, p95 = _latency(answers)
    instability, repeats, repeated = _instability(candidate.main.runs)
    return Service(
        behind=info.behind,
        latency_p50=p50,
        latency_p95=p95,
        concurrency=info.concurrency,
        cached_share=_cached(answers),
        refused=counts["refused"] / rows,
        empty=counts["empty"] / rows,
        cut=counts["cut"] / rows,
        off_list=counts["off-list"] / rows,
        instability=instability,
        repeats=repeats,
        repeated_rows=repeated,
    )


def _latency(answers: Sequence[Answers]) -> tuple[float | None, float | None]:
    measured = [found.latency for found in answers if found.latency is not None]
    seconds = np.concatenate(measured) if measured else np.zeros(0)
    seconds = seconds[np.isfinite(seconds)]
    if not len(seconds):
        return None, None
    p50, p95 = np.percentile(seconds, [50, 95])
    return float(p50), float(p95)


def _cached(answers: Sequence[Answers]) -> float | None:
    """Return the share of tokens read from a cache; None where a server does not speak of one."""
    known = [(a.tokens_cached, a.tokens_in) for a in answers]
    pairs = [(c.sum(), r.sum()) for c, r in known if c is not None and r is not None]
    if len(pairs) < len(known) or not (read := sum(r for _, r in pairs)):
        return None
    return float(sum(c for c, _ in pairs) / read)


def _instability(runs: Sequence[Run]) -> tuple[float | None, int, int]:
    """Return the share of rows whose answer changed, how often they were asked, how many rows."""
    given: dict[tuple[str, str], list[str | None]] = defaultdict(list)
    for run in runs:
        if ("clean", 1) in run.answers:
            for view in (view for view in run.answers if view[0] == "clean"):
                for id, output in zip(run.asked[view], run.answers[view].outputs, strict=True):
                    given[run.trial.key, id].append(output)
    repeats = max((len(outputs) for outputs in given.values()), default=1)
    rows = [outputs for outputs in given.values() if len(outputs) == repeats > 1]
    if not rows:
        return None, 1, 0
    return float(np.mean([len(set(outputs)) > 1 for outputs in rows])), repeats, len(rows)
