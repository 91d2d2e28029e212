"""The benchmarks of growth and of a whole study: exponents, targets, and the naive loop."""

import pytest

from growth import Series, missed


def series(power: float, axis: str = "labels", start: float = 0.0) -> Series:
    at = (250, 500, 1000, 2000)
    return Series("x", axis, at, tuple(start + 1e-3 * n**power for n in at))


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_power_of_growth_is_found(power: float) -> None:
    assert series(power).power == pytest.approx(power, abs=1e-9)


def test_what_grows_too_fast_is_named() -> None:
    assert not list(missed([series(1.0), series(1.0, start=5)], []))
    (sentence,) = missed([series(1.0), series(1.3)], [])
    assert "labels: power 1.30" in sentence
