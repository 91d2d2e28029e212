"""The scheduler alone, on workers that are played: what runs, in which order, and what does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from choose.corpus import CONDITIONS, GOLD
from choose.judge.decision.open_question import Comparison, OpenQuestion
from choose.run.run_records import GroupRequest, GroupResult, Limits, StudyFacts, left_out_of
from choose.run.scheduling.next_trial import Now, early_candidates
from choose.run.scheduling.race import NextSteps, Race, TrialHistory
from choose.run.scheduling.scheduler import ATTEMPTS, GRACE, MAX_BATCH, Scheduler
from choose.run.speed_probe import Speed
from choose.schema.plan import Job
from choose.study.grid_points import CONTROLS, DRILLS, FIRST_PASS
from choose.types import STANDARD, Answers, Run, Scenario
from simulation.played_run import Answer, Step, play
from support.trials import plain_trial

CLEAN = ("clean", 0)
NOISE = Scenario(kind="noise", rate=0.2)


@dataclass(frozen=True, kw_only=True)
class Player:
    """A candidate: what its trials cost, how many rows in ten it gets right, and what goes wrong.

    `fails` and `dies` are places of its jobs; a worker survives a job that dies once, or never. One
    that `embeds` is no baseline, even where it is fast.
    """

    name: str
    fast: bool = False
    embeds: bool = False
    remote: bool = False
    grouped: bool = False
    fit: float = 1.0
    each: float = 0.01
    right: int = 9
    fails: frozenset[int] = frozenset()
    dies: frozenset[int] = frozenset()
    forever: bool = False


@dataclass(frozen=True)
class World:
    """Candidates with the same grid: folds, repetitions, views of the first pass, and noise."""

    players: tuple[Player, ...]
    folds: int = 2
    rows: int = 120
    jobs: list[Job] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        parts = (FIRST_PASS, "repetitions", "views", "added label noise")
        for part, fold, player in product(parts, range(self.folds), self.players):
            self.jobs.append(self._job(player.name, part, fold))

    def _job(self, name: str, part: str, fold: int) -> Job:
        scenario = NOISE if part == "added label noise" else STANDARD
        draw = int(part == "repetitions")
        trial = plain_trial(
            name,
            draw,
            scenario=scenario,
            fold=fold,
            train_size=100,
            pool=f"{scenario.kind} {fold}",
            questions=str(fold),
        )
        return Job(trial, ("typos",) if part == "views" else (), part)

    @property
    def of(self) -> dict[str, Player]:
        return {player.name: player for player in self.players}

    @property
    def facts(self) -> StudyFacts:
        ids = [f"{fold}-{n}" for fold in range(self.folds) for n in range(self.rows)]
        return StudyFacts(
            data="rows",
            targets=dict.fromkeys(ids, "a"),
            rows=lambda job: self.rows,
            fast={p.name for p in self.players if p.fast},
            baselines={p.name for p in self.players if p.fast and not p.embeds},
            grouped={p.name for p in self.players if p.grouped},
            remote={p.name for p in self.players if p.remote},
            folds=self.folds,
        )

    def scheduler(self, workers: int = 1, **limits: object) -> Scheduler:
        return Scheduler(self.jobs, self.facts, Limits(**limits), workers)  # type: ignore[arg-type]

    def run(self, workers: int = 1, **limits: object) -> tuple[Scheduler, list[Step]]:
        scheduler = self.scheduler(workers, **limits)
        return scheduler, list(play(scheduler, self.answer, workers))

    # --- what a worker does ---------------------------------------------------------------------

    def answer(self, request: GroupRequest) -> tuple[GroupResult, float]:
        """Return what comes of a request, and its seconds, as a worker that obeys it."""
        player, result = self.of[request.candidate], GroupResult(number=request.number)
        key = request.jobs[0].trial.key
        if request.action == "measure":
            speed = Speed(load=0.0, fits=((100, player.fit),), per_row=player.each)
            kept = (key,) if player.fit <= request.seconds else ()
            return replace(result, speed=speed, kept=kept), min(request.seconds, player.fit)
        if request.action in ("extend", "views"):
            assert request.earlier is not None
            assert request.pace is not None
            done = len(request.earlier.asked[CLEAN])
            if request.action == "views":
                return self._views(request, player)
            within = done + max(25, int(min(request.pace.end, 1e6) / player.each) // 25 * 25)
            rows = min(max(request.pace.least, done + 25), within, self.rows)
            run = _joined(request.earlier, self._answered(request.jobs[0], rows, player))
            kept = (key,) if run.unasked or request.keep_whole else ()
            return replace(result, runs=((run, None),), kept=kept), (rows - done) * player.each
        runs, spent = list[tuple[Run, str | None]](), 0.0
        for job in request.jobs:
            place = self.jobs.index(job)
            if place in player.dies and (player.forever or not self.deaths[job.trial.key]):
                self.deaths[job.trial.key] += 1
                return replace(result, runs=tuple(runs), lost="too little memory"), spent + 0.5
            if place in player.fails:
                runs.append((Run(trial=job.trial, error="ValueError: no", seconds_spent=0.1), "x"))
                spent += 0.1
                continue
            rows = self._rows(request, player)
            seconds = player.fit + rows * player.each
            if spent + seconds > request.seconds:
                return replace(result, runs=tuple(runs), stopped="time"), request.seconds
            spent += seconds
            runs.append((self._answered(job, rows, player), None))
        done = [run for run, _ in runs if run.error is None]
        keys = [r.trial.key for r in done if request.keep_whole or (r.unasked and request.keep_fit)]
        return replace(result, runs=tuple(runs), kept=tuple(keys)), spent

    def _views(self, request: GroupRequest, player: Player) -> tuple[GroupResult, float]:
        """Return a run with other views too, and clean answers to as many rows as are wanted."""
        (job,), earlier, pace = request.jobs, request.earlier, request.pace
        assert earlier is not None
        assert pace is not None
        rows = max(len(earlier.asked[CLEAN]), min(pace.least, self.rows))
        run = _joined(earlier, self._answered(job, rows, player))
        kept = (job.trial.key,) if run.unasked or request.keep_whole else ()
        seconds = (rows - len(earlier.asked[CLEAN]) + rows * len(job.views)) * player.each
        return GroupResult(number=request.number, runs=((run, None),), kept=kept), seconds

    def _rows(self, request: GroupRequest, player: Player) -> int:
        if (pace := request.pace) is None:
            return self.rows
        within = int((pace.share - player.fit) / player.each)
        return max(25, min(self.rows, max(pace.least, within) // 25 * 25))

    def _answered(self, job: Job, rows: int, player: Player) -> Run:
        ids = tuple(f"{job.trial.fold}-{n}" for n in range(rows))
        outputs = tuple("a" if n % 10 < player.right else "b" for n in range(rows))
        answers = Answers(outputs=outputs, status=("ok",) * rows)
        views = dict.fromkeys([CLEAN, *((view, 0) for view in job.views)], answers)
        return Run(
            trial=job.trial,
            answers=views,
            asked=dict.fromkeys(views, ids),
            predict_seconds=rows * player.each,
            seconds_spent=player.fit + rows * player.each,
            unasked=self.rows - rows,
        )


def _joined(earlier: Run, run: Run) -> Run:
    """Return a run with the views that were answered before, too."""
    views, asked = {**earlier.answers, **run.answers}, {**earlier.asked, **run.asked}
    return replace(run, answers=views, asked=asked)


def driven(world: World, scheduler: Scheduler) -> Answer:
    """Return what comes of requests where the driver records that a worker died too often."""

    def answer(request: GroupRequest) -> tuple[GroupResult, float]:
        result, seconds = world.answer(request)
        jobs = scheduler.hopeless(request.number) if result.lost else []
        if jobs:
            failed = [(Run(trial=job.trial, error="lost"), None) for job in jobs]
            result = replace(result, runs=(*result.runs, *failed))
        return result, seconds

    return answer


def settle(world: World, workers: int = 1, **limits: object) -> tuple[Scheduler, list[Step]]:
    scheduler = world.scheduler(workers, **limits)
    return scheduler, list(play(scheduler, driven(world, scheduler), workers))


def ended(steps: Sequence[Step]) -> list[Job]:
    return [job for step in steps for job, _ in step.ended]


def left(scheduler: Scheduler) -> list[Job]:
    """Return the jobs that did not run, by whatever reason."""
    summary = scheduler.summary
    dropped = [job for jobs in scheduler.history.skipped.values() for job in jobs]
    return [*summary.left_out, *summary.skipped, *summary.unpaid, *summary.stopped, *dropped]


def places(world: World, jobs: Sequence[Job]) -> list[int]:
    return sorted(world.jobs.index(job) for job in jobs)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw candidates: fast or slow, grouped or not, right or wrong, failing and dying jobs."""
    count = draw(st.integers(1, 4))
    folds = draw(st.integers(1, 3))
    numbers = st.integers(0, 4 * folds * count - 1)
    players = tuple(
        Player(
            name=f"c{n}",
            fast=draw(st.booleans()),
            remote=draw(st.booleans()),
            grouped=draw(st.booleans()),
            fit=draw(st.sampled_from([0.0, 0.1, 2.0, 30.0])),
            each=draw(st.sampled_from([0.001, 0.01, 0.1])),
            right=draw(st.integers(1, 9)),
            fails=frozenset(draw(st.sets(numbers, max_size=4))),
            dies=frozenset(draw(st.sets(numbers, max_size=2))),
            forever=draw(st.booleans()),
        )
        for n in range(count)
    )
    return World(players, folds, draw(st.sampled_from([40, 120])))


RUNS = given(
    world=worlds(),
    workers=st.integers(1, 4),
    seconds=st.sampled_from([None, 1.0, 20.0, 300.0]),
    racing=st.booleans(),
)


@RUNS
@settings(max_examples=40, deadline=None)
def test_every_job_ends_once_and_one_way(
    world: World, workers: int, seconds: float | None, racing: bool
) -> None:
    scheduler, steps = settle(world, workers, seconds=seconds, racing=racing)
    assert places(world, [*ended(steps), *left(scheduler)]) == list(range(len(world.jobs)))
    assert not scheduler.busy


@RUNS
@settings(max_examples=40, deadline=None)
def test_a_trial_runs_once_and_once_more_where_its_worker_died(
    world: World, workers: int, seconds: float | None, racing: bool
) -> None:
    _, steps = settle(world, workers, seconds=seconds, racing=racing)
    begun = Counter(
        world.jobs.index(job)
        for step in steps
        if step.request.action == "run"
        for job in step.request.jobs
    )
    died = {n for player in world.players for n in player.dies}
    lost = Counter(
        world.jobs.index(job) for step in steps if step.result.lost for job in step.request.jobs
    )
    assert all(n <= 1 + min(lost[place], ATTEMPTS - 1) for place, n in begun.items())
    assert died or not lost


@RUNS
@settings(max_examples=40, deadline=None)
def test_a_budget_is_kept(world: World, workers: int, seconds: float | None, racing: bool) -> None:
    """A fast candidate's first trial may begin late, since others are compared with it."""
    _, steps = settle(world, workers, seconds=seconds, racing=racing)
    if seconds is None:
        return
    late = [s for s in steps if s.elapsed > seconds * (1 + GRACE) + 1e-6]
    assert all(world.of[step.request.candidate].fast for step in late)
    for step in steps:
        assert step.request.seconds <= seconds * (1 + GRACE)


@RUNS
@settings(max_examples=40, deadline=None)
def test_no_trial_is_under_way_twice_at_once(
    world: World, workers: int, seconds: float | None, racing: bool
) -> None:
    scheduler, flying, most = world.scheduler(workers, seconds=seconds, racing=racing), 0, 0
    under_way: Counter[str] = Counter()
    played = driven(world, scheduler)

    def answer(request: GroupRequest) -> tuple[GroupResult, float]:
        nonlocal flying, most
        flying, most = flying + 1, max(most, flying + 1)
        under_way.update({job.trial.key for job in request.jobs})
        assert max(under_way.values()) == 1
        assert len(request.jobs) <= MAX_BATCH
        assert len({job.trial.candidate for job in request.jobs}) == 1
        return played(request)

    for step in play(scheduler, answer, workers):
        flying -= 1
        under_way.subtract({job.trial.key for job in step.request.jobs})
    assert most <= workers


@given(world=worlds(), workers=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_a_failure_stops_nobody_else(world: World, workers: int) -> None:
    """Without a budget or a race, what another candidate's trials do changes nothing."""
    _, steps = settle(world, workers)
    done = Counter(job.trial.candidate for job in ended(steps))
    for number, player in enumerate(world.players):
        own = range(number, len(world.jobs), len(world.players))
        if not {*own} & (player.fails | player.dies):
            assert done[player.name] == 4 * world.folds


# --- single rules -------------------------------------------------------------------------------


def test_after_the_budget_has_ended_only_baselines_begin() -> None:
    names = ("slow-index", "words", "dense")
    world = World(
        tuple(Player(name=name, fast=True, embeds=name != "words", fit=4.0) for name in names)
    )
    scheduler, steps = world.run(seconds=3.0)
    begun = {job.trial.candidate for step in steps for job in step.request.jobs}
    assert begun == {"slow-index", "words"}
    assert {job.trial.candidate for job in scheduler.summary.left_out} == {*names}


def test_without_limits_jobs_run_in_their_order() -> None:
    world = World((Player(name="a", fast=True), Player(name="b")))
    _, steps = world.run()
    assert ended(steps) == world.jobs


def test_a_candidate_that_only_fails_is_tried_once_even_on_many_workers() -> None:
    world = World((Player(name="a", fails=frozenset(range(99))), Player(name="b")))
    scheduler, steps = world.run(workers=4)
    assert [job.trial.candidate for job in ended(steps)].count("a") == 1
    assert len(scheduler.summary.skipped) == 7


def test_a_trial_whose_worker_dies_twice_is_a_failure_and_not_tried_again() -> None:
    world = World((Player(name="a", dies=frozenset({1}), forever=True),))
    scheduler, steps = settle(world)
    errors = [run.error for step in steps for _, run in step.ended if run.error]
    assert errors == ["lost"]
    assert world.deaths.total() == ATTEMPTS
    assert len(ended(steps)) == len(world.jobs)
    assert not left(scheduler)


def test_a_probe_that_its_worker_does_not_survive_stops_nothing() -> None:
    """A node was lost while it measured, and the driver with it."""
    world = World((Player(name="slow"),), folds=1)
    scheduler = world.scheduler(seconds=600.0)
    (probe,) = scheduler.next(Now(0.0), 1)
    assert probe.action == "measure"
    assert scheduler.on_result(GroupResult(number=probe.number, lost="its node is gone")) == []
    (run,) = scheduler.next(Now(1.0), 1)
    assert (run.action, run.candidate) == ("run", "slow")


def test_what_a_worker_did_not_survive_is_tried_alone_and_takes_nothing_with_it() -> None:
    """Of two batches at work the first is lost; its jobs wait beside others again."""
    world = World((Player(name="a", grouped=True),), folds=16)
    scheduler = world.scheduler(workers=2)
    jobs, deaths, ended_ = world.jobs[16:32], Counter[str](), list[Job]()
    key = jobs[7].trial.key

    def settle_one(request: GroupRequest) -> None:
        result, _ = world.answer(request)
        keys = [job.trial.key for job in request.jobs]
        if key in keys:
            deaths.update(keys)
            result = GroupResult(number=request.number, lost="too little memory")
            failed = [
                Run(trial=job.trial, error="lost") for job in scheduler.hopeless(result.number)
            ]
            result = replace(result, runs=tuple((run, None) for run in failed))
        ended_.extend(job for job, _ in scheduler.on_result(result))

    flying = scheduler.next(Now(), 2)
    while flying:
        settle_one(flying.pop(0))
        flying += scheduler.next(Now(), 2 - len(flying))
    assert places(world, ended_) == list(range(len(world.jobs)))
    assert deaths[key] == ATTEMPTS
    assert max(n for other, n in deaths.items() if other != key) == 1


def test_endpoints_are_asked_one_by_one_while_the_others_run() -> None:
    players = (Player(name="a", remote=True), Player(name="b", remote=True), Player(name="c"))
    world = World(players)
    requests = world.scheduler(workers=4).next(Now(), 4)
    assert [request.candidate for request in requests] == ["a", "c"]


def test_slow_candidates_are_probed_then_begin_with_the_fastest() -> None:
    world = World(
        (Player(name="a", fit=40.0), Player(name="b", fit=0.0), Player(name="c", fit=5.0))
    )
    _, steps = world.run(seconds=200.0)
    assert [(s.request.action, s.request.candidate) for s in steps[:6]] == [
        *(("measure", name) for name in "abc"),
        *(("run", name) for name in "bca"),
    ]


def test_slow_candidates_answer_a_few_rows_then_more_the_fewest_first() -> None:
    players = (Player(name="a", fit=0.0, each=0.1), Player(name="b", fit=0.0, each=0.1))
    world = World(players, folds=1, rows=200)
    scheduler, steps = world.run(seconds=30.0)
    cut = [s.result.runs[0][0] for s in steps if s.request.action == "run"]
    assert [len(run.asked[CLEAN]) for run in cut[:2]] == [25, 25]
    more = [s.request.candidate for s in steps if s.request.action == "extend"]
    assert more == ["a", "b"] * (len(more) // 2) + ["a"] * (len(more) % 2)
    assert steps[-1].elapsed <= 30.0
    unasked = scheduler.conclude().unasked
    assert unasked["a"] + unasked["b"] == 400 - 50 - 25 * len(more)


def test_a_fit_that_takes_most_of_the_time_waits_for_100_rows_of_the_others() -> None:
    """Or they would have a few rows each when the time is over."""
    players = (Player(name="a", fit=0.0, each=0.1), Player(name="b", fit=30.0))
    world = World(players, folds=1, rows=200)
    for seconds, more in ((50.0, 3), (200.0, 0)):
        _, steps = world.run(seconds=seconds)
        order = [s.request.candidate for s in steps if s.request.action != "measure"]
        assert order[: more + 2] == ["a", *("a",) * more, "b"]


def test_answers_that_serve_two_jobs_are_computed_once() -> None:
    """A first pass whose views were answered with it leaves nothing for the job of the views."""
    world = World((Player(name="a"),), folds=1)
    views, first = world.jobs[2], world.jobs[0]
    scheduler = Scheduler([views, first], world.facts, Limits())
    steps = list(play(scheduler, World(world.players, 1).answer))
    assert [job.part for job in ended(steps)] == ["views", FIRST_PASS]
    assert len(steps) == 1


def test_stored_runs_are_taken_over_and_not_run_again() -> None:
    world = World((Player(name="a"), Player(name="b")))
    _, steps = world.run()
    runs = {id(job): run for step in steps for job, run in step.ended}
    scheduler = world.scheduler()
    stored = world.jobs[:5]
    found = scheduler.recall(lambda job: runs[id(job)] if job in stored else None)
    again = list(play(scheduler, world.answer))
    assert [job for job, _ in found] == stored
    assert places(world, [*stored, *ended(again)]) == list(range(len(world.jobs)))


def test_a_stored_first_pass_is_not_fitted_again_where_the_time_is_too_short_for_that() -> None:
    world = World((Player(name="a", fast=True), Player(name="b")), folds=1)
    _, steps = world.run(seconds=60.0)
    runs = {step.request.candidate: step.result.runs[0][0] for step in steps[:3] if step.ended}
    for fit, rows in ((100.0, 95), (10.0, 0)):
        scheduler = world.scheduler(seconds=60.0)
        stored = {id(world.jobs[0]): runs["a"], id(world.jobs[1]): runs["b"]}
        stored[id(world.jobs[1])] = replace(runs["b"], fit_seconds=fit)
        scheduler.recall(lambda job, stored=stored: stored.get(id(job)))  # type: ignore[misc]
        again = [s.request for s in play(scheduler, world.answer) if s.request.action == "extend"]
        assert bool(again) == (not rows)
        assert all(request.seconds <= 60.0 for request in again)


@pytest.mark.parametrize("seconds", [None, 60.0])
def test_a_first_pass_that_an_earlier_command_left_is_gone_on_with(seconds: float | None) -> None:
    """It has 25 rows where that command was stopped at its first verdict."""
    world = World((Player(name="a", fast=True), Player(name="b")), folds=1)
    _, steps = world.run(seconds=60.0)
    runs = {step.request.candidate: step.result.runs[0][0] for step in steps[:3] if step.ended}
    assert runs["b"].unasked == 95
    scheduler = world.scheduler(seconds=seconds)
    stored = {id(world.jobs[0]): runs["a"], id(world.jobs[1]): runs["b"]}
    scheduler.recall(lambda job: stored.get(id(job)))
    again = list(play(scheduler, world.answer))
    rows = [s.result.runs[0][0].unasked for s in again if s.request.action == "extend"]
    assert rows[0] == 70
    assert not scheduler.conclude().unasked["b"]


def test_an_interruption_names_what_is_under_way_and_what_waits() -> None:
    world = World((Player(name="a"), Player(name="b")))
    scheduler = world.scheduler()
    steps: Iterator[Step] = play(scheduler, world.answer)
    done = ended([next(steps), next(steps)])
    scheduler.interrupt()
    assert scheduler.summary.interrupted
    assert places(world, [*done, *scheduler.summary.stopped]) == list(range(len(world.jobs)))


# --- by value -----------------------------------------------------------------------------------


def question(named: str, *rivals: str, final: bool = False) -> OpenQuestion:
    open_ = tuple(
        Comparison(candidate=name, family="prompting", change=0.5 / (place + 1))
        for place, name in enumerate(rivals)
    )
    return OpenQuestion(named=named, family="fine-tuning", final=final, open=open_)


def by_value(world: World, asked: OpenQuestion, **limits: object) -> tuple[Scheduler, list[Step]]:
    scheduler = world.scheduler(racing=True, **limits)
    steps = play(scheduler, world.answer, now=lambda elapsed: Now(elapsed, asked))
    return scheduler, list(steps)


ALIKE = tuple(Player(name=name, right=8) for name in ("lora", "prompt", "few"))


def test_everyone_answers_once_then_what_decides_comes_first() -> None:
    world = World((Player(name="tfidf", fast=True, right=8), *ALIKE), folds=3)
    _, steps = by_value(world, question("lora", "prompt"))
    order = [(job.trial.candidate, job.part, job.trial.fold) for job in ended(steps)]
    once = [name for name, _, _ in order[: order.index(("lora", FIRST_PASS, 1))]]
    assert {"tfidf", "lora", "prompt", "few"} == {*once}
    start = order.index(("lora", FIRST_PASS, 1))
    assert order[start : start + 4] == [
        (name, FIRST_PASS, fold) for fold in (1, 2) for name in ("lora", "prompt")
    ]
    others = [place for place, (name, _, fold) in enumerate(order) if name == "few" and fold]
    decided = [place for place, (name, _, _) in enumerate(order) if name in ("lora", "prompt")]
    assert min(others) > max(decided), "few is not in contention"


def test_fast_candidates_answer_all_their_rows_once_everyone_has_answered() -> None:
    """They take seconds, and all others are compared with them."""
    fast = [Player(name=name, fast=True, right=8) for name in ("probe", "tfidf")]
    world = World((*fast, *ALIKE), folds=3)
    _, steps = by_value(world, question("probe", "lora"))
    order = [(j.trial.candidate, j.trial.fold) for j in ended(steps) if j.part == FIRST_PASS]
    assert order[:5] == [(p.name, 0) for p in world.players]
    assert order[5:9] == [(p.name, fold) for fold in (1, 2) for p in fast]
    assert order[9:11] == [("lora", 1), ("lora", 2)]


def test_a_fit_that_is_forecast_to_end_far_too_late_holds_nobody_up() -> None:
    """It is left out at once: others need not answer more rows before it begins."""
    slow = (Player(name="few", fit=1.0, each=0.2, right=8), Player(name="lora", fit=1000.0))
    world = World((Player(name="tfidf", fast=True, right=8), *slow), folds=3)
    scheduler, steps = by_value(world, question("tfidf", "few"), seconds=100.0)
    order = [(s.request.candidate, s.request.action) for s in steps]
    asked = [one for one in order if one[1] != "measure"]
    assert asked[:4] == [("tfidf", "run"), ("tfidf", "run"), ("tfidf", "run"), ("few", "run")]
    assert scheduler.summary.too_long == {"lora": 1000.0}


def test_cheap_folds_of_fast_candidates_precede_slow_fits() -> None:
    """Whether 90 s reached one fold or all of tfidf hung on a fit of retrieval."""
    fast = (
        Player(name="tfidf", fast=True, fit=0.5, right=8),
        Player(name="tuned", fast=True, fit=9.0, right=8),
    )
    world = World((*fast, Player(name="few", fit=1.0, each=0.2, right=8)), folds=3)
    _, steps = by_value(world, question("tfidf", "few"), seconds=100.0)
    order = [s.request.candidate for s in steps if s.request.action == "run"]
    assert order[:4] == ["tfidf", "tfidf", "tfidf", "tuned"]
    assert order.index("few") < len(order) - 1 - order[::-1].index("tuned"), "18 s are too much"


def test_the_cheapest_folds_take_a_small_share_of_the_budget() -> None:
    seconds = {"tfidf": 1.5, "probe": 3.0, "other": 12.0, "knn": 10.5}
    assert early_candidates(seconds, {}, 100.0) == {"tfidf", "probe", "knn"}
    assert early_candidates(seconds, {}, 10.0) == {"tfidf"}
    assert early_candidates(seconds, {}, 180.0) == {*seconds}
    assert early_candidates({}, {}, 100.0) == set()
    same = dict.fromkeys(("probe", "knn"), "MiniLM")
    assert early_candidates(seconds, same, 50.0) == {"tfidf", "probe", "knn"}


def test_an_encoder_that_has_read_the_texts_costs_its_other_candidates_nothing() -> None:
    history = TrialHistory(Race({}, 0.02), racing=True, fast={"knn", "probe", "tfidf"})
    history.cost |= {"knn": 20.0, "probe": 0.5, "tfidf": 6.0, "lora": 0.1}
    world = World(tuple(Player(name=name) for name in history.cost))
    jobs = {job.trial.candidate: job for job in world.jobs}
    for name in ("knn", "probe"):
        trial = replace(jobs[name].trial, params={"encoder": "MiniLM"})
        jobs[name] = replace(jobs[name], trial=trial)
    assert history.early(jobs, 5, 100.0) == {"knn", "probe"}, "24 s of tfidf are too much"
    assert history.early(jobs, 5, 10.0) == history.early(jobs, 5, None) == set()


def test_controls_that_tell_whether_an_adapter_is_worth_its_fit_come_before_it() -> None:
    players = (Player(name="tfidf", fast=True), Player(name="rag"), Player(name="lora"))
    world = World(players, folds=2)
    controls = [replace(world.jobs[n], part=CONTROLS, views=("nothing",)) for n in (1, 4)]
    world.jobs[:] = [*world.jobs[:2], controls[0], *world.jobs[2:5], controls[1], world.jobs[5]]
    _, steps = world.run(racing=True)
    order = [(job.trial.candidate, job.part, job.trial.fold) for job in ended(steps)]
    assert order[:4] == [
        ("tfidf", FIRST_PASS, 0),
        ("rag", FIRST_PASS, 0),
        ("rag", CONTROLS, 0),
        ("lora", FIRST_PASS, 0),
    ]


def documents(rag: Player, *adapters: Player, rows: int = 400) -> World:
    """Return a world where a candidate that reads has controls, and adapters come after it."""
    world = World((Player(name="tfidf", fast=True), rag, *adapters), folds=1, rows=rows)
    control = replace(world.jobs[1], part=CONTROLS, views=CONDITIONS, view_rows=100)
    world.jobs.insert(2, control)
    return world


def test_controls_are_asked_of_the_fit_that_the_first_pass_left() -> None:
    """Only the rows that controls are compared on are answered before, not all of them."""
    world = documents(Player(name="rag", fit=50.0), Player(name="lora", fit=60.0))
    _, steps = world.run(racing=True, seconds=600.0)
    (views,) = (step for step in steps if step.request.action == "views")
    ((run, _),) = views.result.runs
    assert views.request.jobs[0].part == CONTROLS
    assert len(run.asked[CLEAN]) == 100
    assert {view for view, _ in run.answers} >= {"clean", *CONDITIONS}
    assert [job.part for job, _ in views.ended] == [CONTROLS]
    begun = [s.request for s in steps if s.request.action != "measure"]
    order = [(request.candidate, request.action) for request in begun]
    assert order[1:4] == [("rag", "run"), ("rag", "views"), ("lora", "run")]
    more = next(s for s in steps if s.request.action == "extend" and s.request.candidate == "rag")
    ((longer, _),) = more.result.runs
    assert more.request.jobs[0].part == FIRST_PASS
    assert (GOLD, 0) in longer.answers, "further rows keep the controls"


def test_controls_come_after_a_fit_that_would_lose_its_time_to_them() -> None:
    rag = Player(name="rag", fit=10.0, each=0.4)
    world = documents(rag, Player(name="lora-rag", fit=150.0))
    for seconds, late in ((600.0, False), (200.0, True)):
        _, steps = world.run(racing=True, seconds=seconds)
        order = [s.request for s in steps if s.request.action in ("run", "views")]
        adapter = next(n for n, r in enumerate(order) if r.candidate == "lora-rag")
        control = [n for n, r in enumerate(order) if r.jobs[0].part == CONTROLS]
        assert (not control or control[0] > adapter) == late
        assert not any(s.result.stopped for s in steps if s.request.candidate == "lora-rag")


def test_adapters_that_read_nothing_come_last_where_others_read() -> None:
    players = (Player(name="rag"), Player(name="lora", fit=5.0), Player(name="lora-rag", fit=50.0))
    world = World(players, folds=1)
    facts = replace(world.facts, late={"lora"})
    scheduler = Scheduler(world.jobs, facts, Limits(seconds=600.0, racing=True))
    steps = play(scheduler, world.answer)
    begun = [step.request.candidate for step in steps if step.request.action == "run"]
    assert [*dict.fromkeys(begun)] == ["rag", "lora-rag", "lora"]


@pytest.mark.parametrize("seconds", [600.0, None])
def test_what_reading_costs_the_named_candidate_is_known_before_it_is_fitted_again(
    seconds: float | None,
) -> None:
    """Its controls come at once, documents that change when it has answered all rows of a fold."""
    players = tuple(Player(name=name, fit=20.0, right=8) for name in ("rag", "lora-rag"))
    world = World((Player(name="tfidf", fast=True, right=8), *players), folds=2, rows=200)
    readers = [j for j in world.jobs if j.part == FIRST_PASS and j.trial.candidate != "tfidf"]
    for part, views in ((CONTROLS, CONDITIONS), (DRILLS, ("updated",))):
        world.jobs.extend(replace(job, part=part, views=views, view_rows=100) for job in readers)
    _, steps = by_value(world, question("lora-rag", "rag"), seconds=seconds)
    order = [(j.trial.candidate, j.part, j.trial.fold) for j in ended(steps)]
    named = [(part, fold) for name, part, fold in order if name == "lora-rag"]
    reads = [(part, fold) for fold in (0, 1) for part in (FIRST_PASS, CONTROLS, DRILLS)]
    assert named[:6] == reads
    other = order.index(("rag", FIRST_PASS, 1))
    assert order.index(("lora-rag", DRILLS, 0)) < other < order.index(("rag", CONTROLS, 0))
    [controls, *_] = [s for s in steps if s.request.jobs[0].part == CONTROLS]
    ((run, _),) = controls.result.runs
    assert (controls.request.action, controls.request.candidate) == ("views", "lora-rag")
    why = "lora-rag, fold 1 of 2: what it loses by retrieval and by reading"
    assert controls.request.why == why
    assert len(run.asked[CLEAN]) == (50 if seconds else 200), "not all rows under a budget"
    ((run, _),) = next(s for s in steps if s.request.jobs[0].part == DRILLS).result.runs
    assert not run.unasked


def test_fits_that_are_there_answer_controls_before_others_are_made() -> None:
    players = (Player(name="tfidf", fast=True, right=8), Player(name="rag", fit=20.0))
    world = World(players, folds=2, rows=50)
    firsts = [j for j in world.jobs if (j.trial.candidate, j.part) == ("rag", FIRST_PASS)]
    world.jobs.extend(replace(j, part=CONTROLS, views=CONDITIONS) for j in reversed(firsts))
    _, steps = by_value(world, question("tfidf", final=True), seconds=600.0)
    order = [(s.request.action, j.part, j.trial.fold) for s in steps for j, _ in s.ended]
    asked = [(action, fold) for action, part, fold in order if part == CONTROLS]
    assert asked == [("views", 0), ("run", 1)]


def test_views_that_their_worker_did_not_survive_are_asked_of_another_fit() -> None:
    world = documents(Player(name="rag", fit=50.0), Player(name="lora", fit=60.0))

    def answer(request: GroupRequest) -> tuple[GroupResult, float]:
        if request.action == "views":
            return GroupResult(number=request.number, lost="too little memory"), 1.0
        return world.answer(request)

    scheduler = world.scheduler(racing=True, seconds=600.0)
    steps = list(play(scheduler, answer))
    assert CONTROLS in [job.part for job in ended(steps)]
    assert sum(step.request.action == "views" for step in steps) == 1


def test_rows_double_while_a_question_is_open() -> None:
    world = World((Player(name="probe", fast=True, right=8), *ALIKE), folds=1, rows=400)
    _, steps = by_value(world, question("probe", "lora"), seconds=600.0)
    rows = [len(s.result.runs[0][0].asked[CLEAN]) for s in steps if s.request.action == "extend"]
    assert rows == [50, 100, 200, 400]
    said = {s.request.why for s in steps if s.request.action == "extend"}
    assert said == {"lora, more rows: decides between prompting and fine-tuning"}


def test_more_rows_are_said_of_the_candidate_that_answers_them() -> None:
    world = World((Player(name="tfidf", fast=True, right=8), *ALIKE), folds=1, rows=100)
    _, steps = by_value(world, question("lora", "prompt"), seconds=600.0)
    more = [step.request for step in steps if step.request.action == "extend"]
    assert {request.candidate for request in more} == {"lora", "prompt"}
    assert all(request.why.startswith(f"{request.candidate}, more rows") for request in more)


def test_everyone_has_answered_while_a_first_pass_answers_more_rows() -> None:
    """On a cluster one nearly always does, and the first verdict does not wait for it."""
    world = World((Player(name="tfidf", fast=True, right=8), *ALIKE), folds=1, rows=100)
    scheduler = world.scheduler(racing=True, seconds=600.0)
    steps = play(scheduler, world.answer, now=lambda elapsed: Now(elapsed, question("lora")))
    began = next(step for step in steps if step.request.action == "extend")
    assert began.request.candidate == "lora"
    assert not scheduler.unanswered
    (request,) = scheduler.next(Now(began.elapsed, question("lora", "prompt")), 1)
    assert request.action == "extend"
    assert scheduler.busy
    assert not scheduler.unanswered


@pytest.mark.parametrize(("seconds", "late"), [(150.0, ["lora"]), (600.0, [])])
def test_a_fit_that_takes_long_for_the_budget_comes_after_the_first_verdict(
    seconds: float, late: list[str]
) -> None:
    """A fifth of the budget is waited for: 30 s, or 120."""
    slow = (Player(name="few", fit=5.0, right=8), Player(name="lora", fit=40.0, right=8))
    world = World((Player(name="tfidf", fast=True, right=8), *slow), folds=2)
    scheduler = world.scheduler(racing=True, seconds=seconds)
    waits = list[list[str]]()
    for step in play(scheduler, world.answer):
        if scheduler.tells_verdict(Now(step.elapsed)):
            waits.append(scheduler.unanswered)
            assert len(waits) > 1 or step.elapsed < seconds / 5
    assert waits[0] == late
    assert waits[-1] == []
    # Where a fifth of the budget has passed already, it does not wait for the probes of the slow.
    late_start = world.scheduler(racing=True, seconds=150.0)
    began = next(s for s in play(late_start, world.answer) if s.request.action == "measure")
    assert not late_start.tells_verdict(Now(began.elapsed))
    assert late_start.tells_verdict(Now(31.0))


def test_the_first_verdict_of_the_demo_comes_within_a_minute() -> None:
    """By seconds as measured on two busy cores; with LoRA's fit it took 87 s on quiet ones."""
    fast = (("tfidf", 0.8, 0.001), ("probe", 0.3, 0.002), ("knn", 11.7, 0.022))
    slow = (("prompt", 6.1, 0.093), ("retrieval", 23.1, 0.243), ("lora", 38.8, 0.014))
    players = [
        Player(name=name, fast=own is fast, fit=fit, each=each, right=8)
        for own in (fast, slow)
        for name, fit, each in own
    ]
    world = World(tuple(players), folds=5)
    scheduler = world.scheduler(racing=True, seconds=285.0)
    told = [
        (step.elapsed, scheduler.unanswered)
        for step in play(scheduler, world.answer)
        if scheduler.tells_verdict(Now(step.elapsed))
    ]
    assert told[0][0] < 60.0
    assert "lora" in told[0][1]
    assert not {"tfidf", "probe", "knn", "prompt"} & {*told[0][1]}
    assert next(elapsed for elapsed, waits in told if not waits) < 120.0


def test_a_step_is_worth_what_it_adds_for_its_seconds() -> None:
    """Few rows of what is fitted are worth more than the fit of another fold."""
    world = World((Player(name="lora", fit=90.0, each=0.1, right=8), *ALIKE[1:]), folds=5)
    scheduler = world.scheduler(racing=True, seconds=9000.0)
    lora, prompt = world.jobs[0], world.jobs[1]
    for job, rows in ((lora, 30), (prompt, 30)):
        scheduler.history.add(
            job, (run := world._answered(job, rows, world.of[job.trial.candidate]))
        )
        scheduler.unfinished.record(job, run, open=True)
    steps = NextSteps(scheduler.history, scheduler.unfinished, world.facts.rows)
    later = [job for job in world.jobs if job.part == FIRST_PASS and job.trial.fold]
    own = {name: [j for j in later if j.trial.candidate == name] for name in world.of}
    # Of 1/30 - 1/600, 30 more rows remove 1/60, in 3 s or in 0.3 s.
    share = (1 / 30 - 1 / 60) / (1 / 30 - 1 / 600)
    assert steps.worth(["lora"], own["lora"]) == pytest.approx(share / 3)
    assert steps.worth(["prompt"], own["prompt"]) == pytest.approx(share / 0.3)
    scheduler.unfinished.passes.clear()
    fold = (1 / 30 - 1 / 150) / (1 / 30 - 1 / 510)
    assert steps.worth(["lora"], own["lora"]) == pytest.approx(fold / 102)
    assert steps.worth(["lora"], []) == 0


@pytest.mark.parametrize("final", [True, False])
def test_rows_that_would_not_change_the_verdict_are_not_said_to_lack_time(final: bool) -> None:
    world = World((Player(name="tfidf", fast=True, right=8), *ALIKE), folds=1, rows=100)
    scheduler, _ = by_value(world, question("lora", final=final), seconds=600.0 if final else 9.0)
    own = [one for one in left_out_of(scheduler.conclude()) if one.candidate == "few"]
    wanted = (
        "few: 75 test rows of its first pass: not run, since they are unlikely to change which "
        "family is named."
    )
    assert (wanted in [one.sentence for one in own]) == final
    assert any("ran out of time" in one.text for one in own) == (not final)
    assert {one.reason for one in own} >= ({"not-needed"} if final else {"out-of-time"})
    assert [one.rows for one in own if one.rows] == [75]


def test_what_is_bought_is_said() -> None:
    world = World((Player(name="tfidf", fast=True, right=8), *ALIKE), folds=3)
    _, steps = by_value(world, question("lora", "prompt"))
    said = [step.request.why for step in steps if step.request.why]
    assert said[0] == "lora, fold 2 of 3: decides between prompting and fine-tuning"
    assert said[-1].startswith("prompt, fold 3 of 3, repetition 2: decides")


def test_what_may_undo_that_a_constant_answer_is_beaten_is_bought_and_said() -> None:
    world = World((Player(name="tfidf", fast=True, right=8), *ALIKE), folds=2)
    open_floor = Comparison(candidate="tfidf", family="baseline", change=0.2, floor=True)
    asked = replace(question("lora"), open=(open_floor,))
    _, steps = by_value(world, asked)
    said = [step.request.why for step in steps if step.request.why]
    assert said[0] == "lora, fold 2 of 2: decides whether lora beats tfidf"


def test_the_cheaper_of_two_open_questions_is_settled_first() -> None:
    players = (replace(ALIKE[0], fit=1.0), replace(ALIKE[1], fit=50.0), replace(ALIKE[2], fit=1.0))
    world = World((Player(name="tfidf", fast=True, right=8), *players), folds=3)
    _, steps = by_value(world, question("lora", "prompt", "few"))
    order = [j.trial.candidate for j in ended(steps) if j.trial.fold and j.part == FIRST_PASS]
    slow = [name for name in order if name != "tfidf"]
    assert slow.index("few") < slow.index("prompt")


def test_trials_of_a_candidate_without_an_answer_are_not_called_needless() -> None:
    """Its fit was too long, its family not measured: "not run, since they would not change"."""
    slow = (Player(name="few", fit=1.0, each=0.2, right=8), Player(name="lora", fit=1000.0))
    world = World((Player(name="tfidf", fast=True, right=8), *slow), folds=3)
    scheduler, _ = by_value(world, question("tfidf", final=True), seconds=100.0)
    own = [one for one in left_out_of(scheduler.conclude()) if one.candidate == "lora"]
    assert own[0].sentence.startswith("lora: one fit would take about 1,000 s")
    assert (own[0].reason, own[0].seconds) == ("too-long", 1000.0)
    assert all(one.reason == "out-of-time" for one in own[1:])
    assert own[1:]


@pytest.mark.parametrize("final", [True, False])
def test_when_the_verdict_is_final_the_others_get_nothing_more(final: bool) -> None:
    world = World((Player(name="tfidf", fast=True, right=8), *ALIKE), folds=2)
    scheduler, steps = by_value(world, question("lora", final=final))
    done = Counter(job.trial.candidate for job in ended(steps))
    assert done["lora"] == done["tfidf"] == 8
    assert (done["prompt"], done["few"]) == ((1, 1) if final else (8, 8))
    found = left_out_of(scheduler.conclude())
    assert {one.reason for one in found} == ({"not-needed"} if final else set())
    everything = [*ended(steps), *scheduler.summary.unneeded]
    assert places(world, everything) == list(range(len(world.jobs)))


def test_parts_that_the_study_names_run_whoever_wins() -> None:
    world = World((Player(name="tfidf", fast=True, right=8), *ALIKE), folds=2)
    asked = question("lora", final=True)
    scheduler, steps = by_value(world, asked, stated={"added label noise"})
    done = Counter((job.trial.candidate, job.part) for job in ended(steps))
    assert done["prompt", "added label noise"] == done["few", "added label noise"] == 2
    assert {job.part for job in scheduler.summary.unneeded} == {FIRST_PASS, "repetitions", "views"}


def test_a_study_does_not_end_before_cut_rows_that_may_change_its_verdict() -> None:
    """More rows of the named candidate make the verdict open again; nothing else of it waits."""
    players = (Player(name="lora", fit=0.0, each=0.1, right=8), Player(name="few", right=8))
    world = World(players, folds=2, rows=200)
    jobs = [job for n, job in enumerate(world.jobs) if n < 2 or job.trial.candidate == "few"]
    limits = Limits(seconds=27.0, racing=True)
    scheduler = Scheduler(jobs, world.facts, limits)
    more = list[Step]()

    def now(elapsed: float) -> Now:
        return Now(elapsed, question("lora", final=not more))

    for step in play(scheduler, world.answer, now=now):
        more += [step] if step.request.action == "extend" else []
    assert more
    assert not scheduler.summary.unneeded


def test_rows_of_a_cut_pass_come_before_another_fold() -> None:
    players = (Player(name="lora", fit=1.0, each=0.1, right=8), Player(name="few", right=8))
    world = World(players, folds=2, rows=200)
    _, steps = by_value(world, question("lora", "few"), seconds=28.0)
    requests = [step.request for step in steps]
    more = [n for n, request in enumerate(requests) if request.action == "extend"]
    again = [n for n, r in enumerate(requests) if r.action == "run" and r.jobs[0].trial.fold]
    assert {requests[n].candidate for n in more} == {"lora", "few"}
    assert max(more) < min(again)


@given(
    world=worlds(),
    workers=st.integers(1, 3),
    final=st.booleans(),
    seconds=st.sampled_from([None, 20.0, 300.0]),
)
@settings(max_examples=40, deadline=None)
def test_by_value_nothing_is_lost_or_run_twice(
    world: World, workers: int, final: bool, seconds: float | None
) -> None:
    scheduler = world.scheduler(workers, racing=True, seconds=seconds)
    names = [player.name for player in world.players]
    asked = question(names[0], *names[1:2], final=final)
    driver, under_way = driven(world, scheduler), Counter[str]()

    def answer(request: GroupRequest) -> tuple[GroupResult, float]:
        under_way.update(request.keys)
        assert max(under_way.values()) == 1, "more rows of a trial while it runs"
        return driver(request)

    steps = list[Step]()
    for step in play(scheduler, answer, workers, now=lambda elapsed: Now(elapsed, asked)):
        under_way.subtract(step.request.keys)
        steps.append(step)
    everything = [*ended(steps), *left(scheduler), *scheduler.summary.unneeded]
    assert places(world, everything) == list(range(len(world.jobs)))
    if seconds is not None:
        late = [s.request for s in steps if s.elapsed > seconds * (1 + GRACE) + 1e-6]
        assert all(world.of[request.candidate].fast for request in late)
    rows = Counter[str]()
    for cut in scheduler.unfinished.passes.values():
        rows[cut.job.trial.candidate] += cut.run.unasked
    summary = scheduler.conclude()
    assert summary.unasked + summary.unneeded_rows == rows


# --- races --------------------------------------------------------------------------------------


@pytest.mark.parametrize("racing", [True, False])
def test_a_candidate_far_behind_is_dropped_only_in_a_race(racing: bool) -> None:
    world = World((Player(name="a", fast=True), Player(name="b", right=1)), rows=200)
    scheduler, steps = world.run(racing=racing)
    assert ("b" in scheduler.summary.dropped) == racing
    assert [job.trial.candidate for job in ended(steps)].count("b") == (1 if racing else 8)
