"""How many threads an engine's steps take, decided by timing these steps themselves."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from time import perf_counter
from typing import TypeVar

from choose.engines.environment_settings import cores, threads_setting

P = TypeVar("P")
T = TypeVar("T")

# First steps that are not counted: they pack weights and compile layers.
WARM_UP = 2

# Until each of two numbers had a step, steps hold this share of the usual work, so that slow ones
# cost little. What is found changes nothing about it: answers depend a little on their batch.
SMALL_STEPS, SMALL = WARM_UP + 2, 0.25

# All threads, the usual winner, win once they are fastest: if by chance, slow steps soon tell.
# Fewer win after this many steps of each, or after two where all are clearly slower: no step on
# fewer tells that all would be faster, and a small step may be hard to divide among threads.
ROUNDS, CLEARLY = 3, 1.25

# Load has changed where this many steps running take so much longer for their work than before.
SLOW_STEPS, MUCH_SLOWER = 2, 1.5

# With fewer threads than all, no step tells that a busy core is free again: all of them are tried
# as often as that costs this share of the work.
SHARE_OF_TRIALS = 0.01

# All threads may look fastest by chance. Fewer are used once the average step is this much slower
# than a step on fewer was. A single step that something else stops, for however long, counts as so
# many usual ones at most.
UNLUCKY, STOPPED = 1.1, 4.0

# Weight of the newest step in the usual pace, and in the average.
NEWEST, NEWEST_OF_ALL = 0.2, 0.1


class TimedSteps:
    """Chooses the number of threads for the steps of one engine.

    Numbers are compared in turn, from all cores down, until one is clearly slower than the best.
    Steps of an engine must be alike: the seconds that they take for a unit of work (a token, a row)
    are compared, those of the fastest step on each number. CHOOSE_THREADS sets the number instead.
    """

    def __init__(self) -> None:
        self._counts = thread_counts()
        self._chosen = self._counts[0]
        self._warm_up, self._slow_steps, self._small_steps = WARM_UP, 0, SMALL_STEPS
        self._usual = self._average = self._worked = self._lost = self._cost = 0.0
        self._begin_trial()

    def most(self, usual: int) -> int:
        """Return the most work of the next step, of what is usual."""
        return max(1, int(SMALL * usual)) if self._small_steps else usual

    @contextmanager
    def step(self, work: float) -> Iterator[int]:
        """Compute a step of so much work inside the block, on the number of threads it yields."""
        import torch

        count = threads_setting() or (self._turns[0] if self._turns else self._chosen)
        torch.set_num_threads(count)
        start = perf_counter()
        yield count
        self._small_steps = max(0, self._small_steps - 1)
        self._record(count, perf_counter() - start, max(work, 1))

    def _record(self, count: int, seconds: float, work: float) -> None:
        if threads_setting() is not None or len(self._counts) == 1:
            return
        if self._warm_up:
            self._warm_up -= 1
        elif self._turns:
            self._turns.pop(0)
            self._tried.setdefault(count, []).append((seconds / work, work))
            self._decide(count)
        else:
            self._watch(seconds, work)

    def _begin_trial(self) -> None:
        self._turns, self._tried = [*self._counts], dict[int, list[tuple[float, float]]]()

    def _decide(self, timed: int) -> None:
        """Choose once a round of the trial is over, or go on with those that are not slower."""
        paces = {count: min(pace for pace, _ in some) for count, some in self._tried.items()}
        best = min(paces, key=paces.__getitem__)
        if len(self._tried[timed]) == 1 and paces[timed] > CLEARLY * paces[best]:
            self._turns.clear()  # still fewer would be slower still
        if self._turns:
            return
        most = self._counts[0]
        near = [count for count, pace in paces.items() if pace <= CLEARLY * paces[best]]
        if best != most and len(self._tried[most]) < (ROUNDS if most in near else 2):
            self._turns = [*dict.fromkeys([*self._counts[:2], *near])]
            return
        self._settle(best, paces)
        self._lost = sum(
            (paces[count] - paces[best]) * work
            for count, some in self._tried.items()
            for _, work in some
        )

    def _settle(self, count: int, paces: dict[int, float]) -> None:
        self._chosen, self._paces = count, paces
        self._usual = self._average = paces[count]
        self._worked = self._cost = 0.0
        self._slow_steps = 0

    def _watch(self, seconds: float, work: float) -> None:
        """Begin a trial where steps became much slower, or a better number may be found again."""
        self._worked += seconds
        pace = seconds / work
        other = min((n for n in self._paces if n != self._chosen), key=self._paces.__getitem__)
        counted = min(pace, STOPPED * self._usual)
        self._average += NEWEST_OF_ALL * (counted - self._average)
        self._cost += (counted - self._paces[other]) * work
        if pace > MUCH_SLOWER * self._usual:
            self._slow_steps += 1
        else:
            self._slow_steps = 0
            self._usual += NEWEST * (pace - self._usual)
        fewer = self._chosen != self._counts[0]
        if self._slow_steps == SLOW_STEPS or (
            fewer and self._lost < SHARE_OF_TRIALS * self._worked
        ):
            self._begin_trial()
        elif not fewer and self._average > UNLUCKY * self._paces[other]:
            # The next trial waits until what this choice has cost is a small share again.
            self._lost += max(0.0, self._cost)
            self._settle(other, self._paces)


def thread_counts() -> list[int]:
    """Return the numbers of threads to compare: all cores, all but one, half, a quarter, … one.

    Cores are the ones that the process may use: affinity and a container's quota limit them.
    """
    most = min(_threads_at_start(), cores())
    halves = [most >> n for n in range(most.bit_length())]
    return sorted({*halves, max(1, most - 1)}, reverse=True)


def set_spare_threads() -> None:
    """Leave a core to other programs in work that is no step, such as the test of a new model.

    Where one keeps a core busy, threads wait for each other at every product, and all of them are
    many times slower than all but one.
    """
    import torch

    torch.set_num_threads(threads_setting() or max(1, thread_counts()[0] - 1))


def share_threads(work: Callable[[P], T], parts: Sequence[P]) -> list[T]:
    """Return what `work` makes of each part; each is computed on its share of this thread's.

    Threads that compute parts of their own never wait for each other, as they would at every small
    kernel of a part that they share.
    """
    import torch

    threads = torch.get_num_threads()

    def compute(part: P) -> T:
        torch.set_num_threads(max(1, threads // len(parts)))
        return work(part)

    try:
        with ThreadPoolExecutor(threads) as pool:
            return [*(pool.map if len(parts) > 1 else map)(compute, parts)]
    finally:
        torch.set_num_threads(threads)


def threads_in_use() -> int:
    import torch

    return threads_setting() or torch.get_num_threads()


@cache
def _threads_at_start() -> int:
    import torch

    return torch.get_num_threads()
