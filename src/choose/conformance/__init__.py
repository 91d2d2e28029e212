"""Checks that every strategy must pass, built-in or third-party.

In your tests::

    import pytest
    from choose.conformance import CHECKS

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        check(lambda seed: MyStrategy(seed=seed))

`CHECKS` are for strategies that answer with labels. `TEXT_CHECKS` are for those that answer with
records, texts, answers to questions or rankings of documents, as their `kinds` say; they pass where
a strategy answers none of these. A language model passes them in float32: in bfloat16 an answer can
differ between batches.

Each check raises AssertionError if the strategy breaks a rule. Use small models: a check fits a
few times on about thirty short rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory

from choose.conformance.label_checks import CHECKS as CHECKS
from choose.conformance.label_checks import HOSTILE as HOSTILE
from choose.conformance.label_checks import PICKLES as PICKLES
from choose.conformance.label_checks import TASK as TASK
from choose.conformance.label_checks import WORDS_OF as _WORDS  # noqa: F401
from choose.conformance.label_checks import Factory as Factory
from choose.conformance.label_checks import assert_same_answers, same_row
from choose.conformance.label_checks import pool as pool
from choose.conformance.label_checks import questions as questions
from choose.corpus import Corpus, Document, span_of
from choose.strategy import Rereads, Saves
from choose.tasks.answering import NO_ANSWER, Answering, with_corpus
from choose.tasks.extraction import Extraction, as_text
from choose.tasks.multilabel import Multilabel, set_text
from choose.tasks.ranking import Ranking, relevance_text
from choose.tasks.writing import Writing
from choose.types import Example, Item, Task

RECORDS = Extraction(fields={"thing": "text", "count": "number", "words": "list"})
SETS = Multilabel(choices=TASK.labels, choice_names=TASK.names)
QUESTIONS = Answering(unanswerable=True, passage="received")
SHELF = Corpus(tuple(Document(id=e.id, title=e.target, text=f"A {e.text}.") for e in pool(seed=2)))

# Other documents under other names, as after a change.
LATER = Corpus(tuple(Document(id=f"new-{e.id}", text=f"The {e.text}.") for e in pool(seed=3)))
READING = with_corpus(Answering(unanswerable=True), SHELF)
RANKED = with_corpus(Ranking(), SHELF)


def text_rows(task: Task, rows: int = 24) -> list[Example]:
    """Return rows with targets of a task that has no labels, and with a further field."""
    found = []
    for number, row in enumerate(pool(rows=rows)):
        record = {"thing": row.target, "count": number % 5, "words": row.text.split()[:2]}
        target = as_text(record if number % 4 else {}) if task is RECORDS else f"a {row.text}"
        if task is SETS:
            target = set_text([row.target, TASK.labels[number % 2]][: number % 8])
        elif task.kind == RANKED.kind:
            target = relevance_text({f"p{number}": 1 + number % 2, f"p{number // 2}": 1})
        elif task.kind == QUESTIONS.kind:
            target = row.target if number % 4 else NO_ANSWER
        found.append(replace(row, target=target, fields={"received": f"2025-01-{number + 1:02}"}))
    return found


def _text_tasks(make: Factory) -> list[Task]:
    cls = type(make(0))
    answered = getattr(cls, "kinds", ("classification",))
    qa = READING if getattr(cls, "reads", False) else QUESTIONS
    tasks: list[Task] = [SETS, RECORDS, Writing(instruction="Say what it is."), qa, RANKED]
    return [task for task in tasks if task.kind in answered]


def texts_are_answers_or_none(make: Factory) -> None:
    """An output is an answer of the task with the status ok, or None with a reason."""
    hostile = [Item(id=f"h{i}", text=text) for i, text in enumerate(HOSTILE)]
    for task in _text_tasks(make):
        strategy = make(0)
        rows = text_rows(task)
        strategy.fit(task, rows)
        assert rows == text_rows(task), "fitting must not modify the examples"
        answers = strategy.predict([*questions(), *hostile])
        assert len(answers) == len(answers.status) == len(questions()) + len(hostile)
        for output, status in zip(answers.outputs, answers.status, strict=True):
            assert (output is None) == (status != "ok"), f"{output!r} with status {status!r}"
            problem = None if output is None else task.problem_with(output)
            assert problem is None, f"{output!r} is no answer: {problem}"
        assert len(strategy.predict([])) == 0


def texts_do_not_depend_on_the_batch(make: Factory) -> None:
    """An item gets the same record or text alone, in a batch and in reverse order."""
    for task in _text_tasks(make):
        strategy, items = make(0), questions(8)
        strategy.fit(task, text_rows(task))
        together = strategy.predict(items)
        backwards = strategy.predict(items[::-1])
        for i, item in enumerate(items):
            same_row(together, i, strategy.predict([item]), 0)
            same_row(together, i, backwards, len(items) - 1 - i)


def texts_survive_saving(make: Factory) -> None:
    """A saved strategy gives the same records or texts when loaded."""
    for task in _text_tasks(make):
        strategy, again = make(0), make(1)
        if not (isinstance(strategy, Saves) and isinstance(again, Saves)):
            return
        strategy.fit(task, text_rows(task))
        with TemporaryDirectory() as folder:
            strategy.save(Path(folder) / "saved")
            pickles = [f.name for f in Path(folder).rglob("*") if f.suffix in PICKLES]
            assert not pickles, f"pickled files can run code: {', '.join(pickles)}"
            again.load(Path(folder) / "saved")
            assert_same_answers(strategy.predict(questions(8)), again.predict(questions(8)))


def documents_can_change(make: Factory) -> None:
    """A strategy that rereads answers from the documents that it has, and forgets nothing.

    It names places in the new documents only, may get a single one, and answers from the first
    ones as before once it has them back.
    """
    strategy, items = make(0), questions(8)
    if not isinstance(strategy, Rereads):
        return
    strategy.fit(READING, text_rows(READING))
    before = strategy.predict(items)
    for corpus in (LATER, Corpus(LATER.documents[:1])):
        seconds = strategy.reread(corpus)
        fine = isinstance(seconds, int | float) and isfinite(seconds) and seconds >= 0
        assert fine, f"reread must return seconds, not {seconds!r}"
        for shown in strategy.predict(items).evidence or ():
            places = [span_of(place) for place in shown]
            for place in places:
                document = corpus.by_id.get(place.document)
                assert document is not None, f"{place.id} is in no document after reread"
                assert place.end <= len(document.text), f"{place.id} is outside its document"
    strategy.reread(SHELF)
    assert_same_answers(before, strategy.predict(items))


TEXT_CHECKS: tuple[Callable[[Factory], None], ...] = (
    texts_are_answers_or_none,
    texts_do_not_depend_on_the_batch,
    texts_survive_saving,
    documents_can_change,
)
