"""The kinds of tasks by name: how targets are read, which kind they are, and how a task is made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from statistics import fmean, median
from typing import Any, ClassVar, Literal

from choose.errors import DataError, StudyError, did_you_mean, rows_named
from choose.formatting import plural
from choose.outside_values import finite
from choose.schema.study_sections import TaskSection
from choose.tasks.answering import (
    BRIEF,
    NO_ANSWER,
    Answering,
    answer_cell,
    answering_from,
    is_squad,
)
from choose.tasks.base import Disturbance, check_differ, swapped
from choose.tasks.extraction import Extraction, check_records, extraction_from, parse, record_cell
from choose.tasks.labels import Classification, check_targets, label_cells, task_from
from choose.tasks.metrics import DEFAULT, METRICS, SCORES, metrics_of
from choose.tasks.multilabel import (
    Multilabel,
    check_sets,
    label_dropped_or_added,
    multilabel_from,
    separator_of,
    set_cell,
    sets_in,
)
from choose.tasks.ranking import Ranking, relevance_cell, relevant_swapped
from choose.tasks.scoring import read_metric, user_metric
from choose.tasks.value_parsing import scalar_text
from choose.tasks.writing import Writing, text_cell
from choose.types import Example, Task

# Words of a target from which on, on average, targets that mostly differ are texts to write. Where
# something says that these are questions, they answer these if most have `BRIEF` words at most.
WRITTEN = 2.5

# Keys of [task] that describe labels or fields.
DESCRIPTIONS = ("names", "descriptions", "fields")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores(Task):
    """A task of which scores of answers are known: an output is its score, from 0 to 1."""

    own: ClassVar[tuple[str, ...]] = metrics_of(SCORES)
    headline: str = own[0]
    kind: Literal["scores"] = "scores"

    def problem_with(self, output: str) -> str | None:
        return None if finite(output, 0.0, 1.0) is not None else "it is no number from 0 to 1"

    def own_scores(self, output: str, targets: Sequence[str]) -> dict[str, float]:
        return {"score": finite(output, 0.0, 1.0) or 0.0}


def refuse_scores(pool: Sequence[Example], test: Sequence[Example] | None) -> None:
    raise DataError(
        "Scores can be compared and not learnt from. Use choose score --scores, or state another "
        "--kind."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is particular to a kind of task.

    Attributes:
        task: the class of its tasks.
        target: what a target is called.
        cell: gives the right answers in a cell of a column, none of an empty one, each as
            `expected` says, or raises ValueError saying what is wrong; None for labels, which a
            whole column decides.
        check: refuses targets of a pool and test rows that make no such task.
        make: makes the task of a pool and test rows from what the study file says.
        describes: which of the keys of [task] in `DESCRIPTIONS` are for such a task.
        unfilled: why a row with a text must have a target; None where it is left out.
        disturb: gives a noisy target; None where targets are labels, which flip.
        record: gives the values of a target by field; None where targets have no fields.
        reads_passages: whether a further field may hold what is read for an answer.
        has_documents: whether documents may be given to it, and whether it needs them.
    """

    task: type[Task]
    target: str
    cell: Callable[[Any], tuple[str, ...]] | None = None
    expected: str = ""
    check: Callable[[Sequence[Example], Sequence[Example] | None], None]
    make: Callable[[Sequence[Example], Sequence[Example], TaskSection], Task]
    describes: tuple[str, ...] = ()
    disturb: Disturbance | None = None
    unfilled: str | None = None
    record: Callable[[str], Mapping[str, Any]] | None = None
    reads_passages: bool = False
    has_documents: Literal["no", "may", "must"] = "no"


KINDS: Mapping[str, Kind] = {
    "classification": Kind(
        task=Classification,
        target="label",
        check=check_targets,
        make=lambda pool, test, section: task_from([*pool, *test], section),
        describes=("names", "descriptions"),
    ),
    "multilabel": Kind(
        task=Multilabel,
        target="set of labels",
        cell=set_cell,
        expected="Take out stray separators, name each label once and write [] where a row has no "
        'label; or write each set as a list such as ["a", "b"].',
        check=check_sets,
        make=multilabel_from,
        describes=("names", "descriptions"),
        disturb=label_dropped_or_added,
        unfilled="an empty cell may be a row that is not labelled yet; where a row has no label, "
        "write []",
    ),
    "extraction": Kind(
        task=Extraction,
        target="record",
        cell=record_cell,
        expected="Each target must be one JSON object with flat values, such as "
        '{"day": "2025-01-31", "items": ["2 chairs"]}; {} is a right answer too.',
        check=check_records,
        make=extraction_from,
        describes=("fields", "descriptions"),
        disturb=swapped,
        record=parse,
    ),
    "writing": Kind(
        task=Writing,
        target="target",
        cell=text_cell,
        expected="Where answers are written, each target must be a text, or a list of right texts "
        'such as ["yes", "yes, it is"].',
        check=lambda pool, test: check_differ(pool, "rows have the same target", "write"),
        make=lambda pool, test, section: Writing(instruction=section.instruction),
        disturb=swapped,
        unfilled="an empty text is no answer where answers are written",
    ),
    "answering": Kind(
        task=Answering,
        target="answer",
        cell=answer_cell,
        expected='Each must be a text, a list of accepted texts such as ["1912", "in 1912"], or [] '
        "where there is no answer.",
        check=lambda pool, test: check_differ(pool, "questions have the same answer", "answer"),
        make=answering_from,
        disturb=swapped,
        unfilled="an empty cell may be a slip; where a question has no answer, write "
        f"{NO_ANSWER!r} or, in JSON, [] or null",
        reads_passages=True,
        has_documents="may",
    ),
    "ranking": Kind(
        task=Ranking,
        target="relevant document",
        cell=relevance_cell,
        expected='Allowed: the id of a document, a list of ids such as ["a", "b"], or grades by id '
        'such as {"a": 2, "b": 1}.',
        check=lambda pool, test: check_differ(
            pool, "questions have the same relevant documents", "rank"
        ),
        make=lambda pool, test, section: Ranking(instruction=section.instruction),
        disturb=relevant_swapped,
        has_documents="must",
    ),
    "scores": Kind(
        task=Scores,
        target="score",
        cell=lambda value: ("1",),  # the best score
        check=refuse_scores,
        make=lambda pool, test, section: Scores(instruction=section.instruction),
    ),
}

USUAL = next(iter(KINDS))


# How fields of a stored task are read; others are taken as they are.
_READERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("labels", "names", "choices", "choice_names"), tuple),
    **dict.fromkeys(("descriptions", "fields"), dict),
    **dict.fromkeys(("headline", "documents"), str),
    **dict.fromkeys(("unanswerable", "day_first"), bool),
    "metric": read_metric,
}


def read_targets(
    kind: str, values: Sequence[Any], rows: Sequence[int], column: str, separator: str | None
) -> list[tuple[str, ...]]:
    """Return the right answers in each cell of a column.

    A separator parts the labels of a set; by default the one that most of the cells hold.
    """
    cell = KINDS[kind].cell
    if cell is None:
        return label_cells(values, rows, column)
    if cell is set_cell:
        separator = separator or separator_of(values, stated=True)
        cell = partial(set_cell, separator=separator)
    found: list[tuple[str, ...]] = []
    wrong: dict[int, str] = {}
    for row, value in zip(rows, values, strict=True):
        try:
            found.append(cell(value))
        except ValueError as error:
            wrong[row] = str(error)
    if wrong:
        [(first, why), *others] = wrong.items()
        named = rows_named(row for row, _ in others)
        more = f" {named.capitalize()} cannot be read either." if others else ""
        raise DataError(f"Row {first}, column {column!r}: {why}.{more} {KINDS[kind].expected}")
    return found


def read_task(facts: Mapping[str, Any]) -> Task:
    """Return the task that `Task.facts` described.

    Raises:
        ValueError, TypeError, LookupError: if they are not those of a task.
    """
    kind = facts["kind"]
    if kind not in KINDS:
        raise ValueError(f"its task is of the unknown kind {kind!r}")
    read = {name: _READERS[name](facts[name]) for name in facts if name in _READERS}
    task = KINDS[kind].task(**{**facts, **read})
    if task.headline not in task.own:
        raise ValueError(f"its metric {task.headline[:80]!r} is unknown")
    return task


def make_task(
    kind: str, pool: Sequence[Example], test: Sequence[Example], section: TaskSection
) -> Task:
    for key in DESCRIPTIONS:
        if getattr(section, key) and key not in KINDS[kind].describes:
            takes = [name for name, other in KINDS.items() if key in other.describes]
            raise StudyError(
                f"[task.{key}] is for the kinds {', '.join(takes)}; this task is {kind}. "
                "Leave it out."
            )
    return KINDS[kind].make(pool, test, section)


def check_kind(kind: str | None) -> None:
    if kind is not None and kind not in KINDS:
        raise StudyError(
            f"There is no kind of task {kind!r}.{did_you_mean(kind, KINDS)} "
            f"Allowed for --kind: {', '.join(KINDS)}."
        )


def with_metric(task: Task, metric: str, target: str) -> Task:
    """Return a task that is scored by a metric first; `target` is a right answer to try it on."""
    own = metrics_of(task.kind)
    if metric == DEFAULT or (metric in own and task.labels):
        return task
    if metric in own:
        return replace(task, headline=metric)
    if metric in METRICS or task.labels:
        own = own if task.labels else (*own, "FILE.py:FUNCTION")
        raise StudyError(
            f"The metric {metric!r} is not for the task's kind, {task.kind}. Allowed here for "
            f"--metric: {', '.join(own)}."
        )
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
    singles = chain(*(value if isinstance(value, list) else [value] for value in filled))
    scalars = (scalar_text(one) for one in singles if not isinstance(one, list | Mapping))
    texts = [text for text in scalars if text is not None]
    lengths = [len(text.split()) for text in texts] or [0]
    distinct, words = len(set(texts)), fmean(lengths)
    several = f"{plural(distinct, 'different target')} in {plural(len(filled), 'row')}"
    differ = 2 * distinct > len(texts)
    average = f"of {words:.0f} {'word' if round(words) == 1 else 'words'} on average"
    brief = median(lengths) <= BRIEF and (differ or (questions and lists))
    if brief and (questions or passage):
        called = "the columns are called question and answer"
        why = called if questions else "a field holds passages"
        return "answering", f"{why}; {plural(distinct, 'different answer')}, {average}"
    if (why_sets := sets_in(filled)) is not None:
        return "multilabel", why_sets
    if differ and words >= WRITTEN and len(lists) in (0, len(filled)):
        return "writing", f"{several}, {average}"
    if len(lists) > len(filled) / 2:
        return "multilabel", "the targets are lists"
    return USUAL, several


def _is_object(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(one, Mapping) for one in value)
    if isinstance(value, str):
        text = value.strip()
        return text.startswith("{") and (text.endswith("}") or '":' in text)
    return isinstance(value, Mapping)
