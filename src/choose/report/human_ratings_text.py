"""What every form of a report says of people's ratings, and of a model's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from choose.formatting import DASH, clean, in_percent, listed, number, plural
from choose.report.reading_text import TextTable
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.score_names import NAMES
from choose.schema.text_scores import JUDGE, MetricAgreement, RatedPair

HEADS = [
    "by",
    "difference (95 % CI)",
    "correlation with people",
    "people, made surer by it",
    "weight",
    "as sure as",
]


def rating_tables(decision: Decision) -> Iterator[TextTable]:
    """Yield the mean ratings of candidates, and each pair of them by people and by each metric."""
    found = decision.ratings
    if found is None:
        return
    names = [c.candidate for c in decision.scorecards if c.candidate in {*found.means}]
    names += [name for name in found.judged if name not in names]
    if names:
        rows = [
            [clean(n), _mean(found.means.get(n), found.scale), _mean(found.judged.get(n), (1, 5))]
            for n in names
        ]
        yield TextTable("Mean rating", ["candidate", "by people", "by the model"], rows)
    for pair in found.pairs:
        title = f"{clean(pair.a)} minus {clean(pair.b)}, by people and by metrics"
        rows = [_people(pair), *(_metric(one) for one in pair.metrics)]
        yield TextTable(title, HEADS, rows)


def rating_notes(decision: Decision) -> Iterator[str]:
    """Yield who rated, how far raters agree, and how the figures are to be read."""
    found = decision.ratings
    if found is None:
        return
    if found.raters:
        agree = "" if found.same is None else f"; two raters agree on {in_percent(found.same)}"
        yield (
            f"{plural(found.answers, 'answer')} rated by "
            f"{listed([clean(name) for name in found.raters[:6]])}{agree}."
        )
    if found.unknown:
        yield (
            f"{plural(found.unknown, 'rating')} are of answers that this study does not have any "
            "more; a new sheet (choose rate) has the present ones."
        )
    if found.judge is not None:
        checked = any(one.metric == JUDGE for pair in found.pairs for one in pair.metrics)
        trust = "" if checked else " No person's ratings check it, so it decides nothing."
        bad = f" It gave no rating to {plural(found.unusable, 'answer')}." if found.unusable else ""
        yield f"The model that rates is {clean(found.judge)}.{bad}{trust}"
    if found.pairs:
        yield from _on_pairs(found.pairs)
        yield (
            "Made surer: the difference by people over all rows, where the metric replaces "
            "rows without ratings and is corrected by those with ratings (PPI++). As sure as: so "
            "many rated rows alone would have such an interval."
        )


def _on_pairs(pairs: Sequence[RatedPair]) -> Iterator[str]:
    scale = ", of a score from 0 to 100; the worst rating is 0, the best 100"
    compared = "people's are the rows of 100 on which they prefer the first, less the others"
    if all(pair.preferred for pair in pairs):
        scale = f"; {compared}"
    elif any(pair.preferred for pair in pairs):
        scale += f"; where answers were compared, {compared}"
    equal = sorted(pair.equal for pair in pairs)
    shares = dict.fromkeys(in_percent(share) for share in (equal[0], equal[-1]))
    yield (
        f"Differences are in points{scale}. Rows with the same answer "
        f"({' to '.join(shares)}) count as 0."
    )
    if len(pairs) > 1:
        yield (
            "Intervals are of each pair alone; a preference counts if it is shown with all "
            "pairs adjusted together (Holm)."
        )


def _people(pair: RatedPair) -> list[str]:
    return ["people", _points(pair.people), DASH, DASH, DASH, f"{pair.rows:,} rows"]


def _metric(one: MetricAgreement) -> list[str]:
    together = one.correlation
    shown = DASH
    if together is not None:
        low, high = (number(end or 0.0, 2) for end in (together.low, together.high))
        shown = f"{number(together.value, 2)} ({low} to {high})"
    return [
        NAMES.get(one.metric, clean(one.metric)),
        _points(one.rated),
        shown,
        _points(one.calibrated),
        number(one.weight, 2),
        f"{one.effective:,.0f} rows",
    ]


def _points(figure: Interval) -> str:
    low, high = (number(100 * (end or 0.0)) for end in (figure.low, figure.high))
    return f"{number(100 * figure.value)} ({low} to {high})"


def _mean(value: float | None, scale: tuple[float, float]) -> str:
    return DASH if value is None else number(scale[0] + value * (scale[1] - scale[0]), 2)
