"""The candidates that can be recommended, and their order by cost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf

from choose.judge.goal import Rule
from choose.judge.measures.costs import answer_ms, cheapest_first, cost_of
from choose.judge.measures.scorecard import accuracy
from choose.judge.scores.joint_distribution import (
    JointDistribution,
    clear_leads,
    joint_distribution,
    least_loss,
)
from choose.judge.scores.paired_comparison import Pairs
from choose.judge.scores.score_tables import CandidateScores, StudyScores
from choose.schema.candidate_scorecard import Beyond, Cost
from choose.stats import Estimate
from choose.stats.paired import Difference
from choose.tasks.metrics import RANKING, metric_of
from choose.types import FAMILIES, Family


@dataclass(frozen=True)
class Candidates:
    """The candidates that can be recommended, cheapest first, with their accuracies and costs.

    Those in `beyond` break limits of the study; they are among the others only if all do.
    """

    scores: StudyScores
    costs: Mapping[str, Cost]
    rule: Rule
    pairs: Pairs
    order: tuple[CandidateScores, ...]
    accuracies: dict[str, Estimate]
    beyond: Mapping[str, tuple[Beyond, ...]] = field(default_factory=dict)

    @property
    def ranks(self) -> bool:
        """Return whether answers are rankings of documents, for which none is prompted."""
        return not self.scores.rows.labels and metric_of(self.rule.metric).kind == RANKING

    @property
    def question(self) -> tuple[Family, ...]:
        return tuple(f for f in FAMILIES if not (self.ranks and f == "prompting"))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(candidate.info.name for candidate in self.order)

    @cached_property
    def floors(self) -> tuple[str, ...]:
        """Return the references that understand nothing: to be beaten, and never what to use."""
        return tuple(c.info.name for c in self.order if c.info.floor)

    @cached_property
    def unmeasured(self) -> tuple[CandidateScores, ...]:
        """Return the candidates of the study that answered no row, or failed, without scores."""
        known = {*self.names, *self.beyond}
        others = (c for c in self.scores.candidates if c.info.name not in known)
        return tuple(replace(c, main=None) for c in others if not c.info.floor)

    @property
    def every(self) -> tuple[CandidateScores, ...]:
        """Return those of which the chance is told, together: measured or not."""
        return (*self.order, *self.unmeasured)

    @cached_property
    def nearest(self) -> str | None:
        """Return the candidate that is nearest to the limits, if all that read are beyond them."""
        readers = [name for name in self.names if name not in self.floors]
        if not readers or not self.beyond.keys() >= {*readers}:
            return None
        return min(readers, key=lambda name: _excess(self.beyond[name]))

    @cached_property
    def families(self) -> dict[Family, tuple[str, ...]]:
        """Return the members of every measured family, cheapest first; no floors."""
        members = {
            family: tuple(n for n in self.names if self.family(n) == family) for family in FAMILIES
        }
        readers = {f: tuple(n for n in m if n not in self.floors) for f, m in members.items()}
        return {family: names for family, names in readers.items() if names}

    @cached_property
    def best(self) -> dict[Family, str]:
        """Return the member of least expected loss of each family, which is the one to use.

        Only what was measured counts: what a member promises with more labels is a reason for its
        family, not for naming it before one that has learned from them. The evidence often cannot
        separate members.
        """
        return {
            family: least_loss(self.distribution, names, self.rule.margin)
            for family, names in self.families.items()
        }

    @cached_property
    def distribution(self) -> JointDistribution:
        return joint_distribution(self.order, self.scores.rows, promises=False)

    def gain(self, a: str, b: str) -> Difference | None:
        return self.pairs.difference(a, b)

    def beaten(self, name: str) -> bool:
        """Return whether a floor answers as a candidate does, or leads it by over the margin."""
        others = (floor for floor in self.floors if floor != name)
        leads = [lead for floor in others if (lead := self.gain(floor, name))]
        return any(not one.discordance or one.value > self.rule.margin for one in leads)

    def unbeaten(self, name: str) -> tuple[str, ...]:
        """Return the floors that a candidate is not shown to beat, by all answers of both."""
        leads = clear_leads(self.order, self.scores.rows)
        return tuple(floor for floor in self.floors if (name, floor) not in leads)

    def costlier(self, name: str) -> tuple[str, ...]:
        return self.names[self.names.index(name) + 1 :]

    def family(self, name: str) -> Family:
        return self.scores[name].info.family

    @property
    def leader(self) -> str:
        """Return the candidate with the highest accuracy on common rows, the cheaper of equals."""
        return max(self.names, key=lambda name: self.levels[name])

    @cached_property
    def levels(self) -> dict[str, float]:
        """Return accuracies that can be ranked although candidates answered different rows.

        That of the candidate with the most rows, plus the paired difference to it.
        """
        rows = {c.info.name: int(c.main.complete.sum()) for c in self.order if c.main is not None}
        most = max(rows, key=lambda name: rows[name])
        gaps = {name: self.gain(name, most) for name in self.names if name != most}
        levels = {name: value.value for name, value in self.accuracies.items()}
        return {**levels, **{name: levels[most] + gap.value for name, gap in gaps.items() if gap}}


def select_candidates(scores: StudyScores, rule: Rule) -> Candidates:
    """Return the candidates that can be recommended.

    A candidate with a failed trial in the main cell cannot: its users would meet that failure. If
    every candidate failed somewhere, every candidate with an answer remains. Nor can one that
    breaks a limit of the study, unless all that read do.
    """
    sound = [c for c in scores.scored if not c.failures] or list(scores.scored)
    costs = {c.info.name: cost_of(c, rule) for c in scores.candidates}
    beyond = {c.info.name: tuple(_beyond(c, costs[c.info.name], rule)) for c in scores.candidates}
    beyond = {name: limits for name, limits in beyond.items() if limits}
    within = [c for c in sound if c.info.name not in beyond]
    sound = within if any(not c.info.floor for c in within) else sound
    order = cheapest_first(sound, costs, rule)
    accuracies = {c.info.name: interval for c in order if (interval := accuracy(c)) is not None}
    return Candidates(scores, costs, rule, Pairs(scores), tuple(order), accuracies, beyond)


def _beyond(candidate: CandidateScores, cost: Cost, rule: Rule) -> Iterator[Beyond]:
    ms, usd = answer_ms(candidate), cost.usd_per_1k
    if rule.max_ms is not None and ms is not None and ms > rule.max_ms:
        yield Beyond(limit="ms", value=ms, most=rule.max_ms)
    if rule.max_usd_per_1k is not None and usd is not None and usd > rule.max_usd_per_1k:
        yield Beyond(limit="usd", value=usd, most=rule.max_usd_per_1k)
    if rule.on_premises and candidate.info.hosted:
        yield Beyond(limit="on-premises")
    if candidate.info.ends:
        yield Beyond(limit="ends")


def _excess(limits: Sequence[Beyond]) -> float:  # what has no figure counts most
    return max(one.value / one.most if one.value and one.most else inf for one in limits)


def best_of(candidates: Candidates, families: Sequence[str]) -> str | None:
    """Return the candidate of these families with the highest accuracy on common rows."""
    among = [name for name in candidates.names if candidates.family(name) in families]
    return max(among, key=lambda name: candidates.levels[name], default=None)
