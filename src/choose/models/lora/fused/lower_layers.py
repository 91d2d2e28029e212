"""What texts become below the first adapted layer, which no training changes: computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from choose.models.hardware.device import settle
from choose.models.hardware.memory import remembered_bytes
from choose.models.lora.fused.attention import Ragged, ragged
from choose.models.lora.fused.decoder import Decoder

if TYPE_CHECKING:
    import torch


Row = tuple[int, ...]


class _Read(NamedTuple):
    """What a text became, what that took in seconds, and the last training that asked for it."""

    states: torch.Tensor
    seconds: float
    training: int

    @property
    def size(self) -> int:
        return self.states.numel() * self.states.element_size()


class Lower:
    """The lower layers of a base, and what they made of texts, shared by all who train above them.

    Epochs, seeds, pool sizes and noise rates ask for the same texts. A text is computed alone, so
    that what it becomes does not depend on its company. What is remembered has a limit: texts that
    the present training has not asked for make room, and where there is none, a text is computed
    each time. Several threads may ask at once.
    """

    def __init__(self, decoder: Decoder, first: int, device: str) -> None:
        self.decoder, self.first, self.device = decoder, first, device
        self.room = remembered_bytes(device)
        self._known: OrderedDict[Row, _Read] = OrderedDict()
        self._bytes, self._training, self._lock = 0, 0, Lock()

    def begin(self, rows: Iterable[Sequence[int]]) -> list[Row]:
        """Begin a training on texts; return those that are still to be computed, each once."""
        with self._lock:
            self._training += 1
            distinct = dict.fromkeys(map(tuple, rows)) if self.first else {}
            for row in distinct:
                self._touch(row)
            return [row for row in distinct if row not in self._known]

    def seconds(self, rows: Iterable[Sequence[int]]) -> float:
        """Return what computing these texts had taken, of those that are remembered."""
        with self._lock:
            distinct = dict.fromkeys(map(tuple, rows))
            return sum(self._known[row].seconds for row in distinct if row in self._known)

    def stream(self, rows: Sequence[Sequence[int]], batch: Ragged) -> torch.Tensor:
        """Return (tokens, width) float32, rows end to end, in memory that the caller may change.

        `batch` is the rows laid out, which are all that is needed where no layer is below.
        """
        import torch

        if not self.first:
            return self.decoder.below(batch, 0)
        return torch.cat([self.read(tuple(row)) for row in rows])

    def read(self, row: Row, beside: int = 1) -> torch.Tensor:
        """Return what a text becomes, (tokens, width) float32, not to be changed.

        `beside` is how many are computed at a time, each of which takes its share of the clock.
        """
        import torch

        with self._lock:
            known = self._touch(row)
        if known is not None:
            return known.states
        settle(self.device)
        start = perf_counter()
        with torch.no_grad():
            states = self.decoder.below(ragged([row], self.device), self.first)
        settle(self.device)
        seconds = (perf_counter() - start) / beside
        with self._lock:
            self._remember(row, _Read(states, seconds, self._training))
        return states

    def _touch(self, row: Row) -> _Read | None:
        known = self._known.get(row)
        if known is not None and known.training != self._training:
            self._known[row] = known = known._replace(training=self._training)
            self._known.move_to_end(row)
        return known

    def _remember(self, row: Row, new: _Read) -> None:
        if row in self._known:  # another thread was faster
            return
        while self._bytes + new.size > self.room:
            if not self._known or next(iter(self._known.values())).training == self._training:
                return
            self._bytes -= self._known.popitem(last=False)[1].size
        self._known[row] = new
        self._bytes += new.size
