"""The study file: one place to check, one sentence when it is wrong."""

from pathlib import Path

import pytest

from choose.cli.options import seconds
from choose.errors import StudyError
from choose.study.study_file import load_study, only, overrides_of, settings_of


def write(path: Path, text: str) -> Path:
    file = path / "choose.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_flags_override_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "[data]\npath = 'a.csv'\n[grid]\nseeds = 2\nnoise = [0.0, 0.3]\n")
    study = load_study(file, {"grid": {"seeds": 7, "noise": None}})
    assert (study.grid.seeds, study.grid.noise, study.data.path) == (7, (0.0, 0.3), "a.csv")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[gird]\nseeds = 2", "Unknown key 'gird'.*Did you mean 'grid'"),
        ("[grid]\nsedes = 2", "Unknown key 'grid.sedes'.*Did you mean 'seeds'"),
        ("[[candidates]]\nstratgy = 'knn'", "candidates.0"),
        ("[grid]\nseeds = 'many'", r"grid\.seeds = 'many'"),
        ("[goal]\nmargin = 3", r"goal\.margin = 3"),
        ("[goal]\nmargin = -0.01", r"goal\.margin = -0\.01"),
        ("[grid", "Cannot read the study file"),
        ("[grid]\nnoise = [1.5]", "noise"),
        ("[grid]\nviews = ['shouting']", "views"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(StudyError, match=match):
        load_study(write(tmp_path, text))


def test_a_price_on_the_command_line_leaves_the_address_of_the_file() -> None:
    """With it, rows went to the provider's own server instead of the one of the study file."""
    own = {"base_url": "http://127.0.0.1:1/v1", "api_key_env": "OWN_KEY", "context": 2_600}
    file = {"data": {"path": "a.csv"}, "endpoints": {"openai:mini": own}}
    price = {"usd_per_million_in": 1.0, "usd_per_million_out": 2.0}
    study = load_study(file, {"endpoints": {"openai:mini": price}})
    found = study.endpoints["openai:mini"]
    assert (found.base_url, found.context) == (own["base_url"], 2_600)
    assert found.usd_per_million_out == 2.0
    other = {"base_url": "http://127.0.0.1:2/v1", **price}
    found = load_study(file, {"endpoints": {"openai:mini": other}}).endpoints["openai:mini"]
    assert found.base_url == other["base_url"]
    assert found.api_key_env != "OWN_KEY"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nowhere\.toml"):
        load_study(tmp_path / "nowhere.toml")


def test_only_keeps_candidates_of_the_file_and_adds_strategies(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "[[candidates]]\nstrategy = 'knn'\nname = 'near'\n[[candidates]]\nstrategy = 'probe'\n",
    )
    chosen = only(load_study(file), ["near", "tfidf"]).candidates
    assert [(c.name, c.strategy) for c in chosen] == [("near", "knn"), (None, "tfidf")]


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200)]
)
def test_times(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["soon", "-5", "0m", "", "10 days"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(StudyError, match="--budget"):
        seconds(text)


def test_any_key_can_be_set_by_type() -> None:
    texts = ["seeds=2", "grid.noise=0,10%,0.2", "margin=2%", "noise = 0", "wordings=true"]
    texts += ["tune=hf:a/b=c", "fields=date, sender", 'names={a = "Alpha"}', "separator=;"]
    study = load_study(None, overrides_of(settings_of(texts)))
    assert (study.grid.seeds, study.grid.noise, study.grid.wordings) == (2, (0.0,), True)
    assert study.goal.margin == 0.02
    assert study.models.tune == "a/b=c"
    assert study.data.fields == ("date", "sender")
    assert study.data.separator == ";"
    assert study.task.names == {"a": "Alpha"}
    shares = overrides_of(settings_of(["noise=0,10%,0.2"]))
    assert load_study(None, shares).grid.noise == (0.0, 0.1, 0.2)


def test_an_instruction_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("Which team?\n")
    assert settings_of([f"instruction=@{tmp_path}/prompt.txt"]) == {"instruction": "Which team?"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seeds", "--set 'seeds' has no value. Write KEY=VALUE, such as --set seeds=5."),
        ("sedds=3", "no key of a study file. Did you mean 'seeds'? Allowed: address, answers, "),
        ("goal.seeds=3", "'goal.seeds' is no key of a study file. Did you mean 'seeds'?"),
        ("seeds=0", "--set seeds=0 cannot be used: it must be at least 1."),
        ("seeds=two", "--set seeds='two' cannot be used: it must be a whole number."),
        ("noise=1.5", "--set noise=1.5 cannot be used: it is a share of 1: write 0.015 or 1.5%."),
        ("noise=0,1", "--set noise=1 cannot be used: it must be less than 1."),
        ("margin=nan", "goal.margin is nan, which is no number."),
        ("names=x", "--set names=x cannot be read. Write a table, such as --set 'names={"),
        ("wordings=maybe", "--set wordings='maybe' cannot be used: it must be true or false."),
        ("views=typo", "--set views='typo' cannot be used: it must be 'typos'."),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(StudyError) as caught:
        load_study(None, overrides_of(settings_of([text])))
    assert says in str(caught.value)


def priced(tmp_path: Path, text: str):
    from choose.api.plan import resolve
    from choose.study.candidates import check_names
    from choose.types import Candidate

    study = resolve(None, write(tmp_path, text), None)
    check_names(study, [Candidate(name="lora", strategy="lora", params={"base": "org/model"})])
    return study


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[costs]\nvalue_per_right_answer = 0", "value_per_right_answer"),
        ("[costs]\nvolume_per_month = inf", "volume_per_month"),
        (
            "[costs]\nvolume_a_month = 3",
            "Unknown key 'costs.volume_a_month'.*Did you mean 'volume_per_month'",
        ),
    ],
)
def test_prices_that_cannot_be_are_refused(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(StudyError, match=match):
        priced(tmp_path, text)


def test_prices_reach_the_rule(tmp_path: Path) -> None:
    from choose.api.compare import plain
    from choose.api.study_evidence import rule_of

    study = priced(tmp_path, "[costs]\nvalue_per_right_answer = 0.05\nvolume_per_month = 1e4\n")
    rule = rule_of(plain(study))
    assert (rule.value_per_right_answer, rule.answers) == (0.05, 120_000)
    assert rule.margin_from == "default"
    assert study.derives
    stated = load_study(write(tmp_path, "[goal]\nmargin = 0.03"))
    assert (rule_of(plain(stated)).margin, rule_of(plain(stated)).margin_from) == (
        0.03,
        "stated",
    )
    assert not stated.derives
