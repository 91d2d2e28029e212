"""Numbers from outside pass one place, which never raises."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choose.errors import ModelError, StudyError
from choose.outside_values import LARGEST, count, finite, number, whole

NO_NUMBERS = [
    "nan",
    "inf",
    "-inf",
    "1e999",
    "9" * 5_000,
    "1_0",
    10**400,
    1e300,
    True,
    None,
    [1],
    {},
]
NO_NUMBERS += [float("nan"), float("inf"), b"1", "", "1 2", "x"]


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_finite_number_is_none(value: Any, refusal: Any) -> None:
    assert finite(value) is None
    assert "a key" in refusal(StudyError, number, value, "a key")
    assert "a key" in refusal(ModelError, whole, value, "a key", 0, 9, ModelError)


def test_numbers_within_bounds_are_returned() -> None:
    assert finite("12.5") == 12.5
    assert finite(3) == 3.0
    assert finite(-1, low=0) is None
    assert finite(2 * LARGEST) is None
    assert number(3, "a", low=0, high=3) == 3
    assert whole("7", "a", 0, 9) == 7


@given(st.one_of(st.text(), st.integers(), st.floats(), st.binary(), st.booleans()))
def test_it_never_raises(value: Any) -> None:
    number = finite(value, 0.0, 100.0)
    assert number is None or 0.0 <= number <= 100.0
    whole = count(value)
    assert whole is None or whole == value


@pytest.mark.parametrize("value", [-1, 1 << 41, 1.0, "1", True, None])
def test_counts_are_whole_and_bounded(value: Any) -> None:
    assert count(value) is None
