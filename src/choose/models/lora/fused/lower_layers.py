"""The frozen layers below the first adapted one, with a cache of their activations."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from choose.models.hardware.compute_settings import synchronise
from choose.models.hardware.memory import limits_of
from choose.models.lora.fused.decoder import Decoder
from choose.models.lora.fused.ragged_batch import RaggedBatch, ragged_batch

if TYPE_CHECKING:
    import torch

Row = tuple[int, ...]


class _Activations(NamedTuple):
    """One text's activations, the seconds they took, and the last training that used them."""

    states: torch.Tensor
    seconds: float
    training: int

    @property
    def bytes(self) -> int:
        return self.states.numel() * self.states.element_size()


class LowerLayers:
    """The layers of a base below `first`, shared by all trials that adapt the layers above.

    Epochs, seeds, pool sizes and noise rates need the same texts, so activations are cached up to
    `max_bytes`: texts that the present training has not used are evicted, and without any, a text
    is computed each time. Each text is computed alone, so that its activations do not depend on
    the batch. Methods may be called from several threads.
    """

    def __init__(self, decoder: Decoder, first: int, device: str) -> None:
        self.decoder, self.first, self.device = decoder, first, device
        self.max_bytes = limits_of(device).lower_layer_bytes
        self._cache: OrderedDict[Row, _Activations] = OrderedDict()
        self._bytes, self._training, self._lock = 0, 0, Lock()

    def start_training(self, rows: Iterable[Sequence[int]]) -> list[Row]:
        """Start a training on texts; return the distinct ones that are not in the cache."""
        with self._lock:
            self._training += 1
            distinct = dict.fromkeys(map(tuple, rows)) if self.first else {}
            for row in distinct:
                self._look_up(row)
            return [row for row in distinct if row not in self._cache]

    def cached_seconds(self, rows: Iterable[Sequence[int]]) -> float:
        """Return the seconds that the cached ones of these texts had taken."""
        with self._lock:
            distinct = dict.fromkeys(map(tuple, rows))
            return sum(self._cache[row].seconds for row in distinct if row in self._cache)

    def hidden_states(self, rows: Sequence[Sequence[int]], batch: RaggedBatch) -> torch.Tensor:
        """Return (tokens, width) float32, rows end to end; the caller may overwrite it.

        `batch` is the same rows laid out, which suffices where no layer is below.
        """
        import torch

        if not self.first:
            return self.decoder.lower_forward(batch, 0)
        befores = [() if prefix < 0 else rows[prefix] for prefix in batch.prefixes]
        return torch.cat(
            [
                self.compute((*before, *row))[len(before) :]
                for before, row in zip(befores, rows, strict=True)
            ]
        )

    def compute(self, row: Row, workers: int = 1) -> torch.Tensor:
        """Return a text's activations (tokens, width) float32; the caller must not change them.

        `workers` texts are computed at a time, so each is charged that share of the clock.
        """
        import torch

        with self._lock:
            cached = self._look_up(row)
        if cached is not None:
            return cached.states
        synchronise(self.device)
        start = perf_counter()
        with torch.no_grad():
            states = self.decoder.lower_forward(ragged_batch([row], self.device), self.first)
        synchronise(self.device)
        seconds = (perf_counter() - start) / workers
        with self._lock:
            self._store(row, _Activations(states, seconds, self._training))
        return states

    def _look_up(self, row: Row) -> _Activations | None:
        cached = self._cache.get(row)
        if cached is not None and cached.training != self._training:
            self._cache[row] = cached = cached._replace(training=self._training)
            self._cache.move_to_end(row)
        return cached

    def _store(self, row: Row, new: _Activations) -> None:
        if row in self._cache:  # another thread was faster
            return
        while self._bytes + new.bytes > self.max_bytes:
            if not self._cache or next(iter(self._cache.values())).training == self._training:
                return
            self._bytes -= self._cache.popitem(last=False)[1].bytes
        self._cache[row] = new
        self._bytes += new.bytes
