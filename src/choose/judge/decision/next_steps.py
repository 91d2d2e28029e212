"""What to do next, by the loss that each step is expected to remove: the most first.

What the answer itself says to do comes first, and so do training rows that the named candidate has
not read; then a metric that does not overlook a rare label. What more minutes remove is forecast
(see `chances`); a step without a figure counts half the margin. A step that removes nearly nothing
is left out, and so is one whose effort is out of proportion. Where nothing is left to gain, there
is no step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from math import ceil
from typing import Any, NamedTuple

from choose.formatting import rounded
from choose.judge.decision.candidates import best_of
from choose.judge.decision.chance import Outlook, chances_of
from choose.judge.decision.more_labels import RowsNeeded, more_rows, steepest_gain
from choose.judge.decision.remarks import PROMPTED
from choose.judge.decision.rule import ENOUGH_RUNS, Case
from choose.judge.decision.trust_conditions import (
    conflicts_fail,
    credible,
    rare_labels,
    relabelling_gain,
)
from choose.judge.decision.verdict_kind import documents_limit, doubted_labels_limit, target_met
from choose.judge.measures.costs import label_hours, label_usd
from choose.judge.scores.joint_distribution import Whole
from choose.judge.scores.paired_comparison import compare, full_pool
from choose.judge.scores.promised_score import labels_for_gain, rows_seen
from choose.judge.scores.score_tables import CandidateScores
from choose.schema.base import Command
from choose.schema.decision import SMALL_LOSS, Step, StepKind
from choose.schema.diagnosis import best_first
from choose.schema.plan import Reason, Searched
from choose.tasks.metrics import FOR_RARE_LABELS, SCORES, metric_of
from choose.types import CLEAN, Kind


def _command(verb: str, path: str | None = None, **options: str) -> Command:
    """Return a command on the stored study; the caller replaces STUDY with its folder."""
    return Command(verb=verb, study="STUDY", path=path, options=options)


CHECK = _command("check", output="issues.csv")
PLAN = _command("plan")

# Models that may do better than small ones.
STRONGER, LOCAL = {"model": "openai:gpt-4o-mini"}, {"model": "ollama:qwen2.5:14b"}
LARGER = {"set": "encoder=BAAI/bge-base-en-v1.5"}

# What the answer itself says to do, by the kind of the verdict: the first step.
ANSWERED: dict[Kind, tuple[StepKind, ...]] = {
    "collect-labels": ("label-more",),
    "fix-labels": ("check-labels",),
    "fix-documents": ("fix-documents",),
    "fix-retrieval": ("fix-retrieval",),
    "incomplete": ("add-candidate", "evaluate-rest", "more-runs"),
}

# A router that takes over less of the rows is not worth its upkeep.
WORTH_ROUTE = 0.1

# Less of a score is nearly nothing.
NEARLY_NOTHING = 0.0005

# Why something was left out that neither time nor money would change.
FOR_GOOD: tuple[Reason, ...] = ("refused", "dropped", "not-needed")


# A step names the least of these budgets, in minutes, that holds what it is about: `START` seconds
# before the first answer, and `SPARE` times the forecast, as a tenth of a budget is kept from fits
# and forecasts err; `FIT_SHARE` times a fit that the last budget could not hold. It need not hold
# more than `LONGER` times what was spent so far, which doubles rows and labels twice: fits are cut
# to the time they have; but it holds all work that is at most `NEARLY_HELD` times as long. Where
# nothing is known of a candidate, or of what else was left out, it takes `UNKNOWN` and `OTHERS`.
BUDGETS = (1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240)
START, SPARE, FIT_SHARE, LONGER, UNKNOWN, OTHERS = 20, 4 / 3, 2, 4, 15, 30
NEARLY_HELD = 1.25

# Test rows that a candidate of unknown speed is taken to answer in a minute.
A_MINUTE = 20


def steps_of(case: Case, kind: Kind) -> tuple[Step, ...]:
    """Return what to do next, the most valuable first; see the order at the top."""
    metric = list[Step]()
    if case.candidates.families and any(rare.missed for rare in rare_labels(case)):
        again = _command("score" if _all_given(case) else "compare", metric=FOR_RARE_LABELS)
        metric = [Step(kind="metric", code="rare-label", command=again)]
    if case.candidates.nearest is not None:
        return ()
    if case.done:
        return tuple(metric)
    steps = [*metric, *_every_step(case, kind)]
    if (searched := case.candidates.scores.searched) is not None:
        # All that is left is answered again then.
        steps = [s for s in steps if s.kind not in ("evaluate-rest", "more-runs")]
        steps.append(_search_all(searched))
    own = ANSWERED.get(kind, ())
    if "label-more" in own and not any(step.kind in own for step in steps):
        steps.append(_why_more(case))
    first = {*own, *(["finish-rows"] if case.unread(case.named) else [])}
    told = {*first, "metric"}
    kept = [s for s in steps if {s.kind, s.code} & told or _removes(case, s) >= NEARLY_NOTHING]

    # Rows that are labelled and not evaluated come before new labels.
    at_hand = min((_removes(case, s) for s in kept if s.kind == "evaluate-rest"), default=1.0)

    def order(step: Step) -> tuple[bool, bool, float]:
        worth = min(_removes(case, step), at_hand if step.kind == "label-more" else 1.0)
        return not {step.kind, step.code} & first, step not in metric, -worth

    return tuple(sorted(kept, key=order))


def _every_step(case: Case, kind: Kind) -> list[Step]:
    check = list(_check_labels(case))
    worth_most = bool(check) and (
        doubted_labels_limit(case)
        or (check[0].value is not None and check[0].value.value >= case.margin / 2)
    )
    waiting, planned = case.unbegun, case.planned_runs
    # Candidates that have not begun come first; of the others, no rows are named beside them. Nor
    # are rows that would not change what is said.
    unfinished = {} if waiting or (case.sure and not case.would_tell) else case.unfinished
    again = bool(unfinished or {*waiting} - case.unpaid) and not case.unpaid.issuperset(planned)
    further = budget_for(case, unfinished, {} if again else planned)
    if again and planned and not (waiting or any(map(case.unread, unfinished))):
        # Answers of the same fits tell little where it is fits that vary.
        every = budget_for(case, unfinished, planned)
        if (further.removes or 0.0) < (every.removes or 0.0) / 2:
            unfinished, again, further = {}, False, every
    return [
        *(_begin(case, waiting, further) if waiting else _add_families(case)),
        *_documents(case),
        *_conflicts(case),
        *(check if worth_most else ()),
        *_evaluate(case, unfinished, further),
        *(() if again else _repeat(case, planned, further)),
        *_stronger(case),
        *_cascade(case),
        *(() if worth_most else check),
        *(() if unfinished or waiting or planned or case.missing else _finish(case, further)),
        *_rising(case, (case.named, *case.rivals)),
        *_separate(case, kind),
    ]


def _removes(case: Case, step: Step) -> float:
    """Return the score that a step is expected to add; no loss tells it where none is usable."""
    if step.kind == "evaluate-rest" and not case.chances.usable:
        return max(step.removes or 0.0, case.margin / 2)
    if step.removes is not None:
        return step.removes
    if step.kind in ("evaluate-rest", "more-runs"):
        return case.chances.loss
    return case.margin / 2 if step.value is None else step.value.value


def _all_given(case: Case) -> bool:
    return all(candidate.info.given for candidate in case.candidates.scores.candidates)


# Labels.


def _conflicts(case: Case) -> Iterator[Step]:
    rows = case.candidates.scores.rows
    conflicting = int(rows.conflicting.sum())
    if rows.labels and conflicts_fail(conflicting, len(rows.targets)):
        yield Step(kind="check-labels", code="conflicts", count=conflicting, command=CHECK)


def _check_labels(case: Case) -> Iterator[Step]:
    if (audit := case.audit) is None or not audit.doubted:
        return
    gain = relabelling_gain(audit, case)
    yield Step(
        kind="check-labels",
        code="doubted",
        value=gain.gain if gain else None,
        command=CHECK,
        **_effort(case, len(audit.doubted)),
    )


def _effort(case: Case, labels: float) -> dict[str, Any]:
    hours = label_hours(labels, case.candidates.rule)
    minutes = None if hours is None else 60 * hours
    return {"minutes": minutes, "usd": label_usd(labels, case.candidates.rule)}


def _rising(case: Case, names: tuple[str, ...]) -> Iterator[Step]:
    if (growth := steepest_gain(case.candidates, names)) is not None:
        needed = labels_for_gain(case.candidates.scores.candidates, growth.candidate, case.margin)
        yield Step(
            kind="label-more",
            code="still-rising",
            names=(growth.candidate,),
            count=growth.fewer,
            total=growth.labels,
            gained=growth.gained.estimate(),
            labels=needed and rounded(needed),
            **(_effort(case, needed) if needed else {}),
        )


def _separate(case: Case, kind: Kind) -> Iterator[Step]:
    """Yield the rows to label to separate the two families that matter.

    None where the set would have to double or more, unless labels are all that is missing.
    """
    candidates = case.candidates
    total, lead = len(candidates.scores.rows.targets), case.lead_of_costlier
    if case.chances.loss < SMALL_LOSS or not (case.rivals and case.reachable):
        return
    needed = more_rows(lead, case.margin, total) if lead else None
    if needed is None or not (needed.even <= total or kind == "collect-labels"):
        return
    rows = total + rounded(needed.likely or needed.even)
    planned = {c.info.name: Whole(rows, c.repetitions) for c in candidates.order}
    then = chances_of(candidates, planned).later
    removes = max(0.0, then.removed) if then else None
    names, effort = (case.named, case.rivals[0]), _effort(case, rows - total)
    yield _rows_to_label(names, needed).model_copy(update={"removes": removes, **effort})


def _rows_to_label(names: tuple[str, ...], needed: RowsNeeded) -> Step:
    likely = None if needed.likely is None else rounded(needed.likely)
    return Step(
        kind="label-more", code="separate", names=names, count=rounded(needed.even), total=likely
    )


def _why_more(case: Case) -> Step:
    for names in ((case.named, *case.rivals), case.candidates.names):
        for step in _rising(case, names):
            return step
    rows, lead = len(case.candidates.scores.rows.targets), case.lead_of_costlier
    names = (case.named, case.rival) if case.rival else (case.named,)
    more = more_rows(lead, case.margin, rows) if lead else None
    if more is None:
        return Step(kind="label-more", code="too-few", names=names, count=rows)
    return _rows_to_label(names, more)


# What the study left out.


def _go_on(case: Case, names: Collection[str], further: Further) -> dict[str, Any]:
    """Return how the same command goes on, whether it takes money too, and what that brings."""
    ahead = further.ahead
    return {
        "minutes": float(further.minutes),
        "chance": ahead and ahead.chance,
        "removes": further.removes,
        "whole": further.whole,
        "command": _command("compare", budget=f"{further.minutes}m"),
        "paid": not case.unpaid.isdisjoint(names),
    }


def _search_all(searched: Searched) -> Step:
    minutes = next((m for m in BUDGETS if 60 * m >= searched.budget), 0)
    hours = ceil(searched.budget / 3600)
    return Step(
        kind="evaluate-rest",
        code="all-passages",
        total=searched.whole,
        minutes=float(minutes or 60 * hours),
        command=_command("compare", budget=f"{minutes}m" if minutes else f"{hours}h"),
    )


def _begin(case: Case, waiting: tuple[str, ...], further: Further) -> Iterator[Step]:
    if late := tuple(name for name in waiting if name not in case.unpaid):
        yield Step(kind="evaluate-rest", code="begin", names=late, **_go_on(case, waiting, further))
    else:
        yield Step(kind="evaluate-rest", code="begin-paid", names=waiting, command=PLAN)


def _evaluate(case: Case, unfinished: dict[str, int], further: Further) -> Iterator[Step]:
    if unfinished:
        shown = tuple(name for name in unfinished if name in case.shown)
        own = [case.candidates.scores[name] for name in shown or unfinished]
        more = (one for one in own if case.unread(one.info.name))
        unseen = [(one.whole - rows_seen(one.pool, one.main), one.whole) for one in more]
        count, whole = max(unseen, default=(0, own[0].whole))
        yield Step(
            kind="evaluate-rest",
            code="finish-rows",
            names=shown,
            rows=unfinished,
            count=count or None,
            total=whole,
            **_go_on(case, [*unfinished], further),
        )


def _finish(case: Case, further: Further) -> Iterator[Step]:
    left = [one for one in case.left_out if one.reason not in FOR_GOOD]
    parts = tuple(dict.fromkeys(part for one in left for part in one.trials))
    facts: dict[str, Any] = {"names": parts, "count": len(left)}
    if left and all(one.reason == "out-of-money" for one in left):
        yield Step(kind="evaluate-rest", code="finish-paid", command=PLAN, **facts)
    elif left:
        on = _go_on(case, list(case.unpaid), further)
        yield Step(kind="evaluate-rest", code="finish", **facts, **on)


def _repeat(case: Case, planned: Mapping[str, int], further: Further) -> Iterator[Step]:
    """Yield more runs of candidates in question.

    Runs that the study plans and had no time for need a larger budget, not more seeds.
    """
    few = [c for c in case.to_repeat if c.info.name in planned] or [*case.to_repeat]
    difference = case.lead
    if not few or difference is None:
        return
    names = tuple(candidate.info.name for candidate in few)
    runs = max(candidate.repetitions for candidate in few)
    facts: dict[str, Any] = {"names": names, "share": difference.run_share, "count": runs}
    if planned and case.unpaid.issuperset(planned):
        yield Step(kind="more-runs", code="repeat-paid", command=PLAN, **facts)
    elif planned:
        on = _go_on(case, [], further)
        yield Step(kind="more-runs", code="repeat-late", **facts, **on)
    else:
        on = _go_on(case, [], budget_for(case, {}, case.extra_runs))
        budget = f"{on['minutes']:.0f}m"
        on["command"] = _command("compare", budget=budget, set=f"seeds={ENOUGH_RUNS}")
        yield Step(kind="more-runs", code="repeat", **facts, **on)


# More time.


class Further(NamedTuple):
    """A budget of one command that goes on.

    Attributes:
        minutes: of the budget.
        whole: of all remaining work, where that takes longer.
        ahead: what the judge is expected to say then; None where nothing is known to be left.
    """

    minutes: int
    whole: float | None = None
    ahead: Outlook | None = None

    @property
    def removes(self) -> float | None:
        """Return the loss that it is expected to remove."""
        return self.ahead and max(0.0, self.ahead.removed)


def budget_for(case: Case, rows: Mapping[str, int], runs: Mapping[str, int]) -> Further:
    """Return the least budget of a command that goes on, and what the judge will say then.

    By candidate, `rows` are test rows without an answer, `runs` planned trials that have not run.
    """
    if not (rows or runs or case.unbegun):
        return Further(OTHERS)
    scores, total = case.candidates.scores, len(case.rows.targets)
    left = [_seconds_of_rest(scores[name], count) for name, count in rows.items()]
    left += [_seconds_of_runs(scores[name], trials) for name, trials in runs.items()]
    known = [seconds for seconds in left if seconds is not None]
    fits = (one for one in case.left_out if one.reason == "too-long")
    longest = max(
        (one.seconds or 0.0 for one in fits if one.candidate in case.unbegun), default=0.0
    )
    work = max(START + SPARE * sum(known), FIT_SHARE * longest) / 60
    unsure = UNKNOWN if len(known) < len(left) or case.unbegun else 0
    tables = (table for c in scores.candidates for table in c.by_pool.values())
    spent = sum(run.seconds_alone or 0.0 for table in tables for run in table.runs)
    needed = max(min(work, LONGER * spent / 60), unsure)
    minutes = next((m for m in BUDGETS if m >= needed), BUDGETS[-1])
    if minutes < work < NEARLY_HELD * minutes:
        minutes = next((m for m in BUDGETS if m >= work), minutes)
    share = minutes / max(work, minutes)
    asked = dict.fromkeys(case.unbegun, min(total, A_MINUTE * minutes))
    asked |= {n: total - round((1 - share) * lacks) for n, lacks in case.unfinished.items()}
    ahead = chances_of(case.candidates, case.whole_after(asked, runs, share)).later
    return Further(minutes, work if work > minutes else None, ahead)


def _seconds_of_rest(candidate: CandidateScores, rows: int) -> float | None:
    """Forecast the seconds of unanswered rows: of runs that ended early, and of others.

    A run that goes on is fitted again, and answers only what it lacks. Who learned from part of the
    labels is fitted again on all of them, and answers every row.
    """
    runs = candidate.main.runs if candidate.main else ()
    answered = sum(len(run.asked[CLEAN]) for run in runs)
    lacking = sum(run.unasked for run in runs)
    a_run = (answered + lacking) / max(1, len(runs))
    if candidate.info.learns and 0 < candidate.pool < candidate.whole:
        return _seconds_of_runs(candidate, (answered + rows) / max(1.0, a_run))
    again = sum(run.unasked > 0 for run in runs) + max(0, rows - lacking) / max(1.0, a_run)
    return _seconds(candidate, again, rows)


def _seconds_of_runs(candidate: CandidateScores, runs: float) -> float | None:
    """Forecast the seconds of so many runs on all labels, with all their rows."""
    ran = candidate.main.runs if candidate.main else ()
    more = candidate.whole / candidate.pool if candidate.info.learns and candidate.pool else 1.0
    rows = sum(len(run.asked[CLEAN]) + run.unasked for run in ran) / max(1, len(ran))
    return _seconds(candidate, runs * more, runs * rows)


def _seconds(candidate: CandidateScores, fits: float, rows: float) -> float | None:
    """Forecast the seconds of fits and answers by those so far; None where these are not known."""
    runs = candidate.main.runs if candidate.main else ()
    timed = [(r.seconds_alone, r.predict_seconds or 0.0, len(r.asked[CLEAN])) for r in runs]
    known = [(alone, took, asked) for alone, took, asked in timed if alone is not None and asked]
    if not known:
        return None
    alone, answering, asked = map(sum, zip(*known, strict=True))
    return fits * (alone - answering) / len(known) + rows * answering / asked


# Other candidates.


def _add_families(case: Case) -> Iterator[Step]:
    """Yield the step that makes it a comparison, where only one family was measured.

    Beside answers that existed only a cheap classifier can be had at once; scores teach it nothing.
    """
    names, families = case.candidates.names, case.candidates.families
    if _all_given(case):
        if "baseline" not in families and metric_of(case.candidates.rule.metric).kind != SCORES:
            command = _command("score", baseline="")
            yield Step(kind="add-candidate", code="add-baseline", names=names, command=command)
    elif len(families) == 1:
        every = _command("compare", strategy="all")
        yield Step(kind="add-candidate", code="add", names=names, command=every)


def _stronger(case: Case) -> Iterator[Step]:
    most = _hardest(case)
    needed = case.promised.get(most, case.candidates.accuracies[most]).value + case.margin
    prompts = case.chances.usable and case.candidates.family(case.named) in PROMPTED
    if prompts or needed > 1 or _all_given(case) or credible(case.candidates):
        return
    prompted = best_of(case.candidates, PROMPTED)
    families = {candidate.info.family for candidate in case.candidates.scores.candidates}
    every = {} if families & {*PROMPTED} else {"strategy": "all"}
    more = LOCAL if case.candidates.rule.on_premises else STRONGER
    table = case.candidates.scores[most if case.chances.usable else case.named].main
    yield Step(
        kind="stronger-model",
        code="stronger",
        names=(prompted or "", most),
        share=needed,
        count=None if table is None or table.complete.all() else int(table.complete.sum()),
        command=_command("compare", **every, **(LARGER if case.candidates.ranks else more)),
    )


def _hardest(case: Case) -> str:
    """Return the candidate whose score a model has to beat; a reference where none is usable.

    It leads the named one by over the margin, on the rows of both, by what each scored or promises.
    """
    candidates, named = case.candidates, case.named
    if not case.chances.usable:
        return max(candidates.floors, key=lambda name: candidates.accuracies[name].value)

    def lead(name: str) -> float:
        gap = compare(*(full_pool(candidates.scores[one]) for one in (name, named)))
        grows = case.gains[name].mean if name in case.promised else 0.0
        return (gap.value if gap else -1.0) + grows + case.margin * (name == named)

    others = {*case.rivals, *case.promising}
    return max((named, *(name for name in case.shown if name in others)), key=lead)


def _cascade(case: Case) -> Iterator[Step]:
    router = case.takeover if case.takeover and case.takeover.strong == case.named else None
    if router and router.share and router.share.value >= WORTH_ROUTE:
        command = _command("export", "router", router="")
        names = (router.cheap, router.strong)
        yield Step(kind="cascade", code="takeover", names=names, command=command)


# Documents, and the form of answers.


def _documents(case: Case) -> Iterator[Step]:
    limit = documents_limit(case)
    split = next(iter(best_first(case.splits, case.named)), None)
    if limit == "fix-documents":
        yield Step(kind=limit, code="documents", names=case.unanswered, command=CHECK)
    first = limit == "fix-retrieval"
    if split is not None and (first or (split.retrieval_next and not target_met(case))):
        value = split.gap("retrieval").loss
        yield Step(kind="fix-retrieval", code="retrieval", names=(split.candidate,), value=value)
