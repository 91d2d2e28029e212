"""What the command line and a notebook both call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from choose.judge.record import Decision
from choose.models.endpoints.session import Traffic, connected
from choose.run.consent import Approve, before_sending, refuse
from choose.store import Store
from choose.study.grid import Job
from choose.study.load import Overrides, load_study, only
from choose.study.study import Study
from choose.types import Candidate, Dataset, Run


class Observer(Protocol):
    """Hears what happens while a study runs."""

    def sending(self, traffic: Traffic) -> None:
        """Requests will go to endpoints; `traffic` counts them as they do."""

    def planned(
        self,
        dataset: Dataset,
        jobs: Sequence[Job],
        refusals: Sequence[str],
        budget: float | None,
    ) -> None:
        """The grid stands; nothing has run yet."""

    def job(self, job: Job, run: Run | None) -> None:
        """A job starts (no run) or has ended."""


class Silent:
    """Hears and says nothing."""

    def sending(self, traffic: Traffic) -> None:
        """Ignore the traffic."""

    def planned(
        self,
        dataset: Dataset,
        jobs: Sequence[Job],
        refusals: Sequence[str],
        budget: float | None,
    ) -> None:
        """Ignore the plan."""

    def job(self, job: Job, run: Run | None) -> None:
        """Ignore the job."""


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
    from choose.data.load import load_dataset

    watch = observer or Silent()
    study = _resolved(data, study_file, overrides)
    study = only(study, strategies) if strategies else study
    dataset = load_dataset(study.data, study.task)
    path = Path(out) if out else default_store(dataset)
    where, limit = str(path.absolute()), study.grid.max_usd
    with connected(study.endpoints, max_usd=limit, study=where) as session:
        candidates, refusals, jobs = plan(study, dataset)
        spending = before_sending(study, dataset, candidates, jobs, Store(path), approve)
        if spending.bills:
            watch.sending(session.traffic(sum(bill.requests for bill in spending.bills)))
        planned = Planned(study, dataset, candidates, refusals, jobs)
        return _run(planned, Store.create(path), watch)


@dataclass(frozen=True, slots=True)
class Planned:
    """A study, ready to run."""

    study: Study
    dataset: Dataset
    candidates: Sequence[Candidate]
    refusals: Sequence[str]
    jobs: Sequence[Job]


def _run(planned: Planned, store: Store, watch: Observer) -> Outcome:
    from choose.run.local import Limits, left_out_sentences, run_jobs

    study, dataset, jobs = planned.study, planned.dataset, planned.jobs
    store.begin(_plain(study), dataset)
    store.plan((job.trial for job in jobs), _described(planned.candidates))
    budget = study.grid.budget_seconds
    watch.planned(dataset, jobs, planned.refusals, budget)
    racing = budget is not None and not study.grid.thorough
    limits = Limits(budget, racing, study.goal.margin, study.grid.max_usd is not None)
    outcome = run_jobs(jobs, dataset, store, limits, watch.job)
    store.leave_out([*planned.refusals, *left_out_sentences(outcome)])
    return Outcome(decision=decide(store), store=store.path, interrupted=outcome.interrupted)


def plan(
    study: Study, dataset: Dataset
) -> tuple[tuple[Candidate, ...], tuple[str, ...], list[Job]]:
    """Return the candidates, why others cannot take part, and the jobs in order."""
    from choose.study.candidates import candidates_of
    from choose.study.grid import Planner

    field = candidates_of(study, dataset.task)
    return field.candidates, field.refusals, Planner(study, dataset).jobs(field.candidates)


def report(store: str | Path) -> Decision:
    """Judge a stored study again, without any model; from the record where nothing changed."""
    return decide(Store.open(Path(store)))


def texts(store: str | Path) -> dict[str, str]:
    """Return the texts of a study's rows by id; empty where none were kept."""
    rows = Store.open(Path(store)).dataset.examples
    return {id: example.text for id, example in rows.items() if example.text}


def decide(store: Store) -> Decision:
    """Judge what the store holds and write the decision into it."""
    from choose.judge.rule import RULE

    state = f"{version('choose-llm')} {RULE} {store.state()}"
    if (text := store.decided(state)) is not None:
        return Decision.model_validate_json(text)
    from choose.evidence import evidence_of, rule_of
    from choose.judge.verdict import judge

    evidence = evidence_of(store)
    decision = judge(
        evidence, rule_of(store.study), looks=store.look(RULE), left_out=tuple(store.left_out())
    )
    store.decide(state, decision.model_dump(mode="json", by_alias=True))
    return decision


def default_store(dataset: Dataset) -> Path:
    """Return where a study goes when nobody says: by the data's name and content."""
    safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in dataset.name).strip("-")
    return Path(".choose") / f"{safe or 'study'}-{dataset.fingerprint[:8]}"


def _resolved(
    data: str | Path | None, study_file: str | Path | None, overrides: Overrides | None
) -> Study:
    from choose.judge.rule import RULE

    settings: dict[str, dict[str, Any]] = {k: dict(v) for k, v in (overrides or {}).items()}
    if data is not None:
        settings.setdefault("data", {})["path"] = str(data)
    study = load_study(Path(study_file) if study_file else None, settings)
    return study.model_copy(update={"rule": RULE})


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
