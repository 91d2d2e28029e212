"""Resolve, check and plan a study before any model runs."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, inf, log2
from pathlib import Path
from typing import Any

from choose.answers.given import with_teacher
from choose.api.study_evidence import own_decision
from choose.data.dataset import Tables, dataset_from, read_rows
from choose.data.scenarios import Pools, labels_in_pools, with_some_documents
from choose.engines.hardware.device_and_dtype import check_compute
from choose.errors import StoreError
from choose.formatting import duration
from choose.models.endpoints.request_session import connect_endpoints
from choose.run.forecast import paces_of, reach
from choose.schema.check import Checked
from choose.schema.diagnosis import Audit
from choose.schema.plan import Job, LeftOut, Planning, Round, Searched
from choose.store.store import Store
from choose.strategy import Embeds, build, find
from choose.study.candidates import candidates_of, check_constraints
from choose.study.config import Study
from choose.study.find_study_folder import folder_of, giving_stores, stored_in, stored_studies
from choose.study.resolve_study import Overrides, load_study, only, sample_settings
from choose.study.rounds import Planner
from choose.study.spending_forecast import spending_of
from choose.tasks.answering import corpus_of
from choose.types import Candidate, Dataset, Run


def resolve(
    data: str | Path | None = None,
    study_file: str | Path | Mapping[str, Any] | None = None,
    overrides: Overrides | None = None,
    strategies: Sequence[str] = (),
) -> Study:
    """Return the study that these settings make.

    A bundled sample that is named as `data` brings its columns and its task.
    """
    settings: dict[str, dict[str, Any]] = {k: dict(v) for k, v in (overrides or {}).items()}
    if data is not None:
        for section, known in sample_settings(str(data)).items():
            settings[section] = {**known, **settings.get(section, {})}
        settings.setdefault("data", {})["path"] = str(data)
    study = load_study(Path(study_file) if isinstance(study_file, str) else study_file, settings)
    return only(study, strategies) if strategies else study


def check(study: Study, file: object = None, rows: Tables | None = None) -> Checked:
    """Audit a labelled set before any model runs; `rows` are data that come from no file.

    The audit of the labels is that of a finished study of the same rows, so that there is one list
    of doubted labels: of the study whose settings come from `file` or, the newest first, of those
    in ``.choose`` and in the working folder.

    Raises:
        ChooseError: if the rows cannot be read, used or divided.
    """
    from choose.check.audit import check_set  # it loads SciPy

    return check_set(study, rows, partial(audit_of_study, home=stored_in(file)))


def audit_of_study(dataset: Dataset, home: Path | None = None) -> tuple[str, Audit] | None:
    """Return a study of these rows under the present rule, with its audit of the labels.

    It is `home` or else the newest one; how it divides the rows does not matter. Studies without an
    audit, or without a decision by this version for this user, are passed over.
    """
    near = sorted(
        [*stored_studies(), *stored_studies(Path())], key=lambda one: one.written, reverse=True
    )
    for path in [*filter(None, [home]), *(Path(one.path) for one in near)]:
        if Store(path).fingerprint != dataset.fingerprint:
            continue
        with suppress(StoreError):
            decision = own_decision(Store(path))
            if decision is not None and decision.audit is not None and decision.audit.auditors:
                return str(path), decision.audit
    return None


# Shares of a budget in which the passages that are searched may be embedded, and in which that time
# is forecast. Of fewer passages than the last, all are searched.
EMBED_SHARE, FORECAST_SHARE, FEW_PASSAGES = 0.5, 0.05, 1_000


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """A resolved study with its candidates, why others cannot take part, and its rounds.

    Before candidates are known, `notes` are on the rows; then `searched` are the passages that all
    candidates search, if those are not all, and `notes` say so.
    """

    study: Study
    pools: Pools
    candidates: tuple[Candidate, ...] = ()
    refusals: tuple[LeftOut, ...] = ()
    rounds: Sequence[Round] = ()
    searched: Searched | None = None
    notes: tuple[str, ...] = ()

    @property
    def jobs(self) -> list[Job]:
        return [job for round in self.rounds for job in round.jobs]


def read_study(study: Study, rows: Tables | None) -> TrialPlan:
    """Return a study that names the columns that were found, its rows as divided, and notes."""
    read = with_teacher(read_rows(study.data, rows, study.task.kind), study)
    dataset = dataset_from(read, study.data, study.task, study.goal.metric)
    data = read.roles.named_in(study.data)
    if data.teacher_column is not None:
        column = read.roles.teacher or read.roles.label
        data = data.model_copy(update={"teacher_column": column, "label_column": read.roles.label})
    named = study.model_copy(update={"data": data})
    return TrialPlan(study=named, pools=Pools(dataset), notes=read.notes)


def plan_trials(study: Study, pools: Pools) -> TrialPlan:
    field = candidates_of(study, pools.dataset.task, labels_in_pools(pools.dataset))
    rounds = Planner(study, pools).rounds(field.candidates)
    return TrialPlan(study, pools, field.candidates, field.refusals, rounds)


def plan_in_time(study: Study, pools: Pools, folder: Path, *, measure: bool) -> TrialPlan:
    """Return the plan of a study, on a part of the passages where embedding all takes too long.

    Every candidate then searches the same part and is asked about it alone. Passages are halved
    until they fit, or as long as enough rows ask about them. What a study in the `folder` searched
    is searched again, unless the budget allows for more; without one, only `measure` embeds some.
    """
    whole, budget = plan_trials(study, pools), study.grid.budget
    corpus, known, planned = corpus_of(pools.dataset.task), None, False
    total = len(corpus.passages()) if corpus else 0
    with suppress(StoreError):  # a plan that is damaged is written anew
        known, planned = Store(folder).searched(), True
    if budget is None or total < FEW_PASSAGES or (known is None and (planned or not measure)):
        return whole
    check_constraints(study, whole.candidates)
    seconds = known.budget * EMBED_SHARE if known else _seconds_to_embed(whole, budget)
    halvings = ceil(log2(max(1.0, seconds / (EMBED_SHARE * budget))))
    needed, least = seconds / EMBED_SHARE, known.passages if known else 0
    for most in (total >> n for n in range(halvings, 0, -1) if total >> n >= least):
        part = with_some_documents(pools.dataset, most)
        if part is not None and (some := corpus_of(part.task)) is not None:
            number = len(some.passages())
            note = (
                f"Every candidate searches the same {number:,} of {total:,} passages; "
                f"a budget of {duration(needed)} allows for all."
            )
            searched = Searched(passages=number, whole=total, budget=needed)
            return replace(plan_trials(study, Pools(part)), searched=searched, notes=(note,))
    note = (
        f"Embedding all {total:,} passages takes about {duration(seconds)}, and no part of them "
        "has enough test rows about it: all are searched."
    )
    return replace(whole, notes=(note,) if halvings else ())


def _seconds_to_embed(plan: TrialPlan, budget: float) -> float:
    """Forecast what embedding all passages takes; 0 where none are, or a candidate needs all.

    A fine-tuned model that learns nothing here is served as it is: it may search all for itself.
    """
    from choose.models.retrieval.passage_search import seconds_to_embed

    corpus = corpus_of(plan.pools.dataset.task)
    classes = [find(c.strategy) for c in plan.candidates]
    if corpus is None or any(c.family == "fine-tuning" and not c.learns for c in classes):
        return 0.0
    built = [build(c.strategy, seed=0, **c.params) for c in plan.candidates]
    encoders = {one.embeds() for one in built if isinstance(one, Embeds)} - {""}
    limit = FORECAST_SHARE * budget / max(1, len(encoders))
    return sum(seconds_to_embed(corpus, encoder, limit=limit) for encoder in encoders)


def plan_study(study: Study, file: object = None, rows: Tables | None = None) -> Planning:
    """Read the rows and lay out the rounds; nothing is run or downloaded.

    `rows` are data that come from no file; `file` is the study file, or the folder of a study.

    Trials that an earlier command has stored are counted and do not run again. Seconds are what
    these took, or rough constants.

    Raises:
        ChooseError: where `compare` would refuse to start.
    """
    check_compute()
    read, home = read_study(study, rows), stored_in(file)
    study, pools = read.study, read.pools
    folder = folder_of(study, pools.dataset, home)
    with connect_endpoints(study.endpoints):
        plan = plan_in_time(study, pools, folder, measure=False)
        check_constraints(study, plan.candidates)
    stores = [Store(folder), *giving_stores(folder, home)]
    trials = {job.trial.key: job.trial for job in plan.jobs}.values()
    found = (next((run for store in stores if (run := store.get(t))), None) for t in trials)
    return _planning(plan, [run for run in found if run is not None and run.error is None])


def _planning(plan: TrialPlan, runs: Sequence[Run]) -> Planning:
    study, pools, paces = plan.study, plan.pools, paces_of(runs)
    stored, budget = {run.trial.key for run in runs}, study.grid.budget
    left = [job for job in plan.jobs if job.trial.key not in stored]
    return Planning(
        dataset=pools.dataset,
        candidates=plan.candidates,
        refusals=plan.refusals,
        rounds=plan.rounds,
        budget=budget,
        reach=reach(plan.rounds, pools.dataset, budget=budget or inf, paces=paces),
        spending=spending_of(left, plan.candidates, pools, study.endpoints, study.grid.max_usd),
        stored=len(stored),
        measured=bool(paces),
    )
