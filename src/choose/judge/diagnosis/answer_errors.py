"""Errors of answers that are records, suspect right values, and rows side by side.

Errors are classified on out-of-fold answers of a candidate that is not fine-tuned, so that the
result is the same before and after an adapter is trained.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from choose.judge.decision.contenders import Contenders
from choose.judge.evidence import CandidateInfo, Evidence, HasFields
from choose.judge.measures.text_figures import EQUAL
from choose.judge.scores.out_of_fold import out_of_fold_runs, targets
from choose.judge.scores.score_tables import CLEAN, CandidateScores, scores_in
from choose.judge.stats.metrics import Codes
from choose.judge.stats.two_way import row_means
from choose.schema.answer import Standing
from choose.schema.texts import (
    AnswerErrors,
    ComparedRow,
    GivenAnswer,
    SuspectValue,
    ValueErrors,
)
from choose.types import FAMILIES

# Suspect values, and rows side by side, that the record lists.
MOST_SUSPECTS, MOST_ROWS = 200, 30

# Candidates beside each other, and characters of an answer in the record.
MOST_CANDIDATES, MOST_CHARACTERS = 4, 2_000

# Further right answers of a row that the record lists.
MOST_ACCEPTED = 5

# So many independent candidates make a right value suspect.
AGREE = 2

# (row id, field, form of comparison).
Value = tuple[str, str, str]


def answer_errors(evidence: Evidence, literal: Sequence[str]) -> AnswerErrors | None:
    """Classify wrong values and list suspect ones; None for answers without fields.

    The candidate is the best prompted one, else the best baseline, by its mean score.
    """
    if not isinstance(evidence.task, HasFields):
        return None
    answers = {
        info.name: found
        for info in evidence.candidates
        if not info.constant and (found := _out_of_fold(evidence, info.name))
    }
    name = _subject(evidence, answers)
    if name is None:
        return None
    suspects = _suspects(evidence, evidence.task, answers)
    doubted = {(suspect.id, suspect.field) for suspect in suspects}
    kinds: Counter[tuple[str, str]] = Counter()
    wrong, right = 0, targets(evidence)
    for id, output in answers[name].items():
        found = list(_errors(evidence.task, id, output, right[id], doubted))
        wrong += bool(found) or output is None
        kinds.update((kind, field) for field, kind in found)
    return AnswerErrors(
        candidate=name,
        rows=len(answers[name]),
        wrong=wrong,
        kinds=_kinds(kinds),
        suspected=len(suspects),
        suspects=tuple(suspects[:MOST_SUSPECTS]),
        literal=tuple(literal),
    )


def _errors(
    task: HasFields, id: str, output: str | None, target: str, doubted: set[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """Yield the field and the kind of each wrong value of an answer."""
    if output is None:
        for field, (_, _, expected) in task.counts(None, target).items():
            yield from [(field, "malformed")] * expected
        return
    for field, kind in task.errors(output, target):
        yield field, "suspect target" if (id, field) in doubted else kind


def _kinds(counts: Counter[tuple[str, str]]) -> tuple[ValueErrors, ...]:
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for (kind, field), count in counts.items():
        by_kind[kind][field] += count
    kinds = (
        ValueErrors(
            name=kind,
            count=fields.total(),
            share=fields.total() / counts.total(),
            field=max(sorted(fields), key=lambda field: fields[field]),
        )
        for kind, fields in by_kind.items()
    )
    return tuple(sorted(kinds, key=lambda kind: (-kind.count, kind.name)))


def _out_of_fold(evidence: Evidence, name: str) -> dict[str, str | None]:
    """Return the first out-of-fold answer of a candidate to each row, by id."""
    return {
        id: output
        for run in out_of_fold_runs(evidence, name)
        for id, output in zip(run.asked[CLEAN], run.answers[CLEAN].outputs, strict=True)
    }


def _subject(evidence: Evidence, answers: Mapping[str, Mapping[str, str | None]]) -> str | None:
    for families in (("prompting", "retrieval"), ("baseline",)):
        means = {
            info.name: _mean(evidence, info.name)
            for info in evidence.candidates
            if info.name in answers and info.family in families
        }
        if means:
            return max(means, key=lambda name: means[name])
    return None


def _mean(evidence: Evidence, name: str) -> float:
    runs = out_of_fold_runs(evidence, name)
    return float(np.concatenate([scores_in(run, CLEAN) for run in runs]).mean())


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


def sources(candidates: Sequence[CandidateInfo]) -> dict[str, str]:
    """Return by candidate what its answers come from: a model, or else a strategy."""
    return {info.name: info.model or info.strategy for info in candidates}


def side_by_side(
    evidence: Evidence, contenders: Contenders, standings: Sequence[Standing]
) -> tuple[ComparedRow, ...]:
    """Return test rows on which the chosen candidate and its nearest rivals differ.

    The largest differences to the nearest rival come first, those for and those against the
    chosen one in turn; rows that seem to hold personal data are left out. Empty for labels.
    """
    rows = contenders.panel.rows
    names = [] if rows.labels else _beside(contenders, standings)
    tables = [contenders.panel[name].main for name in names]
    if len(tables) < 2 or any(table is None for table in tables):
        return ()
    ours, theirs = (row_means(table.right) for table in tables[:2] if table)
    ahead = np.nan_to_num(ours - theirs)
    for_it, against = np.argsort(-ahead, kind="stable"), np.argsort(ahead, kind="stable")
    order = _in_turn(for_it[ahead[for_it] > EQUAL], against[ahead[against] < -EQUAL])
    ids = list(rows.index)
    shown = [place for place in order if ids[place] not in (evidence.personal or ())]
    right = targets(evidence)
    return tuple(
        ComparedRow(
            id=ids[place],
            target=right[ids[place]][:MOST_CHARACTERS],
            accepted=tuple(
                text[:MOST_CHARACTERS]
                for text in evidence.items.accepted.get(ids[place], ())[:MOST_ACCEPTED]
            ),
            answers=tuple(
                given
                for name in names
                if (given := given_answer(contenders.panel[name], ids[place]))
            ),
        )
        for place in shown[:MOST_ROWS]
    )


def _beside(contenders: Contenders, standings: Sequence[Standing]) -> list[str]:
    """Return the chosen candidate, its nearest rival, and the best of the other families."""
    chosen = [standing.candidate for standing in standings if standing.chosen]
    order = [s.candidate for s in standings if s.difference is not None]
    readers = [name for name in order if name not in contenders.constants]
    best = [contenders.best[family] for family in FAMILIES if family in contenders.best]
    others = [name for name in (*readers[:1], *best) if name not in chosen]
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
    raw = answers.raw[place] if answers.raw is not None and output is None else None
    return GivenAnswer(
        candidate=name,
        output=None if output is None else output[:MOST_CHARACTERS],
        score=float(scores_in(run, CLEAN)[place]),
        raw=None if raw is None else raw[:MOST_CHARACTERS],
    )
