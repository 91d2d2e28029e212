"""Whether the score follows what people value: the gate "metric validated", and what follows.

It needs people's ratings of answers. A metric that calls the wrong candidate better, or hardly
follows the ratings row by row, fails; the candidate to use is then the one that people prefer.
"""

from __future__ import annotations

from choose.formatting import in_percent, number, plural
from choose.judge.decision.contenders import Contenders
from choose.judge.decision.rule import Case, Selection, deciding_rival
from choose.judge.evidence import BriefAnswers, Evidence
from choose.judge.measures.human_ratings import ENOUGH, rating_figures
from choose.schema.base import Interval
from choose.schema.decision import Gate
from choose.schema.text_scores import JUDGE, MetricAgreement, RatedPair, RatingFigures

NAME = "metric validated"

# Rows rated by two people or more that a metric is validated on.
NEEDED = 50

# The chance, over all rated pairs together, of a preference that people do not have.
LEVEL = 0.05

# A metric whose correlation with people is surely below this hardly follows them: it explains less
# than a tenth of how their ratings differ.
WEAK = 0.3


def long_answers(evidence: Evidence) -> float | None:
    """Return the median words of right answers to questions where these are texts, else None."""
    items, task = evidence.items, evidence.task
    if not isinstance(task, BriefAnswers):
        return None
    pairs = zip(items.ids, items.targets, strict=True)
    return task.long_words([(text, *items.accepted.get(id, ())) for id, text in pairs])


def not_validated(case: Case) -> str:
    """Say that a score by shared words may not fit long answers; empty where ratings show it.

    Ratings that show that it does not fit are another limit.
    """
    if case.long_answers is None or metric_validated(case).status != "unknown":
        return ""
    return (
        f"it is not shown that {case.words.score} follows what readers value of answers as long "
        f"as these ({number(case.long_answers)} words)"
    )


def ratings_of(
    evidence: Evidence, contenders: Contenders, selection: Selection
) -> RatingFigures | None:
    """Return what ratings say of the candidate to use by the score, against the deciding rival."""
    if evidence.ratings is None and evidence.model_ratings is None:
        return None
    rival, best = deciding_rival(contenders, selection), contenders.best.values()
    others = [*([rival] if rival else []), *best, *contenders.names]
    others = [name for name in dict.fromkeys(others) if name not in contenders.constants]
    return rating_figures(evidence, contenders.panel, selection.interim, others)


def rated_pair(figures: RatingFigures | None) -> RatedPair | None:
    """Return the pair of candidates that the verdict is about, if people rated it.

    It is the one that overrules the score, or else that of the deciding rival.
    """
    return overruling(figures) or (figures.pairs[0] if figures and figures.pairs else None)


def by_people(pair: RatedPair) -> Interval:
    """Return the difference that people see: with the model that rates, or else the headline."""
    judged = [one for one in pair.metrics if one.metric == JUDGE]
    return (judged or [*pair.metrics[:1]])[0].calibrated if pair.metrics else pair.people


def surely_preferred(pair: RatedPair) -> str | None:
    """Return which of the two people surely prefer, all pairs counted; None for neither.

    Too few rated rows prefer neither.
    """
    if pair.rows < ENOUGH or pair.p_holm is None or pair.p_holm >= LEVEL:
        return None
    return pair.a if by_people(pair).value > 0 else pair.b


def overruling(figures: RatingFigures | None) -> RatedPair | None:
    """Return the pair of which people surely prefer the rival, which the metric does not show.

    Of several it is that of the rival whom they prefer most.
    """
    found = [
        pair
        for pair in (figures.pairs if figures is not None else ())
        if pair.metrics and surely_preferred(pair) == pair.b
        if (high := pair.metrics[0].rated.high) is not None and high >= 0
    ]
    return min(found, key=lambda pair: by_people(pair).value, default=None)


def confirmed(figures: RatingFigures | None) -> bool:
    """Return whether people surely prefer the candidate that the verdict names."""
    pair = rated_pair(figures)
    return pair is not None and surely_preferred(pair) == pair.a


def disagrees(pair: RatedPair) -> bool:
    """Return whether the headline metric surely contradicts people, or surely hardly follows."""
    if not pair.metrics or pair.rows < ENOUGH:
        return False
    metric, people = pair.metrics[0], pair.people
    low, high = metric.rated.low or 0.0, metric.rated.high or 0.0
    opposite = ((people.low or 0.0) > 0 > high) or ((people.high or 0.0) < 0 < low)
    together = metric.correlation
    weak = together is not None and together.high is not None and together.high < WEAK
    return opposite or (weak and _raters_agree(pair))


def _raters_agree(pair: RatedPair) -> bool:
    """Return whether people's ratings surely go together; else no metric could follow them."""
    return pair.together is not None and (pair.together.low or 0.0) > 0


def metric_validated(case: Case) -> Gate:
    """Judge whether people's ratings agree with the headline metric."""
    name, pair = case.words.score, rated_pair(case.ratings)
    if pair is None:
        return Gate(name=NAME, status="unknown", evidence=_nobody(case, name))
    assert case.ratings is not None
    said = f"{people_sentence(pair, case.ratings.scale)} {_follows(pair, name)}"
    if case.overruled or disagrees(pair):
        return Gate(name=NAME, status="fail", evidence=f"{said} The two do not agree.")
    if lacks := _lacks(pair):
        return Gate(name=NAME, status="unknown", evidence=f"{said} {lacks}")
    return Gate(name=NAME, status="pass", evidence=said)


def _nobody(case: Case, metric: str) -> str:
    if case.ratings is not None and case.ratings.answers:
        return (
            f"People rated {plural(case.ratings.answers, 'answer')}, but too few of {case.name} "
            "and of the same rival to compare them."
        )
    long = case.long_answers
    words = "" if long is None else f"Right answers have {number(long)} words (median). "
    return (
        f"{words}No person has rated answers, so whether {metric} follows what readers value is "
        "unknown. choose rate writes a sheet for that."
    )


def _lacks(pair: RatedPair) -> str:
    """Say what keeps agreement from being shown; empty if nothing does."""
    if not pair.metrics:
        return "Agreement is unknown."
    metric, people = pair.metrics[0], pair.people
    together = metric.correlation
    if pair.raters < 2:
        return (
            "One person rated them: another may rate otherwise, which the interval allows for. "
            f"Have {NEEDED} rows rated by two."
        )
    if pair.twice < NEEDED:
        verb = "has" if pair.twice == 1 else "have"
        return f"{plural(pair.twice, 'row')} {verb} two raters; {NEEDED} are needed."
    if pair.together is not None and not _raters_agree(pair):
        return (
            "Two people's ratings of the same rows do not surely go together (correlation "
            f"{number(pair.together.value, 2)}), so no score can be held to them."
        )
    if (people.low or 0.0) <= 0 <= (people.high or 0.0):
        return "Without a preference, there is no order for the score to agree with."
    if metric.rated.value * people.value <= 0 or together is None or (together.low or 0.0) <= 0:
        return "Agreement is not shown."
    return ""


def people_sentence(pair: RatedPair, scale: tuple[float, float]) -> str:
    """Say which of two candidates people prefer, by how much."""
    found = by_people(pair)
    a, b = (pair.a, pair.b) if found.value >= 0 else (pair.b, pair.a)
    size = found if found.value >= 0 else found.negated()
    low, high = size.low or 0.0, size.high or 0.0
    rows = f"{plural(pair.rows, 'row')} rated by {plural(pair.raters, 'person')}"
    rows = rows.replace("persons", "people")
    unsure = "" if surely_preferred(pair) else _unsure(pair, a, b)
    if pair.preferred:
        ends = " to ".join(in_percent(end).removesuffix(" %") for end in (low, high))
        who = f"{unsure}they chose {a}" if unsure else f"People prefer {a} to {b}"
        return (
            f"{who} in {in_percent(size.value)} more of the rows than the other way round "
            f"({ends}; {rows})."
        )
    times = scale[1] - scale[0]
    value, ends = (
        number(times * size.value, 2),
        " to ".join(number(times * end, 2) for end in (low, high)),
    )
    who = f"{unsure}they rate {a}" if unsure else f"People rate {a}"
    than = "" if unsure else f" than {b}"
    return (
        f"{who} {value} higher{than} ({ends}; {rows}, from {number(scale[0])} to "
        f"{number(scale[1])})."
    )


def _unsure(pair: RatedPair, a: str, b: str) -> str:
    found, few = by_people(pair), ""
    if pair.rows < ENOUGH:
        few = f", and fewer than {ENOUGH} rows decide nothing"
    elif (found.low or 0.0) > 0 or (found.high or 0.0) < 0:
        few = ", as several pairs were rated and one may differ by chance"
    return f"People are not shown to prefer {a} or {b}{few}: "


def _follows(pair: RatedPair, name: str) -> str:
    """Say what the headline metric says of the same rows, and how far it follows people."""
    if not pair.metrics:
        return "The metric has no scores of these rows."
    metric: MetricAgreement = pair.metrics[0]
    value = 100 * metric.rated.value
    of = f"On these rows {name} is {number(abs(value))} points "
    of += f"{'higher' if value >= 0 else 'lower'} for {pair.a}"
    together = metric.correlation
    if together is None or together.low is None or together.high is None:
        return f"{of}; whether it follows people row by row is unknown."
    ends = f"{number(together.low, 2)} to {number(together.high, 2)}"
    return f"{of}; its differences correlate with theirs by {number(together.value, 2)} ({ends})."
