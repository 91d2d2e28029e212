"""What the command line and a notebook both call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from choose.auditing import Checked, check, draft
from choose.deciding import decide, report, report_both, texts
from choose.exporting import export
from choose.judge.record import Decision
from choose.models.endpoints.session import connected
from choose.models.kept import keeping
from choose.models.stated import check_stated
from choose.observer import Observer, Silent
from choose.resolving import names, resolve
from choose.run.consent import Approve, before_sending, refuse
from choose.sending import Spending
from choose.store import Store
from choose.study.grid import Job
from choose.study.load import Overrides, only
from choose.study.study import Study
from choose.timings import Forecast
from choose.types import Candidate, Dataset

if TYPE_CHECKING:
    from choose.data.load import Tables

__all__ = [
    "Checked",
    "Observer",
    "Outcome",
    "Planning",
    "Silent",
    "check",
    "compare",
    "decide",
    "draft",
    "export",
    "names",
    "plan",
    "planned",
    "report",
    "report_both",
    "resolve",
    "run",
    "texts",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A decision, where it lies, and whether the study was interrupted."""

    decision: Decision
    store: Path
    interrupted: bool


def compare(
    data: str | Path | None = None,
    *,
    study_file: str | Path | None = None,
    overrides: Overrides | None = None,
    strategies: Sequence[str] = (),
    out: str | Path | None = None,
    observer: Observer | None = None,
    approve: Approve = refuse,
) -> Outcome:
    """Run every candidate on one labelled set and decide.

    Args:
        data: a CSV, TSV, JSONL or Parquet file, or ``sample:NAME``; else the study file names it.
        study_file: a TOML study file.
        overrides: section -> key -> value, laid over the study file.
        strategies: compare only these candidates, beside the baselines that always run.
        out: the store's folder; by default ``.choose/NAME-FINGERPRINT`` below the working folder.
        observer: hears the plan and each job.
        approve: is shown what would be sent to endpoints and raises to forbid it; by default it
            does.

    Raises:
        ChooseError: on bad input, before anything is run or written.
    """
    study = resolve(data, study_file, overrides, strategies)
    return run(study, out=out, observer=observer, approve=approve)


def run(
    study: Study,
    *,
    rows: Tables | None = None,
    out: str | Path | None = None,
    observer: Observer | None = None,
    approve: Approve = refuse,
) -> Outcome:
    """Run a resolved study and decide; `rows` are its data where they lie in no file.

    Raises:
        ChooseError: on bad input, before anything is run or written.
    """
    from choose.data.load import load_dataset

    check_stated()
    watch = observer or Silent()
    dataset = load_dataset(study.data, study.task, rows)
    path = Path(out) if out else default_store(dataset)
    where, limit = str(path.absolute()), study.grid.max_usd
    with keeping(), connected(study.endpoints, max_usd=limit, study=where) as session:
        candidates, refusals, jobs = plan(study, dataset)
        _check_prices(study, candidates)
        spending = before_sending(study, dataset, candidates, jobs, Store(path), approve)
        if spending.bills:
            watch.sending(session.traffic(sum(bill.requests for bill in spending.bills)))
        ready = Ready(study, dataset, candidates, refusals, jobs)
        return _run(ready, Store.create(path), watch)


@dataclass(frozen=True, slots=True)
class Ready:
    """A study with everything that is to run."""

    study: Study
    dataset: Dataset
    candidates: Sequence[Candidate]
    refusals: Sequence[str]
    jobs: Sequence[Job]


def _run(ready: Ready, store: Store, watch: Observer) -> Outcome:
    from choose.run.local import Limits, run_jobs
    from choose.run.outcome import left_out_sentences

    study, dataset, jobs = ready.study, ready.dataset, ready.jobs
    store.begin(_plain(study), dataset)
    store.plan((job.trial for job in jobs), _described(ready.candidates))
    budget = study.grid.budget_seconds
    watch.planned(dataset, jobs, ready.refusals, budget)
    racing = budget is not None and not study.grid.thorough and study.races
    margin, money = study.goal.margin or Limits().margin, study.grid.max_usd is not None
    limits = Limits(budget, racing, margin, money)
    outcome = run_jobs(jobs, dataset, store, limits, watch.job)
    store.leave_out([*ready.refusals, *left_out_sentences(outcome)])
    return Outcome(decision=decide(store), store=store.path, interrupted=outcome.interrupted)


def plan(
    study: Study, dataset: Dataset
) -> tuple[tuple[Candidate, ...], tuple[str, ...], list[Job]]:
    """Return the candidates, why others cannot take part, and the jobs in order."""
    from choose.study.candidates import candidates_of
    from choose.study.grid import Planner

    field = candidates_of(study, dataset.task)
    return field.candidates, field.refusals, Planner(study, dataset).jobs(field.candidates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """What `compare` would run, in order."""

    dataset: Dataset
    candidates: tuple[Candidate, ...]
    refusals: tuple[str, ...]
    jobs: list[Job]
    budget: float | None
    spending: Spending
    forecasts: tuple[Forecast, ...] = ()


def planned(
    data: str | Path | None = None,
    *,
    study_file: str | Path | None = None,
    overrides: Overrides | None = None,
    strategies: Sequence[str] = (),
    rehearse: bool = False,
) -> Planning:
    """Read the rows and lay out the trials, fetching nothing; as for `compare`.

    With `rehearse`, some seconds of every candidate's work here tell what all of it will take.

    Raises:
        ChooseError: where `compare` would refuse to start.
    """
    from choose.data.load import load_dataset
    from choose.run.timings import forecast, priced
    from choose.study.behind import allowed
    from choose.study.spending import spending_of

    check_stated()
    study = resolve(data, study_file, overrides)
    study = only(study, strategies) if strategies else study
    dataset = load_dataset(study.data, study.task)
    with connected(study.endpoints):
        candidates, refusals, jobs = plan(study, dataset)
        allowed(study, candidates)
        budget = study.grid.budget_seconds
        found = forecast(jobs, dataset, budget) if rehearse else []
    asked = priced(found, jobs, candidates, dataset, study.endpoints, study.grid.max_usd)
    return Planning(
        dataset=dataset,
        candidates=candidates,
        refusals=refusals,
        jobs=jobs,
        budget=budget,
        forecasts=tuple(asked),
        spending=spending_of(jobs, candidates, dataset, study.endpoints, study.grid.max_usd),
    )


def default_store(dataset: Dataset) -> Path:
    """Return where a study goes when nobody says: by the data's name and content."""
    safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in dataset.name).strip("-")
    return Path(".choose") / f"{safe or 'study'}-{dataset.fingerprint[:8]}"


def _check_prices(study: Study, candidates: Sequence[Candidate]) -> None:
    from choose.strategy import available
    from choose.study.candidates import ROLES, model_of
    from choose.study.costs import check_names

    # A candidate that does not run this time keeps its prices in the file.
    known = {c.name for c in candidates} | {c.name or c.strategy for c in study.candidates}
    specs = {model_of(c) for c in candidates} | {getattr(study.models, role) for role in ROLES}
    check_names(
        study.costs,
        study.models.retirement,
        sorted(known | set(available())),
        sorted(spec for spec in specs if spec is not None),
    )


def _plain(study: Study) -> dict[str, Any]:
    return study.model_dump(mode="json", exclude_none=True)


def _described(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    from choose.strategy import find
    from choose.study.candidates import model_of

    return [
        {
            **asdict(c),
            "family": (cls := find(c.strategy)).family,
            "cheap": cls.cheap,
            "seeded": cls.seeded,
            "learns": cls.learns,
            "model": model_of(c),
            "warning": getattr(cls, "warning", None),
        }
        for c in candidates
    ]
