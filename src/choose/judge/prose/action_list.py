"""What to do next, by the loss that each step is expected to remove: the most first.

What the answer itself says to do comes first, then a metric that overlooks a rare label. Finishing
the study removes the loss of the choice that is made now; a step of which no figure is known counts
half the margin. A step that removes nearly nothing is left out; one whose effort is out of
proportion is named at the end as not worth it. Where nothing is left to gain, nothing is to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from choose.errors import quoted
from choose.formatting import duration, gain, listed, plural
from choose.judge.decision.caveats import small_models
from choose.judge.decision.contenders import best_of
from choose.judge.decision.label_gates import (
    conflicts_fail,
    labels_limit,
    rare_label_missed,
    rare_labels,
    rare_sentence,
    relabelling_gain,
)
from choose.judge.decision.next_steps import budget_for, planned_runs
from choose.judge.decision.rule import Case
from choose.judge.decision.verdict_kind import kind_of
from choose.judge.diagnosis.cascade import pays
from choose.judge.measures.cost_sheet import label_hours
from choose.judge.prose.advice import (
    PAY,
    PLAN,
    add_families,
    best_buy,
    between,
    repeat_runs,
)
from choose.judge.prose.labelling_advice import grow_steps, relabel, separate_steps, why_more
from choose.judge.prose.loss_sentences import documents_steps
from choose.judge.prose.written_answers import text_steps
from choose.judge.stats.two_way import answered
from choose.schema.costs import Move
from choose.schema.decision import Gate, Kind
from choose.schema.plan import Reason
from choose.schema.score_names import scored
from choose.schema.standings import Step, StepKind

# Commands on the rows and settings of the stored study; the caller replaces STUDY with its folder.
# With the same settings the first one goes on in that folder.
STUDY = "choose compare -c STUDY"
CHECK = "choose check -c STUDY -o issues.csv"

# What the answer itself says to do, by the kind of the verdict: the first step.
ANSWERED: dict[Kind, tuple[StepKind, ...]] = {
    "collect-labels": ("label-more",),
    "fix-labels": ("check-labels",),
    "fix-documents": ("fix-documents",),
    "fix-retrieval": ("fix-retrieval",),
    "incomplete": ("add-candidate", "evaluate-rest"),
}

# Less of a score is nearly nothing.
NEARLY_NOTHING = 0.0005

# Rows that are doubted between two labels before their boundary is worth defining.
FEWEST = 3

PROMPTED = ("prompting", "retrieval")

# Why something was left out that neither time nor money would change.
FOR_GOOD: tuple[Reason, ...] = ("refused", "dropped", "not-needed")


def next_steps(case: Case, gates: tuple[Gate, ...], moves: tuple[Move, ...]) -> tuple[Step, ...]:
    """Return what to do next, the most valuable first; see the order at the top."""
    metric, missed = list(_metric(case)), rare_label_missed(case)
    if case.done:
        return tuple(metric if missed else ())
    steps = [*metric, *_every_step(case, gates, moves)]
    own = ANSWERED.get(kind_of(case), ())
    if "label-more" in own and not any(step.kind in own and step.worth for step in steps):
        text, question = f"Label more rows: {why_more(case)}", "which candidate to use"
        steps.append(Step(kind="label-more", text=text, question=question))
    first = metric[0] if missed else None
    kept = [s for s in steps if s.kind in own or s is first or _removes(case, s) >= NEARLY_NOTHING]

    def order(step: Step) -> tuple[bool, bool, bool, float]:
        return not step.worth, step.kind not in own, step is not first, -_removes(case, step)

    return tuple(sorted(kept, key=order))


def _every_step(case: Case, gates: tuple[Gate, ...], moves: tuple[Move, ...]) -> list[Step]:
    check = list(_check_labels(case))
    worth_most = bool(check) and (
        labels_limit(case) is not None
        or (check[0].value is not None and check[0].value.value >= case.margin / 2)
    )
    waiting, planned = _waiting(case), planned_runs(case)
    # Candidates that have not begun come first; of the others, no rows are named beside them.
    unfinished = {} if waiting else _unfinished(case)
    minutes = budget_for(case, unfinished, planned, waiting.values())
    also = _repeats(case, planned)
    again = bool(unfinished or {*waiting} - case.unpaid) and not case.unpaid.issuperset(planned)
    return [
        *(Step(kind="other", text=text) for text in [best_buy(moves)] if text),
        *text_steps(case),
        *(_begin(case, waiting, also, minutes) if waiting else add_families(case)),
        *documents_steps(case, CHECK),
        *_conflicts(case),
        *(check if worth_most else ()),
        *_evaluate(case, unfinished, also, minutes),
        *(() if again else repeat_runs(case, planned, minutes)),
        *_stronger(case, gates),
        *_cascade(case),
        *(() if worth_most else check),
        *(_finish(case, minutes) if not (unfinished or waiting or planned) else ()),
        *_guideline(case),
        *grow_steps(case),
        *separate_steps(case),
    ]


def _removes(case: Case, step: Step) -> float:
    """Return the score that a step is expected to add to what is used."""
    if step.kind in ("evaluate-rest", "more-runs"):
        return case.chances.loss
    return case.margin / 2 if step.value is None else step.value.value


def _metric(case: Case) -> Iterator[Step]:
    if not case.contenders.only_guesses and (rare := rare_labels(case)):
        yield Step(
            kind="metric",
            text=f"Judge by a metric that counts {quoted(rare[0].label)}: --metric balanced (every "
            f"label equally) or [goal.error_costs]. {rare_sentence(case, rare)}",
            question="which candidate finds the rare label",
            command=f"{STUDY} --metric balanced",
        )


def _conflicts(case: Case) -> Iterator[Step]:
    rows = case.contenders.panel.rows
    conflicting = int(rows.conflicting.sum())
    if rows.labels and conflicts_fail(conflicting, len(rows.targets)):
        yield Step(
            kind="check-labels",
            text=f"Decide on one label for each text that has two ({plural(conflicting, 'row')}).",
            command=CHECK,
        )


def _check_labels(case: Case) -> Iterator[Step]:
    for text in relabel(case):
        assert case.audit is not None
        gain, rule = relabelling_gain(case.audit, case), case.contenders.rule
        hours = label_hours(case.audit.suspected, rule)
        yield Step(
            kind="check-labels",
            text=text,
            question="which labels are wrong",
            value=gain.gain if gain else None,
            minutes=None if hours is None else 60 * hours,
            command=CHECK,
        )


def _unfinished(case: Case) -> dict[str, int]:
    """Return the test rows that contenders have not answered; none of a dropped candidate."""
    names = dict.fromkeys((case.name, *case.selection.rivals, *case.selection.near))
    total = len(case.contenders.panel.rows.targets)
    dropped = {one.candidate for one in case.left_out if one.reason == "dropped"} - {case.name}
    rest = {}
    for name in names:
        table = case.contenders.panel[name].main
        if name in dropped or table is None or name in case.contenders.floors:
            continue
        if missing := total - int(table.complete.sum()):
            rest[name] = missing
    return rest


def _waiting(case: Case) -> dict[str, float]:
    """Return candidates without any answer, and the forecast seconds of a fit or 0.

    There is none unless one of them is of a family that was not measured.
    """
    none = [c for c in case.contenders.panel.candidates if c.main is None and not c.failures]
    waiting = [c.info for c in none]
    if all(info.family in case.contenders.families for info in waiting):
        return {}
    return {info.name: case.long_fits.get(info.name, 0.0) for info in waiting}


def _begin(case: Case, waiting: dict[str, float], also: str, minutes: int) -> Iterator[Step]:
    """Yield the candidates of which nothing was evaluated within the budget."""
    late = [name for name in waiting if name not in case.unpaid]
    question = "whether another family does better"
    if waiting and not late:
        text = f"Give the others money: --max-usd was used up before {listed([*waiting])} had "
        text += f"answered anything. {PAY}"
        yield Step(kind="evaluate-rest", text=text, question=question, command=PLAN)
    elif waiting:
        slow = max(late, key=lambda name: waiting[name])
        alone = f" One fit of {slow} takes about {duration(waiting[slow])} here."
        yield Step(
            kind="evaluate-rest",
            text=f"Give the others time: the budget ended before {listed(late)} had answered "
            f"anything{also}.{alone if waiting[slow] else ''} The same "
            f"command with --budget {minutes}m{_higher(case, waiting)} goes on from here.",
            question=question,
            minutes=float(minutes),
            command=f"{STUDY} --budget {minutes}m",
        )


def _evaluate(case: Case, unfinished: dict[str, int], also: str, minutes: int) -> Iterator[Step]:
    """Yield the rows that are labelled and not evaluated, which come before new ones."""
    if not unfinished:
        return
    total = len(case.contenders.panel.rows.targets)
    yield Step(
        kind="evaluate-rest",
        text=f"Finish what was left out: of {total:,} labelled test rows, "
        f"{_counts_of_rest(case, unfinished)}{also}. The same command with --budget "
        f"{minutes}m{_higher(case, unfinished)} goes on from here and needs no new label.",
        question=between(case),
        minutes=float(minutes),
        command=f"{STUDY} --budget {minutes}m",
    )


def _repeats(case: Case, planned: dict[str, int]) -> str:
    """Return ``, with lora to be repeated``: runs that the same command does too."""
    names = [name for name in planned if name not in case.unpaid]
    return f", with {listed(names)} to be repeated" if names else ""


def _higher(case: Case, names: Iterable[str]) -> str:
    """Return what more than time some candidates need to go on."""
    return "" if case.unpaid.isdisjoint(names) else " and a higher --max-usd"


def _counts_of_rest(case: Case, unfinished: dict[str, int]) -> str:
    """Return ``knn and tfidf have not answered 120``, with a clause for each number of rows."""
    clauses: dict[str, list[str]] = {}
    for name, rows in unfinished.items():
        table = case.contenders.panel[name].main
        once = table is not None and bool(answered(table.right).all())
        clauses.setdefault(f"not answered {rows:,}{' in the last run' * once}", []).append(name)
    told = [(names, "has" if len(names) == 1 else "have", what) for what, names in clauses.items()]
    return listed([f"{listed(names)} {have} {what}" for names, have, what in told])


def _finish(case: Case, minutes: int) -> Iterator[Step]:
    left = [one for one in case.left_out if one.reason not in FOR_GOOD]
    parts = list(dict.fromkeys(part for one in left for part in one.trials))
    items = "; ".join(filter(None, [listed(parts), plural(len(left), "item")]))
    if left and all(one.reason == "out-of-money" for one in left):
        text = f"Finish what was left out ({items}), for which --max-usd did not last. {PAY}"
        yield Step(kind="evaluate-rest", text=text, command=PLAN)
    elif left:
        yield Step(
            kind="evaluate-rest",
            text=f"Finish what was left out ({items}): the same command with --budget "
            f"{minutes}m{_higher(case, case.unpaid)} goes on from here.",
            minutes=float(minutes),
            command=f"{STUDY} --budget {minutes}m",
        )


def _stronger(case: Case, gates: tuple[Gate, ...]) -> Iterator[Step]:
    gate = next(gate for gate in gates if gate.name == "contenders credible")
    if gate.status != "unknown" or case.contenders.family(case.name) in PROMPTED:
        return
    needed = case.contenders.accuracies[case.name].value + case.margin
    if needed > 1:
        return
    prompted = best_of(case.contenders, PROMPTED)
    small, so_far = small_models(case.contenders), ""
    lead = case.contenders.gain(prompted, case.name) if prompted else None
    if prompted and lead:
        so_far = f" So far: {gain(prompted, case.name, lead)} on {plural(lead.rows, 'shared row')}"
    tried = f"{so_far}{f' ({listed(small)})' if small else ''}{'.' if so_far else ''}"
    more, adjective = case.words.stronger, "a stronger" if prompted else "an"
    yield Step(
        kind="stronger-model",
        text=f"Try {adjective} {more.what} ({more.flag} SPEC): one that gets over "
        f"{scored(needed, case.noun)} on {_answered(case)} may become the recommendation."
        f"{tried}",
        question=more.question,
        command=f"{STUDY}{_with_prompting(case)} {more.example}",
    )


def _with_prompting(case: Case) -> str:
    """Add the candidates that prompt a model, where the study has none that a model is for."""
    families = {candidate.info.family for candidate in case.contenders.panel.candidates}
    return "" if families & {*PROMPTED} else " -s all"


def _answered(case: Case) -> str:
    """Return ``these rows``, with their number where the chosen candidate answered only part."""
    table = case.contenders.panel[case.name].main
    assert table is not None
    rows = int(table.complete.sum())
    whole = rows == len(case.contenders.panel.rows.targets)
    return "these rows" if whole else f"these {plural(rows, 'row')}"


def _cascade(case: Case) -> Iterator[Step]:
    cascade = case.overlap.cascade if case.overlap else None
    if cascade is not None and pays(cascade, case.margin):
        yield Step(
            kind="cascade",
            text="Try a cascade.",
            question="whether two candidates together beat one",
            value=cascade.over_chosen,
        )


def _guideline(case: Case) -> Iterator[Step]:
    """Yield the boundary of the doubted labels to define."""
    audit = case.audit
    if len(case.contenders.panel.rows.labels) < 3:
        return
    pair, why = None, ""
    if audit and audit.overlaps:
        first = audit.overlaps[0]
        if first.doubted >= FEWEST:
            pair = first.a, first.b
            why = f"{first.doubted:,} of the {audit.suspected:,} doubted labels lie between them."
    if pair:
        line = f"Define the line between {quoted(pair[0])} and {quoted(pair[1])}"
        yield Step(kind="guideline", text=f"{line} in your labelling guide. {why}")
