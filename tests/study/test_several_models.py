"""Several models to prompt make a candidate each, with a name and prices of its own."""

import pytest

from choose.errors import StudyError
from choose.models.endpoints.provider_names import endpoint_settings
from choose.study.candidates import candidates_of, describe_candidates, names_of, notes_on_prompts
from choose.study.resolve_study import load_study, overrides_of
from support import studies
from support.chat_server import RIGHT, serving


def study(*models, strategies=("prompt", "tfidf")):
    candidates = [{"strategy": name} for name in strategies]
    return load_study({"models": {"model": list(models)}, "candidates": candidates})


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (["openai:gpt-4o", "openai:gpt-4o-mini"], ["prompt-gpt-4o", "prompt-gpt-4o-mini"]),
        (["ollama:qwen2.5:7b", "anthropic:claude-x"], ["prompt-qwen2.5:7b", "prompt-claude-x"]),
        (["openai:m"], ["prompt"]),
        (
            ["openai:gpt-4o", "openrouter:openai/gpt-4o"],
            ["prompt-openai:gpt-4o", "prompt-openrouter:gpt-4o"],
        ),
    ],
)
def test_each_model_is_a_candidate_with_its_own_name(models, names):
    assert [name for name in names_of(study(*models)) if name.startswith("prompt")] == names


def test_other_candidates_run_once_and_each_prompt_has_its_model():
    data = studies.dataset()
    found = candidates_of(
        study("openai:a", "openai:b", strategies=("prompt", "few-shot", "tfidf")), data.task
    )
    models = {c.name: c.params.get("model") for c in found.candidates}
    assert sum(name == "tfidf" for name in models) == 1
    assert sorted(m for m in models.values() if m) == sorted(
        ["endpoint:openai:a", "endpoint:openai:b"] * 2
    )


def test_a_candidate_of_the_study_file_may_have_several_models_too():
    own = {"strategy": "prompt", "name": "ask", "model": ["openai:a", "openai:b"]}
    assert names_of(load_study({"candidates": [own]}))[:2] == ("ask-a", "ask-b")


@pytest.mark.parametrize(
    ("key", "given", "said"),
    [
        ("prompt", ["bad.txt"], "--prompt bad.txt cannot be used: "),
        ("model", ["openai:a", "openai:a"], "--model openai:a, openai:a cannot be used: "),
    ],
)
def test_what_is_wrong_with_a_repeated_flag_is_said_without_brackets(refusal, key, given, said):
    assert refusal(StudyError, load_study, None, {"models": {key: given}}).startswith(said)


def test_prices_belong_to_the_models_in_their_order():
    models, sections = endpoint_settings(["openai:a", "openai:b"], None, "MY_KEY", ["1,2", "3,4"])
    assert models == ["openai:a", "openai:b"]
    assert [sections[m]["usd_per_million_in"] for m in models] == [1.0, 3.0]
    assert {sections[m]["api_key_env"] for m in models} == {"MY_KEY"}


@pytest.mark.parametrize(("prices", "models"), [(["1,2"], 2), (["1,2"] * 3, 2), (["1,2"] * 2, 1)])
def test_prices_that_fit_no_model_are_refused(prices, models):
    with pytest.raises(StudyError, match="--usd-per-million is given"):
        endpoint_settings([f"openai:{i}" for i in range(models)], None, None, prices)


def test_python_takes_one_model_or_a_list():
    assert overrides_of({"model": "openai:a"})["models"]["model"] in ("openai:a", ("openai:a",))
    assert list(overrides_of({"model": ["openai:a", "openai:b"]})["models"]["model"]) == [
        "openai:a",
        "openai:b",
    ]


@pytest.mark.slow
def test_two_models_of_one_server_are_compared_end_to_end(choose, data):
    with serving(RIGHT) as server:
        code, out, _ = choose(
            "compare", data, "-s", "prompt", "--set", "seeds=1", "--set", "noise=0",
            "--model", "small", "--model", "large", "--base-url", server.url,
            "--usd-per-million", "1,2", "--usd-per-million", "10,20",
            "--max-usd", "1", "--yes", "--out", "st", "--json",
        )  # fmt: skip
    assert code == 0
    from choose.schema.decision import Decision

    cost = {c.candidate: c.cost.usd_per_1k for c in Decision.model_validate_json(out).scorecards}
    assert cost["prompt-large"] == pytest.approx(10 * cost["prompt-small"])


def test_a_prompt_of_the_users_is_named_by_its_strategy_and_starts_a_search():
    told = {"mine": "Sort into {labels}: {text}", "short": "Sort: {text}"}
    candidates = [{"strategy": name} for name in ("own-prompt", "tuned-prompt", "prompt")]
    asked = load_study({"models": {"prompt": told}, "candidates": candidates})
    found = candidates_of(asked, studies.dataset().task).candidates
    assert {"mine", "short", "tuned-prompt"} <= {c.name for c in found}
    starts = {c["name"]: c["starts"] for c in describe_candidates(asked, found)}
    assert {name: start for name, start in starts.items() if start} == {"tuned-prompt": "mine"}
    plain = load_study({"candidates": candidates[1:]})
    usual = candidates_of(plain, studies.dataset().task).candidates
    assert {c["starts"] for c in describe_candidates(plain, usual)} == {"", "prompt"}
    (note,) = notes_on_prompts(asked, studies.dataset().task)
    assert note.startswith("The prompt 'short' says {labels} nowhere")
