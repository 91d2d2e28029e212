"""What the command line and a notebook both call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from choose.errors import StudyError
from choose.judge.record import Decision
from choose.models.endpoints.session import Traffic, connected
from choose.models.endpoints.spec import endpoint_name
from choose.models.kept import keeping
from choose.run.consent import Approve, before_sending, refuse
from choose.store import Store
from choose.study.grid import Job
from choose.study.load import Overrides, load_study, only
from choose.study.study import Study
from choose.types import Candidate, Dataset, Run

if TYPE_CHECKING:
    from choose.artefact.export import Exported
    from choose.check.record import Check
    from choose.data.load import Tables
    from choose.judge.versus import Versus


# Raise when a record says more of the same evidence, so that older ones are written again.
RECORD = 2


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
    study = resolve(data, study_file, overrides, strategies)
    return run(study, out=out, observer=observer, approve=approve)


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
    from choose.run.local import Limits, left_out_sentences, run_jobs

    study, dataset, jobs = ready.study, ready.dataset, ready.jobs
    store.begin(_plain(study), dataset)
    store.plan((job.trial for job in jobs), _described(ready.candidates))
    budget = study.grid.budget_seconds
    watch.planned(dataset, jobs, ready.refusals, budget)
    racing = budget is not None and not study.grid.thorough and not study.derives
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


def planned(
    data: str | Path | None = None,
    *,
    study_file: str | Path | None = None,
    overrides: Overrides | None = None,
    strategies: Sequence[str] = (),
) -> Planning:
    """Read the rows and lay out the trials, running and fetching nothing; as for `compare`.

    Raises:
        ChooseError: where `compare` would refuse to start.
    """
    from choose.data.load import load_dataset

    study = resolve(data, study_file, overrides)
    study = only(study, strategies) if strategies else study
    dataset = load_dataset(study.data, study.task)
    with connected(study.endpoints):
        candidates, refusals, jobs = plan(study, dataset)
    return Planning(
        dataset=dataset,
        candidates=candidates,
        refusals=refusals,
        jobs=jobs,
        budget=study.grid.budget_seconds,
    )


def report(store: str | Path) -> Decision:
    """Judge a stored study again, without any model; from the record where nothing changed."""
    return decide(Store.open(Path(store)))


def report_both(before: str | Path, after: str | Path) -> Versus:
    """Compare two stored studies in pairs, on the rows that both asked; needs no model.

    Raises:
        StoreError: if either is no study, or too few rows are common.
    """
    from choose.matching import Studied, versus

    stores = [Store.open(Path(path)) for path in (before, after)]
    return versus(*(Studied(store, decide(store)) for store in stores))


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
        folder: a new folder; with `force`, one that holds an export.
        candidate: by default the recommended one, else the one to use meanwhile.
        trial: the key of one of the study's fits, or its beginning.
        force: replace an export that is there.

    Raises:
        ChooseError: if it cannot be fitted, saved or written; the folder is then as it was.
    """
    from choose.artefact.choice import choose_candidate, choose_trial
    from choose.artefact.export import write_export
    from choose.artefact.folder import check_free

    place = Path(folder)
    check_free(place.resolve(), place, force)
    opened = Store.open(Path(store))
    decision = decide(opened)
    choice = (
        choose_trial(opened, trial)
        if trial is not None
        else choose_candidate(opened, decision.verdict, candidate)
    )
    asked = [spec for spec in choice.params.values() if endpoint_name(spec) is not None]
    if asked:
        raise StudyError(
            f"{choice.candidate!r} asks {asked[0]}, which is not here to be exported. Ask the "
            "endpoint itself, or name a candidate that runs here with --candidate."
        )
    with keeping():
        return write_export(opened, decision, choice, place, force)


def texts(store: str | Path) -> dict[str, str]:
    """Return the texts of a study's rows by id; empty where none were kept."""
    rows = Store.open(Path(store)).dataset.examples
    return {id: example.text for id, example in rows.items() if example.text}


def decide(store: Store) -> Decision:
    """Judge what the store holds and write the decision into it."""
    from choose.judge.rule import RULE

    state = f"{version('choose-llm')} {RULE} {RECORD} {store.state()}"
    if (text := store.decided(state)) is not None:
        return Decision.model_validate_json(text)
    from choose.evidence import evidence_of, rule_of
    from choose.judge.verdict import judge
    from choose.provenance import method_of

    looks = store.look(RULE)
    judged = judge(
        evidence_of(store), rule_of(store.study), looks=looks, left_out=tuple(store.left_out())
    )
    decision = judged.model_copy(update={"method": method_of(store)})
    store.decide(state, decision.model_dump(mode="json", by_alias=True))
    return decision


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
