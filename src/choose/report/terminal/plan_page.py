"""Plans for the terminal: trials, what to label before data, and requests to endpoints."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from choose.formatting import (
    DASH,
    dollars,
    duration,
    figure,
    in_percent,
    listed,
    months,
    plural,
    points,
    rough,
    rounded,
)
from choose.report.blocks import Heading, Paragraph, bullets, paragraphs, part, table
from choose.report.terminal.pages import Page
from choose.report.words import left_out_line, shorten
from choose.schema.plan import (
    COMPARISON,
    REPETITIONS,
    TRAINING_SHARE,
    BeforeData,
    Bill,
    Planning,
    Reach,
    Spending,
    Three,
    Traffic,
)
from choose.strategy import find
from choose.types import FAMILIES, Dataset, Family


def before_data_page(plan: BeforeData) -> Page:
    first = rounded(plan.training.low / TRAINING_SHARE)
    steps = (
        f"Label about {first:,} rows, sampled at random from real traffic, and run choose check: "
        "it estimates the rows that your data need.",
        "Have a second person label the same first 100 rows. Where the two disagree, no model can "
        "be right: clarify the labelling guide first.",
    )
    closing = "Nothing was measured: the figures come from formulas and published studies."
    return Page(
        [
            Heading(headline(plan)),
            *table("", _before_data_rows(plan)),
            *part("A month of answers", bullets(running_lines(plan)), level=2),
            *part("Assumed", bullets(assumed(plan)), level=2),
            *part("Next steps", bullets(steps), level=2),
            Paragraph(closing, "note"),
        ]
    )


ASSUMED = (
    "To show a gain: a paired test at 5 % that finds it four times in five, between two candidates "
    "of which exactly one is right on 10, 20 or 30 of 100 rows. Variance between training runs "
    "comes on top.",
    "To train: 8, 20 or 64 rows a class (MTEB, Loukas et al. 2023, SetFit). The classes are taken "
    "to be about equally common; rare ones need more rows in all.",
)


def assumed(plan: BeforeData) -> Iterator[str]:
    wishes = plan.wishes
    guessed = [f"{plan.classes} labels (--classes)"] * (wishes.classes is None)
    if wishes.minutes_per_label is None:
        guessed += [f"{plan.minutes_per_label:g} minute a label (--minutes-per-label)"]
    if guessed:
        yield f"Guessed: {listed(guessed)}."
    if wishes.hourly_rate is None:
        yield "What labels cost is not known: name --hourly-rate."
    yield from ASSUMED
    if wishes.target is not None:
        yield (
            f"To show a target: a candidate that truly gets {points(wishes.gain)} more than "
            f"{in_percent(wishes.target)} is shown to reach it four times in five."
        )


def running_lines(plan: BeforeData) -> Iterator[str]:
    """Yield what a month of answers costs, and when labels are paid back, or how to know it."""
    if (found := plan.running) is None:
        yield "To see when a small model pays: --volume, --usd-per-million and --usd-per-hour."
        return
    api, own = "costs what --usd-per-million IN,OUT says", "for what --usd-per-hour says"
    if found.api_usd is not None:
        api = f"costs {dollars(found.api_usd)} ({plan.tokens:,} tokens a request)"
    if found.machine_usd is not None:
        own = f"for {dollars(found.machine_usd)}"
    yield (
        f"For {rough(plan.wishes.volume or 0)} answers an API {api}; a small classifier computes "
        f"{duration(3600 * found.hours)} {own}."
    )
    if None in (found.api_usd, found.machine_usd, plan.usd):
        yield "When that pays the labels back takes both prices, and --hourly-rate."
        return
    paid = "are never paid back: the API costs no more than the machine"
    if found.months is not None:
        paid = f"are paid back after {months(found.months)}"
    labels = f"{plan.training.usual:,.0f} labels that train it"
    yield f"The {labels} ({dollars(plan.training_usd or 0.0)}) {paid}."


def headline(plan: BeforeData) -> str:
    rows, hours = plan.rows, plan.hours.usual
    time = f"{hours:,.0f} hours" if hours >= 1.5 else f"{60 * hours:,.0f} minutes"
    cost = f", about ${figure(plan.usd.usual)}" if plan.usd else ""
    return (
        f"Label about {rounded(rows.usual):,} rows ({rounded(rows.low):,} to "
        f"{rounded(rows.high):,}) to distinguish candidates that differ by "
        f"{points(plan.wishes.gain)}: about {time}{cost}."
    )


def _before_data_rows(plan: BeforeData) -> Iterator[dict[str, str]]:
    wishes = plan.wishes
    yield _cases(f"to detect a gain of {points(wishes.gain)}", plan.test, "{:,.0f}".format)
    if wishes.target is not None and plan.target_rows is not None:
        name = f"to show an accuracy of {in_percent(wishes.target)}"
        yield {"": name, **dict.fromkeys(CASES, f"{plan.target_rows:,}")}
    yield _cases(f"to train on {plan.classes} labels", plan.training, "{:,.0f}".format)
    yield _cases("rows to label", plan.rows, "{:,.0f}".format)
    yield _cases("hours", plan.hours, figure)
    if plan.usd is not None:
        yield _cases("dollars", plan.usd, figure)


CASES = ("best case", "usual", "worst case")


def _cases(name: str, found: Three, said: Callable[[float], str]) -> dict[str, str]:
    values = map(said, (found.low, found.usual, found.high))
    return {"": name, **dict(zip(CASES, values, strict=True))}


NAME, BASELINES = 24, "cheap baselines"


def reach_line(reach: Reach, families: Mapping[str, Family], rows: int, budget: float) -> str:
    """Return ``Forecast for 10 min: prompting answers about 100 rows, retrieval answers none.``.

    `families` are by candidate, `rows` all test rows; the `budget` is in seconds.
    """
    parts = dict[str, list[str]]()
    for family in FAMILIES:
        names = [name for name in reach.asked if families.get(name) == family and reach.asked[name]]
        if not names and family not in families.values():
            continue
        learned = max((reach.learned.get(name, 0) for name in names), default=0)
        asked = sorted(reach.asked[name] for name in names)[len(names) // 2 :][:1]
        does = f"answer{{}} {_about(asked[0])}" if asked else "answer{} none"
        if family == "fine-tuning" and learned:
            does = f"learn{{}} from {_about(learned)}"
        elif asked and asked[0] >= rows:
            does = "answer{} all rows"
        parts.setdefault(does, []).append({"baseline": BASELINES}.get(family, family))
    told = (
        f"{listed(names)} {does.format('s' * (len(names) == 1 and names != [BASELINES]))}"
        for does, names in parts.items()
    )
    return f"Forecast for {duration(budget)}: {', '.join(told)}."


def _about(count: int) -> str:
    """Return ``about 20 rows`` or ``about 1,200 rows``: a forecast knows no more digits."""
    step = 10 ** (len(str(count)) - 2) if count >= 100 else 5 if count >= 5 else 1
    return f"about {plural(round(count / step) * step, 'row')}"


def grid_page(plan: Planning) -> Page:
    data, rows = plan.dataset, len(plan.dataset.asked)
    kept = f"; {plural(plan.stored, 'trial')} stored" * bool(plan.stored)
    title = (
        f"{data.name}: compare would run {plural(len(plan.rounds), 'round')} of "
        f"{plural(len(plan.candidates), 'candidate')} on {plural(rows, 'test row')}{kept}."
    )
    families = {c.name: find(c.strategy).family for c in plan.candidates}
    source = (
        "Seconds are what stored trials took, and rough constants for the others."
        if plan.measured
        else "Seconds are rough constants: nothing was run or downloaded. Round 0 measures them."
    )
    source += (
        f" A candidate that is at most 2 % likely to be the one to use stops; {DASH} is beyond the "
        "budget."
    )
    reach = ""
    if plan.budget is not None:
        reach = reach_line(plan.reach, families, rows, plan.budget)
    requests = plan_lines(plan.spending) if plan.spending.bills else ()
    return Page(
        [
            Heading(title),
            Paragraph(_division(data), "note"),
            *paragraphs(data.dropped, "warning"),
            *table("", _grid_rows(plan)),
            *([Paragraph(reach)] if reach else []),
            *part("Requests to endpoints", bullets(requests), level=2),
            *part("Left out", bullets(map(left_out_line, plan.refusals)), level=2),
            Paragraph(source, "note"),
        ]
    )


def _division(data: Dataset) -> str:
    pools = [len(fold.pool) for fold in data.folds]
    how = f"{len(data.folds)} folds" if data.division == "cross-fit" else "a held-out part"
    labels = data.task.labels
    kind = plural(len(labels), "label") if labels else data.task.kind
    return (
        f"{plural(len(data.examples), 'row')}, {kind}; {how}, "
        f"each trained on up to {plural(max(pools), 'row')}"
    )


def _grid_rows(plan: Planning) -> Iterator[dict[str, str]]:
    task = plan.dataset.task
    new = "a new label" if task.kind == "multilabel" else "a new field"
    called = {} if task.labels else {"a new class": new}
    for round, seconds in zip(plan.rounds, plan.reach.seconds, strict=True):
        part = called.get(round.part, round.part)
        if round.part == COMPARISON:
            part = f"round {round.number}"
        elif round.part == REPETITIONS:
            part = f"repetition {round.jobs[0].trial.draw}"
        told = {name: DASH if s is None else duration(s) for name, s in seconds.items()}
        known = [s for s in seconds.values() if s is not None]
        yield {
            "": part,
            "rows to learn from": f"{round.rows:,}",
            "rows to answer": f"{round.ask:,}" if round.ask else "",
            "in all": duration(sum(known)) if known else DASH,
            **{shorten(one.name, NAME): told.get(one.name, "") for one in plan.candidates},
        }


# Requests to endpoints: planned, in progress and in total.


def plan_lines(spending: Spending) -> Iterator[str]:
    """Yield the plan of requests that a user confirms before the first one."""
    for bill in spending.bills:
        yield _bill(bill)
    if len(spending.bills) > 1:
        yield f"In total: {_price(spending.usd, len(spending.bills))}."
    if spending.limit is not None:
        yield (
            f"No more than {dollars(spending.limit)} is spent: the highest possible price of each "
            "request is reserved before it is sent."
        )


def sending_record(spending: Spending) -> dict[str, Any] | None:
    """Return the plan of requests as a record; None without requests."""
    if not spending.bills:
        return None
    return {
        "endpoints": [asdict(bill) for bill in spending.bills],
        "usd": spending.usd,
        "max_usd": spending.limit,
    }


def _bill(bill: Bill) -> str:
    where = " (this machine)" if bill.here else ""
    read = f" and up to {plural(bill.passages, 'passage')} of the documents" * bool(bill.passages)
    return (
        f"{bill.name}: up to {plural(bill.requests, 'request')} to {bill.host}"
        f"{where} for {bill.model}, about {rough(bill.read)} tokens in and "
        f"{rough(bill.written)} out, {_price(bill.usd, 1)}; {plural(bill.rows, 'row')} of the "
        f"data{read}, for {', '.join(bill.candidates)}."
    )


def _price(usd: float | None, bills: int) -> str:
    if usd is None:
        why = "it has no prices" if bills == 1 else "not all of them have prices"
        return f"dollars unknown: {why}"
    return f"about {dollars(usd)} plus hidden reasoning, if the model reasons"


def traffic_line(sent: Traffic, seconds: float) -> str:
    """Return requests, tokens, dollars and the remaining time on one line."""
    parts = [
        f"{sent.requests:,} of up to {sent.planned:,} requests",
        f"{rough(sent.read)} tokens in, {rough(sent.written)} out",
        spent(sent),
    ]
    done = sent.requests + sent.reused
    if sent.requests >= 5 and sent.planned > done and seconds > 0:
        parts.append(f"at most {duration((sent.planned - done) * seconds / sent.requests)} left")
    return " · ".join(parts)


def spent(sent: Traffic) -> str:
    if sent.unpriced:
        return "dollars unknown"
    of = f" of {dollars(sent.limit)}" if sent.limit is not None else ""
    failed = f" (up to {dollars(sent.maybe_billed)} more for failed requests)"
    return f"{dollars(sent.spent)}{of}{failed * (sent.maybe_billed > 0)}"


def traffic_summary(sent: Traffic) -> str:
    """Return the total of requests, tokens and dollars as a sentence."""
    again = f", {sent.retried:,} retried" * bool(sent.retried)
    reused = f"; {plural(sent.reused, 'answer')} from the cache, not paid for again"
    cached = f" ({rough(sent.cached)} cached)" * bool(sent.cached)
    return (
        f"Endpoints: {plural(sent.requests, 'request')}{again}, {rough(sent.read)} tokens "
        f"in{cached}, {rough(sent.written)} out, {spent(sent)}{reused * bool(sent.reused)}."
    )
