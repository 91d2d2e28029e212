"""What can be said of labelled rows before any model runs: their audit, and a study file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from choose.resolving import resolve
from choose.study.load import Overrides

if TYPE_CHECKING:
    from choose.check.record import Check


@dataclass(frozen=True, slots=True)
class Checked:
    """The audit of a labelled set, and the texts of its rows, which the record does not hold."""

    record: Check
    texts: Mapping[str, str]


def check(
    data: str | Path | None = None,
    *,
    study_file: str | Path | None = None,
    overrides: Overrides | None = None,
) -> Checked:
    """Audit a labelled set before any model runs; arguments as for `compare`.

    Raises:
        ChooseError: if the rows cannot be read, used or divided.
    """
    from choose.check.audit import check_set

    return Checked(*check_set(resolve(data, study_file, overrides)))


def draft(data: str | Path | None, *, overrides: Overrides | None = None) -> str:
    """Return a commented study file (TOML), drafted from the rows that it is about.

    Raises:
        ChooseError: if the rows cannot be read, used or divided.
    """
    from choose.data.load import divided, read_rows
    from choose.judge.reach import reach_of
    from choose.judge.rule import USUAL_MARGIN
    from choose.study.draft import Found
    from choose.study.draft import draft as drafted

    study = resolve(data, None, overrides)
    rows = read_rows(study.data)
    dataset = divided(rows, study.data, study.task)
    clusters = [dataset.clusters.get(id, f"alone {id}") for id in dataset.asked]
    reach = reach_of(clusters, study.goal.margin or USUAL_MARGIN)
    return drafted(
        Found(
            data=study.data,
            rows=rows,
            dataset=dataset,
            detectable=reach.usual,
            needed=reach.margin_rows,
            version=version("choose-llm"),
        )
    )
