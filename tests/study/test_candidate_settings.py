"""Names and hyperparameters of candidates that mean nothing are refused (L4, C7)."""

import pytest

from choose.errors import StrategyError, StudyError
from choose.strategy import build
from choose.study.config import RESERVED
from choose.study.study_file import load_study

# U4: names in another case or width, long ones, and parts of paths.
NAMES = ["", "  ", "\u200b", " knn", "a\nb", *RESERVED, *map(str.title, RESERVED)]
NAMES += ["\uff50rompting", "x" * 101, "../x", "a\\b"]


@pytest.mark.parametrize("name", NAMES)
def test_a_candidate_has_a_name_that_can_be_told_from_verdicts(name: str) -> None:
    with pytest.raises(StudyError, match=r"candidates\.0\.name"):
        load_study({"candidates": [{"strategy": "knn", "name": name}]})


def test_a_candidate_may_bear_the_name_of_its_strategy() -> None:
    load_study({"candidates": [{"strategy": "retrieval", "name": "retrieval"}]})


def test_the_seed_is_no_hyperparameter() -> None:
    """C7: a TypeError."""
    with pytest.raises(StudyError, match=r"grid\.seeds"):
        load_study({"candidates": [{"strategy": "tfidf", "params": {"seed": 1}}]})


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
def test_a_hyperparameter_that_cannot_be_used_is_named(strategy, params):
    """L4: `k = 0` ran, `k = -1` was an AssertionError without a message."""
    with pytest.raises(StrategyError, match=f"{next(iter(params))}") as error:
        build(strategy, seed=0, **params)
    assert "\n" not in str(error.value)


def test_usual_hyperparameters_are_taken() -> None:
    for strategy, params in (("knn", {"k": 1}), ("tfidf", {"C": 1}), ("lora", {"epochs": None})):
        build(strategy, seed=0, **params)
