"""The study file: one place to check, one sentence when it is wrong."""

import os
from datetime import date
from pathlib import Path

import pytest

from choose.engines.environment_settings import cache_dir, setting_of, threads_setting
from choose.engines.output_cache import size_limit
from choose.errors import ChooseError, StrategyError, StudyError
from choose.outside_values import check_values, per_month, seconds
from choose.strategy import build
from choose.study.config import RESERVED
from choose.study.resolve_study import load_study, only, overrides_of, settings_of


def write(path: Path, text: str) -> Path:
    file = path / "choose.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_flags_override_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "[data]\npath = 'a.csv'\n[grid]\nseeds = 2\nnoise = [0.0, 0.3]\n")
    study = load_study(file, {"grid": {"seeds": 7}})
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
        ("[task.fields]\npeople = 'integer'", "task.fields.people.*'text', 'number', 'date' or"),
        ("[grid]\nviews = ['shouting']", "views"),
        ("[goal]\ntarget = 'x'", r"write a share such as 0\.85, or 85%\."),
        ("[goal]\nmetric = 'x'", "classification: accuracy, balanced"),
        ("[[candidates]]\nname = 'x'", "Field required"),
        ("candidates = 7", "input should be a valid tuple"),
        ("[costs]\nhourly_rate = -1", "hourly_rate"),
        ("[costs]\nvolumes = 3", "Unknown key 'costs.volumes'.*Did you mean 'volume'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(StudyError, match=match):
        load_study(write(tmp_path, text))


def test_a_price_on_the_command_line_leaves_the_address_of_the_file() -> None:
    """With it, rows went to the provider's own server instead of the one of the study file."""
    own = {"base_url": "http://127.0.0.1:1/v1", "api_key_env": "OWN_KEY", "timeout": 26.0}
    file = {"data": {"path": "a.csv"}, "endpoints": {"openai:mini": own}}
    price = {"usd_per_million_in": 1.0, "usd_per_million_out": 2.0}
    found = load_study(file, {"endpoints": {"openai:mini": price}}).endpoints["openai:mini"]
    assert (found.base_url, found.timeout) == (own["base_url"], 26.0)
    assert found.usd_per_million_out == 2.0
    other = {"base_url": "http://127.0.0.1:2/v1", **price}
    found = load_study(file, {"endpoints": {"openai:mini": other}}).endpoints["openai:mini"]
    assert found.base_url == other["base_url"]
    assert found.api_key_env != "OWN_KEY"


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


@pytest.mark.parametrize(
    "text", ["soon", "-5", "0m", "", "10 days", "9" * 400, "1e300", "nan", "inf", "0", "٣"]
)
def test_times_that_are_none(refusal, text: str) -> None:
    said = refusal(StudyError, lambda: load_study(None, overrides_of({"budget": text})))
    assert "--budget" in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5000/day", 152184.375), ("1,000", 1_000), ("2_000 / year", 2_000 / 12), (7, 7)],
)
def test_volumes(text: object, expected: float) -> None:
    assert per_month(text) == pytest.approx(expected)


def test_any_key_can_be_set_by_type() -> None:
    texts = ["seeds=2", "grid.noise=0,10%,0.2", "margin=2%", "noise = 0", "wordings=true"]
    texts += ["tune=hf:a/b=c", "fields=date, sender", 'names={a = "Alpha"}']
    study = load_study(None, overrides_of(settings_of(texts)))
    assert (study.grid.seeds, study.grid.noise, study.grid.wordings) == (2, (0.0,), True)
    assert study.goal.margin == 0.02
    assert study.models.tune == "a/b=c"
    assert study.data.fields == ("date", "sender")
    assert study.task.names == {"a": "Alpha"}
    shares = overrides_of(settings_of(["noise=0,10%,0.2"]))
    assert load_study(None, shares).grid.noise == (0.0, 0.1, 0.2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seeds", "--set 'seeds' has no value. Write KEY=VALUE, such as --set seeds=5."),
        ("sedds=3", "no key of a study file. Did you mean 'seeds'? Allowed: address, answers, "),
        ("goal.seeds=3", "'goal.seeds' is no key of a study file. Did you mean 'seeds'?"),
        ("seeds=0", "--set seeds=0 cannot be used: input should be greater than or equal to 1."),
        ("seeds=two", "--set seeds=two cannot be used: input should be a valid integer, "),
        ("noise=1.5", "--set noise=1.5 cannot be used: it is a share of 1: write 0.015 or 1.5%."),
        ("noise=0,1", "--set noise=1 cannot be used: input should be less than 1."),
        ("margin=nan", "--set margin=nan cannot be used: write a share such as 0.85, or 85%."),
        ("target=150%", "--target 150% cannot be used: write a share such as 0.85, or 85%."),
        ("max_usd=$5", "--max-usd $5 cannot be used: write 5, without a sign."),
        ("max_usd=five", "--max-usd five cannot be used: write a number."),
        ("names=x", "--set names=x cannot be read. Write a table, such as --set 'names={"),
        (
            "wordings=maybe",
            "--set wordings=maybe cannot be used: input should be a valid boolean, ",
        ),
        ("views=typo", "--set views=typo cannot be used: input should be 'typos'."),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(refusal, text: str, says: str) -> None:
    assert says in refusal(StudyError, lambda: load_study(None, overrides_of(settings_of([text]))))


def test_prices_reach_the_rule() -> None:
    from choose.api.compare import plain
    from choose.api.study_evidence import rule_of

    rule = rule_of(plain(load_study({"costs": {"hourly_rate": 20, "volume": 1e4}})))
    assert (rule.hourly_rate, rule.answers, rule.margin) == (20, 120_000, 0.02)
    assert rule_of(plain(load_study({"goal": {"margin": 0.03}}))).margin == 0.03


@pytest.mark.parametrize(
    "text", ["usd_per_hour=1e300", "max_usd=1e300", "max_ms=1e300", "margin=1e-300"]
)
def test_absurd_numbers_given_as_texts_are_refused_before_anything_runs(text: str) -> None:
    """A study with 1e300 was stored, and then could not be continued."""
    with pytest.raises(StudyError, match=f"{text.partition('=')[0]} is 1e.300. Write a usual"):
        load_study(None, overrides_of(settings_of([text])))


NO_NUMBERS = (float("nan"), float("inf"), -float("inf"), 10**400, 1e300)


@pytest.mark.parametrize("place", ["params", "extra_body"])
@pytest.mark.parametrize("value", [date(2024, 1, 1), object(), "half \udcff", *NO_NUMBERS])
def test_what_no_request_and_no_store_can_hold_is_refused(place: str, value: object) -> None:
    """C6, C8: NaN in `params` left half a store behind, as did a date in `extra_body`."""
    with pytest.raises(StudyError, match=f"{place}.d"):
        check_values({place: {"d": value}}, "")


def test_a_large_seed_may_stand_in_a_request() -> None:
    check_values({"extra_body": {"seed": 2**63 - 1}}, "")


def test_deep_settings_are_refused(refusal, tmp_path: Path) -> None:
    """C9: a list 5,000 deep overflowed the stack."""
    file = tmp_path / "deep.toml"
    for text in (
        "a." * 400_000 + "b = 1",
        f"[{'a . ' * 60}b]",
        f"[data]\nx = {'[' * 5_000}{']' * 5_000}",
        f"x = {'[' * 90}{']' * 90}",
    ):
        file.write_text(text)
        assert "nested" in refusal(StudyError, load_study, file)


def test_a_study_file_is_a_small_regular_file(refusal, tmp_path: Path) -> None:
    """M7, C12: `-c /dev/zero` took all memory, `-c FIFO` waited for ever."""
    fifo, large = tmp_path / "fifo", tmp_path / "large.toml"
    os.mkfifo(fifo)
    large.write_text("# " + "x" * 1_000_000)
    for path in (Path("/dev/zero"), fifo, large, tmp_path):
        assert "study file" in refusal(StudyError, load_study, path)


@pytest.mark.parametrize("text", ["goal = 3", "candidates = 3", "x = " + "9" * 5_000, "\xff"])
def test_a_broken_study_file_is_one_line_even_below_flags(tmp_path: Path, text: str) -> None:
    file = tmp_path / "s.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(StudyError):
        load_study(file, {"goal": {"target": 0.9}})


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("CHOOSE_KEEP_GB", "1e308", size_limit),
        ("CHOOSE_KEEP_GB", "much", size_limit),
        ("CHOOSE_KEEP_GB", "nan", size_limit),
        ("CHOOSE_KEEP_GB", "-1", size_limit),
        ("CHOOSE_THREADS", "9" * 5_000, threads_setting),
        ("CHOOSE_THREADS", "0", threads_setting),
        ("CHOOSE_DTYPE", "x" * 5_000, lambda: setting_of("CHOOSE_DTYPE")),
        ("CHOOSE_CACHE", "~nosuchuser/x", cache_dir),
        ("CHOOSE_CACHE", "/dev/null", cache_dir),
    ],
)
def test_variables_are_refused_by_name(monkeypatch, name, value, read):
    """C10, C11: OverflowError and RuntimeError."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ChooseError, match=name) as error:
        read()
    assert len(str(error.value)) < 300


# U4: names in another case or width, long ones, and parts of paths.
NAMES = ["", "  ", "\u200b", " knn", "a\nb", *RESERVED, *map(str.title, RESERVED)]
NAMES += ["\uff50rompting", "x" * 101, "../x", "a\\b"]
URLS = ["http://a/v1\r\nHost: b", "http://a b/v1", "http://a/v1\x1b[31m"]
AWAY = {"executor": "local", "address": "10.0.0.1:6379"}
SEEDED = {"strategy": "tfidf", "params": {"seed": 1}}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"run": AWAY}, r"run\.address is for executor = 'ray'"),  # N13: it was ignored
        *(({"endpoints": {"e": {"base_url": u, "model": "m"}}}, "without blanks") for u in URLS),
        *(
            ({"candidates": [{"strategy": "knn", "name": n}]}, r"candidates\.0\.name")
            for n in NAMES
        ),
        ({"candidates": [SEEDED]}, r"grid\.seeds"),  # C7: a TypeError
    ],
)
def test_what_a_study_cannot_use_is_refused_by_name(settings, says):
    with pytest.raises(StudyError, match=says):
        load_study(settings)


def test_what_looks_like_it_is_taken() -> None:
    assert load_study({"run": {"address": "10.0.0.1:6379"}}).run.on_ray
    load_study({"candidates": [{"strategy": "retrieval", "name": "retrieval"}]})


@pytest.mark.parametrize(
    ("strategy", "params"),
    [
        ("knn", {"k": 0}),
        ("knn", {"k": -1}),
        ("knn", {"k": 2.5}),
        ("knn", {"k": True}),
        ("knn", {"k": "5"}),
        ("knn", {"k": 10**30}),
        ("tfidf", {"C": 0}),
        ("tfidf", {"C": float("nan")}),
        ("tfidf", {"pairs": 1}),
        ("lora", {"rank": 0}),
        ("lora", {"epochs": -1}),
        ("lora", {"dropout": 1.0}),
        ("lora", {"max_tokens": 1}),
        ("lora", {"learning_rate": -1.0}),
        ("few-shot", {"shots": -1}),
        ("prompt", {"wording": 3}),
        ("knn", {"name": "x"}),
        ("rag", {"words": 100.5}),
        ("rag", {"k": "3"}),
        ("rag", {"shots": True}),
        ("rag", {"shorten": 1}),
        ("tuned-encoder", {"epochs": "2"}),
        ("tuned-encoder", {"learning_rate": "fast"}),
    ],
)
def test_a_hyperparameter_that_cannot_be_used_is_named(refusal, strategy, params):
    """L4: `k = 0` ran, `k = -1` was an AssertionError without a message."""
    assert next(iter(params)) in refusal(StrategyError, build, strategy, seed=0, **params)


def test_usual_hyperparameters_are_taken() -> None:
    for strategy, params in (("knn", {"k": 1}), ("tfidf", {"C": 1}), ("lora", {"epochs": None})):
        build(strategy, seed=0, **params)
