"""Rows of documents whose label is in doubt: independent candidates give the same other answer."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from choose.corpus import holds
from choose.formatting import normalised
from choose.judge.diagnosis.suspect_values import AGREE, sources
from choose.judge.evidence import Evidence, MayAbstain
from choose.judge.measures.text_metrics import nearest_part
from choose.judge.scores.score_tables import CLEAN, CandidateScores, StudyScores, scores_in
from choose.types import Status, Task

# A row is right from this score on. A part of an answer that scores so much is right as well.
RIGHT, LENIENT = 0.5, 0.8


# An unusable answer of such a status says that there is none; others have the wrong form.
WITHHELD: tuple[Status, ...] = ("empty", "abstained", "refused")


@dataclass(frozen=True)
class Answered:
    """The first answer of a candidate to a row, and the passages that it read, if known."""

    output: str | None
    status: Status
    score: float
    shown: tuple[str, ...] | None

    @property
    def right(self) -> bool:
        """Return whether it counts as right."""
        return self.score >= RIGHT


def answers_of(candidate: CandidateScores) -> dict[str, Answered]:
    """Return the answers of a candidate's first repetition by row."""
    found: dict[str, Answered] = {}
    table = candidate.main
    for run in sorted(table.runs if table else (), key=lambda run: run.trial.draw):
        if CLEAN not in run.answers or CLEAN not in run.scores:
            continue
        answers, scores = run.answers[CLEAN], scores_in(run, CLEAN)
        for place, id in enumerate(run.asked[CLEAN]):
            shown = answers.evidence[place] if answers.evidence is not None else None
            one = Answered(
                answers.outputs[place], answers.status[place], float(scores[place]), shown
            )
            found.setdefault(id, one)
    return found


def withheld(one: Answered, task: Task) -> bool:
    """Return whether a candidate said that there is no answer, or nothing."""
    if one.output is None:
        return one.status in WITHHELD
    return isinstance(task, MayAbstain) and task.abstains(one.output)


def doubted_rows(evidence: Evidence, panel: StudyScores) -> dict[str, tuple[str, ...]] | None:
    """Return rows to which independent candidates give the same other answer, with these.

    None with fewer than two such candidates, or without the task. Where the evidence is known, only
    those who read it doubt a label: others repeat what they learnt, or are misled alike. Words of
    the question do not, which weak readers repeat, nor do more or fewer words than the label has.
    """
    if (task := evidence.task) is None:
        return None
    items, source = evidence.items, sources([c.info for c in panel.scored])
    able = (c for c in panel.scored if c.info.reads or not items.evidence)
    voters = [c for c in able if not c.info.constant]
    if len({source[c.info.name] for c in voters}) < AGREE:
        return None
    votes = defaultdict[tuple[str, str], list[str]](list)
    for candidate in voters:
        for id, one in answers_of(candidate).items():
            spans = items.evidence.get(id)
            saw = not spans or one.shown is None or any(holds(p, spans) for p in one.shown)
            if saw and not one.right and one.output is not None and not withheld(one, task):
                votes[id, normalised(one.output)].append(candidate.info.name)
    words = {id: {*normalised(item.text).split()} for id, item in evidence.inputs.items()}
    right = dict(zip(items.ids, items.targets, strict=True))
    return {
        id: tuple(by)
        for (id, said), by in votes.items()
        if len({*map(source.get, by)}) >= AGREE
        and not {*said.split()} <= words.get(id, {*()})
        and not any(
            max(nearest_part(said, text)[1], nearest_part(text, said)[1]) >= LENIENT
            for text in (right[id], *items.accepted.get(id, ()))
        )
    }
