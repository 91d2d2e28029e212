"""How long a fit will take: a rough model of its work, scaled by how fast this machine is."""

from __future__ import annotations

from choose.models.lora.training import plan as schedule
from real_sets.candidates import KINDS, NEIGHBOURS
from real_sets.measure import Fit
from real_sets.plan import SMALLEST
from real_sets.sources import Source

# Seconds on one core of a busy AMD EPYC with AVX-512: a pass of the LM, over a token, over a pair
# of tokens; training on a token of an encoder and of the LM; cheap ones on a row.
PASS, TOKEN, PAIR = 0.06, 0.0017, 1e-6
TRAINED = {"lora": 0.00013, "lora on the LM": 0.0017}
CHEAP_ROW = {"tfidf": 0.003, "probe": 0.012}
CALIBRATED, LABEL_TOKENS = 64, 3


class Forecast:
    """Seconds a fit, learnt from the fits made so far, the latest most: a machine gets busy."""

    def __init__(self) -> None:
        self.expected, self.spent = 0.0, 0.0

    def seconds(self, fit: Fit, source: Source, rows: int) -> float:
        """Return how long a fit that is asked so many rows is expected to take."""
        return work(fit, source, rows) * self._pace()

    def learn(self, fit: Fit, expected: float, spent: float) -> None:
        """Take note of a fit that was made; cheap ones say little about the pace."""
        if not KINDS[fit.candidate].every_row:
            self.expected = self.expected / 2 + expected / self._pace()
            self.spent = self.spent / 2 + spent

    def _pace(self) -> float:
        return self.spent / self.expected if self.expected else 1.0


def work(fit: Fit, source: Source, rows: int) -> float:
    """Return the seconds that a fit takes on the machine the constants are from."""
    tokens = 1.4 * source.words + 12
    if KINDS[fit.candidate].every_row:
        asked_before = fit.draw > 0 or fit.size > SMALLEST
        return CHEAP_ROW.get(fit.candidate, 0.0) * (fit.size + (0 if asked_before else rows))
    if fit.candidate in TRAINED:
        plan = schedule(fit.size, source.classes, 1e-3)
        return TRAINED[fit.candidate] * tokens * (plan.steps * plan.batch + rows / 4)
    known = fit.candidate == "prompt" and fit.draw > 0
    return (CALIBRATED + (0 if known else rows)) * _pass(fit, source, tokens)


def _pass(fit: Fit, source: Source, tokens: float) -> float:
    """Return the seconds of one prompt; fixed demonstrations are cached but looked at."""
    shown = NEIGHBOURS if fit.candidate == "retrieval" else 0
    read = tokens * (1 + shown) + LABEL_TOKENS * source.classes
    cached = tokens * max(8, source.classes) if fit.candidate == "few-shot" else 0.0
    return PASS + TOKEN * read + PAIR * read * (read + cached)
