"""The statistics of the judge, in one place."""

from __future__ import annotations

from choose.judge.crossed import Crossed, crossed
from choose.judge.intervals import (
    Components,
    Estimate,
    holm,
    rows_needed,
    smallest_detectable_gain,
    two_way_interval,
    variance_components,
    wilson,
)
from choose.judge.metrics import (
    expected_calibration_error,
    macro_f1,
    per_label,
)
from choose.judge.paired import Difference, mcnemar_midp, paired_difference
from choose.judge.resampling import paired_bootstrap, permutation_test

__all__ = [
    "Components",
    "Crossed",
    "Difference",
    "Estimate",
    "crossed",
    "expected_calibration_error",
    "holm",
    "macro_f1",
    "mcnemar_midp",
    "paired_bootstrap",
    "paired_difference",
    "per_label",
    "permutation_test",
    "rows_needed",
    "smallest_detectable_gain",
    "two_way_interval",
    "variance_components",
    "wilson",
]
