"""Two ways through a training step: any model by autograd, Llama-like ones by packed passes."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING

from choose.models.adapters import Base
from choose.models.batches import pad
from choose.models.courses import Course
from choose.models.decoder import Decoder, fits
from choose.models.halved import halved
from choose.models.low_rank import Adapters, adapted_alike
from choose.models.passes import Found, Lesson, study

if TYPE_CHECKING:
    import torch

# A batch is learnt in two parts, side by side on two cores: two passes that never wait for each
# other cost less than one whose every small product is divided. Parts and their order are the same
# on any number of cores, so answers are too.
PARTS = 2

# Most tokens of a part, and of parts of several trials in one pass: what a pass keeps for its way
# back is under a megabyte a token.
PART_TOKENS, PASS_TOKENS = 1024, 512

Taken = Sequence[tuple[Course, list[int]]]


def lane(courses: Sequence[Course]) -> Plain | Packed:
    """Return the faster lane that all courses fit; they share one base."""
    base = courses[0].tuned.base
    if fits(base.model) and all(adapted_alike(course.tuned.adapter) for course in courses):
        return Packed(base, courses)
    return Plain(base, courses)


def halves(base: Base) -> bool:
    """Return whether training computes in bfloat16; decided by hardware, so that it repeats."""
    import torch

    from choose.models.runtime import dtype

    if base.device != "cpu" or os.environ.get("CHOOSE_DTYPE"):
        return dtype() is torch.bfloat16
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


class Plain:
    """Autograd through the model as it is, one course after another."""

    def __init__(self, base: Base, courses: Sequence[Course]) -> None:
        self._half = halves(base)
        for course in courses:
            course.start([p for p in course.tuned.adapter.parameters() if p.requires_grad])

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def step(self, taken: Taken) -> None:
        """Leave each course's gradients where its optimiser finds them."""
        from choose.models.runtime import threads

        for course, places in taken:
            threads()
            self._step(course, places)

    def _step(self, course: Course, places: list[int]) -> None:
        import torch

        tuned = course.tuned
        tuned.adapter.train()
        ids, lengths = pad([course.rows[i] for i in places], tuned.base.device)
        kind = torch.device(tuned.base.device).type
        cast: AbstractContextManager[None] = nullcontext()
        if self._half:
            cast = halved(tuned.adapter, tuned.base)
        # Opened anew for each pass: autocast keeps cast weights until its context ends, so one
        # context around the loop would train against the first step's adapter for ever.
        with cast:
            with torch.autocast(kind, torch.bfloat16, enabled=self._half):
                logits = tuned.logits(ids, lengths)
            wanted = course.targets[places]
            losses = torch.nn.functional.cross_entropy(logits.float(), wanted, reduction="none")
            (losses * course.weights[wanted]).mean().backward()  # type: ignore[no-untyped-call]


class Packed:
    """Packed passes over parts of batches; several courses share the products of one pass."""

    def __init__(self, base: Base, courses: Sequence[Course]) -> None:
        import torch

        self._decoder = decoder_of(base, torch.bfloat16 if halves(base) else torch.float32)
        self._device = base.device
        self._courses = list(courses)
        self._adapters = {}
        for course in courses:
            adapters = Adapters(course.tuned.adapter, self._decoder)
            self._adapters[id(course)] = adapters
            course.start([adapters.flat])

    def __enter__(self) -> Packed:
        import torch

        self._threads = torch.get_num_threads()
        workers = min(PARTS, cores()) if self._device == "cpu" else 1
        self._each = max(1, cores() // workers)
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        import torch

        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._threads)
        for adapters in self._adapters.values():
            adapters.release()

    def step(self, taken: Taken) -> None:
        """Leave each course's gradients where its optimiser finds them."""
        lessons = [lesson for course, places in taken for lesson in self._lessons(course, places)]
        passes = _shared([lesson for _, lesson in lessons], len(taken), self._workers)
        found = [part for parts in self._pool.map(self._study, passes) for part in parts]
        for course, _ in taken:
            own = [f for f, (owner, _) in zip(found, lessons, strict=True) if owner is course]
            self._adapters[id(course)].learn([part.pairs for part in own])
            for parameter, *parts in zip(
                course.tuned.head.parameters(), *(part.head for part in own), strict=True
            ):
                parameter.grad = sum(parts[1:], parts[0])

    def _study(self, lessons: list[Lesson]) -> list[Found]:
        import torch

        if self._device == "cpu":
            torch.set_num_threads(self._each)
        return study(self._decoder, lessons, self._device)

    def _lessons(self, course: Course, places: list[int]) -> list[tuple[Course, Lesson]]:
        adapters = self._adapters[id(course)]
        pairs = adapters.cast()
        found = []
        for number, part in enumerate(parts([len(course.rows[i]) for i in places])):
            own = [places[i] for i in part]
            targets = course.targets[own]
            lesson = Lesson(
                rows=[course.rows[i] for i in own],
                targets=targets,
                weights=course.weights[targets] / len(places),
                pairs=pairs,
                head=course.tuned.head,
                dropout=adapters.dropout,
                noise=(course.seed, course.step, number),
            )
            found.append((course, lesson))
        return found


def parts(lengths: Sequence[int]) -> list[list[int]]:
    """Divide a batch's rows into parts of about the same number of tokens, the longest first."""
    count = min(len(lengths), max(PARTS, math.ceil(sum(lengths) / PART_TOKENS)))
    found: list[list[int]] = [[] for _ in range(count)]
    sizes = [0] * count
    for place in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        lightest = sizes.index(min(sizes))
        found[lightest].append(place)
        sizes[lightest] += lengths[place]
    return found


def _shared(lessons: Sequence[Lesson], courses: int, workers: int) -> list[list[Lesson]]:
    """Gather neighbouring lessons into passes; those of one course alone stay apart."""
    if courses == 1:
        return [[lesson] for lesson in lessons]
    sizes = [sum(map(len, lesson.rows)) for lesson in lessons]
    most = min(PASS_TOKENS, math.ceil(sum(sizes) / workers))
    found: list[list[Lesson]] = []
    filled = most
    for lesson, size in zip(lessons, sizes, strict=True):
        if filled + size // 2 > most:
            found.append([])
            filled = 0
        found[-1].append(lesson)
        filled += size
    return found


def decoder_of(base: Base, dtype: torch.dtype) -> Decoder:
    """Return the base's packed decoder, built once a process and number type."""
    if dtype not in base.packed:
        base.packed[dtype] = Decoder(base.model, dtype)
    found: Decoder = base.packed[dtype]
    return found


def cores() -> int:
    """Return how many cores training may use; CHOOSE_THREADS or OMP_NUM_THREADS limit them."""
    for name in ("CHOOSE_THREADS", "OMP_NUM_THREADS"):
        wanted = os.environ.get(name, "")
        if wanted.isdigit() and int(wanted) > 0:
            return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
