"""Every installed strategy keeps the contract, on small models here and on the real ones in
``make test-slow``; and the contract itself catches those that break it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from choose.conformance import (
    CHECKS,
    HOSTILE,
    LATER,
    TASK,
    TEXT_CHECKS,
    Factory,
    documents_can_change,
    init_only_stores,
    keeps_nothing_between_fits,
    leaves_global_randomness_alone,
    one_answer_an_item,
    order_and_batch_do_not_matter,
    same_seed_same_answers,
    saved_and_loaded_answers_alike,
    survives_absent_classes,
    survives_hostile_text,
    texts_are_answers_or_none,
    texts_do_not_depend_on_the_batch,
)
from choose.corpus import Corpus, Span
from choose.engines.causal.loading import load_generator
from choose.errors import StrategyError
from choose.strategy import Rereads, available, build, hyperparameters, kinds, traits
from choose.tasks.answering import corpus_of
from choose.types import Answers, Example, Item, Task
from support import fake_strategies as fakes
from support.chat_server import RIGHT, endpoint_session

Check = Callable[[Factory], None]


# The contract is not about accuracy: eight rounds over the pool teach enough to hold it.
BRIEF = {"epochs": 8.0, "template": "Is it one of {labels}?\n{text}"}


@pytest.fixture
def tiny_models(model: str, encoder: str) -> dict[str, object]:
    return {"model": model, "base": model, "encoder": encoder, **BRIEF}


@pytest.fixture(autouse=True)
def behind() -> Iterator[None]:
    with endpoint_session(RIGHT):
        yield


LABELLING = sorted(name for name in available() if "classification" in kinds(name))


def factory(name: str, given: Mapping[str, object]) -> Factory:
    """Return what builds a strategy, with those of the settings given that it knows."""
    if name == "served":
        given = {"model": "endpoint:big"}
    given = {**given, "template": "Answer this: {text}"} if name == "own-prompt" else given
    params = {key: value for key, value in given.items() if key in hyperparameters(name)}
    return lambda seed: build(name, seed=seed, **params)


# What its search adds is tested on its own.
LONG = ("tuned-prompt",)

# Those that train as long as `lora` does, which stays among the fast ones.
TRAINING = ("full-fine-tuning", "setfit")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n in (*LONG, *TRAINING))) for n in LABELLING],
)
def test_contract(name: str, check: Check, tiny_models: dict[str, object]) -> None:
    check(factory(name, tiny_models))


# The three kinds of texts of `lora`, seven seconds; `lora-rag` holds its writer to the same.
SLOWLY = [pytest.param("lora", marks=pytest.mark.slow)]
WRITING = [n for n in available() if set(kinds(n)) - {"classification"} and n != "lora"]


@pytest.mark.parametrize("check", TEXT_CHECKS[:-1], ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "name", [*(pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in WRITING), *SLOWLY]
)
def test_contract_of_records_and_texts(name, check, tiny_models):
    generator = load_generator(str(tiny_models["model"]))
    generator.model.float()
    generator.shared.pasts.clear()
    check(factory(name, tiny_models))


READING_NAMES = sorted(name for name in available() if traits(name)["reads"])


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "lora-rag")) for n in READING_NAMES]
)
def test_contract_of_those_that_reread(name: str, tiny_models: dict[str, object]) -> None:
    assert {*READING_NAMES} >= {"lora-rag", "rag", "sentence"}
    assert TEXT_CHECKS[-1] is documents_can_change
    assert isinstance(build(name, seed=0), Rereads)
    test_contract_of_records_and_texts(name, documents_can_change, tiny_models)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ["prompt", "few-shot", "retrieval"])
def test_contract_behind_an_endpoint(name, check, tiny_models):
    make = factory(name, {**tiny_models, "model": "endpoint:big"})
    if check is saved_and_loaded_answers_alike:
        with pytest.raises(StrategyError, match="cannot be exported"):
            check(make)
    else:
        check(make)


# Minutes a check with the default encoder, and no path that the small one does not take.
TAUGHT = (*TRAINING, *LONG)

# What trained weights, their tokenizers and their number types can break; the other checks are of
# code that small models run alike.
OF_WEIGHTS = (
    one_answer_an_item,
    same_seed_same_answers,
    order_and_batch_do_not_matter,
    survives_absent_classes,
    survives_hostile_text,
    saved_and_loaded_answers_alike,
)


@pytest.mark.slow(seconds=3)
@pytest.mark.parametrize("check", OF_WEIGHTS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", sorted({*LABELLING} - {*TAUGHT, "majority", "tfidf", "served"}))
def test_contract_with_the_default_models(name: str, check: Check) -> None:
    # Half as many rounds teach a model that has been trained before.
    check(factory(name, {"epochs": 4.0}))


class Learner(fakes.Fake):
    """Answers by shared words; the sound strategy that each culprit below spoils in one way."""

    seeded = False

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        self.task, self.rows = task, [(set(e.text.split()), e.target) for e in examples]

    def predict(self, items: Sequence[Item]) -> Answers:
        outputs = [
            max(
                self.task.labels,
                key=lambda label: sum(
                    len(words & set(item.text.split()))
                    for words, target in self.rows
                    if target == label
                ),
            )
            for item in items
        ]
        return Answers(outputs=tuple(outputs), status=("ok",) * len(items))


@pytest.mark.parametrize(
    ("kind", "said", "check", "found"),
    [
        ("ranking", '{"elsewhere": 1}', texts_are_answers_or_none, "'elsewhere', which is no doc"),
        ("extraction", 'Sure: {"a": 1}', texts_are_answers_or_none, "is no answer"),
        ("writing", "one of %", texts_do_not_depend_on_the_batch, "was answered"),
    ],
)
def test_those_that_break_the_contract_of_texts_are_caught(kind, said, check, found):
    class Culprit(Learner):
        kinds = (kind,)

        def predict(self, items: Sequence[Item]) -> Answers:
            outputs = (said.replace("%", str(len(items))),) * len(items)
            return Answers(outputs=outputs, status=("ok",) * len(items))

    with pytest.raises(AssertionError, match=found):
        check(lambda seed: Culprit(seed=seed))


class Finder(Learner):
    """Answers with the title of the document that shares most words with the question."""

    kinds, reads = ("answering",), True

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        self.corpus, self.known = corpus_of(task), {e.text for e in examples}

    def reread(self, corpus: Corpus) -> float:
        self.corpus = corpus
        return 0.0

    def predict(self, items: Sequence[Item]) -> Answers:
        found = [
            max(self.corpus.documents, key=lambda d: len({*d.text.split()} & {*i.text.split()}))
            for i in items
        ]
        return Answers(
            outputs=tuple(d.title or d.text for d in found),
            status=("ok",) * len(items),
            evidence=tuple((Span(d.id, 0, len(d.text)).id,) for d in found),
        )


def overlong(self: Finder, items: Sequence[Item]) -> Answers:
    return replace(Finder.predict(self, items), evidence=(("new-p0:0-999",),) * len(items))


def test_one_that_rereads_keeps_the_contract() -> None:
    documents_can_change(lambda seed: Finder(seed=seed))


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ({"reread": lambda self, corpus: 0.0}, "is in no document after reread"),
        ({"reread": lambda self, corpus: Finder.reread(self, corpus) - 1}, "must return seconds"),
        ({"reread": lambda self, corpus: Finder.reread(self, LATER)}, "no document|was answered"),
        ({"predict": overlong}, "is outside its document"),
    ],
)
def test_a_strategy_that_rereads_wrongly_is_caught(spoilt, said):
    with pytest.raises(AssertionError, match=said):
        documents_can_change(lambda seed: type("Spoilt", (Finder,), spoilt)(seed=seed))


class Greedy(Learner):
    def __init__(self, *, seed: int) -> None:
        super().__init__(seed=seed)
        self.model = object()


class Neighbourly(Learner):
    def predict(self, items: Sequence[Item]) -> Answers:
        outputs = (TASK.labels[len(items) % 3],) * len(items)
        return Answers(outputs=outputs, status=("ok",) * len(items))


class Hoarder(Learner):
    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        old = getattr(self, "rows", [])
        super().fit(task, examples)
        self.rows += [(words, "fruit") for words, _ in self.rows] if old else []


class Careless(Learner):
    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        super().fit(task, examples)
        self.order = np.random.permutation(3)


class Vandal(Learner):
    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        super().fit(task, examples)
        examples.sort(key=lambda e: e.text)


class Uncertain(Learner):
    def predict(self, items: Sequence[Item]) -> Answers:
        return Answers.from_scores(self.task.labels, np.zeros((len(items), 3)))


class Keeper(Learner):
    """Can be saved, and stays sound."""

    def save(self, folder: Path) -> None:
        folder.mkdir()
        rows = [[sorted(words), target] for words, target in self.rows]
        (folder / "rows.json").write_text(json.dumps(rows))

    def load(self, folder: Path) -> None:
        self.task = TASK
        self.rows = [(set(w), t) for w, t in json.loads((folder / "rows.json").read_text())]


class Forgetful(Keeper):
    def load(self, folder: Path) -> None:
        super().load(folder)
        self.rows = self.rows[:1]


class Pickler(Keeper):
    def save(self, folder: Path) -> None:
        super().save(folder)
        (folder / "rows.pkl").write_bytes(b"")


def test_the_sound_strategy_passes() -> None:
    for check in (*CHECKS, *TEXT_CHECKS):  # of texts there is nothing to check
        check(lambda seed: Learner(seed=seed))
        check(lambda seed: Keeper(seed=seed))


@pytest.mark.parametrize(
    ("culprit", "check"),
    [
        (Greedy, init_only_stores),
        (Neighbourly, order_and_batch_do_not_matter),
        (Hoarder, keeps_nothing_between_fits),
        (Careless, leaves_global_randomness_alone),
        (Vandal, keeps_nothing_between_fits),
        (Uncertain, one_answer_an_item),
        (Forgetful, saved_and_loaded_answers_alike),
        (Pickler, saved_and_loaded_answers_alike),
        (fakes.Liar, one_answer_an_item),
        (fakes.Short, one_answer_an_item),
    ],
)
def test_each_culprit_is_caught(culprit, check):
    with pytest.raises(AssertionError):
        check(lambda seed: culprit(seed=seed))


def test_hostile_rows_are_hostile() -> None:
    joined = "".join(HOSTILE)
    assert all(trap in joined for trap in ("\x00", "\x1b", "[bold", "<|im_end|>", "=cmd", "\u202e"))
