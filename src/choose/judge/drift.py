"""What learning from the past costs when the future is asked, against learning from any time."""

from __future__ import annotations

import numpy as np

from choose.judge.answers import Table
from choose.judge.crossed import answered, crossed
from choose.judge.fits import ASSUMED_SD
from choose.judge.paired import Difference
from choose.judge.panel import Measured, Panel
from choose.judge.record import Gate
from choose.judge.record_stability import Origin
from choose.judge.scenes import lost, mean_on, recorded, scene
from choose.judge.words import interval, plural, points


def drop_of(candidate: Measured) -> Difference | None:
    """Return accuracy after learning from any time minus after learning from the past.

    Paired: the same rows, asked at every cut, after fits on the same number of rows. There is one
    past only, but another one of its size would give another fit: a side that was fitted once is
    taken to vary as fits on rows of any time do, or, where these were not repeated either, as is
    assumed of candidates.
    """
    any_time, past = _sides(candidate)
    if any_time is None or past is None:
        return None
    return lost(any_time, past, assumed=_assumed(any_time, past))


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
    any_time, past = _sides(candidate, cut)
    if any_time is None or past is None:
        return None
    both = np.asarray(answered(any_time.right) & answered(past.right), dtype=np.bool_)
    before, after = mean_on(past, both), mean_on(any_time, both)
    drop = lost(any_time, past, assumed=_assumed(any_time, past))
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


def _sides(candidate: Measured, cut: float | None = None) -> tuple[Table | None, Table | None]:
    """Return the answers after learning from any time and from the past, at one cut or all."""

    def side(name: str) -> Table | None:
        return scene(
            candidate,
            lambda s: s.kind == "time" and s.learns_from == name and cut in (None, s.cut),
        )

    return side("any"), side("past")


def _assumed(any_time: Table, past: Table) -> float:
    """Return the variance that one fit a side leaves unseen."""
    cuts = {run.trial.scenario.cut for run in past.runs}
    variance = ASSUMED_SD**2 / len(cuts)
    if any_time.block.shape[1] > 1:
        parts = crossed(any_time.block, any_time.rows.clusters_of(any_time.kept))
        # Not freed from the residual: with few repetitions the difference is often 0.
        variance = parts.columns * parts.repetitions
    return variance * sum(len(table.draws) == 1 for table in (any_time, past))


def _labels(table: Table) -> float:
    return float(np.mean([run.trial.train_size for run in table.runs]))
