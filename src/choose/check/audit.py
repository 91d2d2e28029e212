"""Audit a labelled set: read it and compute the facts; `report/check_words` says them."""

from collections.abc import Callable, Iterator
from importlib.metadata import version
from time import perf_counter
from typing import Any

from choose.check.audit_facts import Facts, hardly_counted
from choose.data.dataset import Tables, dataset_from, read_rows, sampled
from choose.data.duplicates import count_conflicts, count_duplicates
from choose.judge.before_data import detectable_gains
from choose.judge.decision.trust_conditions import CONFIRMED, WRONG
from choose.judge.goal import USUAL_MARGIN
from choose.schema.base import Command
from choose.schema.check import FEW, Check, Checked, Issue, Line, Step, TargetFacts, Topic
from choose.schema.diagnosis import Audit
from choose.study.config import Study
from choose.tasks.metrics import FOR_RARE_LABELS, metric_of
from choose.types import Dataset

# A topic has the status "look" above these shares of the rows: repeated and nearly repeated texts;
# strongly doubted labels.
REPEATED, NEARLY_REPEATED, DOUBTED = 0.02, 0.2, 0.01

# Share of texts with letters that English lacks from which they seem to be in another language.
FOREIGN = 0.3


def line(topic: Topic, looks: object) -> Line:
    return Line(topic=topic, status="look" if looks else "good")


def lines_of(check: Check) -> Iterator[Line]:
    rows, repeats, balance, reach = check.rows, check.within, check.balance, check.reach
    yield line("size", reach.usual is None or reach.usual > reach.margin)
    if balance is not None:
        yield _wrong_labels(check.audit)
        yield line("conflicts", check.conflicts and check.conflicts.texts)
    if check.targets is not None:
        yield from _targets(check, check.targets)
    if check.across is not None:
        yield line("test-file", check.across.all > REPEATED * (check.test_file or 0))
    exact = repeats.exact + repeats.normalised > REPEATED * rows
    yield line("duplicates", exact or repeats.all > NEARLY_REPEATED * rows)
    if balance is not None:
        yield line("balance", balance.few or check.hidden or balance.dominant)
    if check.foreign >= FOREIGN:
        yield line("languages", True)
    if check.unseen or check.group:
        yield line("rows", True)
    if check.notes:
        yield line("reading", False)


def _wrong_labels(audit: Audit | None) -> Line:
    if audit is None or audit.accuracy is None or audit.weak is not None:
        return Line(topic="wrong-labels", status="unknown")
    looks = audit.suspected > DOUBTED * audit.rows
    open_ = not looks and (audit.noise is None or audit.noise.high > WRONG)
    return Line(topic="wrong-labels", status="unknown") if open_ else line("wrong-labels", looks)


def _targets(check: Check, facts: TargetFacts) -> Iterator[Line]:
    if facts.fields:
        yield line("fields", facts.rare or facts.unseen)
    if facts.labels:
        yield line("labels", facts.unseen or any(n < FEW for _, n in facts.labels))
    if (none := facts.unanswerable) is not None:
        yield line("answers", facts.few_unanswerable or 2 * none > facts.rows)
    if facts.corpus is not None:
        yield line("documents", facts.corpus.documents == 1 or facts.corpus.copies)
        if none is not None:
            yield line("evidence", check.named("not in documents"))


# Steps that affect less accuracy than this are left out.
LEAST = 0.002


def steps_of(check: Check) -> tuple[Step, ...]:
    """Return what to do first, the most valuable step first.

    Labels that the metric hides come first, which make other figures mislead, then what costs
    accuracy, by how much.
    """
    costly = [step for step in (*_of_labels(check), *_of_targets(check)) if step.points >= LEAST]
    costly.sort(key=lambda step: -step.points)
    first = []
    if check.hidden:
        options = {**check.compare.options, "metric": FOR_RARE_LABELS}
        command = check.compare.model_copy(update={"options": options})
        first.append(Step(code="metric", command=command))
    return (*first, *costly, *_rare(check))


def _of_labels(check: Check) -> Iterator[Step]:
    if check.test_file and (ids := check.rows_with("leak")):
        yield Step(code="leaks", points=len(ids) / check.test_file, rows=ids)
    if check.conflicts is not None and check.conflicts.texts:
        lost = check.conflicts.lost / check.rows
        yield Step(code="conflicts", points=lost, rows=check.rows_with("conflict"))
    if (audit := check.audit) is not None and audit.doubted:
        worth = CONFIRMED * audit.suspected / audit.rows
        if check.audited_in is not None and audit.gain is not None:
            worth = audit.gain.gain.value
        yield Step(code="doubted-labels", points=worth, rows=tuple(s.id for s in audit.doubted[:3]))


def _rare(check: Check) -> Iterator[Step]:
    if check.targets is not None and check.targets.rare:
        yield Step(code="rare-fields", names=check.targets.rare)
    elif check.balance is not None and (few := check.balance.few):
        rows = sum(c.rows for c in check.balance.counts if c.name in few)
        yield Step(code="rare-labels", points=rows / check.rows, names=few)


def _of_targets(check: Check) -> Iterator[Step]:
    """Yield what costs score, with the share of the rows that are concerned."""
    if (facts := check.targets) is None:
        return
    rows, corpus = facts.rows, facts.corpus
    asked = max(rows - (facts.unanswerable or 0), 1)
    if pairs := check.named("unlike target"):
        ids = tuple(row for pair in pairs for row in (pair.row, pair.other or ""))
        yield Step(code="contradictions", points=len(pairs) / rows, rows=ids, count=len(pairs))
    if ids := check.rows_with("not in text"):
        names = tuple(dict.fromkeys(issue.label for issue in check.named("not in text")))
        yield Step(code="values", points=len(ids) / rows, rows=ids, names=names)
    if ids := check.rows_with("not in documents"):
        yield Step(code="not-in-documents", points=len(ids) / asked, rows=ids)
    if corpus and (same := corpus.copies):
        points = corpus.touched / asked
        yield Step(code="same-documents", points=points, names=same, count=len(same))
    if ids := check.rows_with("not in passage"):
        names = (facts.passage or "",)
        yield Step(code="not-in-passage", points=len(ids) / rows, rows=ids, names=names)


def issues_of(facts: Facts) -> Iterator[Issue]:
    """Yield the rows that need a look, by id and without their texts."""
    labelled = bool(facts.dataset.task.labels)
    label = {e.id: e.target if labelled else "" for e in facts.all}
    for r in facts.leaks or ():
        yield Issue(row=r.id, kind="leak", label=label[r.id], other=r.of, detail=r.likeness)
    yield from _label_issues(facts) if labelled else facts.target_issues()
    for r in facts.duplicates:
        yield Issue(
            row=r.id,
            kind="near-duplicate" if r.likeness == "near" else "duplicate",
            label=label[r.id],
            other=r.of,
            detail=r.likeness,
        )
    rare = (e for e in facts.all if labelled and e.target in facts.balance.few)
    yield from (Issue(row=e.id, kind="rare label", label=e.target) for e in rare)


def _label_issues(facts: Facts) -> Iterator[Issue]:
    for same in facts.conflicts:
        for row in same:
            other = next(e for e in same if e.target != row.target)
            yield Issue(
                row=row.id,
                kind="conflict",
                label=row.target,
                suggested=other.target,
                other=other.id,
            )
    for suspect in facts.audit.doubted if facts.audit else ():
        yield Issue(
            row=suspect.id,
            kind="suspected label",
            label=suspect.label,
            suggested=suspect.suggested,
            detail=f"{suspect.score:.1f}",
        )


# Rows of the labelled set that are read; of more, a random sample is checked.
MOST_ROWS = 200_000


def check_set(
    study: Study,
    tables: Tables | None = None,
    audits: Callable[[Dataset], tuple[str, Audit] | None] | None = None,
) -> Checked:
    """Audit a study's labelled set.

    `tables` replace the files of the study. `audits` finds a finished study of the rows
    and its audit of the labels.
    """
    start = perf_counter()
    rows = sampled(read_rows(study.data, tables, study.task.kind), MOST_ROWS)
    dataset = dataset_from(rows, study.data, study.task, study.goal.metric)
    facts = Facts(rows, dataset, audits(dataset) if audits else None)
    check = _record(facts, study)
    found = {
        "lines": tuple(lines_of(check)),
        "first": steps_of(check),
        "seconds": perf_counter() - start,
    }
    return Checked(record=check.model_copy(update=found), texts={e.id: e.text for e in facts.all})


def compare_command(study: Study) -> Command:
    data, usual = study.data, Study().data
    path = None if data.path is None else str(data.path)
    options = {
        flag.replace("_", "-"): str(value)
        for flag in ("test", "text_column", "label_column", "evidence_column", "documents")
        if (value := getattr(data, flag)) is not None and value != getattr(usual, flag)
    }
    return Command(verb="compare", path=path, options=options, in_python=path is None)


def _record(facts: Facts, study: Study) -> Check:
    data, test, rows = facts.dataset, facts.test, facts.all
    clusters = [data.clusters.get(id, f"alone {id}") for id in data.asked]
    margin = study.goal.margin
    return Check(
        choose=version("choose-llm"),
        name=data.name,
        fingerprint=data.fingerprint,
        rows=len(rows),
        left_out=len(facts.rows.pool) + len(facts.rows.test or ()) - len(rows),
        kind=data.task.kind,
        test_rows=len(data.asked),
        division=data.division,
        compare=compare_command(study),
        reach=detectable_gains(clusters, USUAL_MARGIN if margin is None else margin),
        test_file=None if test is None else len(test),
        within=count_duplicates(facts.duplicates),
        across=None if facts.leaks is None else count_duplicates(facts.leaks),
        group=None if any(e.group for e in rows) else facts.rows.hint,
        notes=facts.rows.notes,
        dropped=data.dropped,
        targets=None if data.task.labels else facts.targets,
        foreign=facts.foreign,
        issues=tuple(issues_of(facts)),
        **(_about_labels(facts, study.goal.metric) if data.task.labels else {}),
    )


def _about_labels(facts: Facts, metric: str) -> dict[str, Any]:
    unseen = {e.target for e in facts.test or ()} - {e.target for e in facts.pool}
    return {
        "balance": facts.balance,
        "conflicts": count_conflicts(facts.conflicts),
        "hidden": hardly_counted(facts.balance) if metric_of(metric).by_rows else (),
        "unseen": tuple(sorted(unseen)),
        "audit": facts.audit,
        "audited_in": facts.study[0] if facts.study else None,
        "sampled": facts.study is None and len(facts.audited) < len(facts.dataset.examples),
    }
