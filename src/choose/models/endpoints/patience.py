"""How long failures of a request are borne with."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request is tried again; seconds.

    `attempts` bounds failures of one request, `longest` the time that the server may make it wait.
    """

    attempts: int = 8
    first: float = 0.5
    most: float = 30.0
    longest: float = 600.0

    def pause(self, turn: int, chance: random.Random) -> float:
        """Return the exponential back-off after the n-th failure, with jitter."""
        return min(self.most, self.first * 2.0 ** min(turn - 1, 20)) * chance.uniform(0.5, 1.0)


@dataclass
class Trouble:
    """What one request has been through."""

    patience: Patience
    failures: int = 0
    turns: int = 0
    since: float = field(default_factory=time.monotonic)
