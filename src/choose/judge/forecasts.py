"""Every candidate's curve beyond the data, resampled together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from choose.judge.curve_fits import FAMILIES
from choose.judge.curve_points import Points, points_of
from choose.judge.curves import REACH, Ensemble, Reach, horizon, when
from choose.judge.ensembles import ensemble
from choose.judge.frozen import Interval
from choose.judge.luck import Luck
from choose.judge.panel import Measured, Panel
from choose.judge.record_curves import CurveFamily, Forecast, ForecastPoint, Needed
from choose.judge.rule import Rule
from choose.types import Floats

# Multiples of the largest size that are reported.
MULTIPLES = (2.0, REACH)

LIKELY = 0.5


@dataclass(frozen=True)
class Curves:
    """The curves of a study's candidates on one resampling of rows and draws."""

    panel: Panel
    rule: Rule

    @cached_property
    def luck(self) -> Luck:
        """Return the resampling that all candidates share."""
        return Luck(len(self.panel.rows.targets), self.panel.rows.clusters)

    @cached_property
    def points(self) -> Mapping[str, Points | str]:
        """Return by candidate what a curve may be fitted to, or why none may."""
        return {c.info.name: points_of(c) for c in self.panel.scored}

    @cached_property
    def general(self) -> Mapping[str, Ensemble]:
        """Return the curves that may be fitted, with rows resampled: about rows like these."""
        return {
            name: ensemble(points, name, self.luck, rows=True)
            for name, points in self.points.items()
            if isinstance(points, Points)
        }

    @cached_property
    def ahead(self) -> Mapping[str, Floats]:
        """Return (replicates, sizes) accuracies over the `horizon` of each curve."""
        return {name: c.members(horizon(c.points)) for name, c in self.general.items()}

    @cached_property
    def forecasts(self) -> Mapping[str, Forecast]:
        """Return the record of every candidate that answered something."""
        return {c.info.name: self._forecast(c) for c in self.panel.scored}

    def _forecast(self, candidate: Measured) -> Forecast:
        name = candidate.info.name
        points = self.points[name]
        if isinstance(points, str):
            return Forecast(candidate=name, labels=candidate.pool, refused=points)
        same = ensemble(points, name, self.luck)
        labels = np.round(points.sizes[-1] * np.array(MULTIPLES))
        band = same.band(labels)
        return Forecast(
            candidate=name,
            labels=points.labels,
            points=tuple(
                ForecastPoint(
                    labels=int(n),
                    accuracy=Interval(
                        value=float(value),
                        low=float(low),
                        high=float(high),
                        estimand=f"one new draw of {int(n)} labels, on the same test rows",
                    ),
                )
                for n, value, low, high in zip(labels, *band[:3], strict=True)
            ),
            families=tuple(
                CurveFamily(name=family.name, weight=float(weight))
                for family, weight in zip(FAMILIES, same.weights, strict=True)
            ),
            apart=band.apart,
            target=self._target(name, points),
            margin=self._margin(name, points),
        )

    def _target(self, name: str, points: Points) -> Needed | None:
        target = self.rule.target
        if target is None:
            return None
        found = when(self.ahead[name] >= target, horizon(points))
        return needed(found, points, accuracy=target)

    def _margin(self, name: str, points: Points) -> Needed:
        members = self.ahead[name]
        found = when(members - members[:, :1] >= self.rule.margin, horizon(points))
        return needed(found, points, gain=self.rule.margin)


def needed(found: Reach, points: Points, **what: float) -> Needed:
    """Return the record of when something is reached."""
    labels = None
    if found.labels is not None:
        labels = Interval(
            value=found.labels,
            low=found.low,
            high=found.high,
            estimand="labels learnt from, mean over draws, on rows like these",
        )
    return Needed(
        within=int(REACH * points.labels), probability=found.probability, labels=labels, **what
    )


def likely(found: Needed | None) -> bool:
    """Return whether it is more likely than not that enough labels can be collected."""
    return found is not None and found.probability >= LIKELY
