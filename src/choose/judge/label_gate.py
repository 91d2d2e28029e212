"""The gate "labels clean enough", from conflicting texts and from the label audit."""

from __future__ import annotations

from choose.judge.intervals import wilson
from choose.judge.record import Gate
from choose.judge.record_audit import Audit
from choose.judge.words import number, per_cent, plural

# Conflicting labels above this share, for certain, limit what can be reached.
CONFLICTS = 0.05

# Wrong labels in public test sets average above 3 % (Northcutt et al. 2021); more than this is bad.
WRONG = 0.05

NAME = "labels clean enough"


def conflicts_fail(conflicting: int, rows: int) -> bool:
    """Return whether too many texts stand under two labels, for certain."""
    return bool(conflicting) and wilson(conflicting, rows)[0] > CONFLICTS


def clean_labels(audit: Audit | None, conflicting: int, rows: int) -> Gate:
    """Judge the labels: pass and fail need the whole band of wrong labels on that side."""
    band = audit.noise if audit else None
    said = [_conflicting(conflicting, rows), _audited(audit)]
    status = "unknown"
    if conflicts_fail(conflicting, rows) or (band is not None and band.low > WRONG):
        status = "fail"
    elif band is not None and band.high < WRONG:
        status = "pass"
    return Gate.model_validate(
        {"name": NAME, "status": status, "evidence": " ".join(part for part in said if part)}
    )


def _conflicting(count: int, rows: int) -> str:
    if not count:
        return "No text stands under two labels."
    low, high = wilson(count, rows)
    return (
        f"{count} of {rows} test rows ({number(100 * low)} to {number(100 * high)} %) have a "
        "text that also stands under another label."
    )


def _audited(audit: Audit | None) -> str:
    if audit is None or not audit.auditors:
        return "The labels were not checked further."
    if audit.noise is None:
        return f"How many labels are wrong is not known: {audit.no_estimate}"
    band = audit.noise
    return (
        f"Between {per_cent(band.low)} and {per_cent(band.high)} % of "
        f"{plural(audit.rows, 'label')} may be wrong, and the limit is {per_cent(WRONG)} %; "
        f"{audit.suspected:,} are suspected."
    )
