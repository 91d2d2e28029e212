"""Export a candidate of a study as a folder that predicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from choose.api.compare import decide
from choose.errors import StudyError
from choose.models.environment_settings import check_environment
from choose.models.results.output_cache import caching
from choose.models.weights.spec import endpoint_name
from choose.store.destination import check_folder
from choose.store.store import Store

if TYPE_CHECKING:
    from choose.export.write_folder import Exported


def export(
    store: str | Path,
    folder: str | Path,
    *,
    candidate: str | None = None,
    trial: str | None = None,
    force: bool = False,
) -> Exported:
    """Fit a candidate on all labels of a study, or make one of its fits again, and write it.

    Args:
        store: the folder of a study.
        folder: a new folder; with `force`, also one that holds an export.
        candidate: by default the recommended one, else the interim choice.
        trial: the key of one of the study's trials, or its beginning.
        force: replace an existing export.

    Raises:
        ChooseError: if it cannot be fitted, saved or written; the folder is then as it was.
    """
    from choose.export.fit_selection import select_candidate, select_trial
    from choose.export.write_folder import check_replaceable, write_export

    check_environment()
    target = Path(folder)
    opened = Store.open(Path(store))
    check_replaceable(target.resolve(), target, force)
    check_folder(target, flag="The folder", stores=(opened.path,))
    decision = decide(opened)
    if trial is not None:
        choice = select_trial(opened, trial)
    else:
        choice = select_candidate(opened, decision.verdict, candidate)
    remote = [spec for spec in choice.params.values() if endpoint_name(spec) is not None]
    if remote:
        raise StudyError(
            f"{choice.candidate!r} calls {remote[0]}, which cannot be exported. Call the endpoint "
            "itself, or name a candidate that runs on this machine with --candidate."
        )
    with caching():
        return write_export(opened, decision, choice, target, force)
