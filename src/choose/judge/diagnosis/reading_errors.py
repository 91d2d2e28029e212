"""Why a candidate that reads documents is wrong, row by row: the first of ten steps that applies.

The rows are test rows, on which no fit of the candidate was trained. The steps and their order are
those of Barnett et al. 2024 (arXiv 2401.05856), with labels, the form of answers and abstention.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np

from choose.corpus import AMONG_OTHERS, GOLD, Corpus, holds, span_of
from choose.formatting import normalised
from choose.judge.diagnosis.field_errors import AGREE, MOST_CHARACTERS, given_answer, sources
from choose.judge.evidence import Evidence, HasDocuments, MayAbstain
from choose.judge.measures.reading_measures import ranked_low
from choose.judge.measures.text_metrics import groundedness, nearest_part
from choose.judge.scores.score_tables import CLEAN, CandidateScores, StudyScores, scores_in
from choose.judge.stats.two_way import row_means
from choose.schema.reading_documents import ReadingError, ReadingErrors, ReadingExample, ReadingStep
from choose.types import Status, Task

# A row is right from this score on. A part of an answer that scores so much is right as well.
RIGHT, LENIENT = 0.5, 0.8

# Below this share of its content words in the passage, an answer does not come from there.
GROUNDED = 0.5

# Rows that the record lists, and answers to each.
MOST_ROWS, MOST_ANSWERS = 12, 6

# An unusable answer of such a status says that there is none; others have the wrong form.
WITHHELD: tuple[Status, ...] = ("empty", "abstained", "refused")

STEPS: tuple[ReadingStep, ...] = get_args(ReadingStep)


@dataclass(frozen=True)
class Answered:
    """The first answer of a candidate to a row; `raw` is what it wrote where that differs.

    It read the passages `shown`; those `dropped` were found and cut; `further` ones, with evidence,
    were found below. None where that is unknown.
    """

    output: str | None
    status: Status
    raw: str | None
    score: float
    shown: tuple[str, ...] | None
    dropped: tuple[str, ...] | None = None
    further: tuple[str, ...] | None = None

    @property
    def right(self) -> bool:
        """Return whether it counts as right."""
        return self.score >= RIGHT


def answers_of(candidate: CandidateScores, view: tuple[str, int] = CLEAN) -> dict[str, Answered]:
    """Return the answers of a candidate's first repetition by row, in a view of the rows."""
    found: dict[str, Answered] = {}
    table = candidate.main
    for run in sorted(table.runs if table else (), key=lambda run: run.trial.draw):
        if view not in run.answers or view not in run.scores:
            continue
        answers, scores = run.answers[view], scores_in(run, view)
        for place, id in enumerate(run.asked[view]):
            one = Answered(
                output=answers.outputs[place],
                status=answers.status[place],
                raw=answers.raw[place] if answers.raw is not None else None,
                score=float(scores[place]),
                shown=answers.evidence[place] if answers.evidence is not None else None,
                dropped=answers.dropped[place] if answers.dropped is not None else None,
                further=answers.further[place] if answers.further is not None else None,
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


def reading_errors(evidence: Evidence, panel: StudyScores) -> ReadingErrors | None:
    """Return why the best candidate that reads is wrong; None without one, or without evidence.

    A candidate that asks a model comes before a baseline, and both before fine-tuned ones, so that
    the result is the same before and after an adapter is trained.
    """
    name = _subject(panel) if evidence.items.evidence and evidence.task is not None else None
    if name is None:
        return None
    return _Reader(evidence, panel, name).errors()


def _subject(panel: StudyScores) -> str | None:
    reading = [c for c in panel.scored if c.info.reads and _says_what_it_read(c)]
    for families in (("prompting", "retrieval"), ("baseline",), ("fine-tuning",)):
        if members := [c for c in reading if c.info.family in families]:
            return max(members, key=_mean).info.name
    return None


def _mean(candidate: CandidateScores) -> float:
    return float(np.nanmean(row_means(candidate.main.right))) if candidate.main else -1.0


def _says_what_it_read(candidate: CandidateScores) -> bool:
    runs = candidate.main.runs if candidate.main else ()
    return bool(runs) and all(run.answers[CLEAN].evidence is not None for run in runs)


@dataclass(frozen=True)
class _Reader:
    """One candidate that reads, with what is needed to tell its errors apart."""

    evidence: Evidence
    panel: StudyScores
    name: str

    @cached_property
    def task(self) -> Task:
        """Return the task."""
        assert self.evidence.task is not None
        return self.evidence.task

    @cached_property
    def given(self) -> Mapping[str, Answered]:
        """Return the answers with what was retrieved."""
        return answers_of(self.panel[self.name])

    @cached_property
    def with_gold(self) -> Mapping[str, Answered]:
        """Return the answers with the right passage."""
        return answers_of(self.panel[self.name], (GOLD, 0))

    @cached_property
    def among_others(self) -> Mapping[str, Answered]:
        """Return the answers with the right passage among others."""
        return answers_of(self.panel[self.name], (AMONG_OTHERS, 0))

    @cached_property
    def compared(self) -> frozenset[str]:
        """Return the rows that were answered with the right passage, and with it among others."""
        return frozenset(self.with_gold) & frozenset(self.among_others)

    @cached_property
    def targets(self) -> Mapping[str, tuple[str, ...]]:
        """Return the right answers by row, the main one first."""
        items = self.evidence.items
        return {
            id: (target, *items.accepted.get(id, ()))
            for id, target in zip(items.ids, items.targets, strict=True)
        }

    @cached_property
    def corpus(self) -> Corpus | None:
        """Return the documents, if they are known."""
        return self.task.corpus if isinstance(self.task, HasDocuments) else None

    @cached_property
    def suspects(self) -> Mapping[str, tuple[str, ...]] | None:
        """Return the rows with a suspect label, and who doubts it; None where none could."""
        return doubted_rows(self.evidence, self.panel)

    def errors(self) -> ReadingErrors:
        """Return the errors by step."""
        wrong = {id: one for id, one in self.given.items() if not one.right}
        early = {id: self._before_reading(id, one) for id, one in wrong.items()}
        late = {id: one for id, one in wrong.items() if early[id] is None}
        # Controls are asked of a random part of the rows, which speaks for the others.
        told = {id: one for id, one in late.items() if not self.compared or id in self.compared}
        steps: dict[str, ReadingStep] = {id: step for id, step in early.items() if step is not None}
        steps |= {id: self._in_reading(id, one) for id, one in told.items()}
        misses = [id for id, step in steps.items() if step == "retrieval miss"]
        below = {id: f for id in misses if (f := self.given[id].further) is not None}
        low = ranked_low(misses, self.evidence.items.evidence, below)
        return ReadingErrors(
            candidate=self.name,
            rows=len(self.given),
            wrong=len(wrong),
            untold=len(late) - len(told),
            errors=tuple(self._counted(steps, told, len(late), len(wrong))),
            examples=tuple(self._examples(steps)),
            low=low,
            not_found=None if low is None else tuple(id for id in misses if id not in low),
        )

    def _counted(
        self, steps: Mapping[str, ReadingStep], told: Iterable[str], late: int, wrong: int
    ) -> Iterator[ReadingError]:
        """Yield every step with its count, scaled up for rows whose step is unknown."""
        later = set(told)
        known = {step: self._known(step) for step in STEPS}
        for step in STEPS[:-1]:
            ids = {id for id, found in steps.items() if found == step}
            scaled = len(ids & later) * late / len(later) if later else 0.0
            share = (len(ids - later) + scaled) / wrong if wrong else None
            yield ReadingError(
                name=step,
                count=len(ids) if known[step] else None,
                share=share if known[step] else None,
            )
        prior = sum(one.right and self._missed(id, one) for id, one in self.given.items())
        yield ReadingError(name=STEPS[-1], count=prior, share=prior / len(self.given))

    def _known(self, step: ReadingStep) -> bool:
        """Return whether this study can show a step."""
        unknown: dict[ReadingStep, bool] = {
            "label suspect": self.suspects is None,
            # Not every strategy says which passages did not fit.
            "dropped": any(one.dropped is None for one in self.given.values()),
            "distraction": not self.compared or self.reads_one,
            "ungrounded": self.corpus is None,
            "needless abstention": not isinstance(self.task, MayAbstain),
            "false answer": not isinstance(self.task, MayAbstain),
        }
        return not unknown.get(step, False)

    @cached_property
    def reads_one(self) -> bool:
        """Return whether there are no other passages, which could distract."""
        shown = [self.among_others[id].shown for id in self.compared]
        return all(passages is not None and len(passages) <= 1 for passages in shown)

    def _before_reading(self, id: str, one: Answered) -> ReadingStep | None:
        """Return the error of a row whose evidence was not read; None where it was."""
        if id in (self.suspects or ()):
            return "label suspect"
        if self._has_no_answer(id):
            return "format" if one.output is None else "false answer"
        if id not in self.evidence.items.evidence:
            return "corpus gap"
        if not self._missed(id, one):
            return None
        return "dropped" if self._holds(id, one.dropped) else "retrieval miss"

    def _in_reading(self, id: str, one: Answered) -> ReadingStep:
        """Return the error of a row whose evidence was read."""
        alone = id in self.compared and not self.reads_one and self.with_gold[id].right
        if alone and not self.among_others[id].right:
            return "distraction"
        if self._is_form(id, one):
            return "format"
        if withheld(one, self.task):
            return "needless abstention"
        return "skill" if self._grounded(id, one) else "ungrounded"

    def _has_no_answer(self, id: str) -> bool:
        return isinstance(self.task, MayAbstain) and self.task.abstains(self.targets[id][0])

    def _missed(self, id: str, one: Answered) -> bool:
        """Return whether a row has evidence, none of which was read."""
        return bool(self.evidence.items.evidence.get(id)) and not self._holds(id, one.shown)

    def _holds(self, id: str, passages: Sequence[str] | None) -> bool:
        """Return whether some of these passages hold evidence of a row."""
        return any(holds(p, self.evidence.items.evidence.get(id, ())) for p in passages or ())

    def _is_form(self, id: str, one: Answered) -> bool:
        """Return whether an answer is unusable, or a part of what was written is right.

        Words are compared, whatever the metric: a metric of the user's may not run here.
        """
        if one.output is None:
            return one.status not in WITHHELD
        written = (one.output, *([one.raw] if one.raw is not None else []))
        parts = (nearest_part(text, right) for text in written for right in self.targets[id])
        return any(score >= LENIENT for _, score in parts)

    def _grounded(self, id: str, one: Answered) -> bool:
        """Return whether an answer's content words occur in the evidence that was read.

        True where the documents are not known.
        """
        spans = self.evidence.items.evidence[id]
        corpus, output = self.corpus, one.output
        if corpus is None or output is None:
            return True
        texts = [
            corpus.by_id[part.document].text[part.start : part.end]
            for part in map(span_of, one.shown or ())
            if part.document in corpus.by_id and any(part.overlaps(span) for span in spans)
        ]
        return not texts or groundedness(output, " ".join(texts)) >= GROUNDED

    def _examples(self, steps: Mapping[str, ReadingStep]) -> Iterator[ReadingExample]:
        """Yield rows of every step in turn, in the order of the steps."""
        by_step = [[id for id, found in steps.items() if found == step] for step in STEPS]
        longest = max(map(len, by_step), default=0)
        turns = [ids[turn] for turn in range(longest) for ids in by_step if turn < len(ids)]
        best_first = [c.info.name for c in sorted(self.panel.scored, key=_mean, reverse=True)]
        for id in turns[:MOST_ROWS]:
            secret = id in (self.evidence.personal or ())
            agree = (self.suspects or {}).get(id, ())
            names = dict.fromkeys([self.name, *agree, *best_first])
            said = (given_answer(self.panel[name], id) for name in [*names][:MOST_ANSWERS])
            yield ReadingExample(
                id=id,
                error=steps[id],
                shown=self.given[id].shown or (),
                evidence=tuple(span.id for span in self.evidence.items.evidence.get(id, ())),
                target=None if secret else self.targets[id][0][:MOST_CHARACTERS],
                answers=() if secret else tuple(one for one in said if one is not None),
            )
