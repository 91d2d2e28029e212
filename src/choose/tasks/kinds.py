"""The kinds of tasks by name: how targets are read, which kind they are, and how a task is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any, Literal

from choose.errors import StudyError, did_you_mean
from choose.formatting import plural
from choose.schema.scorecard import LABEL_METRICS
from choose.schema.study_sections import TaskSection
from choose.tasks.answering import BRIEF, NO_ANSWER, read_answering
from choose.tasks.answering import OWN as OF_AN_ANSWER
from choose.tasks.extraction import OWN as OF_A_RECORD
from choose.tasks.extraction import parse, read_extraction
from choose.tasks.graded_task import GradedTask
from choose.tasks.labels import check_targets, classification_from, label_cells, read_classification
from choose.tasks.multilabel import OWN as OF_A_SET
from choose.tasks.multilabel import check_sets, multilabel_from, read_multilabel, set_cells, sets_in
from choose.tasks.ranking import OWN as OF_A_RANKING
from choose.tasks.ranking import (
    Ranking,
    check_relevance,
    read_ranking,
    relevance_cells,
)
from choose.tasks.scores import OWN as OF_A_SCORE
from choose.tasks.scores import Scores, check_scores, read_scores, score_cells
from choose.tasks.scoring import installed, user_metric
from choose.tasks.target_cells import (
    answer_cells,
    answering_from,
    check_answers,
    check_records,
    extraction_from,
    is_squad,
    record_cells,
)
from choose.tasks.target_noise import (
    Disturbance,
    label_dropped_or_added,
    relevant_swapped,
    swapped,
)
from choose.tasks.values import scalar_text
from choose.tasks.writing import OWN as OF_A_TEXT
from choose.tasks.writing import Writing, check_texts, read_writing, text_cells
from choose.types import Example, Task

# Words of a target from which on, on average, targets that mostly differ are texts to write. Where
# something says that these are questions, they answer these if most have `BRIEF` words at most.
WRITTEN = 2.5

# Keys of [task] that describe labels or fields.
DESCRIPTIONS = ("names", "descriptions", "fields")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is particular to a kind of task.

    Attributes:
        target: what a target is called.
        read: makes a task again from its `facts`.
        cells: gives the right answers of each cell of a column, from values, rows and its name.
        check: refuses targets of a pool and test rows that make no such task.
        make: makes the task of a pool and test rows from what the study file says.
        describes: which of the keys of [task] in `DESCRIPTIONS` are for such a task.
        unfilled: why a row with a text must have a target; None where it is left out.
        disturb: gives a noisy target; None where targets are labels, which flip.
        record: gives the values of a target by field; None where targets have no fields.
        reads_passages: whether a further field may hold what is read for an answer.
        has_documents: whether documents may be given to it, and whether it needs them.
        scores: names of the usual scores of an answer that is no label, the headline first.
    """

    target: str
    read: Callable[[Mapping[str, Any]], Task]
    cells: Callable[[Sequence[Any], Sequence[int], str], list[tuple[str, ...]]]
    check: Callable[[Sequence[Example], Sequence[Example] | None], None]
    make: Callable[[Sequence[Example], Sequence[Example], TaskSection], Task]
    describes: tuple[str, ...] = ()
    disturb: Disturbance | None = None
    unfilled: str | None = None
    record: Callable[[str], Mapping[str, Any]] | None = None
    reads_passages: bool = False
    has_documents: Literal["no", "may", "must"] = "no"
    scores: tuple[str, ...] = ()


# The first is that of stores without a kind.
KINDS: Mapping[str, Kind] = {
    "classification": Kind(
        target="label",
        read=read_classification,
        cells=label_cells,
        check=check_targets,
        make=classification_from,
        describes=("names", "descriptions"),
    ),
    "multilabel": Kind(
        target="set of labels",
        read=read_multilabel,
        cells=set_cells,
        check=check_sets,
        make=multilabel_from,
        describes=("names", "descriptions"),
        disturb=label_dropped_or_added,
        unfilled="an empty cell may be a row that is not labelled yet; where a row has no label, "
        "write []",
        scores=OF_A_SET,
    ),
    "extraction": Kind(
        target="record",
        read=read_extraction,
        cells=record_cells,
        check=check_records,
        make=extraction_from,
        describes=("fields", "descriptions"),
        disturb=swapped,
        record=parse,
        scores=OF_A_RECORD,
    ),
    "writing": Kind(
        target="target",
        read=read_writing,
        cells=text_cells,
        check=check_texts,
        make=lambda pool, test, section: Writing(instruction=section.instruction),
        disturb=swapped,
        scores=OF_A_TEXT,
        unfilled="an empty text is no answer where answers are written",
    ),
    "answering": Kind(
        target="answer",
        read=read_answering,
        cells=answer_cells,
        check=check_answers,
        make=answering_from,
        disturb=swapped,
        unfilled="an empty cell may be a slip; where a question has no answer, write "
        f"{NO_ANSWER!r} or, in JSON, [] or null",
        reads_passages=True,
        has_documents="may",
        scores=OF_AN_ANSWER,
    ),
    "ranking": Kind(
        target="relevant document",
        read=read_ranking,
        cells=relevance_cells,
        check=check_relevance,
        make=lambda pool, test, section: Ranking(instruction=section.instruction),
        disturb=relevant_swapped,
        has_documents="must",
        scores=OF_A_RANKING,
    ),
    "scores": Kind(
        target="score",
        read=read_scores,
        cells=score_cells,
        check=check_scores,
        make=lambda pool, test, section: Scores(instruction=section.instruction),
        scores=OF_A_SCORE,
    ),
}

USUAL = next(iter(KINDS))

# The usual scores of answers that are no labels.
TEXT_METRICS = tuple(score for kind in KINDS.values() for score in kind.scores)


def read_task(facts: Mapping[str, Any]) -> Task:
    """Return the task that `Task.facts` described; facts without a ``kind`` are of the first kind.

    Raises:
        ValueError: if the kind is unknown, or the facts are not those of a task.
    """
    kind = facts.get("kind", USUAL)
    if kind not in KINDS:
        raise ValueError(f"its task is of the unknown kind {kind!r}")
    return KINDS[kind].read(facts)


def make_task(
    kind: str, pool: Sequence[Example], test: Sequence[Example], section: TaskSection
) -> Task:
    """Return the task of a pool and test rows.

    Raises:
        StudyError: if the study file has a key that is for other kinds of tasks, or says of labels
            or fields what the rows contradict.
    """
    for key in DESCRIPTIONS:
        if getattr(section, key) and key not in KINDS[kind].describes:
            takes = [name for name, other in KINDS.items() if key in other.describes]
            raise StudyError(
                f"[task.{key}] is for the kinds {', '.join(takes)}; this task is {kind}. "
                "Leave it out."
            )
    return KINDS[kind].make(pool, test, section)


def check_kind(kind: str | None) -> None:
    """Refuse a kind that does not exist.

    Raises:
        StudyError: naming those that do.
    """
    if kind is not None and kind not in KINDS:
        raise StudyError(
            f"There is no kind of task {kind!r}.{did_you_mean(kind, KINDS)} "
            f"Allowed for --kind: {', '.join(KINDS)}."
        )


def with_metric(task: Task, metric: str, target: str) -> Task:
    """Return a task that is scored by a metric first; `target` is a right answer to try it on.

    Raises:
        StudyError: if the metric is not for this kind of task, or cannot be used.
    """
    labels, kind = metric in LABEL_METRICS, KINDS[task.kind]
    if metric == LABEL_METRICS[0] or (labels and task.labels):
        return task
    if metric in kind.scores:
        assert isinstance(task, GradedTask)
        return replace(task, headline=metric)
    if labels or task.labels or metric in TEXT_METRICS:
        own = LABEL_METRICS if task.labels else (*kind.scores, *installed(), "FILE.py:FUNCTION")
        raise StudyError(
            f"The metric {metric!r} is not for the task's kind, {task.kind}. Allowed here for "
            f"--metric: {', '.join(own)}."
        )
    assert isinstance(task, GradedTask)
    return replace(task, metric=user_metric(metric, task.parts(target)))


def guess_kind(
    values: Sequence[Any], questions: bool = False, passage: bool = False
) -> tuple[str, str]:
    """Return the kind of task that the cells of a target column make, and why.

    Objects make an extraction; lists of texts, and texts of which most occur once, are written. If
    they are short, they are answers where the columns are called so (`questions`) or a further
    field is a passage. Lists of short texts that repeat, and cells with several such texts, are
    sets of labels.
    """
    filled = [value for value in values if value is not None and str(value).strip()]
    if filled and 2 * sum(map(is_squad, filled)) >= len(filled):
        return "answering", "the targets are texts with their places, as the answers in SQuAD"
    objects = sum(_is_object(value) for value in filled)
    if objects and 2 * objects >= len(filled):
        return "extraction", "the targets are JSON objects"
    lists = [value for value in filled if isinstance(value, list)]
    texts = [text for text in map(scalar_text, _singles(filled)) if text is not None]
    lengths = [len(text.split()) for text in texts] or [0]
    distinct, words = len(set(texts)), fmean(lengths)
    several = f"{plural(distinct, 'different target')} in {plural(len(filled), 'row')}"
    differ = 2 * distinct > len(texts)
    average = f"of {words:.0f} {'word' if round(words) == 1 else 'words'} on average"
    if median(lengths) <= BRIEF and (differ or (questions and lists)):
        reasons = {
            "the columns are called question and answer": questions,
            "a field holds passages": passage,
        }
        if why := [reason for reason, holds in reasons.items() if holds]:
            return "answering", f"{why[0]}; {plural(distinct, 'different answer')}, {average}"
    if (why_sets := sets_in(filled)) is not None:
        return "multilabel", why_sets
    if differ and words >= WRITTEN and len(lists) in (0, len(filled)):
        return "writing", f"{several}, {average}"
    return (
        ("multilabel", "the targets are lists")
        if len(lists) > len(filled) / 2
        else (USUAL, several)
    )


def _is_object(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(one, Mapping) for one in value)
    if isinstance(value, str):
        text = value.strip()
        return text.startswith("{") and (text.endswith("}") or '":' in text)
    return isinstance(value, Mapping)


def _singles(values: Sequence[Any]) -> list[Any]:
    """Return the values, those in lists one by one."""
    found: list[Any] = []
    for value in values:
        found += value if isinstance(value, list) else [value]
    return [one for one in found if not isinstance(one, list | Mapping)]
