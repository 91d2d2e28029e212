"""Audit a labelled set: read it and compute the facts; `report/check_words` says them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from math import inf
from time import perf_counter
from typing import Any

from choose.check.measurements import Facts, sample_of
from choose.check.targets import Targets
from choose.data.dataset import Rows, Tables, dataset_from, read_rows
from choose.data.duplicates import count_conflicts
from choose.data.personal_data import hints_of
from choose.formatting import plural
from choose.judge.decision.gates import CONFIRMED, WRONG
from choose.judge.goal import margin_or_usual
from choose.schema.base import Command
from choose.schema.check import Check, Issue, Line, Step, Topic
from choose.schema.diagnosis import Audit
from choose.schema.plan import USUAL
from choose.stats.paired import smallest_detectable_gain
from choose.study.config import Study
from choose.types import Dataset

# A topic has the status "look" above these shares of the rows: repeated, nearly repeated and long
# texts; strongly doubted labels; copies of the text; answers that occur in their question.
REPEATED, NEARLY_REPEATED, LONG = 0.02, 0.2, 0.02
DOUBTED, COPIED, IN_QUESTION = 0.01, 0.02, 0.1

# The same of doubted rows between two labels, of the rows of these two.
CONFUSED = 0.03

# A change over time has the status "look" if it is significant at this level and if the label mix
# shifted by this share more than by chance, or if this AUC separates early from late texts.
LEVEL, LABEL_SHIFT, TEXT_AUC = 0.01, 0.05, 0.6


def line(topic: Topic, looks: object) -> Line:
    return Line(topic=topic, status="look" if looks else "good")


def lines_of(facts: Facts) -> Iterator[Line]:
    labelled, test, rows = bool(facts.dataset.task.labels), facts.test, facts.rows
    repeats, across = facts.duplicate_counts
    yield line("size", facts.reach.usual is None or facts.reach.usual > facts.reach.margin)
    if labelled:
        yield from _wrong_labels(facts)
        yield line("conflicts", facts.conflicts or facts.alike)
    else:
        yield from _targets(facts.targets)
    if across is not None and test is not None:
        some = across.all and across.all + facts.grouped > REPEATED * len(test)
        yield line("test-file", some or (facts.grouped and not across.all))
    exact = repeats.exact + repeats.normalised > REPEATED * len(facts.all)
    many = exact or repeats.all > NEARLY_REPEATED * len(facts.all)
    yield line("duplicates", repeats.all and (many or facts.broken_chain))
    if labelled:
        yield line("balance", facts.balance.few or facts.hidden or facts.dominant)
    yield _time(facts)
    yield line("languages", facts.several_languages)
    yield line("lengths", facts.lengths.long > LONG * len(facts.all))
    yield line("personal-data", facts.personal)
    problems = (labelled and facts.unseen) or facts.group
    if problems or (labelled and facts.order_of_rows):
        yield line("rows", problems)
    if rows.notes:
        yield line("reading", False)


def _wrong_labels(facts: Facts) -> Iterator[Line]:
    audit = facts.audit
    if audit is None or audit.accuracy is None or audit.weak is not None:
        yield Line(topic="wrong-labels", status="unknown")
        return
    looks = audit.suspected > DOUBTED * audit.rows
    open_ = not looks and (audit.noise is None or audit.noise.high > WRONG)
    yield Line(topic="wrong-labels", status="unknown") if open_ else line("wrong-labels", looks)
    # With two labels, every doubted row lies between the two.
    if len(facts.balance.counts) > 2:
        first = audit.overlaps[0] if audit.overlaps else None
        yield line("overlap", first and first.doubted > CONFUSED * first.rows)


def _time(facts: Facts) -> Line:
    if (drift := facts.drift) is None:
        return Line(topic="time", status="unknown")
    labels, texts = drift.labels, drift.texts
    shifted = labels.p < LEVEL and labels.distance - labels.expected >= LABEL_SHIFT
    separated = texts is not None and texts.p < LEVEL and texts.auc.value >= TEXT_AUC
    return line("time", shifted or separated or drift.appeared or drift.vanished)


def _targets(targets: Targets) -> Iterator[Line]:
    facts = targets.facts
    if facts.fields:
        yield line("fields", facts.rare or facts.unseen)
        mixed = any(len(f.types) > 1 for f in facts.fields)
        yield line("types", mixed)
        yield line("values", targets.suspects)
    elif facts.answers is not None:
        yield from _answers(targets)
    elif facts.relevance is not None:
        yield line("relevance", facts.relevance.over)
        yield from _documents(targets, ranked=True)
    elif facts.sets is not None:
        yield line("labels", targets.rare_labels or facts.unseen)
        yield line("sets", False)
    else:
        yield line("copies", facts.copied > COPIED * facts.rows)
    yield line("contradictions", facts.unlike)


def _answers(targets: Targets) -> Iterator[Line]:
    facts = targets.facts.answers
    assert facts is not None
    rows, none = targets.facts.rows, facts.unanswerable
    yield line("answers", facts.few_unanswerable or 2 * none > rows)
    if facts.corpus is None:
        yield line("passage", facts.absent)
    else:
        yield from _documents(targets, ranked=False)
    if facts.in_question:
        yield line("in-the-question", facts.in_question > IN_QUESTION * rows)


def _documents(targets: Targets, *, ranked: bool) -> Iterator[Line]:
    facts = targets.corpus
    assert facts is not None
    yield line("documents", facts.documents == 1)
    if not ranked:
        yield line("evidence", facts.without)
    yield line("same-documents", facts.copies)


MOST_STEPS = 3

# Steps that affect less accuracy than this are left out.
LEAST = 0.002

# Kinds of personal data that give a reader access or money.
SECRETS = ("key or token", "payment card number")

# Numbers of added rows whose worth is told.
SIZES = (60, 200, 600, 2_000)


def steps_of(facts: Facts) -> tuple[Step, ...]:
    """Return at most three steps, the most valuable first.

    Secrets come first, then labels that the metric hides, which make other figures mislead, then
    what costs accuracy, by how much. Labelling more comes last: it never stands in the way of a
    first study.
    """
    labelled = bool(facts.dataset.task.labels)
    own = _of_labels(facts) if labelled else _of_targets(facts.targets)
    costly = [step for step in (*_leaks(facts), *own) if step.points >= LEAST]
    costly.sort(key=lambda step: -step.points)
    steps = (
        *_secrets(facts),
        *_metric(facts, labelled),
        *costly,
        *_rare(facts, labelled),
        *_test_rows(facts),
    )
    return steps[:MOST_STEPS]


def _secrets(facts: Facts) -> Iterator[Step]:
    if rows := {id for id, kind in facts.personal if kind in SECRETS}:
        yield Step(code="secrets", rows=tuple(sorted(rows)))


def _metric(facts: Facts, labelled: bool) -> Iterator[Step]:
    if labelled and facts.hidden:
        options = {**facts.target.options, "metric": "balanced"}
        yield Step(code="metric", command=facts.target.model_copy(update={"options": options}))


def _leaks(facts: Facts) -> Iterator[Step]:
    if facts.leaks and facts.test:
        ids = tuple(leak.id for leak in facts.leaks)
        yield Step(code="leaks", points=len(ids) / len(facts.test), rows=ids)


def _of_labels(facts: Facts) -> Iterator[Step]:
    conflicts = count_conflicts(facts.conflicts)
    if conflicts.texts:
        ids = tuple(e.id for same in facts.conflicts for e in same)
        yield Step(code="conflicts", points=conflicts.lost / len(facts.all), rows=ids)
    if (audit := facts.audit) is not None and audit.doubted:
        worth = CONFIRMED * audit.suspected / audit.rows
        if facts.study is not None and audit.gain is not None:
            worth = audit.gain.gain.value
        first = tuple(s.id for s in audit.doubted[:3])
        yield Step(code="doubted-labels", points=worth, rows=first)


def _rare(facts: Facts, labelled: bool) -> Iterator[Step]:
    if not labelled:
        if rare := facts.targets.facts.rare:
            yield Step(code="rare-fields", names=rare)
    elif few := facts.balance.few:
        rows = sum(c.rows for c in facts.balance.counts if c.label in few)
        yield Step(code="rare-labels", points=rows / len(facts.all), names=few)


def _test_rows(facts: Facts) -> Iterator[Step]:
    reach = facts.reach
    if reach.usual is not None and reach.usual <= reach.margin:
        return
    all_rows = len(facts.all)
    independent = reach.independent / max(reach.rows, 1) * all_rows
    shows = reach.margin_rows is not None and independent >= reach.margin_rows
    if facts.test is None and reach.rows < all_rows and shows:
        yield Step(code="cross-validate", first=False)
        return
    most = inf if reach.margin_rows is None else reach.margin_rows
    sizes = [n for n in SIZES if 1.5 * reach.independent <= n < most][:2]
    gains = {n: smallest_detectable_gain(n, USUAL) or 1 for n in sizes}
    yield Step(code="more-rows", sizes=gains, first=False)


def _of_targets(targets: Targets) -> Iterator[Step]:
    """Yield what costs score, with the share of the rows that are concerned."""
    rows, facts = len(targets.rows), targets.facts
    if pairs := targets.unlike:
        ids = tuple(row for pair in pairs for row in (pair.row, pair.other))
        yield Step(code="contradictions", points=len(pairs) / rows, rows=ids, count=len(pairs))
    for name, slips in facts.slips.items():
        yield Step(code="mixed-types", points=len(slips) / rows, rows=slips, names=(name,))
    if suspects := tuple(targets.suspects):
        points, fields = len(suspects) / rows, tuple(targets.invented)
        yield Step(code="values", points=points, rows=suspects, names=fields)
    yield from _of_documents(targets)
    if copied := tuple(targets.copied):
        yield Step(code="copies", points=len(copied) / rows, rows=copied)


def _of_documents(targets: Targets) -> Iterator[Step]:
    rows = len(targets.rows)
    if (audit := targets.corpus_audit) is not None:
        asked = max(len(audit.answered), 1)
        if audit.without:
            ids = tuple(audit.without)
            yield Step(code="not-in-documents", points=len(ids) / asked, rows=ids)
        if audit.repeated:
            count = audit.facts.repeated
            yield Step(code="same-documents", points=audit.share_of_repeated(), count=count)
    if (answers := targets.answers) is None:
        return
    if answers.absent:
        names, ids = (answers.facts.passage or "",), tuple(answers.absent)
        yield Step(code="not-in-passage", points=len(ids) / rows, rows=ids, names=names)
    if len(answers.asked) > IN_QUESTION * rows:
        ids = tuple(answers.asked)
        yield Step(code="in-question", points=len(ids) / rows, rows=ids)


def issues_of(facts: Facts) -> tuple[Issue, ...]:
    """List the rows that need a look, by id and without their texts."""
    labelled = bool(facts.dataset.task.labels)
    label = {e.id: e.target if labelled else "" for e in facts.all}
    leaks = (
        Issue(row=r.id, kind="leak", label=label[r.id], other=r.of, detail=r.likeness)
        for r in facts.leaks or ()
    )
    duplicates = (
        Issue(
            row=r.id,
            kind="near-duplicate" if r.likeness == "near" else "duplicate",
            label=label[r.id],
            other=r.of,
            detail=r.likeness,
        )
        for r in facts.duplicates
    )
    rare = (
        Issue(row=e.id, kind="rare label", label=e.target)
        for e in facts.all
        if e.target in facts.balance.few
    )
    personal = (
        Issue(row=id, kind="personal", label=label[id], detail=kind) for id, kind in facts.personal
    )
    if not labelled:
        return (*leaks, *facts.targets.issues(), *duplicates, *personal)
    suspects = _suspect_issues(facts)
    return (*leaks, *_conflict_issues(facts), *suspects, *duplicates, *rare, *personal)


def _conflict_issues(facts: Facts) -> Iterator[Issue]:
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


def _suspect_issues(facts: Facts) -> Iterator[Issue]:
    if facts.audit is None:
        return
    for suspect in facts.audit.doubted:
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
) -> tuple[Check, dict[str, str]]:
    """Audit a study's labelled set; also return the text of each row, which the record omits.

    `tables` replace the files of the study. `audits` finds a finished study of the rows
    and its audit of the labels.
    """
    start = perf_counter()
    rows = _sampled(read_rows(study.data, tables, study.task.kind))
    dataset = dataset_from(rows, study.data, study.task, study.goal.metric)
    facts = Facts(
        rows,
        dataset,
        margin_or_usual(study.goal.margin),
        study.goal.metric,
        compare_command(study),
        audits(dataset) if audits else None,
    )
    return _record(facts, start), {e.id: e.text for e in facts.all}


def _sampled(rows: Rows) -> Rows:
    """Return rows, or where there are more a sample of `MOST_ROWS` of the pool, and say so."""
    if len(rows.pool) <= MOST_ROWS:
        return rows
    pool = list(sample_of(rows.pool, MOST_ROWS))
    said = f"Checked: a random sample of {MOST_ROWS:,} of {plural(len(rows.pool), 'row')}."
    return replace(rows, pool=pool, notes=(said, *rows.notes))


def compare_command(study: Study) -> Command:
    data, usual = study.data, Study().data
    path = None if data.path is None else str(data.path)
    columns = ("text_column", "label_column", "evidence_column")
    options = {
        flag.replace("_", "-"): str(value)
        for flag in ("test", *columns, "documents")
        if (value := getattr(data, flag)) is not None and value != getattr(usual, flag)
    }
    return Command(verb="compare", path=path, options=options, in_python=path is None)


def _record(facts: Facts, start: float) -> Check:
    dataset, (within, across) = facts.dataset, facts.duplicate_counts
    labelled = bool(dataset.task.labels)
    own = _about_labels(facts) if labelled else {}
    return Check(
        choose=version("choose-llm"),
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        rows=len(facts.all),
        left_out=len(facts.rows.pool) + len(facts.rows.test or ()) - len(facts.all),
        kind=dataset.task.kind,
        test_rows=len(dataset.asked),
        division=dataset.division,
        compare=facts.target,
        first=steps_of(facts),
        lines=tuple(lines_of(facts)),
        reach=facts.reach,
        test_file=None if facts.test is None else len(facts.test),
        grouped=facts.grouped,
        within=within,
        across=across,
        broken_chain=facts.broken_chain,
        dated=sum(e.timestamp is not None for e in facts.all),
        group=facts.group,
        notes=facts.rows.notes,
        dropped=facts.dropped,
        targets=None if labelled else facts.targets.facts,
        lengths=facts.lengths,
        languages=facts.languages,
        drift=facts.drift,
        personal=hints_of(facts.personal),
        issues=issues_of(facts),
        seconds=perf_counter() - start,
        **own,
    )


def _about_labels(facts: Facts) -> dict[str, Any]:
    hidden = facts.hidden
    return {
        "balance": facts.balance,
        "conflicts": count_conflicts(facts.conflicts),
        "alike": facts.alike,
        "dominant": facts.dominant,
        "hidden": hidden,
        "rarest": facts.found_labels.get(hidden[0].label) if hidden else None,
        "unseen": facts.unseen,
        "order_of_rows": facts.order_of_rows,
        "audit": facts.audit,
        "audited_in": facts.study[0] if facts.study else None,
        "sampled": facts.is_sampled,
    }
