"""Settings chosen on inner folds: what is chosen, what it is worth, and when nothing is chosen."""

from dataclasses import replace

import numpy as np
from sklearn.linear_model import LogisticRegression

from choose.conformance import TASK, pool
from choose.models.classical import STRENGTHS, choose_strength, sample_rows


def test_twins_and_groups_share_a_cluster_and_large_pools_are_sampled_evenly() -> None:
    rows = pool(rows=60)
    grouped = [replace(e, group=f"g{n % 12}") for n, e in enumerate(rows)]
    twins = [replace(e, id=f"t{e.id}") for e in rows[:5]]
    some = sample_rows(TASK, [*grouped, *twins], 1_000)
    assert some.places.tolist() == [*range(65)]
    assert {*some.clusters[60:]} == {*some.clusters[:5]}
    assert all(len({*some.clusters[n:60:12]}) == 1 for n in range(12))
    few = sample_rows(TASK, rows, 30)
    targets = [rows[place].target for place in few.places]
    assert [targets.count(label) for label in TASK.labels] == [10, 10, 10]


def test_the_strength_is_the_likeliest_of_held_out_rows_beyond_one_standard_error() -> None:
    rng = np.random.default_rng(0)
    codes = np.arange(200) % 2
    features = rng.normal(size=(200, 20)) + 0.3 * codes[:, None]
    clusters = np.arange(200)
    likelihood = {}
    for C in STRENGTHS:
        own = np.zeros(200)
        for part in range(3):
            held = clusters % 3 == part
            model = LogisticRegression(C=C, max_iter=1000).fit(features[~held], codes[~held])
            own[held] = model.predict_log_proba(features[held])[np.arange(held.sum()), codes[held]]
        likelihood[C] = own
    found = choose_strength(features, [str(code) for code in codes], clusters)
    best = max(STRENGTHS, key=lambda C: likelihood[C].mean())
    gaps = likelihood[best] - likelihood[10.0]
    assert gaps.mean() > gaps.std(ddof=1) / np.sqrt(200)
    assert found == best == 1.0
    easy = features + 9 * codes[:, None]
    assert choose_strength(easy[:19], [str(code) for code in codes[:19]], clusters[:19]) == 10.0
