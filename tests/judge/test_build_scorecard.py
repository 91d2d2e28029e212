"""Cards from hand-made runs: what is measured, what stays null, what fails."""

from dataclasses import replace

import numpy as np
import pytest

from choose.judge.evidence import CandidateInfo, Items, strong
from choose.judge.goal import Rule
from choose.judge.measures.costs import cheapest_first, cost_of
from choose.judge.measures.scorecard import common_rows, scorecard, service_of
from choose.judge.scores.score_tables import study_scores
from choose.schema.candidate_scorecard import Failure
from choose.stats.intervals import wilson
from choose.types import CLEAN, STANDARD, Answers, Run, Scenario
from support.answered_studies import laid_out
from support.studies import plain_trial

LABELS = ("x", "y", "z")
TARGETS = "xxxxyyyyzz" * 3
IDS = tuple(f"r{i}" for i in range(len(TARGETS)))


def info(name="a", **more):
    return CandidateInfo(**{"name": name, "strategy": name, "family": "baseline", **more})


def run(
    outputs,
    candidate="a",
    *,
    ids=IDS,
    draw=0,
    fold=0,
    size=20,
    variant="",
    scenario=STANDARD,
    views=(),
    scores=None,
    **facts,
):
    """Make a run; a dot is an unusable answer."""

    def answers(said, scored=None):
        given = tuple(None if o == "." else o for o in said)
        status = tuple("ok" if o else "off-list" for o in given)
        return Answers(outputs=given, status=status, scores=scored)

    trial = plain_trial(
        candidate, draw, variant=variant, scenario=scenario, fold=fold, train_size=size
    )
    found = {("clean", 0): answers(outputs, scores)}
    asked = {("clean", 0): tuple(ids)}
    for view, (said, rows) in dict(views).items():
        found[view, 0], asked[view, 0] = answers(said), tuple(rows)
    return Run(trial=trial, answers=found, asked=asked, **facts)


def broken(candidate="a", error="ValueError: no", **place):
    return Run(trial=run(TARGETS, candidate, **place).trial, error=error)


def evidence(*runs, candidates=None, pool=20, folds=1, clusters=IDS):
    items = Items(ids=IDS, targets=tuple(TARGETS), clusters=tuple(clusters))
    return laid_out(items, candidates or (info(),), runs, LABELS, pool_rows=(pool,) * folds)


def card(*runs, rule=None, **more):
    return card_of(study_scores(evidence(*runs, **more)), rule or Rule())


def card_of(laid, rule):
    candidate = laid.candidates[0]
    return scorecard(candidate, cost_of(candidate, rule))


def flipped(count, to="z", start=0):
    said = list(TARGETS)
    for i in range(start, start + count):
        said[i] = to if said[i] != to else "x"
    return "".join(said)


def test_accuracy_of_one_artefact_is_wilsons_and_what_was_not_varied_is_null():
    found = card(run(flipped(6)))
    assert found.accuracy.value == pytest.approx(24 / 30)
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx(wilson(24, 30))
    assert found.accuracy.estimand == "artefact"
    assert (found.rows, found.repetitions) == (30, 1)
    assert found.variance.test_rows > 0
    assert (found.variance.seed, found.variance.draw, found.variance.wording) == (None,) * 3
    assert found.noise == ()


def test_unusable_answers_are_wrong_and_shown_as_invalid():
    found = card(run("....." + TARGETS[5:]))
    assert found.accuracy.value == pytest.approx(25 / 30)
    assert found.format_valid == pytest.approx(25 / 30)
    assert found.per_class[0].recall == pytest.approx(8 / 12)


def test_estimand_follows_what_was_varied():
    seeded = (info(seeded=True),)
    runs = [run(flipped(n), draw=d) for d, n in enumerate((4, 6, 8))]
    assert card(*runs, candidates=seeded).accuracy.estimand == "refits"
    assert card(*runs, candidates=seeded, pool=99).accuracy.estimand == "new-pools:20"
    assert card(runs[0], candidates=seeded).accuracy.estimand == "artefact"


def test_seed_and_draw_are_two_things():
    runs = [run(flipped(n), draw=d) for d, n in enumerate((2, 8, 14))]
    whole = card(*runs, candidates=(info(seeded=True),)).variance
    drawn = card(*runs, candidates=(info(),), pool=99).variance
    assert whole.seed == pytest.approx(drawn.draw)
    assert whole.seed > 0.1
    assert whole.draw is None
    assert drawn.seed is None


def test_wordings_of_a_prompt_and_settings_of_others_are_a_spread_never_a_maximum():
    runs = [run(flipped(3)), run(TARGETS, variant="terse"), run(flipped(9), variant="long")]
    found = card(*runs, candidates=(info(family="prompting"),))
    assert found.variance.wording == pytest.approx(np.std([0.9, 1.0, 0.7], ddof=1))
    assert found.variance.settings is None
    assert found.accuracy.value == pytest.approx(0.9)
    variance = card(runs[0], run(TARGETS, variant="C=1")).variance
    assert variance.wording is None
    assert variance.settings == pytest.approx(np.std([0.9, 1.0], ddof=1))


def test_settings_are_compared_on_the_rows_that_the_candidates_own_setting_answered_too():
    runs = [
        run(flipped(9, start=20)),
        run(TARGETS[:1] + "z" + TARGETS[2:16], variant="C=1", ids=IDS[:16]),
    ]
    (point,) = card(*runs).settings
    assert (point.setting, point.rows) == ("C=1", 16)
    assert point.change.value == pytest.approx(-1 / 16), "its own setting is right on all 16"


def test_views_are_compared_with_the_clean_answers_of_the_same_fit():
    rows = IDS[:10]
    said = "zx" + TARGETS[2:10]
    (view,) = card(run(flipped(1), views={"typos": (said, rows)})).stability.views
    assert view.rows == 10
    assert view.change.value == 0.0
    changed = card(run(TARGETS, views={"typos": (said, rows)})).stability
    assert changed.views[0].change.value == pytest.approx(-0.1)
    assert changed.views[0].change.low < -0.1 < changed.views[0].change.high


def test_noise_is_measured_against_clean_labels_on_the_same_rows():
    noise, more = (Scenario(kind="noise", rate=rate) for rate in (0.1, 0.2))
    first = IDS[:20]
    runs = [run(flipped(6, start=20))]
    runs += [run(flipped(2)[:20], ids=first, scenario=noise, draw=d) for d in range(3)]
    runs += [run(flipped(8)[:20], ids=first, scenario=more, draw=d) for d in range(3)]
    found = card(*runs).noise
    assert [p.rate for p in found] == [0.1, 0.2]
    assert [p.loss.value for p in found] == pytest.approx([0.1, 0.4])
    assert [p.accuracy.value for p in found] == pytest.approx([0.9, 0.6])
    assert found[0].loss.low < 0.1 < found[0].loss.high
    assert found[0].loss.estimand == "refits"
    assert len({p.accuracy.row_set for p in found}) == 1
    (same,) = card(run(TARGETS), run(TARGETS, scenario=more)).noise
    assert same.loss.value == 0
    assert same.loss.low < 0 < same.loss.high


def test_candidates_are_measured_under_noise_on_the_rows_that_they_share():
    noise = Scenario(kind="noise", rate=0.1)
    laid = study_scores(
        evidence(
            run(flipped(6, start=20)),
            run(flipped(9, start=20), scenario=noise),
            run(TARGETS, "b"),
            run(TARGETS[:20], "b", ids=IDS[:20], scenario=noise),
            run(TARGETS, "c"),
            run(TARGETS[:8], "c", ids=IDS[:8], scenario=noise),
            candidates=(info("a"), info("b"), info("c")),
        )
    )
    common = common_rows(laid.candidates)
    assert common.noise.sum() == 20, "8 rows of c would cost the others too much"
    a, b, c = (scorecard(x, cost_of(x, Rule()), common) for x in laid.candidates)
    (noisy,) = a.noise
    assert (noisy.accuracy.value, noisy.loss.value) == (1.0, 0.0), "its errors are on other rows"
    rows = [card.noise[0].loss.row_set for card in (a, b, c)]
    assert rows[0] == rows[1] != rows[2]
    assert rows[2].startswith("8:")


def test_the_curve_ends_at_the_compared_size():
    curve = card(run(TARGETS), *(run(flipped(9), size=5, draw=d) for d in range(3))).curve
    assert [point.labels for point in curve] == [5, 20]
    assert curve[0].value == pytest.approx(0.7)
    assert curve[0].low < 0.7 < curve[0].high


def test_failed_repetitions_are_recorded_and_not_scored():
    found = card(broken(), broken(draw=1))
    assert found.accuracy is None
    assert found.rows == 0
    assert found.errors == (Failure(trials=2, planned=2, error="ValueError: no"),)
    assert found.cost.fit_seconds is None
    runs = [run(flipped(3)), broken(draw=1), run(flipped(3), draw=2)]
    found = card(*runs, candidates=(info(seeded=True),))
    assert (found.repetitions, found.accuracy.value) == (2, pytest.approx(0.9))
    assert found.errors == (Failure(trials=1, planned=3, error="ValueError: no"),)


def test_unfinished_folds_are_scored_on_the_rows_answered():
    found = card(run(TARGETS[:15], ids=IDS[:15]), folds=2)
    assert found.rows == 15
    assert found.accuracy.value == 1.0
    assert found.accuracy.low < 0.85
    runs = [run(TARGETS[i::2], ids=IDS[i::2], fold=i, draw=d) for i in (0, 1) for d in range(3)]
    found = card(*runs, folds=2, candidates=(info(seeded=True),))
    assert (found.rows, found.repetitions) == (30, 3), "folds come together by repetition"


def test_clusters_widen():
    plain = card(run(flipped(6))).accuracy
    grouped = card(run(flipped(6)), clusters=tuple(f"c{i // 6}" for i in range(30))).accuracy
    assert grouped.high - grouped.low > plain.high - plain.low


def test_costs_are_those_of_a_trial_alone():
    seconds = {"fit_seconds": 1.0, "predict_seconds": 3.0, "seconds_spent": 4.0}
    laid = study_scores(evidence(run(TARGETS, **seconds, seconds_alone=9.0, artefact_mb=2.0)))
    cost = cost_of(laid.candidates[0], Rule(usd_per_hour=3.6))
    assert cost.fit_seconds == pytest.approx(1.0)
    assert cost.ms_per_item == pytest.approx(1000 * 3.0 / 30)
    assert cost.usd_per_1k == pytest.approx(100 * 3.6 / 3600)
    assert cost.artefact_mb == 2.0
    assert cost_of(laid.candidates[0], Rule()).usd_per_1k is None


def test_tokens_are_averaged_over_all_rows_of_all_folds():
    first, second = (
        Run(
            trial=made.trial,
            asked=made.asked,
            answers={
                CLEAN: replace(
                    made.answers[CLEAN], tokens_in=np.full(15, tokens), tokens_out=np.full(15, 2)
                )
            },
        )
        for made, tokens in (
            (run(TARGETS[:15], ids=IDS[:15]), 10),
            (run(TARGETS[15:], ids=IDS[15:], fold=1), 30),
        )
    )
    found = card(first, second, folds=2)
    assert (found.cost.tokens_in, found.cost.tokens_out) == (20, 2)


def test_cheapness_is_measured_and_families_break_ties():
    def timed(name, seconds):
        return run(TARGETS, name, fit_seconds=seconds, predict_seconds=seconds / 10)

    families = {"tuned": "fine-tuning", "asked": "prompting"}
    seconds = {"slow": 500, "tuned": 40, "quick": 0.1, "asked": 44}
    people = [info(name, family=families.get(name, "baseline")) for name in (*seconds, "unknown")]
    runs = [timed(*each) for each in seconds.items()]
    laid = study_scores(evidence(*runs, run(TARGETS, "unknown"), candidates=tuple(people)))
    costs = {c.info.name: cost_of(c, Rule()) for c in laid.candidates}
    order = [c.info.name for c in cheapest_first(laid.candidates, costs, Rule())]
    assert order == ["quick", "asked", "tuned", "slow", "unknown"]


def test_hostile_labels_and_ids_stay_data():
    nasty = ("[bold red]", "=cmd()", "\x1b[31m")
    made = run(["[bold red]", "=cmd()"], ids=("r0", "r1"))
    items = Items(ids=("r0", "r1"), targets=nasty[:2], clusters=("r0", "r1"))
    held = laid_out(items, (info(),), (made,), nasty, pool_rows=(20,))
    found = card_of(study_scores(held), Rule())
    assert found.accuracy.value == 1.0
    assert [record.name for record in found.per_class] == list(nasty)


BIG = info("big", family="prompting", model="endpoint:big", behind="m at host")


def served(outputs="xxxxxx....", **facts):
    made = run(outputs, "big", ids=IDS[:10])
    return replace(made, answers={CLEAN: replace(made.answers[CLEAN], **facts)})


def service(made, candidate=BIG):
    return service_of(study_scores(evidence(made, candidates=(candidate,))).candidates[0])


def test_figures_of_an_endpoint_are_those_of_the_clean_rows():
    found = service(
        served(
            status=("ok",) * 6 + ("refused", "empty", "cut", "off-list"),
            latency=np.array([*np.linspace(0.1, 0.9, 9), np.nan]),
        )
    )
    assert found.behind == "m at host"
    assert (found.latency_p50, found.latency_p95) == pytest.approx((0.5, 0.86))
    assert found.unusable == pytest.approx(0.4)


def test_what_was_not_measured_of_an_endpoint_is_null():
    found = service(served())
    assert found.latency_p50 is found.latency_p95 is None
    assert service(served(), replace(BIG, behind=None)) is None


def test_a_small_model_stays_small_behind_an_endpoint():
    assert strong(BIG)
    assert not strong(replace(BIG, billions=0.135))
