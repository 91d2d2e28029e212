"""The conditions of a verdict, each with the figure it was judged on.

PASS and FAIL need the whole interval on that side; anything else is UNKNOWN, and so is what was
not measured, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from choose.judge.choice_stability import (
    halves,
    other_weights,
    under_even_labels,
    under_noise,
    under_views,
)
from choose.judge.credible import BILLIONS, strong
from choose.judge.data_driven import data_driven
from choose.judge.drift import stable
from choose.judge.families import Match, match
from choose.judge.growth import contest, opponent
from choose.judge.intervals import smallest_detectable_gain
from choose.judge.label_gate import clean_labels
from choose.judge.paired import Difference
from choose.judge.record import Gate
from choose.judge.record_audit import Audit
from choose.judge.record_failures import Failures, Overlap
from choose.judge.settle import Field, Settlement, relation
from choose.judge.words import gain, interval, listed, number, plural, points, short
from choose.judge.worth import worth
from choose.types import FAMILIES, Family

# Fewer asked rows than this say nothing about a label.
SUPPORT = 5

# From this share of the error on, repetitions are as much to blame for it as rows are.
LUCKY = 0.5

_OTHERS: tuple[Family, ...] = ("prompting", "retrieval", "fine-tuning")


@dataclass(frozen=True)
class Case:
    """A decided field, and what several gates need of it."""

    field: Field
    settlement: Settlement
    audit: Audit | None = None
    failures: Failures | None = None
    overlap: Overlap | None = None

    @property
    def name(self) -> str:
        """Return the candidate that is chosen, or used meanwhile."""
        return self.settlement.meanwhile

    @property
    def margin(self) -> float:
        """Return the smallest gain that matters where nothing sets two candidates apart in cost."""
        return self.field.rule.margin

    @cached_property
    def stake(self) -> float:
        """Return the smallest gain that matters in the contest that decides."""
        other = opponent(self.field, self.settlement)
        return self.field.margin(other, self.name) if other else self.margin

    @cached_property
    def detectable(self) -> float | None:
        """Return the gain that is found four times in five, in the contest that decides.

        Repetitions limit it as well as rows do.
        """
        return self._finds(with_luck=True)

    @cached_property
    def detectable_by_rows(self) -> float | None:
        """Return the gain that these rows would find if retraining brought no luck."""
        return self._finds(with_luck=False)

    def _finds(self, with_luck: bool) -> float | None:
        found = contest(self.field, self.settlement)
        if found is None:
            return None
        luck = found.error.second / found.largest**2 if with_luck else 0.0
        gain = smallest_detectable_gain(
            found.independent * found.rows, found.discordance, repetition_variance=luck
        )
        return gain * found.largest if gain is not None else None

    def versus(self, families: Sequence[Family], others: Sequence[Family]) -> Match | None:
        """Compare the best of some families with the best of others."""
        sides = [
            [m for m in self.field.order if m.info.family in part] for part in (families, others)
        ]
        return match(self.field.pairs, sides[0], sides[1])


def gates_of(case: Case) -> tuple[Gate, ...]:
    """Return every gate, in the order in which they matter."""
    return (
        _measurable(case),
        _adequate(case),
        _beaten(case),
        credible(case),
        _clean(case),
        stable(case.field.panel, case.name, case.margin),
        data_driven(case.failures, case.margin, case.field.rule.measure.by_rows),
        _gap(case),
        worth(case.field, case.name),
        _robust(case),
    )


def _unmeasured(name: str, why: str) -> Gate:
    return Gate(name=name, status="unknown", evidence=why)


def _measurable(case: Case) -> Gate:
    rows = case.field.panel.rows
    support = np.bincount(rows.targets, minlength=len(rows.labels))
    rare = [label for label, n in zip(rows.labels, support, strict=True) if n < SUPPORT]
    name, count = "task closed and measurable", len(rows.labels)
    if (support > 0).sum() < 2:
        return Gate(name=name, status="fail", evidence="All test rows have one label.")
    if rare:
        return Gate(
            name=name,
            status="unknown",
            evidence=(
                f"{len(rare)} of {count} labels have fewer than {SUPPORT} test rows; their own "
                "figures say little."
            ),
        )
    return Gate(
        name=name,
        status="pass",
        evidence=(f"{count} labels, each with at least {plural(int(support.min()), 'test row')}."),
    )


def _adequate(case: Case) -> Gate:
    name = "labelled set adequate"
    found = contest(case.field, case.settlement)
    if found is None:
        return _unmeasured(name, "There is nothing to compare.")
    detectable = case.detectable
    finds = (
        f"{_rows_and_fits(found)} find a gain of {points(detectable)} four times in five where two "
        "candidates disagree as often as these do"
        if detectable is not None
        else f"{_rows_and_fits(found)} are too few to find the differences seen"
    )
    matters = f"a gain of {points(case.stake)} matters"
    if detectable is not None and detectable <= case.stake:
        return Gate(name=name, status="pass", evidence=f"{finds}; {matters}.")
    if case.settlement.chosen:
        return Gate(
            name=name,
            status="pass",
            evidence=(f"{finds}; {matters}, and the difference found here was large enough."),
        )
    return Gate(name=name, status="fail", evidence=f"{finds}; {matters}.")


def _rows_and_fits(found: Difference) -> str:
    rows = plural(found.rows, "test row")
    return f"{rows} and so few fits" if found.luck >= LUCKY else rows


def _judged(name: str, case: Case, match: Match, evidence: str) -> Gate:
    margin = case.field.margin(match.a, match.b)
    shown = relation(match.found, margin)
    if case.field.margins.derived:
        evidence = f"{evidence} At your prices, {points(margin)} matter."
    if shown == "better":
        return Gate(name=name, status="pass", evidence=evidence)
    failed = shown in ("equivalent", "worse", "not better")
    return Gate(name=name, status="fail" if failed else "unknown", evidence=evidence)


def _sentence(found: Match) -> str:
    if not found.chosen:
        return f"{gain(found.a, found.b, found.found)}."
    return (
        f"{gain(found.a, found.b, found.found)}, each standing for the best of its kind, "
        "whichever that is."
    )


def _beaten(case: Case) -> Gate:
    found = case.versus(_OTHERS, ("baseline",))
    name = "baselines beaten"
    if found is None:
        return _unmeasured(name, "Nothing but baselines was measured, or no baseline.")
    return _judged(name, case, found, _sentence(found))


def _gap(case: Case) -> Gate:
    name = "gap closed"
    others = tuple(family for family in FAMILIES if family != "fine-tuning")
    found = case.versus(("fine-tuning",), others)
    if found is None:
        return _unmeasured(name, "Fine-tuning or everything else was not measured.")
    return _judged(name, case, found, _sentence(found))


def credible(case: Case) -> Gate:
    """Say whether a verdict against prompting is more than a verdict against a small model."""
    name, field = "contenders credible", case.field
    prompted = [m for m in field.order if m.info.family in ("prompting", "retrieval")]
    if not prompted:
        return _unmeasured(
            name, "No prompted model was measured, so nothing is known of prompting and retrieval."
        )
    models = listed(sorted({short(m.info.model) for m in prompted if m.info.model}))
    if not any(strong(m.info) for m in prompted):
        return _unmeasured(
            name,
            (
                f"Prompting and retrieval were measured with {models or 'an unnamed model'}; a "
                f"model of {number(BILLIONS)} billion parameters or an endpoint may do better."
            ),
        )
    best = max(
        (m.info.name for m in prompted if strong(m.info)), key=lambda n: field.accuracies[n].value
    )
    floor = [n for n in field.names if field.panel[n].info.strategy in ("majority", "knn")]
    short_of = [n for n in floor if field.relation(best, n) != "better"]
    if short_of:
        found = field.gain(best, short_of[0])
        said = gain(best, short_of[0], found) if found else f"{best} shares no row with it"
        return _unmeasured(name, f"{said}, so the model {models} may not have understood the task.")
    return Gate(
        name=name,
        status="pass",
        evidence=(f"{best} with {models} is clearly above {listed(floor) or 'nothing simpler'}."),
    )


def _clean(case: Case) -> Gate:
    rows = case.field.panel.rows
    return clean_labels(case.audit, int(rows.conflicting.sum()), len(rows.targets))


def _robust(case: Case) -> Gate:
    name = "robust"
    if len(case.field.names) < 2:
        return _unmeasured(name, "There is nothing to compare.")
    share = halves(case.field, case.name)
    rate, noisy = under_noise(case.field, case.name)
    views, viewed = under_views(case.field, case.name)
    uneven, evened = under_even_labels(case.field, case.name)
    for found in (noisy, viewed, evened):
        if found is not None:
            return Gate(
                name=name,
                status="fail",
                evidence=(
                    f"{found.where[0].upper()}{found.where[1:]}, {found.rival} is "
                    f"{points(found.found.value)} ahead of {case.name} ({interval(found.found)})."
                ),
            )
    parts = [
        f"the choice of {case.name} stands in {100 * share:.0f} of 100 random halves of the "
        "test rows"
    ]
    held = [f"with {100 * rate:g} % of the labels made wrong"] if rate else []
    held += [f"on questions with {listed(views)}"] if views else []
    held += [other_weights(case.field)] if uneven else []
    parts += [f"nobody is ahead for certain {' or '.join(held)}"] if held else []
    missing = [what for what, there in (("label noise", rate), ("views", views)) if not there]
    parts += [f"not measured: {listed(missing)}"] if missing else []
    text = "; ".join(parts)
    passed = share >= 0.8 and not missing
    return Gate(
        name=name, status="pass" if passed else "unknown", evidence=f"{text[0].upper()}{text[1:]}."
    )
