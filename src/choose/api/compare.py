"""Run a study, judge a stored one, compare two stored ones, and export a candidate of one."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from choose.answers.columns import with_files
from choose.answers.given import (
    NOTHING_GIVEN,
    Given,
    GivenRuns,
    given_beside,
    given_runs,
    remarks,
)
from choose.api.plan import Divided, TrialPlan, divided, plan_trials
from choose.api.stored_decision import own_decision, state_of
from choose.corpus import Corpus, span_of
from choose.errors import StudyError
from choose.models.endpoints.command_session import connect_endpoints
from choose.models.hardware.compute_settings import check_compute
from choose.models.results.output_cache import caching
from choose.models.weights.spec import endpoint_name
from choose.run.spending_limit import Approve, before_sending, refuse
from choose.schema.decision import Decision
from choose.schema.study_sections import FILES
from choose.store.destination import STUDY, check_folder
from choose.store.store import PAGE, Store
from choose.store.tables import reading
from choose.study.config import Study
from choose.study.study_folder import (
    check_same_study,
    folder_of,
    stored_in,
    take_over,
)

if TYPE_CHECKING:
    from choose.data.dataset import Tables
    from choose.export.write_folder import Exported
    from choose.models.endpoints.command_session import Traffic
    from choose.run.cluster.ray_executor import RayExecutor
    from choose.schema.plan import Job, LeftOut
    from choose.schema.study_changes import Versus
    from choose.types import Dataset, Run


class Observer(Protocol):
    """Receives the events of a run."""

    def sending(self, traffic: Traffic) -> None:
        """Handle that requests will go to endpoints; `traffic` keeps counting them."""
        return

    def noted(self, sentences: Sequence[str]) -> None:
        """Handle what was remarkable in reading the rows, or is known before fine-tuning begins."""
        return

    def planned(
        self,
        dataset: Dataset,
        jobs: Sequence[Job],
        refusals: Sequence[LeftOut],
        budget: float | None,
    ) -> None:
        """Handle the plan, before anything runs."""
        return

    def job(self, job: Job, run: Run | None) -> None:
        """Handle the start of a job (no run) or its end."""
        return

    def deciding(self, why: str) -> None:
        """Handle what the next job decides, in words; empty where that is not known."""
        return

    def verdict(
        self, named: str, final: bool, still_open: Sequence[str], unanswered: Sequence[str]
    ) -> None:
        """Handle the verdict so far, after each trial.

        The first one comes once every candidate has answered but those whose fit takes long, which
        are `unanswered`. `final` tells whether the named candidate is recommended; families may be
        `still_open`.
        """
        return

    def answered(self, run: Run) -> None:
        """Handle the answers of a run as they are stored: a job that has ended may answer more."""
        return


class Silent(Observer):
    """Ignores every event."""


def report(store: str | Path) -> Decision:
    """Judge a stored study without running a model; reuse the record if nothing changed."""
    return decide(Store.open(Path(store)))


def compare_stores(before: str | Path, after: str | Path) -> Versus:
    """Compare two stored studies in pairs, on their common test rows, without running a model.

    Raises:
        StoreError: if either folder is no study, or too few rows are common.
    """
    from choose.api.compare_studies import JudgedStore, compare_judged

    stores = [Store.open(Path(path)) for path in (before, after)]
    return compare_judged(*(JudgedStore(store, decide(store)) for store in stores))


def texts(store: str | Path, decision: Decision) -> dict[str, str]:
    """Return the texts of a study's rows by id; empty if the study did not store them.

    Those of the passages that a decision lists are among them, but for personal data.
    """
    from choose.data.personal_data import seems_personal
    from choose.report.decision_text import PERSONAL

    dataset = Store.open(Path(store)).dataset
    found = {id: example.text for id, example in dataset.examples.items() if example.text}
    # The documents may have been lost.
    corpus: Corpus | None = getattr(dataset.task, "corpus", None)
    errors = decision.reading_errors
    if corpus is not None and errors is not None:
        for id in dict.fromkeys(id for row in errors.examples for id in row.shown):
            place = span_of(id)
            if place.document in corpus.by_id:
                text = corpus.by_id[place.document].text[place.start : place.end]
                found.setdefault(id, PERSONAL if seems_personal(text) else text)
    return found


def write_page(decision: Decision, store: Path) -> Path:
    """Write the HTML report into the study's folder unless it is there, and return its path.

    A store removes the page before it replaces the decision, so that a page that is there fits it.

    Raises:
        StoreError: if it cannot be written.
    """
    from choose.report.write import write

    page = store / PAGE
    if not page.is_file():
        write("decision", decision, page, texts(store, decision))
    return page


def decide(store: Store) -> Decision:
    """Judge what the store holds and write the decision into it, unless that was done before."""
    from choose.judge.goal import RULE

    if (known := own_decision(store)) is not None:
        return known
    from choose.api.study_evidence import (
        evidence_of,
        method_of,
        rule_of,
        settings,
        with_commands,
    )
    from choose.judge.verdict import judge

    study, task = store.study, store.dataset.task
    with reading(store.path / STUDY):
        rule = rule_of(study, task)
    store.grid()
    with reading(store.path / "grid.json"):
        evidence = evidence_of(store)
    looks = store.look(RULE)
    judged = judge(evidence, rule, looks=looks, left_out=tuple(store.left_out()))
    decision = judged.model_copy(
        update={
            "method": method_of(store, evidence.runs),
            "verdict": with_commands(judged.verdict, settings(study).get("data", {}), store.path),
        }
    )
    if store.writable:
        store.decide(state_of(store), decision.model_dump(mode="json", by_alias=True))
    return decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A decision, and the folder of its study."""

    decision: Decision
    store: Path


class Interrupted(KeyboardInterrupt):
    """The user ended a run. What has finished is in the `store`."""

    def __init__(self, store: Path) -> None:
        super().__init__(
            f"Interrupted. The finished trials are stored: choose report {shlex.quote(str(store))} "
            "judges them, and the same command goes on."
        )
        self.store = store


def run_study(
    study: Study,
    file: object = None,
    *,
    rows: Tables | None = None,
    out: str | Path | None = None,
    observer: Observer | None = None,
    approve: Approve = refuse,
    given: Sequence[Given] | None = None,
) -> Outcome:
    """Run a resolved study and decide; `rows` are data that come from no file.

    `given` are candidates whose answers were read already; else those that the study names are.
    Where the settings come from the `file` or folder of a stored study, and without `out`, that
    study goes on if they are the same; else a new one takes over its results.

    Raises:
        ChooseError: on bad input, before anything is run or written.
    """
    from choose.run.cluster.ray_executor import on_cluster
    from choose.study.candidates import check_machine, check_names

    check_machine(study)
    watch, folder, home = observer or Silent(), Path(out) if out else None, stored_in(file)
    read = divided(study, rows)
    study, pools = read.study, read.pools
    path = folder or folder_of(study, pools.dataset, home)
    check_store(path, study, pools.dataset)
    watch.noted(read.notes)
    there = _given(read, given, watch)
    where, most = str(path.absolute()), study.grid.max_usd
    with caching(), connect_endpoints(study.endpoints, max_usd=most, study=where) as session:
        plan = plan_trials(study, pools)
        check_names(study, plan.candidates)
        with on_cluster(study, plan.candidates, pools, watch.noted) as executor:
            ready = before_sending(study, pools, plan.candidates, plan.jobs, Store(path), approve)
            if ready.spending.bills:
                watch.sending(session.traffic(sum(bill.requests for bill in ready.spending.bills)))
            with Store.create(path).held() as store:
                return _run(plan, store, watch, executor, (ready.seconds, home), there)


def _given(read: Divided, given: Sequence[Given] | None, watch: Observer) -> GivenRuns:
    """Return the candidates whose answers exist, and say what is remarkable in those just read."""
    if given is None:
        given = given_beside(read.study, read.pools.dataset)
        watch.noted(remarks(given, read.pools.dataset))
    return given_runs(given, read.pools.dataset)


def _begin(store: Store, plan: TrialPlan, given: GivenRuns) -> None:
    """Write the study, its grid and the answers that exist."""
    from choose.study.candidates import described

    store.begin(plain(plan.study), plan.pools.dataset)
    trials = [*(run.trial for run in given.runs), *(job.trial for job in plan.jobs)]
    store.plan(trials, [*given.candidates, *described(plan.candidates)])
    given.store(store)


def _run(
    plan: TrialPlan,
    store: Store,
    watch: Observer,
    executor: RayExecutor | None,
    before: tuple[float, Path | None],
    given: GivenRuns = NOTHING_GIVEN,
) -> Outcome:
    """Run the trials.

    `before` are the seconds of the budget that went into the endpoints' first requests, and the
    study that the settings come from. The start of a cluster's workers counts too.
    """
    from choose.api.study_evidence import nothing_measured, rule_of
    from choose.judge.goal import margin_or_usual
    from choose.run.executor import Measured, run_jobs
    from choose.run.run_records import Limits, left_out_of
    from choose.study.grid_points import stated_parts

    study, dataset, jobs, (spent, home) = plan.study, plan.pools.dataset, plan.jobs, before
    _begin(store, plan, given)
    take_over(store, home)
    budget = study.grid.budget_seconds
    watch.planned(dataset, jobs, plan.refusals, budget)
    racing = budget is not None and not study.grid.thorough and study.races
    margin, money = margin_or_usual(study.goal.margin), study.grid.max_usd is not None
    spent += executor.seconds if executor else 0.0
    left = None if budget is None else max(0.0, budget - spent)
    limits = Limits(left, racing, margin, money, stated_parts(study.grid))
    rule = rule_of(store.study, dataset.task)
    measured = Measured.nothing_of(nothing_measured(store), rule, jobs) if racing else None
    tells = watch.noted, watch.verdict, watch.answered
    events = watch.job, measured, watch.deciding, executor, *tells
    outcome = run_jobs(jobs, plan.pools, store, limits, *events)
    store.leave_out([*plan.refusals, *left_out_of(outcome)])
    if outcome.interrupted:
        raise Interrupted(store.path)
    return Outcome(decision=decide(store), store=store.path)


def check_store(path: Path, study: Study, dataset: Dataset) -> None:
    """Refuse a folder that cannot become the study's store, or holds something else.

    Raises:
        ChooseError: before anything is run or written.
    """
    Store.check(path)
    files = [getattr(study.data, key) for key in FILES]
    # A study may lie beside documents: hidden folders are not read.
    check_folder(path, [name for name in files if name is None or not Path(name).is_dir()])
    check_same_study(path, study, dataset)


def plain(study: Study) -> dict[str, Any]:
    """Return the settings to store, with the whole path of each file."""
    settings = study.model_dump(mode="json", exclude_none=True)
    settings["given"]["answers"] = with_files(study.given.answers, os.path.abspath)
    for key in FILES:
        name = settings["data"].get(key)
        if name is not None and not re.match(r"\w{2,}:", name):
            settings["data"][key] = os.path.abspath(name)
    return settings


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

    check_compute()
    target = Path(folder)
    opened = Store.open(Path(store))
    check_replaceable(target.resolve(), target, force)
    check_folder(target, flag="The folder", stores=(opened.path,))
    decision = decide(opened)
    if trial is not None:
        choice = select_trial(opened, trial)
    else:
        choice = select_candidate(opened, decision.verdict, candidate)
    if remote := [spec for spec in choice.params.values() if endpoint_name(spec) is not None]:
        raise StudyError(
            f"{choice.candidate!r} calls {remote[0]}, which cannot be exported. Call the endpoint "
            "itself, or name a candidate that runs on this machine with --candidate."
        )
    with caching():
        return write_export(opened, decision, choice, target, force)
