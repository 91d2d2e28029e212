"""Scores of labels from log-probabilities, by hand on small cases."""

from math import exp, log

import numpy as np
import pytest

from choose.models.endpoints.ledger import TokenLogprobs
from choose.models.endpoints.responses import label_scores

NAMES = ("refund", "reply", "card")


def tokens(*given: tuple[str, float, dict[str, float]]) -> TokenLogprobs:
    return tuple(
        (token, log(p), tuple((other, log(q)) for other, q in others.items()))
        for token, p, others in given
    )


def test_alternatives_give_their_share_to_the_labels_they_begin() -> None:
    odds = tokens(
        ("re", 0.8, {"re": 0.8, "card": 0.2}), ("fund", 0.75, {"fund": 0.75, "ply": 0.25})
    )
    scores = label_scores(odds, "refund", "refund", NAMES, 0)
    assert scores is not None
    assert np.exp(scores) == pytest.approx([0.6, 0.2, 0.2], abs=1e-4)


def test_a_prefix_that_labels_share_is_shared() -> None:
    odds = tokens(("card", 0.6, {"card": 0.6, "re": 0.4}))
    scores = label_scores(odds, "card", "card", NAMES, 2)
    assert scores is not None
    assert np.exp(scores) == pytest.approx([0.2, 0.2, 0.6], abs=1e-4)


def test_inside_json_only_the_label_counts() -> None:
    odds = tokens(
        ('{"label": "', 0.5, {'{"label": "': 0.5, "Sure": 0.5}),
        ("card", 0.9, {"card": 0.9, "ref": 0.1}),
        ('"}', 0.99, {'"}': 0.99, " arrival": 0.01}),
    )
    scores = label_scores(odds, '{"label": "card"}', "card", NAMES, 2)
    assert scores is not None
    assert np.exp(scores) == pytest.approx([0.1, 0, 0.9], abs=1e-4)


def test_what_nothing_accounts_for_is_spread_evenly() -> None:
    scores = label_scores(tokens(("card", 0.4, {"card": 0.4})), "card", "card", NAMES, 2)
    assert scores is not None
    assert np.exp(scores) == pytest.approx([0.2, 0.2, 0.6], abs=1e-4)


def test_scores_are_finite_and_normalised_even_at_certainty() -> None:
    scores = label_scores(tokens(("card", 1.0, {})), "card", "card", NAMES, 2)
    assert scores is not None
    assert np.isfinite(scores).all()
    assert float(np.exp(scores).sum()) == pytest.approx(1.0)


def test_tokens_of_another_text_give_no_scores() -> None:
    assert label_scores(tokens(("dog", 0.9, {})), "card", "card", NAMES, 2) is None


def test_more_certain_tokens_score_higher() -> None:
    found = [
        label_scores(tokens(("card", p, {"card": p})), "card", "card", NAMES, 2) for p in (0.5, 0.9)
    ]
    assert exp(found[0][2]) < exp(found[1][2])
