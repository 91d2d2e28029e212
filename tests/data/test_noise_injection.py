from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from choose.data.noise_injection import KINDS, add_noise, label_similarity
from choose.data.stratify import training_pool
from choose.errors import StudyError
from choose.types import Dataset, Example, LabelNoise

LABELS = ("a", "b", "c")
CONFUSION = np.array([[0.9, 0.1, 0.0], [0.2, 0.6, 0.2], [0.0, 0.5, 0.5]])
MANY = [Example(id=str(i), text=f"t {LABELS[i % 3]}", target=LABELS[i % 3]) for i in range(6_000)]


def flips(before: list[Example], after: list[Example]) -> dict[str, str]:
    return {
        old.id: new.target
        for old, new in zip(before, after, strict=True)
        if old.target != new.target
    }


@settings(max_examples=40)
@given(
    st.sampled_from(KINDS),
    st.floats(0, 0.95),
    st.floats(0, 0.95),
    st.integers(0, 99),
    st.integers(1, 300),
)
def test_a_higher_rate_flips_a_superset_and_a_smaller_pool_shares_the_flips(
    kind: LabelNoise, low: float, high: float, seed: int, size: int
) -> None:
    low, high, pool = min(low, high), max(low, high), MANY[:300]
    few = flips(pool, add_noise(pool, LABELS, kind, low, seed, CONFUSION))
    more = flips(pool, add_noise(pool, LABELS, kind, high, seed, CONFUSION))
    assert few.items() <= more.items()
    part = flips(pool[:size], add_noise(pool[:size], LABELS, kind, high, seed, CONFUSION))
    assert part == {id: new for id, new in more.items() if int(id) < size}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
def test_the_rate_is_what_was_asked_for(kind: LabelNoise, rate: float) -> None:
    flipped = flips(MANY, add_noise(MANY, LABELS, kind, rate, 0, CONFUSION))
    # Classes are equally frequent here, so the mean of their rates is the share of rows.
    assert abs(len(flipped) / len(MANY) - rate) < 4 * np.sqrt(rate * (1 - rate) / len(MANY))


def test_symmetric_noise_is_uniform_over_the_other_labels() -> None:
    flipped = flips(MANY, add_noise(MANY, LABELS, "symmetric", 0.5, 1))
    pairs = Counter((LABELS[int(id) % 3], new) for id, new in flipped.items())
    assert len(pairs) == 6
    assert max(pairs.values()) - min(pairs.values()) < 120


def test_confused_pairs_go_to_the_most_confused_label() -> None:
    flipped = flips(MANY, add_noise(MANY, LABELS, "confused-pair", 0.3, 0, CONFUSION))
    pairs = {(LABELS[int(id) % 3], new) for id, new in flipped.items()}
    assert pairs == {("a", "b"), ("b", "a"), ("c", "b")}


def test_class_dependent_noise_is_the_confusion_scaled_to_a_trace() -> None:
    flipped = flips(MANY, add_noise(MANY, LABELS, "class-dependent", 0.2, 0, CONFUSION))
    pairs = Counter((LABELS[int(id) % 3], new) for id, new in flipped.items())
    # Rates in proportion to 0.1, 0.4 and 0.5 with mean 0.2; only b is confused with two labels.
    for pair, share in {
        ("a", "b"): 0.06,
        ("b", "a"): 0.12,
        ("b", "c"): 0.12,
        ("c", "b"): 0.3,
    }.items():
        assert abs(pairs[pair] / 2_000 - share) < 0.03
    assert ("a", "c") not in pairs
    assert ("c", "a") not in pairs


def test_rates_above_what_confusion_allows_spill_over_to_the_other_labels() -> None:
    certain = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    flipped = flips(MANY, add_noise(MANY, LABELS, "class-dependent", 0.5, 0, certain))
    rates = Counter(LABELS[int(id) % 3] for id in flipped)
    assert rates["c"] == 2_000
    assert abs(rates["a"] / 2_000 - 0.25) < 0.04


def test_similar_texts_are_the_default_confusion(toy: Dataset) -> None:
    pool = training_pool(toy, 0, 0, None)
    alike = label_similarity(pool, toy.task.labels)
    assert alike.shape == (4, 4)
    assert np.allclose(alike.sum(axis=1), 1)
    assert alike[0, 2] == max(alike[0, 1:])  # card_arrival and lost_card share their card
    flipped = flips(pool, add_noise(pool, toy.task.labels, "confused-pair", 0.5, 0))
    assert {new for id, new in flipped.items() if id.startswith("card_arrival")} == {"lost_card"}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_and_texts_that_say_nothing_do_no_harm(kind: LabelNoise) -> None:
    rows = [Example(id=str(i), text="?!", target="a") for i in range(50)]
    noisy = add_noise(rows, ("a", "b", "c"), kind, 0.4, 0)
    assert {e.target for e in noisy} <= set(LABELS)
    assert sum(e.target != "a" for e in noisy) > 5
    assert add_noise([], LABELS, kind, 0.4, 0) == []


def test_nothing_but_labels_changes_and_the_order_stays() -> None:
    noisy = add_noise(MANY[:50], LABELS, "symmetric", 0.5, 0)
    assert [(e.id, e.text) for e in noisy] == [(e.id, e.text) for e in MANY[:50]]
    assert add_noise(MANY[:50], LABELS, "symmetric", 0, 0) == MANY[:50]


def test_seeds_flip_different_rows() -> None:
    one = flips(MANY, add_noise(MANY, LABELS, "symmetric", 0.2, 0))
    two = flips(MANY, add_noise(MANY, LABELS, "symmetric", 0.2, 1))
    assert abs(len(one.keys() & two.keys()) / len(MANY) - 0.04) < 0.02


@pytest.mark.parametrize("rate", [1.5, 1.0, -0.1, float("nan")])
def test_rates_that_are_no_share_are_refused(rate: float) -> None:
    with pytest.raises(StudyError, match="Allowed: 0 up to"):
        add_noise(MANY[:5], LABELS, "symmetric", rate, 0)


def test_unknown_kinds_and_misshapen_confusions_are_refused() -> None:
    with pytest.raises(StudyError, match="Did you mean 'symmetric'"):
        add_noise(MANY[:5], LABELS, "symetric", 0.1, 0)  # type: ignore[arg-type]
    with pytest.raises(StudyError, match=r"\(3, 3\)"):
        add_noise(MANY[:5], LABELS, "confused-pair", 0.1, 0, np.eye(2))
