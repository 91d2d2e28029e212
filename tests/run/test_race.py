"""The race: its bound holds its level where rows hang together, and failures put nobody out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest

from choose.run.scheduling.race import Race, upper_bound
from choose.types import Answers, Run
from support.trials import plain_trial

MARGIN = 0.02

DESIGNS = {
    "independent rows": np.ones(300, dtype=int),
    "5 a cluster": np.full(60, 5),
    "10 a cluster": np.full(30, 10),
    "few clusters": np.full(20, 5),
    "unequal clusters": np.repeat([40, 30, 20, 10, 5, 2, 1], [1, 1, 2, 6, 12, 20, 40]),
}


def gains(
    rng: np.random.Generator, sizes: npt.NDArray[np.int_], together: bool, ahead: float
) -> npt.NDArray[np.int_]:
    """Draw (rows,) differences of a candidate that is `ahead`, equal within clusters or not."""
    chances = [(0.4 - ahead) / 2, 0.6, (0.4 + ahead) / 2]
    drawn = rng.choice([-1, 0, 1], len(sizes) if together else sizes.sum(), p=chances)
    return np.repeat(drawn, sizes) if together else drawn


@pytest.mark.parametrize("together", [False, True], ids=["apart", "perfectly equal"])
@pytest.mark.parametrize("sizes", DESIGNS.values(), ids=list(DESIGNS))
def test_the_bound_holds_its_level(sizes: npt.NDArray[np.int_], together: bool) -> None:
    rng, studies = np.random.default_rng(11), 1000
    names = np.repeat(np.arange(len(sizes)), sizes).astype(str).tolist()
    # As bad as one may be who must not be dropped: exactly the margin behind.
    wrong = sum(
        upper_bound(gains(rng, sizes, together, -MARGIN).tolist(), names) < -MARGIN
        for _ in range(studies)
    )
    assert wrong <= 5  # one is expected; more than five come once in 1,700 such tests


def test_the_bound_of_independent_rows_is_bonett_and_prices() -> None:
    drops = [-1] * 60 + [1] * 20 + [0] * 120
    p, q, rows = 21 / 202, 61 / 202, 202
    spread = ((p + q - (p - q) ** 2) / rows) ** 0.5
    bound = upper_bound(drops, [str(i) for i in range(200)])
    assert bound == pytest.approx(p - q + 3.1317 * spread, abs=1e-5)  # t with 199 degrees


def test_clustered_rows_widen_the_bound() -> None:
    drops = ([-1] * 5 + [0] * 5) * 30
    apart = upper_bound(drops, [str(i) for i in range(300)])
    fives = upper_bound(drops, [str(i // 5) for i in range(300)])
    assert apart < -0.4 < fives < -0.1
    assert upper_bound(drops, [str(i // 30) for i in range(300)]) == 1.0


IDS = [str(i) for i in range(300)]


def race(right: Mapping[str, float], clusters: Mapping[str, str] | None = None) -> Race:
    """Return a race of candidates who are right on a first share of the rows."""
    found = Race(dict.fromkeys(IDS, "x"), MARGIN, clusters or {})
    for name, share in right.items():
        found.add(run(name, share))
    return found


def run(name: str, share: float | None) -> Run:
    trial = plain_trial(name, train_size=0)
    if share is None:
        return Run(trial=trial, error="it broke")
    outputs = ["x" if i < share * len(IDS) else "y" for i in range(len(IDS))]
    answers = Answers(outputs=tuple(outputs), status=("ok",) * len(IDS))
    return Run(trial=trial, answers={("clean", 0): answers}, asked={("clean", 0): tuple(IDS)})


def test_a_race_uses_the_clusters_of_rows() -> None:
    right = {"good": 0.8, "behind": 0.6}
    assert race(right).drops("behind")
    assert race(right, {id: str(int(id) // 5) for id in IDS}).drops("behind")
    assert not race(right, {id: str(int(id) // 30) for id in IDS}).drops("behind")


def test_candidates_dropped_only_by_a_failed_rival_rejoin() -> None:
    found = race({"best": 0.9, "good": 0.7, "poor": 0.3})
    assert found.drops("good")
    assert found.drops("poor")
    assert found.add(run("best", None)) == ("good",)
    assert set(found.dropped) == {"poor"}
    assert "points behind good" in found.dropped["poor"].text
    assert not found.drops("good")


def test_a_failed_candidate_drops_no_rival_later() -> None:
    found = race({"good": 0.7})
    found.add(run("best", None))
    found.add(run("best", 0.9))
    assert not found.drops("good")
    found.add(run("better", 0.9))
    assert found.drops("good")


def test_a_candidate_that_failed_can_still_be_dropped() -> None:
    found = race({"good": 0.9, "poor": 0.3})
    found.add(run("poor", None))
    assert found.drops("poor")
