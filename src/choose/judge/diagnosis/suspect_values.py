"""Suspect right values of records and sets of labels, and rows side by side.

Values are doubted by out-of-fold answers, which no row helped to learn.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from choose.judge.decision.contenders import Contenders
from choose.judge.diagnosis.error_overlap import first_answers
from choose.judge.evidence import (
    CandidateInfo,
    Evidence,
    HasFields,
    HoldsLabels,
    ShowsAnswers,
)
from choose.judge.measures.text_metrics import EQUAL
from choose.judge.scores.out_of_fold import out_of_fold_runs, targets
from choose.judge.scores.score_tables import CLEAN, MISSING, CandidateScores
from choose.judge.stats.metrics import Codes
from choose.judge.stats.two_way import row_means
from choose.schema.scorecard import (
    ComparedRow,
    GivenAnswer,
    SuspectValue,
    SuspectValues,
)
from choose.schema.standings import Standing
from choose.types import FAMILIES

# Suspect values, and rows side by side, that the record lists.
MOST_SUSPECTS, MOST_ROWS = 200, 30

# Wrong answers of the best prompted candidate that the record lists.
MOST_REPLIES = 10

# Candidates beside each other, and characters of an answer in the record.
MOST_CANDIDATES, MOST_CHARACTERS = 4, 2_000

# Further right answers of a row that the record lists.
MOST_ACCEPTED = 5

# So many independent candidates make a right value suspect.
AGREE = 2

# A candidate has a say on a label that it gives rightly so often, and in more than this share.
LEAST_RIGHT, SAY = 5, 0.5

# (row id, field, form of comparison), or (row id, label, kind of error).
Value = tuple[str, str, str]


def suspect_values(evidence: Evidence, literal: Sequence[str]) -> SuspectValues | None:
    """List right values or labels that are in doubt; None for answers without parts."""
    task = evidence.task
    if not isinstance(task, HoldsLabels | HasFields):
        return None
    answers = {
        info.name: found
        for info in evidence.candidates
        if not info.constant and (found := _out_of_fold(evidence, info.name))
    }
    if isinstance(task, HoldsLabels):
        found = _doubted_labels(evidence, task, answers)
    else:
        found = _suspects(evidence, task, answers)
    return SuspectValues(
        suspected=len(found), suspects=tuple(found[:MOST_SUSPECTS]), literal=tuple(literal)
    )


def _out_of_fold(evidence: Evidence, name: str) -> dict[str, str | None]:
    """Return the first out-of-fold answer of a candidate to each row, by id."""
    return {
        id: output
        for run in out_of_fold_runs(evidence, name)
        for id, output in zip(run.asked[CLEAN], run.answers[CLEAN].outputs, strict=True)
    }


def _suspects(
    evidence: Evidence, task: HasFields, answers: Mapping[str, Mapping[str, str | None]]
) -> list[SuspectValue]:
    """Return the right values that independent candidates contradict alike, most agreed first.

    Candidates are independent if they have unlike models, or unlike strategies without a model.
    """
    right, source = targets(evidence), sources(evidence.candidates)
    given = {id: task.values(right[id], evidence.inputs[id]) for id in evidence.inputs}
    votes: dict[Value, dict[str, str]] = defaultdict(dict)
    written: dict[Value, str] = {}
    for name, outputs in answers.items():
        for id, output in outputs.items():
            values = {} if output is None else task.values(output, evidence.inputs[id])
            for (field, form), (value, stands) in values.items():
                if stands and (field, form) not in given[id]:
                    votes[id, field, form].setdefault(source[name], name)
                    written[id, field, form] = value
    agreed = [key for key, by in votes.items() if len(by) >= AGREE]
    return [
        SuspectValue(
            id=id,
            field=field,
            given=next((text for (name, _), (text, _) in given[id].items() if name == field), None),
            suggested=written[id, field, form],
            candidates=tuple(votes[id, field, form].values()),
        )
        for id, field, form in sorted(agreed, key=lambda key: (-len(votes[key]), key))
    ]


def _doubted_labels(
    evidence: Evidence, task: HoldsLabels, answers: Mapping[str, Mapping[str, str | None]]
) -> list[SuspectValue]:
    """Return labels that rows lack or have and independent candidates would give or leave out.

    A candidate has a say on a label only where it is right more often than not: in giving it, for
    one that a row lacks, and in finding it, for one that a row has.
    """
    right, source = targets(evidence), sources(evidence.candidates)
    votes: dict[Value, dict[str, str]] = defaultdict(dict)
    for name, outputs in answers.items():
        totals: Counter[tuple[str, int]] = Counter()
        wrong: list[tuple[str, str, str]] = []
        for id, output in outputs.items():
            for label, counts in task.counts(output, right[id]).items():
                totals.update({(label, place): count for place, count in enumerate(counts)})
            if output is not None:
                wrong += [(id, *error) for error in task.errors(output, right[id])]
        for row, label, kind in wrong:
            whole = totals[label, 1 if kind == "spurious" else 2]
            if totals[label, 0] >= LEAST_RIGHT and totals[label, 0] > SAY * whole:
                votes[row, label, kind].setdefault(source[name], name)
    agreed = [key for key, by in votes.items() if len(by) >= AGREE]
    return [
        SuspectValue(
            id=id,
            field=label,
            # What a candidate misses is spurious in the row, and the other way round.
            given=label if kind == "missing" else None,
            suggested=label if kind == "spurious" else None,
            candidates=tuple(votes[id, label, kind].values()),
        )
        for id, label, kind in sorted(agreed, key=lambda key: (-len(votes[key]), key))
    ]


def sources(candidates: Sequence[CandidateInfo]) -> dict[str, str]:
    """Return by candidate what its answers come from: a model, or else a strategy."""
    return {info.name: info.model or info.strategy for info in candidates}


def side_by_side(
    evidence: Evidence, contenders: Contenders, standings: Sequence[Standing]
) -> tuple[ComparedRow, ...]:
    """Return test rows on which the chosen candidate and its nearest rivals differ.

    The largest differences to the nearest rival come first, those for and those against the
    chosen one in turn. Where answers are labels, rows that the best prompted candidate gets wrong.
    Rows that seem to hold personal data are left out.
    """
    rows, ids = contenders.panel.rows, list(contenders.panel.rows.index)
    if rows.labels:
        names = [contenders.best["prompting"]] if "prompting" in contenders.best else []
        order = _wrong(contenders, names)[:MOST_REPLIES]
    else:
        names = _beside(contenders, standings)
        order = _differing(contenders, names)
    shown = [place for place in order if ids[place] not in (evidence.personal or ())]
    right = targets(evidence)
    return tuple(
        ComparedRow(
            id=ids[place],
            target=_shown(evidence, right[ids[place]], right[ids[place]]),
            accepted=tuple(
                text[:MOST_CHARACTERS]
                for text in evidence.items.accepted.get(ids[place], ())[:MOST_ACCEPTED]
            ),
            answers=tuple(
                _for_readers(evidence, given, right[ids[place]])
                for name in names
                if (given := given_answer(contenders.panel[name], ids[place]))
            ),
        )
        for place in shown[:MOST_ROWS]
    )


def _differing(contenders: Contenders, names: Sequence[str]) -> list[int]:
    """Return the places of rows on which the first two candidates score differently."""
    tables = [contenders.panel[name].main for name in names]
    if len(tables) < 2 or any(table is None for table in tables):
        return []
    ours, theirs = (row_means(table.right) for table in tables[:2] if table)
    ahead = np.nan_to_num(ours - theirs)
    for_it, against = np.argsort(-ahead, kind="stable"), np.argsort(ahead, kind="stable")
    return _in_turn(for_it[ahead[for_it] > EQUAL], against[ahead[against] < -EQUAL])


def _wrong(contenders: Contenders, names: Sequence[str]) -> list[int]:
    """Return the places of rows with a wrong first answer, those without any label first."""
    order = list[int]()
    for name in names:
        if (table := contenders.panel[name].main) is not None:
            answers = first_answers(table.outputs)
            wrong = np.flatnonzero((answers != MISSING) & (answers != table.rows.targets))
            order += sorted(wrong.tolist(), key=lambda place: answers[place] >= 0)
    return order


def _for_readers(evidence: Evidence, given: GivenAnswer, target: str) -> GivenAnswer:
    if given.output is None or not isinstance(evidence.task, ShowsAnswers):
        return given
    return given.model_copy(update={"output": _shown(evidence, given.output, target)})


def _shown(evidence: Evidence, text: str, target: str) -> str:
    task = evidence.task
    return (task.shown(text, target) if isinstance(task, ShowsAnswers) else text)[:MOST_CHARACTERS]


def _beside(contenders: Contenders, standings: Sequence[Standing]) -> list[str]:
    """Return the chosen candidate, its nearest rival, and the best of the other families.

    Where only floors answered beside it, the nearest of these is the rival.
    """
    chosen = [standing.candidate for standing in standings if standing.chosen]
    order = [s.candidate for s in standings if s.difference is not None]
    readers = [name for name in order if name not in contenders.floors]
    best = [contenders.best[family] for family in FAMILIES if family in contenders.best]
    others = [name for name in (*(readers or order)[:1], *best) if name not in chosen]
    return [*chosen, *dict.fromkeys(others)][:MOST_CANDIDATES]


def _in_turn(first: Codes, second: Codes) -> list[int]:
    """Return the places of both, one of each in turn as long as both have some."""
    length = max(len(first), len(second))
    pairs = [(*first[i : i + 1].tolist(), *second[i : i + 1].tolist()) for i in range(length)]
    return [place for pair in pairs for place in pair]


def given_answer(candidate: CandidateScores, id: str) -> GivenAnswer | None:
    """Return the first answer of a candidate to a row, None where it was not evaluated."""
    table, name = candidate.main, candidate.info.name
    assert table is not None
    runs = [run for run in table.runs if id in run.asked[CLEAN]]
    if not runs:
        return None
    run = min(runs, key=lambda run: run.trial.draw)
    place = run.asked[CLEAN].index(id)
    answers = run.answers[CLEAN]
    output = answers.outputs[place]
    raw = answers.raw[place] if answers.raw is not None else None
    return GivenAnswer(
        candidate=name,
        output=None if output is None else output[:MOST_CHARACTERS],
        score=float(table.right[table.rows.index[id], table.draws.index(run.trial.draw)]),
        raw=None if raw is None else raw[:MOST_CHARACTERS],
    )
