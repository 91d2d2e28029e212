"""What all answers together say of the true scores of all candidates, and the least expected loss.

The scores of a row are taken as a draw from a normal distribution over candidates, and what was not
asked as missing: the likeliest mean adjusts each candidate by what the others did on the rows that
it lacks (the regression estimate of survey sampling). A candidate that learned from part of the
labels counts with what it promises with all of them (`promised_score`); one that answered no row
has the distribution that its family and the common level leave it.

The mean is drawn toward a common level, whose own prior is flat, and members of one family toward
each other. How far families and members lie apart is not known beforehand, so the distribution is a
mixture over a few such widths (`WIDTHS`), each weighed by how well it foretold the measured means.

While a comparison is open, the candidate of least expected loss is used. Using one that is behind
by more than the margin loses what lies beyond the margin. Using the costlier of two where it gains
less than the margin loses `NEEDLESS` of the margin.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import log
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtrit

from choose.judge.evidence import CandidateInfo
from choose.judge.scores.paired_comparison import ASSUMED_SD
from choose.judge.scores.promised_score import NONE, Normal, promised_gains
from choose.judge.scores.score_tables import CandidateScores, ScoredRows
from choose.stats.two_way import Mask, fits_a_row, row_means
from choose.types import Floats

Places = npt.NDArray[np.int64]

# Standard deviation of true differences between two candidates, as a fraction of the rows, where
# nothing but the difference is looked at.
SPREAD = 0.1


class Width(NamedTuple):
    """A prior of how far candidates lie apart, and its share before anything is measured.

    `families` is the standard deviation of a family's true score around the common level, `members`
    that of a member's around its family's, and `apart` that of any one candidate around all
    others; 0 if none lies apart.
    """

    share: float
    families: float
    members: float
    apart: float = 0.0


# On the stored answers of real sets, the best of the families lie apart by 0.09 to 0.3, members of
# one family by 0.02 to 0.2. With the last two widths, four of five differences are below the usual
# margin, but for one candidate: else the more candidates are alike, the more would the lead of
# another be taken for chance.
WIDTHS = (
    Width(0.87, 0.15, 0.05),
    Width(0.09, 0.15, 0.2),
    Width(0.03, 0.01, 0.005),
    Width(0.01, 0.01, 0.005, apart=0.15),
)

# Widths that are less probable than this share of the likeliest are left out.
NEGLIGIBLE = 0.001

# Variance of the prior of the common level: so much that the level is the data's own.
FLAT = 1.0

# Imaginary rows, and how strongly two candidates are right on the same rows there: few common rows
# tell little of that.
IMAGINARY_ROWS, IMAGINARY_CORRELATION = 20.0, 0.35

# Imaginary answers, half of them right, so that no score is certain.
IMAGINARY_ANSWERS = 2.0

# Degrees of freedom that the assumed variance between fits is worth.
TRUST = 4.0

# Least variance of any sum of scores in a row.
LEAST_VARIANCE = 1e-4

# Expected losses that differ by less are equal: by rounding, since with a margin of 0 nothing else
# tells which candidate is cheaper; where chances tell them apart, by a tenth of the usual margin.
ROUNDING, NEAR = 1e-9, 0.002

# Points of a distribution at which losses are averaged, or twice as many as it has candidates; as
# many again lie opposite to them.
POINTS = 1024

# Ends of a study that are looked at, and the share of a turn by which others are ordered.
ENDS, GOLDEN = 128, 0.6180339887

# What is lost by paying for a gain of less than the margin, as a share of the margin: from nothing
# to all of it, depending on the gain. More costs accuracy on replayed decisions on real sets, and
# lets the family change more often as a budget grows; less is paid for nothing more often.
NEEDLESS = 0.2


class Whole(NamedTuple):
    """What a study is going to measure of a candidate.

    Attributes:
        rows: test rows; perhaps more than there are now.
        repetitions: of its answers.
        labels: rows that it will have learned from.
    """

    rows: int
    repetitions: int
    labels: int = 0


class Part(NamedTuple):
    """A normal distribution of true scores, and its share of a mixture.

    Of several ends of a study, `share` is (ends,) and `mean` (ends, candidates).
    """

    share: Floats
    mean: Floats
    covariance: Floats


@dataclass(frozen=True, eq=False)
class JointDistribution:
    """A distribution of the true scores of some candidates: a mixture of normal ones.

    Attributes:
        names: of the candidates.
        parts: of the mixture; their shares add up to 1.
        ends: of the mixtures that may be known once all that is planned was measured.
    """

    names: tuple[str, ...]
    parts: tuple[Part, ...]
    ends: tuple[Part, ...] = ()

    @cached_property
    def points(self) -> tuple[Floats, Floats]:
        """Return (points, candidates) scores drawn from it, always the same, and their weights."""
        normal = normal_points(len(self.names))
        roots = [np.linalg.cholesky(part.covariance) for part in self.parts]
        each = zip(self.parts, roots, strict=True)
        scores = np.concatenate([part.mean + normal @ root.T for part, root in each])
        weights = np.repeat([float(part.share) / len(normal) for part in self.parts], len(normal))
        return scores, np.asarray(weights)


def joint_distribution(
    candidates: Sequence[CandidateScores],
    rows: ScoredRows,
    planned: Mapping[str, Whole] = MappingProxyType({}),
    *,
    promises: bool = True,
) -> JointDistribution:
    """Return that of the true scores of some candidates, at least one of which answered a row.

    Those without an answer have the distribution that the others leave them. `planned` is by
    candidate what will have been measured at the end, for `ends`. With `promises`, what labels
    promise that a candidate has not learned from counts.
    """
    seen = _measured(candidates, rows)
    infos = [c.info for c in candidates]
    names, priors = tuple(i.name for i in infos), [*_priors(infos, WIDTHS)]
    now, everyone = seen.known, np.arange(len(candidates))
    promised = promised_gains(candidates) if promises else {}
    gains = [promised.get(name, NONE) for name in names]
    parts = _with_gains(_mixture(priors, now, everyone), gains)
    if not planned:
        return JointDistribution(names, parts)
    later = _Later(candidates, now.place, planned)
    final = later.error(seen)
    measured = points_of(_mixture(priors, now, later.place, final), ENDS)[0]
    ends = _mixture(priors, Known(later.place, measured, final), everyone)
    return JointDistribution(names, parts, _with_gains(ends, gains, later.gains))


def clear_leads(candidates: Sequence[CandidateScores], rows: ScoredRows) -> set[tuple[str, str]]:
    """Return the pairs of candidates of which the first surely scores more, at two-sided 5 %.

    By answers alone, and by all of them: what 600 rows tell of a reference counts, though another
    answered only 25 of these. Documents with several rows count as one each.
    """
    seen = _measured(candidates, rows)
    mean, error = seen.known.mean, seen.known.error
    names = [candidates[place].info.name for place in seen.known.place]
    known, of = ~np.isnan(seen.scores), np.asarray(rows.clusters or range(len(seen.scores)))
    count = np.array([len(np.unique(of[own])) for own in known.T])
    variance = np.add.outer(np.diag(error), np.diag(error)) - 2 * error
    least = (np.minimum.outer(count, count) - 1).clip(1)
    higher = np.subtract.outer(mean, mean) > stdtrit(least, 0.975) * np.sqrt(variance.clip(0.0))
    return {(names[a], names[b]) for a, b in np.argwhere(higher).tolist()}


class Known(NamedTuple):
    """Places of candidates, their likeliest means, and covariances of these.

    The means may be those of several ends: (ends, candidates).
    """

    place: Places
    mean: Floats
    error: Floats


class _Measured(NamedTuple):
    """The (rows, candidates) scores of those that answered, and what they alone say.

    `weights` are of rows, `within` the covariances of a row's scores, `inflation` by how much
    clusters widen the errors of means; scores that were not measured are NaN.
    """

    scores: Floats
    weights: Floats
    within: Floats
    inflation: Floats
    known: Known


def _measured(candidates: Sequence[CandidateScores], rows: ScoredRows) -> _Measured:
    answered = [c for c in candidates if c.main is not None]
    scores = np.stack([row_means(c.main.right) for c in candidates if c.main is not None], axis=1)
    weights = np.ones(len(scores)) if rows.weights is None else rows.weights
    # Rows of unequal weight tell as much as fewer rows of equal weight (Kish 1965).
    weights = weights * weights.sum() / (weights @ weights)
    within = _covariance_of_rows(scores, weights)
    mean, error = _likeliest(scores, weights, within)
    inflation = np.sqrt(_design_effects(scores, weights, rows.clusters))
    error = error * np.outer(inflation, inflation) + np.diag([_between_fits(c) for c in answered])
    place = np.array([i for i, c in enumerate(candidates) if c.main is not None])
    return _Measured(scores, weights, within, inflation, Known(place, mean, error))


def _with_gains(
    parts: Sequence[Part], gains: Sequence[Normal], left: Sequence[Normal] | None = None
) -> tuple[Part, ...]:
    """Return distributions of scores with all labels, from those of scores with the labels so far.

    A gain is added to what the answers say and not taken for one of them: doubt about it takes
    nothing from a score that was measured. Of ends, the gains `left` are still doubtful then; what
    was gained until then differs from end to end.
    """
    mean, now = np.array(gains).T
    then = now if left is None else np.array(left)[:, 1]
    if left is not None:
        count = len(parts[0].mean)
        # In another order than the ends have, of which they are independent.
        order = np.argsort(np.arange(count) * GOLDEN % 1.0)
        mean = mean + normal_points(len(now), count)[order] * np.sqrt((now - then).clip(0.0))
    each = ((part.share, part.mean + mean, part.covariance) for part in parts)
    return tuple(Part(share, raised, old + np.diag(then)) for share, raised, old in each)


def _mixture(
    priors: Sequence[tuple[float, Floats]], known: Known, place: Places, error: Floats | float = 0.0
) -> tuple[Part, ...]:
    """Return a distribution for each prior, weighed by how well it foretold what is known.

    Args:
        priors: of true scores, with their shares.
        known: of some candidates.
        place: of the candidates, those among them, of which the distribution is.
        error: covariances of the means of these that will be measured. What is known now is known
            then too: its error is this one, and more that is independent of it. 0 for true scores.
    """
    found, likelihoods, among = [], [], np.searchsorted(place, known.place)
    # The prior of the level is so wide that its own middle does not matter.
    gap = known.mean - 0.5
    for share, prior in priors:
        total = prior[np.ix_(known.place, known.place)] + known.error
        wanted = prior[np.ix_(place, place)] + error
        slope = wanted[:, among] @ np.linalg.inv(total)
        covariance = wanted - slope @ wanted[among]
        found.append((0.5 + gap @ slope.T, (covariance + covariance.T) / 2))
        surprise = np.linalg.slogdet(total)[1] + (gap.T * np.linalg.solve(total, gap.T)).sum(axis=0)
        likelihoods.append(log(share) - surprise / 2)
    shares = np.exp(np.array(likelihoods) - np.max(likelihoods, axis=0))
    shares[shares < NEGLIGIBLE] = 0.0
    each = zip(shares / shares.sum(axis=0), found, strict=True)
    return tuple(Part(share, *part) for share, part in each if share.any())


def points_of(parts: Sequence[Part], least: int) -> Floats:
    """Return (ends, points, candidates) scores drawn from mixtures, always the same.

    One more dimension of the points tells which part each is of.
    """
    normal = normal_points(parts[0].mean.shape[-1] + 1, least)
    bounds = np.cumsum([np.atleast_1d(part.share) for part in parts], axis=0)[:-1]
    of = (ndtr(normal[:, -1]) > bounds[..., None]).sum(axis=0)
    means = np.stack([np.atleast_2d(part.mean) for part in parts], axis=1)
    # The symmetric root of each covariance, as signs of eigenvectors differ between processors; a
    # direction that rounding made negative has no variance.
    roots = [np.linalg.eigh(part.covariance) for part in parts]
    apart = np.stack([normal[:, :-1] @ (v * np.sqrt(w.clip(0.0))) @ v.T for w, v in roots])
    end, point = np.indices(of.shape, sparse=True)
    return np.asarray(means[end, of] + apart[of, point])


@dataclass(frozen=True)
class _Later:
    """Candidates of which more is going to be measured, those `answered` so far among them."""

    candidates: Sequence[CandidateScores]
    answered: Places
    planned: Mapping[str, Whole]

    @property
    def place(self) -> Places:
        """Return the places of all candidates that will have answered a row at the end."""
        names = [c.info.name for c in self.candidates]
        ahead = {i for i, n in enumerate(names) if self.planned.get(n, Whole(0, 0)).rows}
        return np.array(sorted(ahead | {*self.answered.tolist()}))

    @property
    def gains(self) -> list[Normal]:
        """Return what is promised at the end with the labels that are not learned from then."""
        labels = {name: whole.labels for name, whole in self.planned.items()}
        return [*promised_gains(self.candidates, labels).values()]

    def error(self, seen: _Measured) -> Floats:
        """Return covariances of means at the end, of the candidates at `place`.

        Rows answered so far are among those answered then, and who answers fewer rows answers the
        same as the others, as studies ask them. A new candidate's rows vary like the others'.
        """
        lifts = np.full(len(self.candidates), seen.inflation.mean())
        lifts[self.answered] = seen.inflation
        share, spread = np.zeros(len(self.candidates)), self._all(seen.within)
        share[self.answered] = (~np.isnan(seen.scores) * seen.weights[:, None]).sum(axis=0)
        fits = np.zeros(len(self.candidates))
        a_row = seen.weights.sum() / len(seen.weights)
        for i, candidate in enumerate(self.candidates):
            whole = self.planned.get(candidate.info.name, Whole(0, 0))
            share[i] = max(share[i], whole.rows * a_row)
            fits[i] = _between_fits(candidate, whole.repetitions)
        place = self.place
        found = np.zeros((len(place), len(place)))
        ends = np.unique(share[place])
        for first, last in zip([0.0, *ends.tolist()], ends.tolist(), strict=False):
            both = np.flatnonzero(share[place] >= last)
            own = place[both]
            found[np.ix_(both, both)] += (last - first) * np.linalg.inv(spread[np.ix_(own, own)])
        error = np.linalg.inv(found) * np.outer(lifts[place], lifts[place])
        return np.asarray(error + np.diag(fits[place]))

    def _all(self, within: Floats) -> Floats:
        """Return covariances of a row's scores, with those expected of who answered nothing."""
        own = np.full(len(self.candidates), np.diag(within).mean())
        own[self.answered] = np.diag(within)
        found = IMAGINARY_CORRELATION * np.sqrt(np.outer(own, own))
        np.fill_diagonal(found, own)
        found[np.ix_(self.answered, self.answered)] = within
        values, vectors = np.linalg.eigh(found)
        return np.asarray((vectors * np.maximum(values, LEAST_VARIANCE)) @ vectors.T)


def _priors(
    infos: Sequence[CandidateInfo], widths: Sequence[Width]
) -> Iterator[tuple[float, Floats]]:
    """Yield priors of true scores with their shares; one a candidate that may stand apart."""
    able = [place for place, info in enumerate(infos) if not info.floor]
    for width in widths:
        if not width.apart or not able:
            yield width.share, _prior(infos, width)
            continue
        for place in able:
            prior = _prior(infos, width)
            prior[place, place] += width.apart**2
            yield width.share / len(able), prior


def _prior(infos: Sequence[CandidateInfo], width: Width) -> Floats:
    """Return (candidates, candidates) covariances of true scores before anything is measured.

    Floors say nothing of the others: they are of no family, and have no common level.
    """
    families = [info.name if info.floor else info.family for info in infos]
    alike = np.equal.outer(families, families)
    reads = np.array([not info.floor for info in infos])
    apart = width.families**2 * alike + width.members**2 * np.eye(len(infos))
    return np.where(np.logical_and.outer(reads, reads), FLAT + apart, FLAT * np.eye(len(infos)))


def _covariance_of_rows(scores: Floats, weights: Floats) -> Floats:
    known = ~np.isnan(scores)
    shares = known * weights[:, None]
    counts = shares.sum(axis=0)
    total = (shares * np.nan_to_num(scores)).sum(axis=0)
    level = (total + IMAGINARY_ANSWERS / 2) / (counts + IMAGINARY_ANSWERS)
    gaps = np.where(known, scores - level, 0.0)
    products = (gaps * weights[:, None]).T @ gaps
    own = (IMAGINARY_ANSWERS * level * (1 - level) + np.diag(products)) / (
        IMAGINARY_ANSWERS + counts
    )
    both = shares.T @ known
    imagined = IMAGINARY_ROWS * IMAGINARY_CORRELATION * np.sqrt(np.outer(own, own))
    found = (imagined + products) / (IMAGINARY_ROWS + both)
    np.fill_diagonal(found, own)
    # Each covariance is of other rows, so that they may contradict each other.
    values, vectors = np.linalg.eigh(found)
    return np.asarray((vectors * np.maximum(values, LEAST_VARIANCE)) @ vectors.T)


def _likeliest(scores: Floats, weights: Floats, within: Floats) -> tuple[Floats, Floats]:
    """Return the likeliest mean of rows of which some scores are missing, and its covariance."""
    known = ~np.isnan(scores)
    information, pull = np.zeros_like(within), np.zeros(len(within))
    first, of_row = _alike(known)
    for number, pattern in enumerate(known[first]):
        here, place = of_row == number, np.flatnonzero(pattern)
        if len(place):
            inverse = np.linalg.inv(within[np.ix_(place, place)])
            information[np.ix_(place, place)] += weights[here].sum() * inverse
            pull[place] += inverse @ (weights[here] @ scores[here][:, place])
    error = np.asarray(np.linalg.inv(information), dtype=np.float64)
    return np.asarray(error @ pull), error


def _alike(known: Mask) -> tuple[Places, Places]:
    """Return the first row of each pattern, in the order of `numpy.unique`, and each row's pattern.

    Rows are compared as bytes: as columns they take a hundred times as long.
    """
    packed = np.packbits(known, axis=1)
    whole = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, of_row = np.unique(whole, return_index=True, return_inverse=True)
    return first, of_row


def _design_effects(scores: Floats, weights: Floats, clusters: tuple[str, ...] | None) -> Floats:
    """Return (candidates,) by how much clusters of rows multiply the variance of a mean.

    Where a candidate's rows are worth fewer than two clusters, nothing tells how clusters differ,
    and each counts as one row.
    """
    if clusters is None:
        return np.ones(scores.shape[1])
    known = ~np.isnan(scores)
    means = np.nansum(scores * weights[:, None], axis=0) / (known * weights[:, None]).sum(axis=0)
    gaps = np.where(known, scores - means, 0.0) * weights[:, None]
    place = np.unique(np.asarray(clusters), return_inverse=True)[1].ravel()
    sums = np.zeros((int(place.max()) + 1, scores.shape[1]))
    np.add.at(sums, place, gaps)
    alone = np.maximum((gaps**2).sum(axis=0), 1e-12)
    sizes = np.zeros_like(sums)
    np.add.at(sizes, place, known * weights[:, None])
    squares = ((known * weights[:, None]) ** 2).sum(axis=0)
    few = sizes.sum(axis=0) ** 2 < 2 * (sizes**2).sum(axis=0)
    found = np.where(few, (sizes**2).sum(axis=0) / squares, (sums**2).sum(axis=0) / alone)
    return np.asarray(np.maximum(found, 1.0))


def _between_fits(candidate: CandidateScores, repetitions: int = 0) -> float:
    """Return what the variance between fits adds to that of a candidate's mean score.

    There will be `repetitions` at the end, where they are more than now.
    """
    if not candidate.repeats:
        return 0.0
    count, seen = 1.0, 0.0
    if candidate.main is not None:
        right, known = candidate.main.right, ~np.isnan(candidate.main.right)
        # A repetition is compared on the rows that another answered too, and counts as their share.
        again = known & (known.sum(axis=1) > 1)[:, None]
        off = np.where(again, right - row_means(right)[:, None], 0.0).sum(axis=0)
        seen = float((off**2 / np.maximum(again.sum(axis=0), 1)).sum() / known.any(axis=1).sum())
        count = fits_a_row(right)
    variance = (TRUST * ASSUMED_SD**2 + seen) / (TRUST + count - 1)
    return variance / max(count, repetitions)


@cache
def normal_points(dimensions: int, least: int = 2 * POINTS) -> Floats:
    """Return (points, dimensions) points that are spread like a standard normal distribution.

    They are multiples of irrational steps (Roberts 2018), turned so that their covariances are
    exact, and no random numbers, so that versions of a library cannot change a decision.
    """
    step = 2.0
    for _ in range(64):
        step = (1 + step) ** (1 / (dimensions + 1))
    steps = step ** -np.arange(1.0, dimensions + 1)
    count = max(least // 2, 2 * dimensions)
    half = ndtri((0.5 + np.outer(np.arange(1, count + 1), steps)) % 1.0)
    half = np.linalg.solve(np.linalg.cholesky(half.T @ half / count), half.T).T
    return np.concatenate([half, -half])


def least_loss(
    joint: JointDistribution,
    names: Sequence[str],
    margin: float,
    *,
    chances: Mapping[str, float] = MappingProxyType({}),
) -> str:
    """Return the candidate of least expected loss; the likelier, then the cheaper, of equals.

    The names are of candidates in `joint`, cheapest first; `margin` is the smallest gain that
    matters. With the chances of each to be the one to use, losses within `NEAR` are equal.
    """
    points, weights = joint.points
    losses = weights @ losses_of(points[:, [joint.names.index(name) for name in names]], margin)
    most = losses.min() + (NEAR if chances else ROUNDING)
    near = (name for name, own in zip(names, losses, strict=True) if own <= most)
    return max(near, key=lambda name: chances.get(name, 0.0))


def losses_of(scores: Floats, margin: float) -> Floats:
    """Return what is lost by using each of (..., candidates), cheapest first."""
    losses = (scores.max(axis=-1, keepdims=True) - scores - margin).clip(0.0)
    cheaper = np.maximum.accumulate(scores, axis=-1)[..., :-1]
    losses[..., 1:] += NEEDLESS * margin * (scores[..., 1:] - cheaper < margin)
    return np.asarray(losses)
