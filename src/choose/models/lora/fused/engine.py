"""The way through a training step: packed passes where the base allows them, else autograd."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from choose.models.hardware.device import threads
from choose.models.hardware.environment import cores
from choose.models.hardware.memory import trained_tokens
from choose.models.lora.autograd import Plain, halves
from choose.models.lora.fused.adapters import Adapters, adapted_from
from choose.models.lora.fused.decoder import Decoder, fits
from choose.models.lora.fused.forward_backward import (
    PARTS,
    Found,
    Lesson,
    fitting_tokens,
    part_tokens,
    parts,
    shared,
    study,
)
from choose.models.lora.fused.lower_layers import Lower
from choose.models.lora.model import Base
from choose.models.lora.training import TRAINING, Course
from choose.progress import report_progress

if TYPE_CHECKING:
    import torch


Taken = Sequence[tuple[Course, list[int]]]


Step = Callable[[Taken], None]


@contextmanager
def lane(courses: Sequence[Course]) -> Iterator[Step]:
    """Give the function that computes a step's gradients for courses over one base.

    It is called with some of the courses and the places of their batches.
    """
    import torch

    base = courses[0].tuned.base
    if not (fits(base.model) and _alike(courses)):
        yield Plain(base, courses).step
        return
    way, before = Packed(base, courses), torch.get_num_threads()
    try:
        with ThreadPoolExecutor(way.workers) as pool:
            way.read(pool)
            yield lambda taken: way.step(taken, pool)
    finally:
        torch.set_num_threads(before)
        way.release()


def _alike(courses: Sequence[Course]) -> bool:
    """Return whether all adapt the same layers, in a way that packed passes compute."""
    starts = {adapted_from(course.tuned.adapter) for course in courses}
    return len(starts) == 1 and None not in starts


class Packed:
    """Packed passes over parts of batches; several courses share the products of one pass."""

    def __init__(self, base: Base, courses: Sequence[Course]) -> None:
        import torch

        dtype = torch.bfloat16 if halves(base) else torch.float32
        first = adapted_from(courses[0].tuned.adapter) or 0
        self._decoder = decoder_of(base, dtype).above(first)
        self._lower = lower_of(base, dtype, first)
        self._device, self._room = base.device, trained_tokens(base.device)
        self.workers, self._threads = _workers(base)
        self._adapters, self._courses = {}, courses
        for course in courses:
            adapters = Adapters(course.tuned.adapter, self._decoder)
            self._adapters[id(course)] = adapters
            course.start([adapters.flat])

    def read(self, pool: ThreadPoolExecutor) -> None:
        """Compute what lies below the adapters, of all texts that were not met before."""
        missing = self._lower.begin(row for course in self._courses for row in course.rows)
        for course in self._courses:
            course.cached_seconds = self._lower.seconds(course.rows)
            course.reading = self._in_steps(course, missing) / len(self._courses)
        steps = sum(course.reading for course in self._courses)
        total = steps + sum(course.plan.steps for course in self._courses)
        for start in range(0, len(missing), self.workers):
            some = missing[start : start + self.workers]
            list(pool.map(self._read, some, [len(some)] * len(some)))
            report_progress(steps * (start + len(some)) / len(missing), total, TRAINING)

    def _in_steps(self, course: Course, missing: Sequence[tuple[int, ...]]) -> float:
        """Return how many of a course's steps take as long as reading what is missing.

        A step goes through the upper layers three times, forward once and twice backward; it is
        one loop with the reading, so that whoever follows it can tell how long both are.
        """
        tokens = course.plan.batch * sum(map(len, course.rows)) / len(course.rows)
        upper = 3 * len(self._decoder.layers)
        return sum(map(len, missing)) * self._lower.first / (tokens * upper)

    def _read(self, row: tuple[int, ...], beside: int) -> None:
        self._narrow()
        self._lower.read(row, beside)

    def _narrow(self) -> None:
        """Give this thread its share of the cores."""
        import torch

        if self._device == "cpu":
            torch.set_num_threads(self._threads)

    def release(self) -> None:
        """Leave PEFT's models as if they had trained themselves."""
        for adapters in self._adapters.values():
            adapters.release()

    def step(self, taken: Taken, pool: ThreadPoolExecutor) -> None:
        """Leave each course's gradients where its optimiser finds them."""
        alone = len(taken) == 1
        room = min(self._room, *(self._fitting(*each) for each in taken))
        owned = [
            (course, lesson)
            for course, places in taken
            for lesson in self._lessons(course, places, 0 if alone else room)
        ]
        passes = shared([lesson for _, lesson in owned], len(taken), self.workers, room)
        found = [part for some in pool.map(self._study, passes) for part in some]
        for course, _ in taken:
            self._learn(
                course,
                [part for (owner, _), part in zip(owned, found, strict=True) if owner is course],
            )

    def _fitting(self, course: Course, places: list[int]) -> int:
        longest = max(len(course.rows[i]) for i in places)
        return fitting_tokens(self._adapters[id(course)], longest, self._device)

    def _study(self, lessons: list[Lesson]) -> list[Found]:
        self._narrow()
        return study(self._decoder, lessons, self._lower)

    def _learn(self, course: Course, found: Sequence[Found]) -> None:
        self._adapters[id(course)].learn([part.pairs for part in found])
        heads = zip(*(part.head for part in found), strict=True)
        for parameter, some in zip(course.tuned.head.parameters(), heads, strict=True):
            parameter.grad = sum(some[1:], some[0])

    def _lessons(self, course: Course, places: list[int], room: int) -> Iterator[Lesson]:
        """Yield a batch's parts, in one lesson if `room` holds all of their tokens."""
        adapters = self._adapters[id(course)]
        pairs = adapters.cast()
        lengths = [len(course.rows[i]) for i in places]
        most = part_tokens(adapters, max(lengths), self._device)
        numbered = list(enumerate(parts(lengths, most)))
        together = sum(lengths) <= room
        for some in [numbered] if together else [[one] for one in numbered]:
            own = [places[i] for _, part in some for i in part]
            targets = course.targets[own]
            yield Lesson(
                rows=[course.rows[i] for i in own],
                targets=targets,
                weights=course.weights[targets] / len(places),
                pairs=pairs,
                head=course.tuned.head,
                dropout=adapters.dropout,
                noise=[(len(part), (course.seed, course.step, number)) for number, part in some],
            )


def training_threads(base: Base) -> int:
    """Return how many threads a base is trained on."""
    if not fits(base.model):
        return threads()
    workers, each = _workers(base)
    return workers * each


def _workers(base: Base) -> tuple[int, int]:
    """Return how many parts of a batch are learnt at a time, and the threads of each."""
    workers = min(PARTS, cores()) if base.device == "cpu" else 1
    return workers, max(1, cores() // workers)


def decoder_of(base: Base, dtype: torch.dtype) -> Decoder:
    """Return the base's packed decoder, built once a process and number type."""
    if dtype not in base.packed:
        base.packed[dtype] = Decoder(base.model, dtype)
    found: Decoder = base.packed[dtype]
    return found


def lower_of(base: Base, dtype: torch.dtype, first: int) -> Lower:
    """Return what lies below a layer, and remembers texts: that of the last layer asked for."""
    found: Lower | None = base.packed.get("lower")
    if found is None or (found.decoder.dtype, found.first) != (dtype, first):
        found = base.packed["lower"] = Lower(decoder_of(base, dtype), first, base.device)
    return found
