"""What the scenarios add to a scorecard, gathered in one place."""

from __future__ import annotations

from choose.judge.drift import drop_of, origins_of
from choose.judge.newclass import new_class_of
from choose.judge.panel import Measured
from choose.judge.record import LabelRecord, Noise, Stability
from choose.judge.record_stability import NoiseKindPoint
from choose.judge.robustness import noise_of, stability_of
from choose.judge.scenes import lost, mean_on, recorded


def stability(candidate: Measured) -> Stability:
    """Return how a candidate holds under views, over time and when a class is new.

    Recall on the new class and the others' loss are those at the most examples given back.
    """
    drop, new = drop_of(candidate), new_class_of(candidate)
    last = new.points[-1] if new is not None else None
    return stability_of(candidate).model_copy(
        update={
            "temporal_drop": recorded(drop) if drop is not None else None,
            "origins": origins_of(candidate),
            "new_class": new,
            "new_class_recall": last.recall.value if last is not None else None,
            "old_class_loss": last.loss.value if last is not None and last.loss else None,
        }
    )


def noise(candidate: Measured) -> Noise:
    """Return how accuracy answers to added label noise, other kinds than symmetric beside it."""
    kinds = {kind for kind, _ in candidate.noise}
    points = _kinds(candidate) if kinds - {"symmetric"} else ()
    return noise_of(candidate).model_copy(update={"kinds": points})


def _kinds(candidate: Measured) -> tuple[NoiseKindPoint, ...]:
    points = []
    for (kind, rate), table in sorted(candidate.noise.items()):
        assert candidate.main is not None
        loss, noisy = lost(candidate.main, table), mean_on(table, table.kept)
        if loss is not None and noisy is not None:
            points.append(
                NoiseKindPoint(kind=kind, rate=rate, accuracy=noisy[0], loss=recorded(loss))
            )
    return tuple(points)


def out_of_scope_recall(per_class: tuple[LabelRecord, ...], label: str | None) -> float | None:
    """Return recall on the label that the study calls out of scope; None where it names none."""
    return next((row.recall for row in per_class if row.label == label), None)
