"""Tokens become dollars in one place, each kind at its own price."""

import numpy as np
import pytest

from choose.api.study_evidence import _candidate
from choose.schema.costs import TokenPrices, dollars

PRICES = TokenPrices(usd_per_million_in=2.0, usd_per_million_cached=0.5, usd_per_million_out=8.0)


def test_read_cached_and_written_tokens_are_never_blended():
    read, cached, written = np.array([1000, 500]), np.array([600, 0]), np.array([10, 2])
    # 400 x 2 + 600 x 0.5 + 10 x 8 = 1,180 and 500 x 2 + 2 x 8 = 1,016 millionths.
    assert dollars(PRICES, read, cached, written) == pytest.approx([0.00118, 0.001016])


def test_without_a_discount_a_cached_token_costs_what_others_do():
    plain = TokenPrices(usd_per_million_in=2.0, usd_per_million_out=8.0)
    tokens = np.array([1000]), np.array([600]), np.array([10])
    assert dollars(plain, *tokens) == pytest.approx([0.00208])
    assert dollars(plain, tokens[0], None, tokens[2]) == pytest.approx([0.00208])


@pytest.mark.parametrize(
    ("prices", "read", "written"),
    [
        (PRICES, None, np.array([1])),
        (PRICES, np.array([1]), None),
        (TokenPrices(usd_per_million_out=8.0), np.array([1]), np.array([1])),
        (TokenPrices(usd_per_million_in=2.0), np.array([1]), np.array([1])),
    ],
)
def test_what_was_not_counted_or_priced_is_null(prices, read, written):
    assert dollars(prices, read, None, written) is None


def test_where_nothing_is_written_its_price_is_not_needed():
    prices = TokenPrices(usd_per_million_in=2.0)
    assert dollars(prices, np.array([500]), None, np.array([0])) == pytest.approx([0.001])


def test_prices_come_from_the_study_file():
    planned = {
        "name": "big",
        "strategy": "prompt",
        "family": "prompting",
        "model": "endpoint:fast",
        "cheap": False,
        "seeded": False,
        "learns": False,
        "title": "",
        "warning": None,
        "constant": False,
        "floor": False,
        "reads": False,
    }
    study = {
        "endpoints": {
            "fast": {
                "usd_per_million_in": 2.0,
                "usd_per_million_out": 8.0,
                "base_url": "https://h/v1",
                "model": "m",
            }
        },
    }
    info = _candidate(planned, study)
    assert info.token_prices == TokenPrices(usd_per_million_in=2.0, usd_per_million_out=8.0)
    assert info.remote
    other = _candidate({**planned, "model": "endpoint:slow"}, study)
    assert (other.token_prices, other.remote) == (None, True)
    assert not _candidate({**planned, "model": "org/fast"}, study).remote
