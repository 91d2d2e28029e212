"""What could be done next, what it is expected to gain, and what it takes.

Gains are in accuracy of what would be used then over what is used now. Settling a contest gains
only where the rival turns out to be ahead: the expectation of that part, under the law by which
`meanwhile` chooses.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

import numpy as np

from choose.formatting import rounded
from choose.judge.decision.gates import credible
from choose.judge.decision.label_gates import audited
from choose.judge.decision.rows_needed import EVEN, LIKELY, Case, contest, lead, more_rows, opponent
from choose.judge.decision.rule import law_of
from choose.judge.measures.cost_sheet import label_hours, label_usd
from choose.judge.measures.curve_forecast import REACH
from choose.judge.panel.score_tables import Measured
from choose.schema.base import Interval
from choose.schema.costs import Move

# More labels are weighed by what twice as many would gain.
TIMES = 2.0


HUNDRED = 100


# Repetitions that a study needs before retraining luck is measured well.
ENOUGH = 5


def moves_of(case: Case) -> tuple[Move, ...]:
    """Return what can be done next, what buys most for a dollar first and the unpriced last."""
    found = [*_learn(case), *_check(case), *_ask(case), *_repeat(case), *_stronger(case)]
    order = sorted(
        found, key=lambda m: -m.points_per_100_usd if m.points_per_100_usd is not None else 1.0
    )
    return tuple(order)


def _learn(case: Case) -> Iterator[Move]:
    """Weigh twice the labels for whoever would gain most by them over the one in use."""
    field = case.field
    best: tuple[str, Interval] | None = None
    for name, ahead in field.curves.ahead.items():
        if name not in field.names:
            continue
        column = round((ahead.shape[1] - 1) * np.log(TIMES) / np.log(REACH))
        now = field.curves.ahead.get(case.name)
        base = now[:, 0] if now is not None else field.accuracies[case.name].value
        low, value, high = np.quantile(ahead[:, column] - base, (0.025, 0.5, 0.975)).tolist()
        found = Interval(value=value, low=low, high=high, estimand=f"{TIMES:g} times the labels")
        dearer = name in field.dearer(case.name)
        if dearer and value < field.margin(name, case.name):
            continue  # it would not be used then either
        if best is None or value > best[1].value:
            best = name, found
    if best is not None:
        labels = ceil((TIMES - 1) * field.panel[best[0]].pool)
        yield _labelled(case, "learn from more labels", best[0], best[1], labels)


def _check(case: Case) -> Iterator[Move]:
    found = audited(case)
    if found is not None and found.gain is not None:
        gain = found.gain
        yield _labelled(case, "check doubted labels", gain.candidate, gain.gain, gain.rows)


def _ask(case: Case) -> Iterator[Move]:
    found = lead(case.field, case.settlement)
    if case.settlement.chosen or found is None:
        return
    more = more_rows(found, case.stake, len(case.field.panel.rows.targets))
    if more is not None:
        rival = opponent(case.field, case.settlement)
        even, most = rounded(more.even), rounded(more.likely or more.even)
        chance = LIKELY if more.likely is not None else EVEN
        move = _labelled(case, "ask more rows", rival, _settled(case, chance), most)
        yield move.model_copy(update={"labels_low": even})


def _repeat(case: Case) -> Iterator[Move]:
    """Weigh more seeds where retraining luck is most of the doubt."""
    found = contest(case.field, case.settlement)
    if case.settlement.chosen or found is None or found.luck < 0.5:
        return
    few = few_repetitions(case)
    if not few:
        return
    parts = [_a_repetition(c) for c in few]
    known = [
        (ENOUGH - c.repetitions) * each
        for c, each in zip(few, parts, strict=True)
        if each is not None
    ]
    hours = sum(known) / 3600 if len(known) == len(few) else None
    price = case.field.rule.usd_per_machine_hour
    usd = hours * price if hours is not None and price is not None else None
    name = few[0].info.name if len(few) == 1 else None
    yield _weighed(
        Move(action="repeat", candidate=name, gain=_settled(case), machine_hours=hours, usd=usd)
    )


def _stronger(case: Case) -> Iterator[Move]:
    """Name what nothing measured here can weigh: a model that was not tried."""
    prompted = case.field.family(case.name) in ("prompting", "retrieval")
    if not prompted and credible(case).status == "unknown":
        yield Move(action="try a stronger model")


def few_repetitions(case: Case) -> list[Measured]:
    """Return who of the contest was repeated less than would measure its luck well."""
    names = (case.name, *case.settlement.rivals)
    return [
        c for c in case.field.order if c.repeats and c.repetitions < ENOUGH and c.info.name in names
    ]


def _a_repetition(candidate: Measured) -> float | None:
    """Return the seconds of one repetition, folds together."""
    if candidate.main is None or not candidate.repetitions:
        return None
    spent = [run.seconds_alone for run in candidate.main.runs]
    known = [seconds for seconds in spent if seconds is not None]
    return sum(known) / candidate.repetitions if len(known) == len(spent) else None


def _settled(case: Case, chance: float = 1.0) -> Interval | None:
    """Return what the rival is expected to gain over the one in use, where it would be used then.

    A dearer one is used from the margin on, a cheaper one wherever it is ahead; either only if the
    question is settled, which it is with this chance.
    """
    rival = opponent(case.field, case.settlement)
    found = contest(case.field, case.settlement)
    if rival is None or found is None:
        return None
    least = case.stake if rival in case.field.dearer(case.name) else 0.0
    law = law_of(case.field.pairs, rival, case.name, case.field.accuracies)
    value = chance * (law.excess(least) + least * (1 - law.below(least)))
    high = found.high if found.high > least else value
    return Interval(
        value=value, low=0.0, high=max(high, value), estimand=f"0 unless {rival} is to be used"
    )


def _labelled(
    case: Case, action: str, candidate: str | None, gain: Interval | None, labels: int
) -> Move:
    rule = case.field.rule
    hours = label_hours(labels, rule)
    facts = {"action": action, "candidate": candidate, "gain": gain, "labels": labels}
    return _weighed(Move.model_validate({**facts, "hours": hours, "usd": label_usd(labels, rule)}))


def _weighed(move: Move) -> Move:
    if move.gain is None or not move.usd:
        return move
    bought = 100 * move.gain.value * HUNDRED / move.usd
    return move.model_copy(update={"points_per_100_usd": bought})
