"""The study file: one place to check, one sentence when it is wrong."""

from pathlib import Path

import pytest

from choose.cli import parse
from choose.errors import StudyError
from choose.study.load import load_study, only


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
        ("[grid", "Cannot read the study file"),
        ("[grid]\nnoise = [1.5]", "noise"),
        ("[grid]\nviews = ['shouting']", "views"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(StudyError, match=match):
        load_study(write(tmp_path, text))


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
    assert parse.seconds(text) == expected


@pytest.mark.parametrize("text", ["soon", "-5", "0m", "", "10 days"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(StudyError, match="--budget"):
        parse.seconds(text)


def test_sizes_and_rates() -> None:
    assert parse.sizes("1/8, 0.5,1,300") == (0.125, 0.5, 1.0, 300)
    assert parse.rates("0,10%,0.2") == (0.0, 0.1, 0.2)


@pytest.mark.parametrize("text", ["1.5", "many", "-1", "1/0", "0"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(StudyError, match="--sizes"):
        parse.sizes(text)


@pytest.mark.parametrize("text", ["1.5", "-0.1", "some", "100%", "nan"])
def test_rates_that_are_none(text: str) -> None:
    with pytest.raises(StudyError, match="--noise"):
        parse.rates(text)
