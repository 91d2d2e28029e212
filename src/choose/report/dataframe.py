"""The scorecards as a table to compute with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.scorecard import Scorecard

if TYPE_CHECKING:
    import polars as pl


def frame(decision: Decision) -> pl.DataFrame:
    """Return one row a candidate, the most accurate first; what was not measured is null."""
    import polars as pl

    rows = [_row(card, decision) for card in decision.scorecards]
    table = pl.DataFrame(rows, schema={name: getattr(pl, kind) for name, kind in _SCHEMA.items()})
    return table.sort("accuracy", descending=True, nulls_last=True, maintain_order=True)


# Written out, so that columns that are null throughout keep their types.
_SCHEMA = {
    "candidate": "String",
    "strategy": "String",
    "family": "String",
    "model": "String",
    "recommended": "Boolean",
    "accuracy": "Float64",
    "low": "Float64",
    "high": "Float64",
    "estimand": "String",
    "macro_f1": "Float64",
    "rows": "Int64",
    "repetitions": "Int64",
    "churn": "Float64",
    "noise_slope": "Float64",
    "format_valid": "Float64",
    "calibration_error": "Float64",
    "fit_seconds": "Float64",
    "ms_per_item": "Float64",
    "usd_per_1k": "Float64",
    "errors": "Int64",
}


def _row(card: Scorecard, decision: Decision) -> dict[str, Any]:
    accuracy, cost = card.accuracy, card.cost
    return {
        "candidate": card.candidate,
        "strategy": card.strategy,
        "family": card.family,
        "model": card.model,
        "recommended": card.candidate == decision.verdict.recommended,
        "accuracy": _value(accuracy),
        "low": accuracy.low if accuracy else None,
        "high": accuracy.high if accuracy else None,
        "estimand": accuracy.estimand if accuracy else None,
        "macro_f1": _value(card.macro_f1),
        "rows": card.rows,
        "repetitions": card.repetitions,
        "churn": card.churn,
        "noise_slope": _value(card.noise.slope),
        "format_valid": card.format_valid,
        "calibration_error": card.calibration_error,
        "fit_seconds": cost.fit_seconds,
        "ms_per_item": cost.ms_per_item,
        "usd_per_1k": cost.usd_per_1k,
        "errors": len(card.errors),
    }


def _value(interval: Interval | None) -> float | None:
    return interval.value if interval is not None else None
