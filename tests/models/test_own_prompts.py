"""Prompts of the user's: every form that is read, what is refused, and what a model gets."""

import json

import pytest

from choose.conformance import TASK, pool, questions
from choose.models.endpoints.handshake import PROBE_TEXT
from choose.models.prompting.prompts import LABELS, TEXT, OwnPrompt
from support.chat_server import RIGHT, asked_of
from support.studies import fit_strategy

TOLD = "Sort it: {labels}.\n\nText: {text}\nLabel:"
CHAT = [
    {"role": "system", "content": "Sort into {labels}"},
    {"role": "user", "content": "a ripe banana"},
    {"role": "assistant", "content": "fruit"},
    {"role": "user", "content": "{text}"},
]


def messages(text):
    return OwnPrompt.read(text if isinstance(text, str) else json.dumps(text)).messages


@pytest.mark.parametrize(
    ("form", "found"),
    [
        (TOLD, (("user", TOLD),)),
        ("{{ labels }}: {{message}}", (("user", "{labels}: {text}"),)),
        ('Answer {"label": …}: {text}', (("user", 'Answer {"label": …}: {text}'),)),
        (CHAT, tuple((m["role"], m["content"]) for m in CHAT)),
        ({"messages": CHAT[-1:]}, (("user", "{text}"),)),
        ([{"role": "system", "content": "What is {text}?"}], (("user", "What is {text}?"),)),
    ],
)
def test_every_form_is_read_and_written_alike(form, found):
    assert messages(form) == found
    assert messages(OwnPrompt(found).dump()) == found


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("Sort into {labels}.", "no place for the text. Write {text} where the row belongs"),
        ("", "no place for the text"),
        ("{question} and {context}", "{context}, {question} are several places for the text"),
        ("{text} for {customer}", "nothing fills {customer}"),
        ("{text} and {text}", "in the last message, the user's, once"),
        (CHAT[::-1], "in the last message, the user's, once"),
        ([{"role": "tool", "content": "{text}"}], "a message of a chat is not"),
        ({"a": 1}, "it is JSON, but no chat"),
    ],
)
def test_what_is_no_prompt_is_refused_with_what_to_write(refusal, form, says):
    assert says in refusal(ValueError, messages, form)


def asked_with(template, **settings):
    with asked_of(RIGHT, **settings) as asked:
        strategy = fit_strategy("own-prompt", model="endpoint:big", template=template)
        answers = strategy.predict(questions(3))
    assert answers.outputs == tuple(e.target for e in pool(1, 3))
    sent = [body["messages"] for body in asked]
    return [one for one in sent if PROBE_TEXT not in one[-1]["content"]], strategy


def test_an_endpoint_gets_the_prompt_as_it_is_written():
    sent, strategy = asked_with(json.dumps(CHAT))
    names = ", ".join(TASK.names)
    first, *shown, last = sent[0]
    assert first == {"role": "system", "content": f"Sort into {names}"}
    assert shown == CHAT[1:3]
    assert last["content"] == questions(3)[0].text
    assert f"Sort into {names}" in strategy.prompt(TASK)
    (alone, *_), _ = asked_with(TOLD)
    assert alone == [
        {"role": "user", "content": f"Sort it: {names}.\n\nText: {questions(3)[0].text}\nLabel:"}
    ]


def test_where_no_system_turn_is_accepted_the_user_gives_it():
    from choose.models.prompting.prompts import opening_messages, wording_of

    wording = wording_of(TASK, "labels", template=json.dumps(CHAT))
    roles = [role for role, _ in opening_messages(TASK, wording, system=False)]
    assert roles == ["user", "assistant", "user", "assistant"]


@pytest.mark.parametrize(
    ("old", "told", "first"),
    [
        (json.dumps(CHAT), "Be strict: {labels}", "Be strict: {labels}"),
        (
            json.dumps(CHAT),
            "Be strict with {text} and {x}.",
            "Be strict with text and x.\n\n{labels}",
        ),
        (TOLD, "Be strict.", "Be strict.\n\n{labels}\n\n{text}"),
        (TOLD, "{labels}! {{text}}", "{labels}! {text}"),
    ],
)
def test_a_rewritten_prompt_keeps_its_places(old, told, first):
    before = OwnPrompt.read(old)
    new = before.rewritten(told)
    assert new.instruction == first
    assert new.messages[1:] == before.messages[1:]
    assert sum(content.count(TEXT) for _, content in new.messages) == 1
    assert any(LABELS in content for _, content in new.messages)
