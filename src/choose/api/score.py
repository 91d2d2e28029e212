"""Judge answers that exist already: they become runs in a store, and no model is loaded."""

from __future__ import annotations

from pathlib import Path

from choose.answers.given import AnswerSet, given_runs, read_set
from choose.api.compare import Observer, Outcome, Silent, check_store, decide, plain, run_study
from choose.data.dataset import Tables
from choose.data.readers.delimited import ROW
from choose.errors import StudyError
from choose.store.store import Store
from choose.strategy import available, traits
from choose.study.config import CandidateSection, Study
from choose.study.study_folder import folder_of
from choose.tasks.scores import SCORES


def score_answers(
    study: Study,
    *,
    rows: Tables | None = None,
    out: str | Path | None = None,
    baseline: bool = False,
    observer: Observer | None = None,
) -> Outcome:
    """Judge the answers that a study names; `rows` are data that come from no file.

    With `baseline`, the usual cheap candidates are run beside them, cross-validated on these rows.

    Raises:
        ChooseError: on bad input, before anything is written.
    """
    watch, found = observer or Silent(), read_set(study, rows)
    study = _named(study, found)
    if baseline:
        return _beside_a_baseline(study, found, out, watch)
    path = Path(out) if out else folder_of(study, found.dataset, None)
    check_store(path, study, found.dataset)
    watch.noted(found.notes)
    given = given_runs(found.given, found.dataset)
    with Store.create(path).held() as store:
        store.begin(plain(study), found.dataset)
        store.plan((run.trial for run in given.runs), given.candidates)
        for run in given.runs:
            store.add(run)
        store.leave_out(())
    del found, given  # the judge reads them again, and large files would be held twice
    return Outcome(decision=decide(store), store=store.path)


def _beside_a_baseline(
    study: Study, found: AnswerSet, out: str | Path | None, watch: Observer
) -> Outcome:
    if found.dataset.task.kind == SCORES:
        raise StudyError("--baseline learns from right answers, and --scores has none.")
    if not study.data.text_column:
        raise StudyError(
            "--baseline learns from texts, and no column holds them. Name it with --text-column, "
            "or leave --baseline out."
        )
    cheap = [name for name in available() if traits(name)["always_compared"]]
    candidates = tuple(CandidateSection(strategy=name) for name in cheap)
    study = study.model_copy(update={"candidates": candidates})
    watch.noted(found.notes)
    table = found.table.select(ROW, *(name for name in found.roles.named if name != ROW))
    tables = Tables(pool=table, name=found.dataset.name)
    return run_study(study, rows=tables, out=out, observer=watch, given=found.given)


def _named(study: Study, found: AnswerSet) -> Study:
    """Return a study that names what was found, so that candidates can be run beside it."""
    texts = ",".join(name for name in found.roles.text if name not in (ROW, found.roles.id))
    columns = {"text_column": texts or None, "label_column": found.roles.label}
    data = study.data.model_copy(update={} if found.dataset.task.kind == SCORES else columns)
    answers = (*study.given.answers, *(found.columns if not study.given.answers else ()))
    return study.model_copy(
        update={
            "data": data,
            "given": study.given.model_copy(update={"answers": answers}),
            "task": study.task.model_copy(update={"kind": found.dataset.task.kind}),
        }
    )
