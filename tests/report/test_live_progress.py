"""Progress: a line for each round in these words, failures at once, and nothing that is not so."""

import io
import re

import pytest
from rich.console import Console

from choose.report.terminal.live_progress import LiveProgress, round_line
from choose.report.terminal.plan_page import reach_line
from choose.report.words import left_out_line
from choose.schema.plan import COMPARISON, Job, LeftOut, Reach, Round, Standing
from choose.types import Run
from support.studies import dataset, plain_trial

SCORES = {"lora": 0.633, "probe": 0.62, "retrieval": 0.51}


def standing(number: int = 3, **facts: object) -> Standing:
    one = Round(number, COMPARISON, 250 << number, 25 << number, ())
    return Standing(**{"round": one, "scores": SCORES, **facts})


def shown(*, terminal: bool = False) -> tuple[LiveProgress, io.StringIO]:
    out = io.StringIO()
    return LiveProgress(Console(file=out, width=80, force_terminal=terminal)), out


def test_a_round_is_said_in_these_words() -> None:
    """A prompt that had answered 25 rows stood in the line of 602."""
    said = "round 3: 2,000 rows to learn from, 200 to answer; lora 63"
    assert round_line(standing()) == f"{said}, probe 62, retrieval 51"
    before = standing(scores={**SCORES, "lora": 0.6})
    assert round_line(standing(), before) == said, "only lora took part"
    assert round_line(standing(), standing()) == round_line(standing())
    assert round_line(standing(rows={"lora": 5}), before) == f"{said} (answered 5)"
    assert round_line(standing(rows={"lora": 200}), standing()) == said, "as good on more rows"


def test_a_round_says_who_learned_from_fewer_rows_and_which_fits_came_late() -> None:
    """ "877 training rows; lora 19" of a fit that had read 72; "round 3" stood after "round 5"."""
    few = standing(scores={"lora": 0.19}, rows={"lora": 60}, learned={"lora": 72, "probe": 2_000})
    late = "round 3, later fits: 2,000 rows to learn from, 200 to answer; lora 19"
    assert round_line(few, standing(5)) == f"{late} (learned from 72, answered 60)"


def test_f12_what_is_named_carries_its_chance_and_no_silent_candidate_is_forgotten() -> None:
    """ "lora, 91 % sure" stood above "Nothing here is usable yet"."""
    chances = {"probe": 0.71, "lora": 0.286, "rag": 0.02, "prompt": 0.004}
    found = {"named": "probe", "chances": chances}
    silent = {"probe": 900, "rag": 0, "setfit": 0}
    watch, out = shown()
    with watch:
        watch.standing(standing(0, **found, rows=silent, ended=False))
        watch.standing(standing(0, **found, rows=silent))
        watch.standing(standing(1, **found, rows={**silent, "setfit": 25}))
        watch.standing(standing(2, named="lora", chances={"probe": 0.0, "lora": 1.0}))
        watch.standing(standing(3, **found, usable=False))
    verdicts = [line for line in out.getvalue().splitlines() if line.startswith("after ")]
    assert [line.partition(": ")[2] for line in verdicts] == [
        "open; chances: probe 71 %, lora 29 %, rag 2 %",
        "lora, over 99 % sure",
        "nothing is usable yet",
    ]
    lines = [line for line in out.getvalue().splitlines() if line not in verdicts]
    assert [lines.pop(1), lines.pop(3)] == [
        "No answer yet from rag, setfit.",
        "No answer yet from rag.",
    ]
    assert [line.partition(":")[0] for line in lines] == [f"round {n}" for n in (0, 0, 1, 2, 3)]


def test_a_failure_is_said_at_once_and_its_text_is_no_markup() -> None:
    watch, out = shown()
    job = Job(plain_trial("tfidf"), part=COMPARISON)
    with watch:
        watch.job(job, None)
        watch.job(job, Run(trial=job.trial, error="ValueError: [bold]on fire[/]\x1b[2J"))
    assert "tfidf failed (the comparison, fold 1): ValueError: [bold]on fire[/]" in out.getvalue()
    assert "\x1b" not in out.getvalue()


LEFT_OUT = [
    ({"reason": "refused", "text": "it answers writing."}, "it answers writing."),
    (
        {"reason": "dropped", "answered": 25, "trials": {"drift": 2}},
        "at most 2 % likely to be the one to use after 25 answers. Not run: drift (2 trials).",
    ),
    ({"reason": "dropped"}, "beyond a limit of the study."),
    (
        {"reason": "too-long", "seconds": 90, "learns": 2_000, "keeps": 1_000},
        "too little time was left for a fit on 2,000 rows (90 s) and its answers; it stays with "
        "1,000 rows.",
    ),
    ({"reason": "too-long"}, "one fit did not end in its share of the time."),
    (
        {"reason": "out-of-time", "trials": {"added noise": 1}},
        "the budget was used up. Not run: added noise (1 trial).",
    ),
    ({"reason": None}, "its trials had failed, or you stopped the run."),
]


@pytest.mark.parametrize(("facts", "says"), LEFT_OUT)
def test_why_something_was_not_measured(facts, says):
    assert left_out_line(LeftOut(candidate="a", **facts)) == f"a: {says}"


def test_what_is_left_out_and_what_the_budget_reaches_is_said_first() -> None:
    watch, out = shown()
    reach = Reach(learned={"tfidf": 481}, asked={"tfidf": 60}, seconds=())
    jobs = (Job(plain_trial("tfidf"), part=COMPARISON),)
    with watch:
        left = LeftOut(candidate="copy", reason="refused", text="it answers writing.")
        watch.planned(dataset(), [Round(0, COMPARISON, 250, 25, jobs)], [left], 600.0, reach)
    assert out.getvalue().splitlines() == [
        "Forecast for 10 min: cheap baselines answer all rows.",
        "Left out: copy: it answers writing.",
    ]


def test_what_a_budget_reaches_is_said_by_family() -> None:
    families = {
        "tfidf": "baseline",
        "probe": "baseline",
        "prompt": "prompting",
        "retrieval": "retrieval",
        "lora": "fine-tuning",
    }
    asked = {"tfidf": 3_080, "probe": 3_080, "prompt": 100, "retrieval": 100, "lora": 200}
    for learned, told in ((19, "20"), (1_234, "1,200")):
        reach = Reach(learned={"tfidf": 10_003, "lora": learned}, asked=asked, seconds=())
        assert reach_line(reach, families, 3_080, 600.0) == (
            "Forecast for 10 min: cheap baselines answer all rows, prompting and retrieval answer "
            f"about 100 rows, fine-tuning learns from about {told} rows."
        )
    none = Reach(learned={}, asked={"tfidf": 3_080, "prompt": 3, "lora": 0}, seconds=())
    assert reach_line(none, families, 3_080, 10.0).endswith(
        "prompting answers about 3 rows, retrieval and fine-tuning answer none."
    )


def test_the_bar_says_the_round_what_runs_and_the_time() -> None:
    watch, out = shown(terminal=True)
    with watch:
        watch.planned(dataset(), [Round(0, COMPARISON, 250, 25, ())], [], 60.0, None)
        watch.standing(standing(0))
        watch.job(Job(plain_trial("tfidf", train_size=250), part=COMPARISON), None)
        watch._bar.refresh()
        watch.job(Job(plain_trial("tfidf", train_size=250), part="added label noise"), None)
        watch._bar.refresh()
    assert re.search(r"0:0\d of 1:00 · round 1 · tfidf on 250 rows", out.getvalue())
    assert "· added label noise · tfidf on 250 rows" in out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_the_bar_is_gone_at_the_end(terminal: bool) -> None:
    watch, out = shown(terminal=terminal)
    with watch:
        jobs = (Job(plain_trial("tfidf"), part=COMPARISON),)
        watch.planned(dataset(), [Round(0, COMPARISON, 250, 25, jobs)], [], 60.0, None)
        watch.job(jobs[0], None)
        watch.job(jobs[0], Run(trial=jobs[0].trial))
    assert ("Finished in" in out.getvalue()) is terminal
