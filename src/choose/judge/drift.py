"""What learning from the past costs when the future is asked, against learning from any time."""

from __future__ import annotations

import numpy as np

from choose.judge.crossed import answered
from choose.judge.paired import Difference
from choose.judge.panel import Measured, Panel, Table
from choose.judge.record import Gate
from choose.judge.record_stability import Origin
from choose.judge.scenes import lost, mean_on, recorded, scene
from choose.judge.words import interval, plural, points
from choose.types import Scenario


def drop_of(candidate: Measured) -> Difference | None:
    """Return accuracy after learning from any time minus after learning from the past.

    Paired: the same rows, asked at every cut, after fits on the same number of rows.
    """
    sides = [scene(candidate, lambda s, side=side: _learns(s, side)) for side in ("any", "past")]  # type: ignore[misc]
    any_time, past = sides
    return None if any_time is None or past is None else lost(any_time, past)


def origins_of(candidate: Measured) -> tuple[Origin, ...]:
    """Return the drop at each cut."""
    cuts = sorted({run.trial.scenario.cut for run in candidate.scenes} - {0.0})
    return tuple(found for cut in cuts if (found := _origin(candidate, cut)) is not None)


def stable(panel: Panel, name: str, margin: float) -> Gate:
    """Say whether the task holds still over time, by the drop of the candidate at issue.

    The limit is the smallest gain that matters: what drifts by less than that is left alone.
    """
    found = drop_of(panel[name])
    if found is None:
        return Gate(name="task stable", status="unknown", evidence=_unknown(panel, name))
    status = "pass" if found.high < margin else "fail" if found.low > margin else "unknown"
    change = "loses" if found.value >= 0 else "gains"
    said = found if found.value >= 0 else found.turned()
    return Gate(
        name="task stable",
        status=status,  # type: ignore[arg-type]
        evidence=(
            f"Asked {plural(found.rows, 'row')} that come after those it learnt from, {name} "
            f"{change} {points(said.value)} ({interval(said)}) against learning from as many rows "
            f"of any time; {points(margin)} would matter."
        ),
    )


def _unknown(panel: Panel, name: str) -> str:
    if panel.dated == 0:
        return "The rows bear no timestamps, so drift over time cannot be measured."
    if panel.dated is not None and panel.dated < panel.labelled:
        missing = f"{panel.dated:,} of {plural(panel.labelled, 'row')} bear a timestamp"
    else:
        missing = f"no time split of {name} was finished"
    others = [
        f"{other.info.name} loses {points(found.value)} ({interval(found)})"
        for other in panel.scored
        if other.info.name != name and (found := drop_of(other)) is not None
    ]
    beside = f"; {others[-1]}" if others else ""
    return f"Drift of {name} is not known: {missing}{beside}."


def _origin(candidate: Measured, cut: float) -> Origin | None:
    sides = [
        scene(candidate, lambda s, side=side: _learns(s, side) and s.cut == cut)  # type: ignore[misc]
        for side in ("any", "past")
    ]
    any_time, past = sides
    if any_time is None or past is None:
        return None
    both = np.asarray(answered(any_time.right) & answered(past.right), dtype=np.bool_)
    before, after, drop = mean_on(past, both), mean_on(any_time, both), lost(any_time, past)
    if before is None or after is None or drop is None:
        return None
    return Origin(
        cut=cut,
        rows=drop.rows,
        labels=_labels(past),
        past=before[0],
        any_time=after[0],
        drop=recorded(drop),
    )


def _labels(table: Table) -> float:
    return float(np.mean([run.trial.train_size for run in table.runs]))


def _learns(scenario: Scenario, side: str) -> bool:
    return scenario.kind == "time" and scenario.learns_from == side
