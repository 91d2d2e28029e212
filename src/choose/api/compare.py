"""Run a study, judge a stored one, score answers that exist, and export a candidate.

`run_study` is what the program does, in the order of the folders: read the data, plan trials, run
them into the store, judge what it holds. `choose.report` says it in words.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from choose.answers.given import (
    AnswerSet,
    Given,
    GivenRuns,
    families_said,
    given_beside,
    given_runs,
    read_set,
    remarks,
    with_files,
)
from choose.api.plan import TrialPlan, plan_in_time, read_study
from choose.api.study_evidence import (
    evidence_of,
    method_of,
    nothing_measured,
    own_decision,
    rule_of,
    settings,
    state_of,
    with_commands,
)
from choose.data.dataset import Tables
from choose.data.readers.json_and_parquet import ROW
from choose.data.scenarios import Pools
from choose.engines.hardware.device_and_dtype import check_compute
from choose.engines.output_cache import caching
from choose.errors import StudyError, quoted_list
from choose.export.write_folder import Exported, check_new, export_candidate
from choose.formatting import plural
from choose.judge.goal import RULE
from choose.models.endpoints.request_session import connect_endpoints, current_session
from choose.report.write import write
from choose.run.budget import Approve, Budget, before_sending, refuse
from choose.run.cluster import RayExecutor, on_cluster
from choose.run.forecast import paces_of, reach
from choose.run.worker import Observer, Silent
from choose.schema.decision import Decision
from choose.schema.study_sections import FILES
from choose.store.store import PAGE, STUDY, Store, check_destination, reading
from choose.strategy import available, kinds, traits
from choose.study.candidates import describe_candidates, notes_on_prompts
from choose.study.config import CandidateSection, Study
from choose.study.find_study_folder import check_same_study, folder_of, stored_in, take_over
from choose.study.rounds import FIRST_ROWS
from choose.tasks.metrics import SCORES
from choose.types import Dataset, Run

if TYPE_CHECKING:
    from choose.judge.decision.chance import Chances
    from choose.judge.scores.joint_distribution import Whole


# Share of a budget in which the study is judged, and its page written.
CLOSING = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A decision, the folder of its study, and the rows that a run left out, as it says them."""

    decision: Decision
    store: Path
    dropped: tuple[str, ...] = ()


class Interrupted(KeyboardInterrupt):
    """The user ended a run; what has finished is stored."""


def run_study(
    study: Study,
    file: object = None,
    *,
    rows: Tables | None = None,
    out: str | Path | None = None,
    observer: Observer | None = None,
    approve: Approve = refuse,
    given: Sequence[Given] | None = None,
    started: float | None = None,
) -> Outcome:
    """Run a resolved study and decide; `rows` are data that come from no file.

    `given` are candidates whose answers were read already; else those that the study names are. The
    budget counts from `started` (`perf_counter`), or this call. Where the settings come from the
    `file` or folder of a stored study, and without `out`, that study goes on; else a new one takes
    over its results.

    Raises:
        ChooseError: on bad input, before anything is run or written.
    """
    check_compute()
    watch, home, most = observer or Silent(), stored_in(file), study.grid.max_usd
    budget = Budget(study.grid.budget, most, CLOSING, started or perf_counter())
    read = read_study(study, rows)  # data: rows, columns, folds
    study, dataset = read.study, read.pools.dataset
    path = Path(out) if out else folder_of(study, dataset, home)
    check_store(path, study, dataset)
    known = _existing_answers(read, given, watch)
    with caching(), connect_endpoints(study.endpoints, max_usd=most, study=str(path.absolute())):
        # An ordered list of trials, in rounds. Given answers may come from all documents.
        plan = plan_in_time(study, read.pools, path, measure=not known.runs)
        with on_cluster(plan.study, plan.candidates, plan.pools, watch.noted) as executor:
            _ask_consent(plan, path, watch, approve=approve, budget=budget)
            with Store.create(path).held() as store:
                _write_plan(store, plan, known, home, dataset)
                _run_rounds(plan, store, watch, budget=budget, executor=executor, given=known)
                return Outcome(decision=decide(store), store=store.path, dropped=dataset.dropped)


def _existing_answers(read: TrialPlan, given: Sequence[Given] | None, watch: Observer) -> GivenRuns:
    """Return the candidates whose answers exist, and say what is remarkable in what was read."""
    dataset = read.pools.dataset
    watch.noted([*read.notes, *dataset.dropped, *notes_on_prompts(read.study, dataset.task)])
    if given is None:
        given = given_beside(read.study, dataset)
        watch.noted([*remarks(given, dataset, families_said(read.study.given.family))])
    return given_runs(given, dataset)


def _ask_consent(
    plan: TrialPlan, path: Path, watch: Observer, *, approve: Approve, budget: Budget
) -> None:
    spending = before_sending(
        plan.study,
        plan.pools,
        candidates=plan.candidates,
        jobs=plan.jobs,
        store=Store(path),
        approve=approve,
        budget=budget,
    )
    if spending.bills:
        ledger = current_session().ledger
        ledger.planned = sum(bill.requests for bill in spending.bills)
        watch.sending(ledger)


def _write_plan(
    store: Store, plan: TrialPlan, given: GivenRuns, home: Path | None, dataset: Dataset
) -> None:
    """Write the study, its grid and the answers that exist.

    `home` is the study that the settings come from, whose results are taken over. The `dataset` has
    all rows and documents, of which the plan may have some.
    """
    store.begin(plain(plan.study), dataset)
    trials = [*(run.trial for run in given.runs), *(job.trial for job in plan.jobs)]
    candidates = [*given.candidates, *describe_candidates(plan.study, plan.candidates)]
    store.plan(trials, candidates, plan.searched)
    for run in given.runs:
        store.add(run)
    take_over(store, home)


def _run_rounds(
    plan: TrialPlan,
    store: Store,
    watch: Observer,
    *,
    budget: Budget,
    executor: RayExecutor | None,
    given: GivenRuns,
) -> None:
    """Run or resume the rounds; the store keeps each trial that ends. `given` are known answers."""
    from choose.judge.decision.chance import chances
    from choose.run.loop import Loop

    dataset = plan.pools.dataset
    made = [run for job in plan.jobs if (run := store.get(job.trial)) and not run.error]
    left = reach(plan.rounds, dataset, budget=budget.left(), paces=paces_of(made), stored=made)
    watch.noted([*_notes_on(plan)])
    watch.planned(dataset, plan.rounds, plan.refusals, budget.seconds, left)
    rule, nothing = rule_of(store.study, dataset.task), nothing_measured(store)

    def judged(runs: Sequence[Run], planned: Mapping[str, Whole]) -> Chances | None:
        return chances(replace(nothing, runs=(*given.runs, *runs)), rule, planned)

    loop = Loop(
        rounds=plan.rounds,
        pools=plan.pools,
        store=store,
        budget=budget,
        observer=watch,
        judged=judged,
        executor=executor,
        spent=lambda: current_session().ledger.committed,
    )
    summary = loop.run()
    store.leave_out([*plan.refusals, *summary.all()])
    if summary.interrupted:
        raise Interrupted(
            "Interrupted. The finished trials are stored: choose report "
            f"{shlex.quote(str(store.path))} judges them, and the same command goes on."
        )


def _notes_on(plan: TrialPlan) -> Iterator[str]:
    yield from plan.notes
    dataset = plan.pools.dataset
    task, first = dataset.task, dataset.folds[0].pool[:FIRST_ROWS]  # drawn first
    known = {name for id in first for name in task.classes(dataset.examples[id].target)}
    if none := [label for label in task.labels if label not in known]:
        rows = f"among the {len(first)} training rows of the first round"
        yield f"{plural(len(none), 'label')} without a row {rows}: {quoted_list(none, 5)}."


def decide(store: Store) -> Decision:
    """Judge what the store holds and write the decision into it, unless that was done before."""
    if (known := own_decision(store)) is not None:
        return known
    from choose.judge.verdict import judge

    study, task = store.study, store.dataset.task
    with reading(store.path / STUDY):
        rule = rule_of(study, task)
    store.grid()
    with reading(store.path / "grid.json"):
        evidence = evidence_of(store)
    judged = judge(evidence, rule, looks=store.look(RULE), left_out=tuple(store.left_out()))
    decision = judged.model_copy(
        update={
            "method": method_of(store, evidence.runs),
            "verdict": with_commands(judged.verdict, settings(study), store.path),
        }
    )
    if store.writable:
        store.decide(state_of(store), decision.model_dump(mode="json", by_alias=True))
    return decision


def report(store: str | Path) -> Decision:
    """Judge a stored study without running a model; reuse the record if nothing changed."""
    return decide(Store.open(Path(store)))


def texts(store: str | Path) -> dict[str, str]:
    """Return the texts of a study's rows by id; empty if the study did not store them."""
    dataset = Store.open(Path(store)).dataset
    return {id: example.text for id, example in dataset.examples.items() if example.text}


def write_page(decision: Decision, store: Path) -> Path:
    """Write the HTML report into the study's folder unless it is there, and return its path.

    A store removes the page before it replaces the decision, so that a page that is there fits it.

    Raises:
        StoreError: if it cannot be written.
    """
    page = store / PAGE
    if not page.is_file():
        write("decision", decision, page, texts(store), store=store)
    return page


def check_store(path: Path, study: Study, dataset: Dataset) -> None:
    """Refuse a folder that cannot become the study's store, or holds something else.

    Raises:
        ChooseError: before anything is run or written.
    """
    Store.check(path)
    files = [getattr(study.data, key) for key in FILES]
    # A study may lie beside documents: hidden folders are not read.
    inputs = [name for name in files if name is None or not Path(name).is_dir()]
    check_destination(path, inputs, "--out", folder=True)
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
    store: str | Path, folder: str | Path, *, candidate: str | None = None, router: bool = False
) -> Exported:
    """Fit a candidate on all labels of a study, and write it.

    Args:
        store: the folder of a study.
        folder: a new folder.
        candidate: by default the one that the study says to use.
        router: export the fast candidate that takes over rows from a language model.

    Raises:
        ChooseError: if it cannot be fitted, saved or written; the folder is then as it was.
    """
    check_compute()
    target, opened = Path(folder), Store.open(Path(store))
    check_new(target)
    check_destination(target, flag="The folder", stores=(opened.path,), folder=True)
    decision = decide(opened)
    with caching():
        return export_candidate(opened, decision, target, candidate=candidate, router=router)


def score_answers(
    study: Study,
    *,
    rows: Tables | None = None,
    out: str | Path | None = None,
    baseline: bool = False,
    observer: Observer | None = None,
) -> Outcome:
    """Judge the answers that a study names; `rows` are data that come from no file.

    With `baseline`, the usual cheap baselines are run beside them, cross-validated on these rows.

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
    given, plan = given_runs(found.given, found.dataset), TrialPlan(study, Pools(found.dataset))
    with Store.create(path).held() as store:
        _write_plan(store, plan, given, None, found.dataset)
        store.leave_out(())
    del found, given, plan  # the judge reads them again, and large files would be held twice
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
    usual = [name for name in available() if traits(name)["always_compared"]]
    cheap = [name for name in usual if found.dataset.task.kind in kinds(name)]
    candidates = tuple(CandidateSection(strategy=name) for name in cheap)
    study = study.model_copy(update={"candidates": candidates})
    watch.noted(found.notes)
    table = found.table.select(ROW, *(name for name in found.roles.named if name != ROW))
    tables = Tables(pool=table, name=found.dataset.name)
    return run_study(study, rows=tables, out=out, observer=watch, given=found.given)


def _named(study: Study, found: AnswerSet) -> Study:
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
