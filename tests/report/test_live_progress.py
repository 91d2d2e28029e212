from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from rich.console import Console

from choose.report.terminal.live_progress import LiveProgress, Standings
from choose.schema.plan import LeftOut
from choose.tasks.classification import Classification
from choose.types import Answers, Dataset, Example, Fold, Run, Trial
from support.trials import plain_trial

FIRST = "the first pass"


@dataclass(frozen=True)
class Job:
    trial: Trial
    part: str = FIRST


def dataset(rows: int = 10, folds: int = 2) -> Dataset:
    examples = {
        f"r{i}": Example(id=f"r{i}", text=f"text {i}", target="ab"[i % 2]) for i in range(rows)
    }
    ids = tuple(examples)
    parts = tuple(Fold(pool=ids, questions=ids[f::folds]) for f in range(folds))
    return Dataset(
        name="toy",
        task=Classification(labels=("a", "b"), names=("a", "b")),
        examples=examples,
        folds=parts,
        division="cross-fit",
    )


def job(candidate: str, fold: int = 0, part: str = FIRST) -> Job:
    return Job(
        plain_trial(
            candidate,
            strategy="s",
            fold=fold,
            train_size=5,
            task="t",
            pool="p",
            questions=f"q{fold}",
        ),
        part,
    )


def run(data: Dataset, job: Job, wrong: int = 0, error: str | None = None) -> Run:
    if error is not None:
        return Run(trial=job.trial, error=error, seconds_spent=0.5)
    asked = data.folds[job.trial.fold].questions
    right = [data.examples[id].target for id in asked]
    outputs = (*(None for _ in range(wrong)), *right[wrong:])
    answers = Answers(outputs=outputs, status=("ok",) * len(outputs))
    # Answers to another view must not count.
    other = Answers(outputs=(None,), status=("empty",))
    return Run(
        trial=job.trial,
        answers={("clean", 0): answers, ("typos", 0): other},
        asked={("clean", 0): asked, ("typos", 0): asked[:1]},
        seconds_spent=1.5,
    )


def log(
    jobs: Sequence[Job],
    *ended: tuple[Job, Run],
    refusals: Sequence[LeftOut] = (),
    terminal: bool = False,
    encoding: str = "utf-8",
    budget: float | None = 60,
) -> str:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, newline="")
    console = Console(
        file=out,
        force_terminal=terminal,
        width=80,
        highlight=False,
        color_system="standard" if terminal else None,
    )
    with LiveProgress(console) as progress:
        progress.planned(dataset(), jobs, refusals, budget=budget)
        for one, result in ended:
            progress.job(one, None)
            progress.job(one, result)
    out.flush()
    return raw.getvalue().decode(encoding)


def test_a_log_gets_one_plain_line_when_a_first_pass_ends() -> None:
    data = dataset()
    jobs = [job("tfidf", 0), job("tfidf", 1), job("tfidf", 0, "more seeds")]
    said = log(
        jobs,
        (jobs[0], run(data, jobs[0], wrong=1)),
        (jobs[1], run(data, jobs[1])),
        (jobs[2], run(data, jobs[2], wrong=5)),
    )
    assert said.splitlines() == ["tfidf         90.0 % right on 10 rows in 3 s"]


def test_a_candidate_that_was_cut_short_is_called_unfinished() -> None:
    data = dataset()
    jobs = [job("lora", 0), job("lora", 1)]
    said = log(jobs, (jobs[0], run(data, jobs[0], wrong=2)))
    assert "60.0 % right on 5 rows" in said
    assert "60.0 % right on 5 rows in 1.5 s so far" in said


def test_a_failed_run_is_one_line_and_no_accuracy() -> None:
    jobs = [job("lora", 0)]
    said = log(jobs, (jobs[0], run(dataset(), jobs[0], error="ValueError: no\nroom " + "x" * 200)))
    lines = said.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("lora failed (the first pass, fold 1): ValueError: no room xxx")
    assert "% right" not in said


def test_failures_beside_successes_are_counted() -> None:
    data = dataset()
    jobs = [job("lora", 0), job("lora", 1)]
    said = log(jobs, (jobs[0], run(data, jobs[0])), (jobs[1], run(data, jobs[1], error="E: x")))
    assert "100.0 % right on 5 rows in 2 s; 1 run failed" in said


def test_a_terminal_gets_a_bar_the_job_and_the_plan() -> None:
    data = dataset()
    jobs = [job("tfidf", 0), job("tfidf", 1)]
    refused = LeftOut(candidate="prompt", reason="refused", text="labels are numbers.")
    said = log(jobs, (jobs[0], run(data, jobs[0])), refusals=[refused], terminal=True)
    assert "10 rows, 2 labels; 1 candidate, at most 60 s" in said
    assert "Left out: prompt: labels are numbers." in said
    assert "0:00 of 1:00" in said
    assert re.search(r"Finished in (under )?[0-9.]+ s: 1 run\.", said)


@pytest.mark.parametrize("budget", [60, None])
def test_the_bar_counts_time_or_runs_and_never_both(budget: float | None) -> None:
    """9 of 662 runs beside a full bar of time reads as one per cent done."""
    jobs = [job("tfidf", 0), job("tfidf", 1)]
    said = log(jobs, (jobs[0], run(dataset(), jobs[0])), terminal=True, budget=budget)
    assert ("of 1:00" in said) == (budget is not None)
    assert ("of 2 runs" in said) == (budget is None)


@pytest.mark.parametrize("whole", [True, False])
def test_rows_that_a_first_pass_answers_later_count(whole: bool) -> None:
    """After 25 rows it is called unfinished, and what it has answered since is not forgotten."""
    data, out = dataset(folds=1), io.StringIO()
    one = job("lora")
    full = replace(run(data, one, wrong=1), seconds_spent=4.0)
    few = replace(
        full,
        answers={
            ("clean", 0): Answers(outputs=full.answers["clean", 0].outputs[:5], status=("ok",) * 5)
        },
        asked={("clean", 0): full.asked["clean", 0][:5]},
        seconds_spent=1.5,
        unasked=5,
    )
    with LiveProgress(Console(file=out, width=80)) as progress:
        progress.planned(data, [one], (), budget=60)
        progress.job(one, None)
        progress.answered(few)
        progress.job(one, few)
        if whole:
            progress.answered(full)
    first, *more = out.getvalue().splitlines()
    assert first.endswith("80.0 % right on 5 rows in 1.5 s so far")
    assert [line.split(maxsplit=1)[1] for line in more] == [
        "90.0 % right on 10 rows in 4 s"
    ] * whole


def test_more_rows_show_what_they_decide_and_runs_of_a_cluster_are_not_called_reused() -> None:
    data, out = dataset(), io.StringIO()
    jobs = [job("tfidf", 0), job("tfidf", 1)]
    with LiveProgress(Console(file=out, force_terminal=True, width=80)) as progress:
        progress.planned(data, jobs, [], budget=60.0)
        for one in jobs:
            progress.job(one, None)
        for one in jobs:
            progress.job(one, run(data, one))
        progress.deciding("lora, more rows: decides between a and b")
    said = out.getvalue()
    assert "lora, more rows: decides between a and b" in said
    assert "reused" not in said


def test_a_candidate_gets_one_line_however_many_runs_its_first_pass_has() -> None:
    data = dataset()
    planned = [job("tfidf", 0), job("tfidf", 1)]
    again = [*planned, job("tfidf", 0)]
    said = log(planned, *((one, run(data, one)) for one in again))
    assert said.count("tfidf") == 1


def test_lines_wrap_between_words() -> None:
    data = dataset()
    said = log([job("tfidf")], terminal=True, refusals=[LeftOut(text="why " * 60)])
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", said).replace("\r", "\n")
    lines = [line for line in plain.splitlines() if "why" in line]
    assert len(lines) > 2
    assert all(set(line.split()) <= {"why", "Left", "out:"} for line in lines)
    assert data.name in said


def test_runs_that_the_store_held_are_told_apart() -> None:
    data = dataset()
    one = job("tfidf", 0)
    out = io.StringIO()
    with LiveProgress(Console(file=out, force_terminal=True, width=80)) as progress:
        progress.planned(data, [one], [])
        progress.job(one, run(data, one))
    assert "1 of them reused" in out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_hostile_names_and_errors_are_harmless(terminal: bool) -> None:
    evil = "[red]x[/] \x1b]0;title\x07\x9b2J\u202e\udc80"
    bad = Job(job(evil).trial, evil)
    why = LeftOut(candidate=evil, text=evil)
    said = log([bad], (bad, run(dataset(), bad, error=evil)), refusals=[why], terminal=terminal)
    assert "[red]x[/] ]0;title2J" in said
    assert not any(char in said for char in ("\x1b]0", "\x07", "\x9b", "\u202e"))


def test_a_console_that_is_not_utf8_still_hears() -> None:
    data = dataset()
    odd = job("naïve-…-名")
    said = log([odd], (odd, run(data, odd)), terminal=True, encoding="ascii")
    assert "na?ve-~-??" in said


def test_an_interruption_leaves_the_terminal_in_order() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)

    def interrupted() -> None:
        with LiveProgress(console) as progress:
            progress.planned(dataset(), [job("tfidf")], [])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert out.getvalue().count("\x1b[?25l") == out.getvalue().count("\x1b[?25h") == 1


def test_standings_ignore_candidates_nobody_planned() -> None:
    data = dataset()
    standings = Standings.planned(data, [job("tfidf")])
    assert standings.add(job("stranger"), run(data, job("stranger"))) is None
    assert list(standings.of) == ["tfidf"]


def test_progress_of_a_balanced_study_speaks_of_mean_recall() -> None:
    """D22: it said "knn 98.8 of 100 right" where the report went by the mean recall of 79."""
    data, out = dataset(rows=9), io.StringIO()
    jobs = [job("knn", 0), job("knn", 1)]
    with LiveProgress(Console(file=out, width=80), "balanced") as progress:
        progress.planned(data, jobs, (), budget=60)
        progress.job(jobs[0], run(data, jobs[0]))
        progress.job(jobs[1], run(data, jobs[1], wrong=4))
    assert "50.0 % mean recall on 9 rows" in out.getvalue(), "all 5 rows of a, none of 4 of b"
    assert "right" not in out.getvalue()


def test_the_verdict_is_told_with_who_has_not_answered_and_when_it_changes() -> None:
    out = io.StringIO()
    with LiveProgress(Console(file=out, width=100)) as progress:
        progress.planned(dataset(), [job("a")], (), 60.0)
        progress.verdict("probe\x1b[2J", False, ("prompting",), ("lora\x1b[2J",))
        progress.verdict("probe\x1b[2J", False, ("prompting",), ("lora\x1b[2J",))
        progress.verdict("lora", True, (), ())
    first, second = out.getvalue().splitlines()
    assert "\x1b" not in first
    assert first.startswith("First verdict after ")
    assert re.search(r"is ahead; still open: prompting; no answer yet from lora.*\.$", first)
    assert re.fullmatch(r"Verdict after .*: use lora\.", second)
