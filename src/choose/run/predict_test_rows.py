"""Predict test rows, and other views of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from choose.corpus import CONDITIONS, WORDS, Corpus, is_drill, span_of
from choose.data.scenarios import with_typos
from choose.data.stratify import stratified_order, stratified_sample
from choose.errors import MoneySpent, StrategyError
from choose.progress import TimeLimitReached
from choose.schema.plan import Job
from choose.strategy import Rereads, SendsPassages, Strategy
from choose.tasks.answering import corpus_of
from choose.tasks.document_drill import Drill, drill_of
from choose.types import Answers, Dataset, Item, Task

# Rows between two checks of the clock: few at first, which may take long, then as many as take
# this share of the time that is left, or more of it for the last rows, and at most so many times as
# were answered: what a model writes for many rows at once takes far less for each of them.
FIRST_CHUNK, MOST_CHUNK, CHUNK_GROWTH, CHUNK_SHARE, LAST_SHARE = 2, 500, 12, 0.75, 0.9


def predict(strategy: Strategy, items: Sequence[Item], task: Task) -> Answers:
    """Return the answers of a strategy, checked.

    Raises:
        StrategyError: if they do not fit the items or the labels.
    """
    answers = strategy.predict(items)
    if len(answers) != len(items) or len(answers.status) != len(items):
        raise StrategyError(f"It gave {len(answers)} answers to {len(items)} items.")
    problems = [task.problem_with(o) for o in dict.fromkeys(answers.outputs) if o is not None]
    if strange := next(filter(None, problems), None):
        raise StrategyError(f"An answer: {strange}; unusable answers must be None with a status.")
    if answers.scores is not None and answers.scores.shape != (len(items), len(task.labels)):
        raise StrategyError(
            f"Its scores have the shape {answers.scores.shape} instead of "
            f"({len(items)}, {len(task.labels)})."
        )
    if answers.scores is not None and np.isnan(answers.scores).any():
        raise StrategyError("Its scores hold NaN; scores must be log-probabilities.")
    if getattr(strategy, "reads", False):
        _check_evidence(answers)
    return answers


def _check_evidence(answers: Answers) -> None:
    for id in dict.fromkeys(chain.from_iterable(answers.evidence or ())):
        try:
            span_of(id)
        except ValueError as error:
            raise StrategyError(
                f"Its evidence {id[:80]!r} is no place in a document; a strategy that reads gives "
                "the ids of the passages that it read."
            ) from error


def asking_order(ids: Iterable[str], dataset: Dataset) -> tuple[str, ...]:
    """Order test rows so that the first of them represent the others.

    One row of each cluster comes first, then a second one, and so on. Within each of these, every
    prefix is stratified by label. The order depends on the rows alone, so that the rows of a round
    are the same for every candidate, and those of a round are the first of the next.
    """
    targets = {id: dataset.examples[id].target for id in ids}
    order = stratified_order(sorted(targets), targets, "asked")
    seen, earlier = Counter[str](), dict[str, int]()
    for id in order:
        cluster = dataset.clusters.get(id, f"alone {id}")
        earlier[id] = seen[cluster]
        seen[cluster] += 1
    return tuple(sorted(order, key=earlier.__getitem__))


def predict_until(
    strategy: Strategy,
    items: Sequence[Item],
    dataset: Dataset,
    *,
    most: int = 0,
    end: float = inf,
    known: Answers | None = None,
    each: float = 0.0,
    spare: float = 0.0,
) -> tuple[list[Item], Answers]:
    """Return the items that were predicted, in the order of `asking_order`, and their answers.

    Answers do not depend on their neighbours, so chunks can be joined. At most so many items are
    predicted, where 0 is all, or more in `spare` seconds; no chunk is begun after the `end`, a
    `perf_counter`. Earlier answers to the first items are `known`; `each` answer took so many
    seconds, 0 where that is not known.
    """
    by_id = {item.id: item for item in items}
    parts = [] if known is None else [known]
    order = [by_id[id] for id in asking_order(by_id, dataset)]
    done = sum(map(len, parts))
    wanted = max(most or len(order), done)
    while done < len(order) and (not parts or perf_counter() < end):
        more = wanted - done if done < wanted else len(order)
        left = end - perf_counter() if done < wanted else spare
        few = _rows_in(left, each, done, more)
        if parts and few * each >= left:
            break
        start, chunk = perf_counter(), order[done : done + few]
        try:
            parts.append(predict(strategy, chunk, dataset.task))
        except (MoneySpent, TimeLimitReached):
            if not parts:
                raise
            break
        seconds = perf_counter() - start
        each, spare = seconds / len(chunk), spare - seconds * (done >= wanted)
        done += len(chunk)
    return order[:done], concatenated(parts) if parts else _NONE


def _rows_in(seconds: float, each: float, done: int, more: int) -> int:
    """Return the rows of the next chunk, of `more`; so many are answered, at `each` seconds."""
    if seconds == inf:
        return more
    few = seconds / each if each else 0.0
    few = few if LAST_SHARE * few >= more else CHUNK_SHARE * few
    most = min(few, CHUNK_GROWTH * done or MOST_CHUNK, MOST_CHUNK)
    return int(min(more, max(FIRST_CHUNK, most)))


# The answers to no rows.
_NONE = Answers(outputs=(), status=())


@dataclass
class OtherViews:
    """Answers to views other than the clean rows, the ids of their rows, and what ended them.

    `reread` are the seconds that the strategy took to read each set of changed documents.
    """

    answers: dict[tuple[str, int], Answers] = field(default_factory=dict)
    asked: dict[tuple[str, int], tuple[str, ...]] = field(default_factory=dict)
    reread: list[float] = field(default_factory=list)
    stopped: Exception | None = None

    def add(
        self, view: tuple[str, int], strategy: Strategy, items: Sequence[Item], task: Task
    ) -> None:
        """Answer the items of a view; a fold may hold none of them."""
        self.answers[view] = predict(strategy, items, task) if items else _NONE
        self.asked[view] = tuple(item.id for item in items)


def answer_views(
    job: Job, ids: Sequence[str], dataset: Dataset, *, strategy: Strategy
) -> OtherViews:
    """Answer a job's views; those answered before time or money ended count.

    Views are of some of the test rows that were answered, by `ids`. Changed documents come last.
    """
    others = OtherViews()
    try:
        for view, items in _views_of(job, ids, dataset, strategy):
            others.add(view, strategy, items, dataset.task)
        corpus, drill = corpus_of(dataset.task), drill_of(dataset)
        if corpus is not None and drill is not None and drill.view in job.views:
            _answer_drill(others, drill, corpus, strategy=strategy, ids=ids, dataset=dataset)
    except (MoneySpent, TimeLimitReached) as end:
        others.stopped = end
    return others


def _views_of(
    job: Job, ids: Sequence[str], dataset: Dataset, strategy: Strategy
) -> Iterator[tuple[tuple[str, int], list[Item]]]:
    rows, task = dataset.examples, dataset.task
    most = max(1, job.view_rows // len(dataset.folds))
    sample = stratified_sample(ids, {id: rows[id].target for id in ids}, most, "views-0")
    for name in (name for name in job.views if not is_drill(name)):
        if name not in CONDITIONS:
            copied = {id: task.copied(rows[id].target) for id in ids}
            yield (name, 0), with_typos([rows[id].item() for id in sample], copied)
        elif (corpus := corpus_of(task)) is not None:
            from choose.models.retrieval.passage_search import given

            words = int(job.trial.params.get("words") or WORDS)
            if isinstance(strategy, SendsPassages):  # as long as `fit` chose
                words = strategy.passages()[1]
            # Rows that a candidate answers first, so that controls are on rows it answered.
            first = {*asking_order(ids, dataset)[:most]}
            yield (name, 0), given(name, [rows[id] for id in ids if id in first], corpus, words)


def _answer_drill(
    others: OtherViews,
    drill: Drill,
    corpus: Corpus,
    *,
    strategy: Strategy,
    ids: Sequence[str],
    dataset: Dataset,
) -> None:
    """Let a strategy read changed documents and answer, then those of its fit again."""
    if not isinstance(strategy, Rereads):
        return
    try:
        items = [dataset.examples[id].item() for id in ids if id in drill.targets]
        if items:
            others.reread.append(strategy.reread(drill.corpus))
        others.add((drill.view, 0), strategy, items, dataset.task)
    finally:
        strategy.reread(corpus)


_TEXTS = ("outputs", "status", "raw", "evidence")
_NUMBERS = ("scores", "confidence", "tokens_in", "tokens_cached", "tokens_out", "latency")


def concatenated(parts: Sequence[Answers]) -> Answers:
    """Join answers; a column that one part lacks is None."""

    def joined(name: str, join: Callable[[list[Any]], Any]) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if any(v is None for v in values) else join(values)

    texts = {name: joined(name, lambda v: tuple(chain.from_iterable(v))) for name in _TEXTS}
    return Answers(**texts, **{name: joined(name, np.concatenate) for name in _NUMBERS})
