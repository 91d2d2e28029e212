"""Prompted records and texts: what the prompt says, what is chosen in fit, what counts as valid."""

import json
import random
import re
from typing import Any

import numpy as np
import pytest

from choose.engines.causal.generation import Generator
from choose.engines.causal.loading import load_generator
from choose.engines.causal.stop_rules import StopRule, Written
from choose.engines.weights.spec import DEFAULT_LM
from choose.models.prompting import local_writer
from choose.models.prompting.local_writer import Filled, Skeleton, answers_of, best_threshold
from choose.models.prompting.prompt_search import Parts, PromptSearch, PromptSetting, SearchBudget
from choose.models.prompting.prompts import (
    PromptSettings,
    instruction,
    judged_answer,
    lines_of,
    single_line,
    turn_messages,
    wording_of,
)
from choose.progress import TimeLimitReached, report_progress, time_limit
from choose.strategy import build, kinds
from choose.tasks.answering import NO_ANSWER, Answering
from choose.tasks.extraction import Extraction, as_text
from choose.tasks.writing import Writing
from choose.types import Example, Item, Task
from support import tiny_models as tiny
from support.chat_server import asked_of, sent
from support.studies import fit_strategy

RECORDS = Extraction(
    fields={"who": "text", "day": "date", "goods": "list"},
    descriptions={"who": "the customer's\nname"},
)


def rows(count: int = 24) -> list[Example]:
    return [
        Example(
            id=f"r{n}",
            text=f"pear\n\n{n} plums for Ann",
            target=as_text({"who": "Ann", "goods": [f"{n} plums"]} if n % 3 else {}),
            fields={"received": f"2025-01-{n + 1:02}"},
        )
        for n in range(count)
    ]


NEW = [Item(id=f"q{n}", text=f"apple {n}" * n, fields={"received": "today"}) for n in range(7)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    lm = tiny.causal_lm(folder / "lm", spread=0.5)
    load_generator(str(lm)).model.float()
    return {"model": str(lm), "encoder": str(tiny.encoder(folder / "encoder"))}


def fitted(name, models, task=RECORDS, pool=None, **params):
    known = models if name == "retrieval" else {"model": models["model"]}
    return fit_strategy(name, pool or rows(), task, **known, **params)


def asked(strategy: Any, item: Item, shown: list[Example] = []) -> str:  # noqa: B006
    prompt = strategy.prompter._build(item, shown)
    return strategy.prompter.lm.template.tokenizer.decode(prompt.prefix + prompt.rest)


def test_the_prompt_names_the_fields_with_types_and_shows_the_further_inputs(models):
    text = asked(fitted("prompt", models, calibrate=False), NEW[1])
    assert (
        "- who (text): the customer's name\n- day (date, as 2025-01-31)\n- goods (list of texts)"
    ) in text
    assert text.endswith(
        "received: today\nText: apple 1\nRecord:<|im_end|>\n<|im_start|>assistant\n"
    )


def test_demonstrations_are_whole_rows(models: dict[str, str]) -> None:
    strategy = fitted("few-shot", models, shots=3, calibrate=False)
    text = asked(strategy, NEW[1])
    assert text.count("Record:<|im_end|>") == 4
    for row in strategy.prompter.rows:
        assert f"Text: pear\n{row.text.splitlines()[-1]}\nRecord:" in text
        assert f"assistant\n{row.target}<|im_end|>" in text
    assert strategy.shows(RECORDS) == 3
    other = fitted("few-shot", models, shots=3, calibrate=False)
    assert [row.id for row in strategy.prompter.rows] == [row.id for row in other.prompter.rows]


def test_a_written_text_keeps_its_lines(models: dict[str, str]) -> None:
    strategy = fitted("few-shot", models, Writing(instruction="Sum up."), shots=2)
    text = asked(strategy, NEW[1])
    assert "system\nSum up.<|im_end|>" in text
    assert "Text: pear\n" in text
    assert strategy.prompter._rule().until == "end"
    assert lines_of(" a\x00b \n\n\r\n c\u2028d ") == "a b\nc\nd"


def test_the_limit_comes_from_the_pool(models: dict[str, str]) -> None:
    strategy = fitted("prompt", models, calibrate=False)
    contents = strategy.prompter.lm.template.contents
    longest = max(len(ids) for ids in contents.ids([row.target for row in rows()]))
    assert strategy.prompter.limit == int(np.ceil(1.5 * (longest + 1)))
    answers = strategy.predict(NEW)
    assert "cut" in answers.status
    assert answers.tokens_out.max() == strategy.prompter.limit
    assert all(
        raw for raw, status in zip(answers.raw, answers.status, strict=True) if status == "cut"
    )


@pytest.mark.parametrize(
    ("text", "cut", "status"),
    [
        ('{"who": "Ann"}', False, "ok"),
        (' {"who": "Ann", "day": null} ', False, "ok"),
        ('```json\n{"who": "Ann"}', False, "malformed"),
        ('Sure: {"who": "Ann"}', False, "malformed"),
        ("{'who': 'Ann'}", False, "malformed"),
        ('{"who": {"first": "Ann"}}', False, "malformed"),
        ('{"who": "An', True, "cut"),
        (" \n", False, "empty"),
    ],
)
def test_strict_json_counts(text: str, cut: bool, status: str) -> None:
    output, found = judged_answer(RECORDS, text, cut)
    assert found == status
    assert output == ('{"who": "Ann"}' if status == "ok" else None)


def test_written_texts_are_as_they_are() -> None:
    assert judged_answer(Writing(), " {x}\n y ", False) == ("{x}\n y", "ok")
    assert judged_answer(Writing(), "endless", True) == (None, "cut")


def test_the_form_is_chosen_on_the_pool_and_said(models: dict[str, str]) -> None:
    """A random model writes no JSON, so keys that are given win."""
    strategy = fitted("prompt", models)
    assert strategy.prompter.skeleton is not None
    notes = strategy.facts()["notes"]
    assert "filled into given keys: field-f1 on 24 training rows" in notes[0]
    assert "Values of goods, who that the text does not hold are dropped." in notes
    assert set(strategy.predict(NEW).status) == {"ok"}
    assert fitted("prompt", models, calibrate=False).prompter.skeleton is None
    assert fitted("prompt", models, Writing()).prompter.skeleton is None
    for aim, note in ((0.0, "no time to try"), (5.9, "f1 on 2 training rows 0.00 with given keys")):
        with time_limit(aim=aim):  # two rows, of which neither form gets one right
            hurried = fitted("prompt", models)
        assert note in hurried.prompter.note
        assert hurried.prompter.skeleton is not None, "every record is valid then"


def test_a_pool_of_a_few_records_is_calibrated_on_all_of_them(models: dict[str, str]) -> None:
    strategy = fitted("prompt", models, pool=rows(5))
    assert any("on 5 training rows" in note for note in strategy.facts()["notes"])
    assert len(strategy.predict([row.item() for row in rows(2)])) == 2


def test_long_prompts_are_calibrated_on_fewer_rows(models, monkeypatch):

    def calibrated(tokens: int) -> str:
        monkeypatch.setattr(local_writer, "CALIBRATION_TOKENS", tokens)
        return fitted("retrieval", models, k=2).facts()["notes"][0]

    assert "on 24 training rows" in calibrated(100_000)
    assert 12 < int(re.search(r"on (\d+) training rows", calibrated(4_200))[1]) < 24
    assert "on 12 training rows" in calibrated(1), "a few rows, however long they are"


def test_a_field_is_what_the_model_writes_for_it_alone_up_to_the_quote(models):
    prompter = fitted("prompt", models, calibrate=False).prompter
    skeleton = Skeleton(prompter.generator, 6, {"who": 1e9, "day": -1e9})
    prompts = prompter._prompts(NEW, ())
    filled = skeleton.filled(prompter.generator.write(*skeleton.questions(prompts)))
    tokens = prompter.lm.template.tokenizer
    key = tokens('{"who":')["input_ids"] + tokens(' "')["input_ids"]
    for prompt, (who, _) in zip(prompts, filled.values, strict=True):
        alone = [prompt._replace(rest=(*prompt.rest, *key))]
        [told] = prompter.generator.write(alone, StopRule(6, "quote")).texts
        assert who in (single_line(told), single_line(json.loads(f'"{told}"', strict=False)))
    assert all(set(json.loads(record)) <= {"who"} for record in skeleton.records(filled))


class Scripted:
    """A generator that writes given texts, each up to where its rule ends it."""

    def __init__(self, template: Any, texts: list[str]) -> None:
        self.template, self.texts = template, texts

    def write(self, prompts: Any, rules: list[StopRule]) -> Written:
        self.asked, self.rules = prompts, rules
        pairs = zip(self.texts, rules, strict=True)
        return tiny.written(
            [text[: rule.end_of(text)] for text, rule in pairs], [False] * len(prompts)
        )


def test_a_list_has_as_many_values_as_the_model_writes(models: dict[str, str]) -> None:
    """The keys and the form are given; values and their number are the model's, to a limit."""
    prompter = fitted("prompt", models, calibrate=False).prompter
    assert prompter.lists == {"goods": 2}, "1.5 times the one of the pool"
    written = [
        'Ann"',
        '2 mops", "\\u00e9 \\\\", "3"]',
        "Bo",
        'x", "y", "z"',
        "C",
        "cut off",
        "D",
        '", ""]',
    ]
    scripted: Any = Scripted(prompter.generator.template, written)
    skeleton = Skeleton(scripted, 9, {"who": 1e9, "goods": 1e9}, {"goods": 3})
    filled = skeleton.filled(scripted.write(*skeleton.questions(prompter._prompts(NEW[:4], ()))))
    goods = [["2 mops", "é \\", "3"], ["x", "y", "z"], ["cut off"], []]
    assert [values[1] for values in filled.values] == goods
    records = [json.loads(record) for record in skeleton.records(filled)]
    assert [record.get("goods", []) for record in records] == goods
    assert [rule.until for rule in scripted.rules[:2]] == ["quote", "list"]
    opened = [prompter.lm.template.tokenizer.decode(p.rest[-20:]) for p in scripted.asked[:2]]
    assert opened[0].endswith('{"who": "')
    assert opened[1].endswith('{"goods": ["')


def test_thresholds_part_what_to_keep_from_what_to_drop() -> None:
    doubts = np.array([3.0, -2.0, 1.0, 5.0])
    right, null = [False, True, True, False], [True, False, False, True]
    assert best_threshold(doubts, right, null) == 2.0
    assert best_threshold(doubts, null, right) in (-3.0, 6.0, 4.0)
    assert best_threshold(doubts, [False] * 4, [True] * 4) < -2
    assert best_threshold(doubts, [True] * 4, [False] * 4) > 5
    assert best_threshold(np.zeros(4), [True, False, True, True], [False, True, False, False]) > 0
    assert best_threshold(np.array([]), [], []) == 0.0


def test_a_list_counts_by_the_share_that_is_right() -> None:
    """Two of three values right is better than none, which a null would be."""
    skeleton = Skeleton(None, 6, {"goods": 0.0}, {"goods": 5})
    filled = Filled(
        values=((["1 pear", "2 plums", "3 nails"],), (["9 mops"],)),
        doubts=np.array([[1.0], [3.0]]),
        written=None,
    )
    skeleton.choose_thresholds(RECORDS, filled, {0: '{"goods": ["2 plums", "1 pear"]}', 1: "{}"})
    assert skeleton.thresholds["goods"] == 2.0


GOODS = ("mops", "brooms", "buckets", "plums", "pears", "apples", "nails", "hammers", "towels")


def order(number: int) -> Example:
    rng = random.Random(number)
    goods = [f"{rng.randint(2, 20)} {name}" for name in rng.sample(GOODS, rng.randint(1, 4))]
    said = " and ".join(filter(None, [", ".join(goods[:-1]), goods[-1]]))
    who = rng.choice(("Ann", "Bo", "Cem", "Dee"))
    target = as_text({"who": who, "goods": goods})
    return Example(id=f"o{number}", text=f"Please send {said}. Thanks, {who}", target=target)


@pytest.mark.slow
def test_the_default_model_fills_lists_of_one_to_four_values() -> None:
    """With the first value of each list alone, the mean field-F1 of these rows is 0.67."""
    load_generator(DEFAULT_LM).model.float()
    task = Extraction(fields={"who": "text", "goods": "list"})
    strategy: Any = build("few-shot", seed=0, model=DEFAULT_LM, shots=4, calibrate=False)
    strategy.fit(task, [order(n) for n in range(30)])
    prompter, new = strategy.prompter, [order(n) for n in range(30, 40)]
    prompter.skeleton = prompter._skeleton({"who": 1e9, "goods": 1e9})
    answers = strategy.predict([row.item() for row in new])
    assert set(answers.status) == {"ok"}
    found = [json.loads(text) for text in answers.outputs]
    assert all(isinstance(record["goods"], list) for record in found)
    assert all(1 <= len(record["goods"]) <= prompter.lists["goods"] for record in found)
    told = [json.loads(row.target) for row in new]
    assert len({len(record["goods"]) for record in told}) == 4
    same = [a["goods"] == b["goods"] for a, b in zip(found, told, strict=True)]
    assert sum(same) >= 9, "the model closes each list where the text ends its own"
    pairs = zip(answers.outputs, new, strict=True)
    assert np.mean([task.score(text, row.targets)["field-f1"] for text, row in pairs]) > 0.85


ENDLESS = "She is well. " * 9

NOTE = Writing(instruction="Sum up.")


def test_a_text_that_repeats_itself_ends_after_the_first_copy() -> None:
    """Only one that was cut: another one ended where the model wanted to."""
    given = tiny.written([ENDLESS, "It goes on and", ENDLESS], [True, True, False])
    answers = answers_of(NOTE, given)
    assert answers.outputs == ("She is well.", None, ENDLESS.strip())
    assert answers.status == ("ok", "cut", "ok")
    assert answers.raw == (ENDLESS, "It goes on and", None)


@pytest.fixture
def endless(monkeypatch):
    """Let the model write one text without end; return how many prompts each call had."""
    calls: list[int] = []

    def write(self: Any, prompts: Any, rule: StopRule) -> Written:
        calls.append(len(prompts))
        report_progress(0, 100, "writing")
        return tiny.written([ENDLESS] * len(prompts), [True] * len(prompts))

    monkeypatch.setattr(Generator, "write", write)
    return calls


def search_of(models: dict[str, str], rows: list[Example], calls: int):
    model = models["model"]
    settings = PromptSettings(model=model, wording="labels", calibrate=True, max_tokens=64)
    budget, parts = SearchBudget(model, calls, calls), Parts([], rows, np.arange(len(rows)))
    return PromptSearch(settings, NOTE, rows, parts, [], budget), budget


@pytest.mark.usefixtures("endless")
def test_a_search_scores_texts_as_the_prompt_that_it_chooses_ends_them(models):
    rows = [Example(id=f"n{n}", text=f"{n} plums", target="She is well.") for n in range(12)]
    search, budget = search_of(models, rows, calls=12)
    assert search.measure(PromptSetting()).scores.mean() == 1.0
    assert budget.asked == 12
    assert search.prompter(PromptSetting()).answer([rows[0].item()]).outputs == ("She is well.",)


def test_a_search_that_is_stopped_counts_what_is_done(models, endless, monkeypatch):
    rows = [Example(id=f"n{n}", text=f"{n} plums", target="She is well.") for n in range(12)]
    search, _ = search_of(models, rows, calls=120)
    with time_limit() as limit:
        search.measure(PromptSetting())
        monkeypatch.setattr(tiny, "written", stopped)
        with pytest.raises(TimeLimitReached):
            search.measure(PromptSetting(wording="bare"))
    assert endless == [12, 12]
    assert limit.span[-1][1:] == (12, 120)


def stopped(*_: Any) -> None:
    raise TimeLimitReached


def test_thresholds_are_chosen_field_by_field() -> None:
    skeleton = Skeleton(None, 6, {"who": 0.0, "day": 0.0})
    filled = Filled(
        values=(("Ann", "2025-01-02"), ("Bo", "2025-01-03"), ("Cy", "never")),
        doubts=np.array([[-1.0, 4.0], [-2.0, 2.0], [7.0, 9.0]]),
        written=None,
    )
    targets = {0: '{"who": "Ann", "day": "2 January 2025"}', 1: '{"who": "Bo"}', 2: "{}"}
    skeleton.choose_thresholds(RECORDS, filled, targets)
    assert skeleton.thresholds["who"] == 3.0
    assert skeleton.thresholds["day"] < 2.0, "the one right day is less certain than a wrong one"
    records = skeleton.records(filled)
    assert [json.loads(record) for record in records] == [{"who": "Ann"}, {"who": "Bo"}, {}]


def test_demonstrations_that_do_not_fit_are_counted(models: dict[str, str]) -> None:
    long = [Example(id=r.id, text="pear " * 240, target=r.target) for r in rows()]
    strategy = fitted("few-shot", models, pool=long, shots=20, calibrate=False)
    fitting = len(strategy.prompter.shown)
    assert 0 < fitting < 20
    assert any(f"{20 - fitting} demonstrations did not fit" in n for n in strategy.facts()["notes"])
    assert any(f"{fitting} fitted" in note for note in strategy.facts()["notes"])
    assert len(strategy.predict(NEW)) == len(NEW)


def behind(task: Task, answers: list[Any], items: list[Item] = NEW, name: str = "few-shot", **own):
    """Return a fitted strategy whose requests get these contents, and the requests."""
    contents = iter(answers)

    def respond(body: dict[str, Any]) -> Any:
        given = next(contents)
        return given if isinstance(given, tuple) else sent(given)

    strategy: Any = build(name, seed=0, model="endpoint:big", **(own or {"shots": 1}))
    with asked_of(respond, concurrency=1) as asked:
        strategy.fit(task, rows())
        strategy.found = strategy.predict(items[: len(answers) - 1])
        strategy.said = strategy.facts()
    return strategy, asked


RECORD = '{"who": "Ann", "day": null, "goods": ["2 mops"]}'


def test_a_server_is_held_to_the_fields_by_a_schema() -> None:
    strategy, asked = behind(RECORDS, [RECORD, RECORD])
    schema = asked[-1]["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["who", "day", "goods"]
    assert schema["properties"]["goods"] == {"type": ["array", "null"], "items": {"type": "string"}}
    assert strategy.found.outputs == ('{"goods": ["2 mops"], "who": "Ann"}',)
    assert "Answers were held to the fields by a JSON schema." in strategy.said["notes"]
    shown = json.loads(asked[-1]["messages"][-2]["content"])
    assert list(shown) == ["who", "day", "goods"], "demonstrations are as the schema asks"
    assert "logprobs" not in asked[-1]


def test_elsewhere_a_fence_is_malformed_and_kept() -> None:
    fenced = f"```json\n{RECORD}\n```"
    contents = ["yes", RECORD, fenced, sent('{"who": "An', "length"), sent(None, refusal="no")]
    strategy, asked = behind(RECORDS, contents)
    assert "response_format" not in asked[-1]
    assert strategy.found.status == ("ok", "malformed", "cut", "empty")
    assert strategy.found.raw == (None, fenced, '{"who": "An', "")
    assert strategy.found.scores is None


def test_texts_from_a_server_are_what_it_wrote() -> None:
    strategy, asked = behind(Writing(), ["fine", " a note\nof two lines ", "<think>x</think>b"])
    assert strategy.found.outputs == ("a note\nof two lines", "b")
    assert "response_format" not in asked[0]
    assert asked[-1]["messages"][-1]["content"].startswith("received: today\nText: ")


QUESTIONS = Answering(passage="received", unanswerable=True)


def test_questions_are_answered_briefly_and_on_one_line(models: dict[str, str]) -> None:
    said = instruction(QUESTIONS, wording_of(QUESTIONS, "labels"))
    assert said == f"Answer the question.\n{QUESTIONS.guidance()}"
    assert NO_ANSWER in said
    named = Answering(instruction="Reply as the shop.")
    assert instruction(named, wording_of(named, "bare")).splitlines() == [
        "Reply as the shop.",
        "Answer briefly, with a few words and nothing else.",
    ]
    strategy = fitted("few-shot", models, QUESTIONS, shots=1)
    assert strategy.prompter._rule().until == "line"
    asked = turn_messages(strategy.prompter.wording, strategy.prompter._turn(NEW[1]))[0][1]
    assert asked == "received: today\nQuestion: apple 1\nAnswer:"
    assert not any(output and "\n" in output for output in strategy.predict(NEW).outputs)


@pytest.mark.parametrize(
    ("text", "cut", "answer"),
    [
        (" 1912 \n", False, ("1912", "ok")),
        ("\n\n1912\nIt opened then and", True, ("1912", "ok")),
        ("It opened in the", True, ("It opened in the", "ok")),
        (" \n", True, (None, "cut")),
        ("No answer.", False, ("No answer.", "ok")),
        (" \n", False, (NO_ANSWER, "ok")),
    ],
)
def test_an_answer_ends_with_its_line_and_an_empty_one_is_none(text, cut, answer):
    assert judged_answer(QUESTIONS, text, cut) == answer
    if not text.strip() and not cut:
        assert judged_answer(Answering(), text, cut) == (None, "empty")


def test_a_served_model_answers_with_its_passage_before_the_question() -> None:
    items = [Item(id=n, text=f"When {n}?", fields={"received": f"on {n}"}) for n in "ab"]
    answers = ["ready", "1912\nas it says", ""]
    strategy, asked = behind(QUESTIONS, answers, items, "served", system="You are Ann.")
    assert [body["messages"] for body in asked[-2:]] == [
        [
            {"role": "system", "content": "You are Ann."},
            {"role": "user", "content": f"received: on {n}\n\nWhen {n}?"},
        ]
        for n in "ab"
    ]
    assert strategy.found.outputs == ("1912", NO_ANSWER)
    assert kinds("served") == ("classification", "answering")
