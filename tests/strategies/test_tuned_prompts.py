"""Prompts are chosen on rows that they do not show, within limits, and the search says its gain."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from choose.conformance import TASK, pool, questions
from choose.models.endpoints.handshake import PROBE_TEXT
from choose.models.prompting.prompt_search import PART, TOO_SMALL, PromptSearch, parts_of
from choose.models.prompting.prompts import OwnPrompt
from choose.report.words import typed
from choose.schema.plan import Spending
from choose.strategy import build
from choose_strategies.prompting import MAY_DIFFER
from support.chat_server import PRICED, RIGHT, Http, Server, endpoint_session, sent, serving
from support.studies import HELD_OUT, compare, fit_strategy, label_rows, write_csv
from support.studies import TASK as SETS

Body = dict[str, Any]

# Enough for 17 rows and each of six settings.
FEW = 102


def right_if(told: Callable[[str, list[Any], str], bool]) -> Callable[[Body], Http]:
    """Answer rightly where first message, examples and question are so; else with one label."""

    def respond(body: Body) -> Http:
        first, *others = body["messages"]
        if told(first["content"], others[:-1], others[-1]["content"]):
            return RIGHT(body)
        return sent(json.dumps({"label": "tool"}) if "response_format" in body else "tool")

    return respond


def with_examples(told: str, shown: list[Any], question: str) -> bool:
    return bool(shown)


def asked_of(bodies: list[Body]) -> list[Body]:
    return [b for b in bodies if PROBE_TEXT not in b["messages"][-1]["content"]]


def fitted(name: str = "tuned-prompt", rows: int = 40, **params: Any) -> Any:
    return fit_strategy(name, pool(rows=rows), **{"model": "endpoint:big", "calls": FEW, **params})


def said_of(strategy: Any) -> str:
    return " ".join(strategy.facts()["notes"])


def share_right(strategy: Any) -> float:
    answers = strategy.predict(questions())
    return float(
        np.mean([o == e.target for o, e in zip(answers.outputs, pool(1, 15), strict=True)])
    )


def test_the_wording_that_works_is_found_within_the_calls() -> None:
    asked: list[Body] = []
    with endpoint_session(right_if(lambda told, *_: "each message" in told), asked=asked):
        strategy = fitted()
        put = len(asked_of(asked))
        assert strategy.wording == "bare"
        assert share_right(strategy) == 1.0
    note = said_of(strategy)
    assert f"for {put:,} questions of at most {FEW}" in note
    assert put <= strategy.asks(TASK, 40) <= FEW
    assert "The search compared 6 settings on 17 training rows: accuracy 1.000, too high" in note


def test_a_small_pool_or_few_calls_leave_the_usual_prompt_and_say_so() -> None:
    asked: list[Body] = []
    with endpoint_session(RIGHT, asked=asked):
        assert fitted(rows=15).facts()["notes"][0] == TOO_SMALL
        assert "comparing takes at least 60 questions" in fitted(calls=59).facts()["notes"][0]
        assert not asked
        usual = fit_strategy("prompt", pool(rows=15), model="endpoint:big")
        found, other = fitted(rows=15).predict(questions()), usual.predict(questions())
    assert found.outputs == other.outputs
    assert fitted_plan(rows=15) == fitted_plan(calls=59) == 0


def test_few_calls_go_into_rows_rather_than_rewriting() -> None:
    assert fitted_plan(calls=60) == fitted_plan(calls=65) == 60
    assert fitted_plan(rows=200, calls=1_000) == 14 * 71 + 3


def test_where_nothing_is_gained_answers_are_those_of_the_usual_prompt(model, monkeypatch):
    monkeypatch.setattr(PromptSearch, "best", lambda self: next(iter(self.known)))
    strategy, usual = fitted(model=model), fit_strategy("prompt", pool(rows=40), model=model)
    assert (strategy.predict(questions()).scores == usual.predict(questions()).scores).all()
    assert strategy.prompt(TASK).endswith(MAY_DIFFER)


def fitted_plan(rows: int = 40, calls: int = FEW) -> int:
    strategy: Any = build("tuned-prompt", seed=0, calls=calls)
    count: int = strategy.asks(TASK, rows)
    return count


def test_of_settings_that_score_alike_the_usual_one_stays() -> None:
    with endpoint_session(RIGHT):
        assert "the wording 'labels', no examples." in said_of(fitted())


@pytest.mark.slow
def test_examples_that_help_are_found() -> None:
    with endpoint_session(right_if(with_examples)):
        strategy = fitted(rows=60, calls=400)
        assert share_right(strategy) == 1.0
    assert "the wording 'labels', 6 examples." in said_of(strategy)


def test_a_search_ends_at_its_share_of_the_dollars_and_keeps_the_best() -> None:
    """A question costs 50 x 1 + 5 x 10 millionths of a dollar."""
    asked: list[Body] = []
    works = right_if(with_examples)
    with endpoint_session(works, asked=asked, max_usd=0.02, concurrency=1, **PRICED) as session:
        strategy = fitted()
        assert session.ledger.spent <= 0.25 * 0.02 + 1e-9
        put, paid = len(asked), session.ledger.spent
        fitted()  # as when a price was measured before
        assert session.ledger.spent == paid
        assert share_right(strategy) == 1.0
    assert 20 < put < strategy.asks(TASK, 40)
    note = said_of(strategy)
    assert "compared 2 settings on 17 training rows" in note
    assert "ended early because it may spend 25%" in note
    assert "$0.00" in note


def test_a_setting_alone_spends_no_more_than_the_share_and_one_part() -> None:
    asked: list[Body] = []
    with endpoint_session(RIGHT, asked=asked, max_usd=0.016, **PRICED) as session:
        strategy = fitted(rows=200, calls=1_000)
        assert session.ledger.spent <= 0.25 * 0.016 + PART * 1e-4
    put = len(asked_of(asked))
    assert 20 < put < 71
    assert "ended early because it may spend 25%" in said_of(strategy)
    assert f"for {put} questions of at most 1,000, ${put / 10_000:.4f}" in said_of(strategy)


def test_what_was_paid_before_the_dollars_ended_is_counted() -> None:
    """A reservation is far above a price, so that the limit itself is reached within a part."""
    asked: list[Body] = []
    with endpoint_session(RIGHT, asked=asked, max_usd=0.0016, concurrency=1, **PRICED):
        strategy = fitted()
    said = "ended early because --max-usd leaves no room for another request: the usual"
    assert said in said_of(strategy)
    assert f"for {len(asked)} questions of" in said_of(strategy)
    assert f", ${len(asked) / 10_000:.4f}." in said_of(strategy)


def rewriting(body):
    """Answer rightly only where the prompt says that size is no matter; write so when asked."""
    first, *others = body["messages"]
    if "Write a better prompt" in first["content"]:
        return sent("Sort it. SIZE is no matter. {labels}")
    if "SIZE is no matter" in f"{first}{others}":
        return RIGHT(body)
    return sent(json.dumps({"label": "tool"}) if "response_format" in body else "tool")


def test_a_prompt_is_rewritten_from_its_errors_and_kept_for_its_gain_on_other_rows():
    asked = []
    with endpoint_session(rewriting, asked=asked):
        strategy = fitted(rows=60, calls=500, template="Mine: {labels}\n{text}")
        assert share_right(strategy) == 1.0
    note = said_of(strategy)
    assert "Prompt: rewritten from its errors, no examples." in note
    assert "rewrote the prompt 1 time from rows that it got wrong; 1 gained on others" in note
    [written] = re.findall(r"As a file for --prompt it reads: (\[.*?\])(?: |$)", note)
    assert OwnPrompt.read(written).instruction == "Sort it. SIZE is no matter. {labels}\n\n{text}"
    assert OwnPrompt.read(written).dump() == strategy.used
    told = [body["messages"] for body in asked_of(asked)]
    [page] = [one[-1]["content"] for one in told if "better" in one[0]["content"]]
    assert "Mine: {labels}" in page
    assert page.count("answered: tool") == 6
    assert "right: tool" not in page
    assert strategy.used not in ("", strategy.template)


def test_a_rewritten_prompt_that_gains_nothing_is_dropped():
    def useless(body):
        if "Write a better prompt" in body["messages"][0]["content"]:
            return sent("Nothing new.")
        return sent(json.dumps({"label": "tool"}) if "response_format" in body else "tool")

    with endpoint_session(useless):
        strategy = fitted(rows=60, calls=500, template="Mine: {labels}\n{text}")
    assert "Prompt: yours, no examples." in said_of(strategy)
    assert "3 times from rows that it got wrong; 0 gained on others" in said_of(strategy)
    assert strategy.used in (None, strategy.template)


def sets_by_words(body: Body) -> Http:
    """Answer with the right labels where examples are shown, else with one of them."""
    _, *others = body["messages"]
    asked = f"{others[-1]['content']}\n"
    right = next((e.target for e in label_rows(60) if f"{e.text}\n" in asked), "[]")
    labels = json.loads(right)[: None if others[:-1] else 1]
    return sent(json.dumps({"labels": labels} if "response_format" in body else labels))


def test_a_search_among_prompts_for_sets_of_labels_is_scored_by_example_f1() -> None:
    rows = label_rows(60)
    with endpoint_session(sets_by_words):
        strategy = fit_strategy("tuned-prompt", rows[:40], SETS, model="endpoint:big", calls=150)
        answers = strategy.predict([e.item() for e in rows[40:]])
    assert answers.outputs == tuple(e.target for e in rows[40:])
    note = said_of(strategy)
    assert "8 examples." in note
    assert re.search(r"example F1 1.000, .* the usual prompt 0\.\d+, for", note)
    assert "Answers were held to the labels by a JSON schema." in note


def study_of(server: Server, max_usd: float | None = None, *more: str) -> tuple[Any, list[str]]:
    """Compare a tuned prompt on a server in this process; return the decision and its notes."""
    rows = [(e.text, e.target) for e in pool(seed=3, rows=60)]
    write_csv(Path("words.csv"), rows[:40])
    write_csv(Path("held_out.csv"), rows[40:])
    Path("choose.toml").write_text(
        HELD_OUT
        + (f"max_usd = {max_usd}\n" if max_usd else "")
        + f'[endpoints.big]\nbase_url = "{server.url}"\nmodel = "m"\n'
        + "".join(f"{key} = {price}\n" for key, price in PRICED.items())
        + '[[candidates]]\nstrategy = "tuned-prompt"\nmodel = "endpoint:big"\n'
        + f"params = {{ calls = {FEW} }}\n"
        + "".join(f'[[candidates]]\nstrategy = "{name}"\n' for name in more)
    )
    plans: list[Spending] = []
    done = compare(study_file="choose.toml", out=f"st{max_usd}", approve=plans.append)
    assert plans[0].bills[0].requests == fitted_plan() + 20
    notes = [n.text for n in done.decision.method.notes if n.candidate == "tuned-prompt"]
    return done.decision, notes


@pytest.mark.slow
def test_a_study_goes_on_where_the_dollars_of_a_search_end() -> None:
    """Where they ended before anything was answered, more time was advised."""
    with serving(right_if(with_examples)) as server:
        decision, notes = study_of(server, 0.02)
        found = {card.candidate: card.accuracy for card in decision.scorecards}
        assert found["tuned-prompt"].value == 1.0, "the best so far answers"
        assert any("ended early because it may spend 25%" in note for note in notes)
        assert len(server.asked) * 1e-4 <= 0.02
        server.asked.clear()
        decision, _ = study_of(server, 0.0015, "tfidf")
        assert len(server.asked) * 1e-4 <= 0.0015
    assert decision.verdict.kind == "incomplete"
    assert decision.verdict.unmeasured == ("prompting",)
    (step,) = [step for step in decision.verdict.steps if step.kind == "evaluate-rest"]
    assert (step.code, step.names) == ("begin-paid", ("tuned-prompt",))
    assert typed(step.command) == "choose plan -c st0.0015"


def test_twins_of_a_row_are_neither_shown_with_it_nor_in_the_other_part() -> None:
    twins = [replace(e, id=f"t{e.id}") for e in pool(rows=40)]
    parts = parts_of(TASK, [*pool(rows=40), *twins], 30)
    texts = {e.text for e in parts.asked}
    assert not texts & {e.text for e in parts.shown}
    assert len(texts) == len({*parts.clusters})


@pytest.mark.parametrize(("groups", "divided"), [(4, False), (20, True)])
def test_rows_of_a_few_groups_are_not_divided(groups: int, divided: bool) -> None:
    rows = [replace(e, group=f"g{n // 2 % groups}") for n, e in enumerate(pool(rows=40))]
    assert (parts_of(TASK, rows, 20) is not None) == divided


@pytest.mark.slow
def test_what_was_chosen_survives_saving(model: str, tmp_path: Path) -> None:
    local = fit_strategy("tuned-prompt", pool(rows=40), model=model, calls=FEW)
    local.save(tmp_path / "saved")
    again: Any = build("tuned-prompt", seed=0, model=model)
    again.load(tmp_path / "saved")
    assert (again.predict(questions()).scores == local.predict(questions()).scores).all()
    assert again.facts()["notes"][:2] == local.facts()["notes"][:2]
    local.used = OwnPrompt.read("Say what it is. {labels}\n{text}").dump()  # as if it was rewritten
    local.save(tmp_path / "other")
    again.load(tmp_path / "other")
    assert again._prompt_settings().template == local.used
    spoiled = tmp_path / "saved" / "fitted.json"
    content = json.loads(spoiled.read_text())
    for key, value in (("wording", "none"), ("chosen", "x"), ("used", "no place")):
        spoiled.write_text(json.dumps({**content, key: value}))
        with pytest.raises(ValueError):
            again.load(tmp_path / "saved")
