"""The gate of a choice that stands whatever the rows, the labels, the questions or the weights."""

from __future__ import annotations

from choose.judge.case import Case
from choose.judge.choice_stability import (
    halves,
    other_weights,
    under_even_labels,
    under_noise,
    under_views,
)
from choose.judge.record import Gate
from choose.judge.words import interval, listed, points


def robust(case: Case) -> Gate:
    """Say whether the choice stands in halves of the rows, under noise, in views, reweighted."""
    name = "robust"
    if len(case.field.names) < 2:
        return Gate(name=name, status="unknown", evidence="There is nothing to compare.")
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
