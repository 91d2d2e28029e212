"""From what a person says to the study that is meant, the decision rule included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from choose.study.load import Overrides, load_study, only
from choose.study.study import Study


def resolve(
    data: str | Path | None = None,
    study_file: str | Path | Mapping[str, Any] | None = None,
    overrides: Overrides | None = None,
    strategies: Sequence[str] = (),
) -> Study:
    """Return the study that these settings make, the decision rule included."""
    from choose.judge.rule import RULE

    settings: dict[str, dict[str, Any]] = {k: dict(v) for k, v in (overrides or {}).items()}
    if data is not None:
        settings.setdefault("data", {})["path"] = str(data)
    base = Path(study_file) if isinstance(study_file, str) else study_file
    study = load_study(base, settings)
    study = only(study, strategies) if strategies else study
    if study.models.retirement and study.costs.start is None:
        # Fixed with the study, so that judging it later counts the same months.
        costs = study.costs.model_copy(update={"start": date.today()})
        study = study.model_copy(update={"costs": costs})
    return study.model_copy(update={"rule": RULE})


def names(study: Study) -> tuple[str, ...]:
    """Return how a study's candidates are called."""
    from choose.study.candidates import names_of

    return names_of(study)
