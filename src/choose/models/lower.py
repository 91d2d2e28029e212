"""What texts become below the first adapted layer, which no training changes: computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING

from choose.models.decoder import Decoder
from choose.models.ragged import ragged
from choose.models.room import remembered_bytes

if TYPE_CHECKING:
    import torch

Row = tuple[int, ...]


class Lower:
    """The lower layers of a base, and what they made of texts, shared by all who train above them.

    Epochs, seeds, pool sizes and noise rates ask for the same texts. What is remembered has a
    limit: texts that the present training has not asked for make room, and where there is none, a
    text is computed each time. Several threads may ask at once.
    """

    def __init__(self, decoder: Decoder, first: int, device: str) -> None:
        self.decoder, self.first, self.device = decoder, first, device
        self.room = remembered_bytes(device)
        self._known: OrderedDict[Row, tuple[int, torch.Tensor]] = OrderedDict()
        self._bytes, self._training, self._lock = 0, 0, Lock()

    def begin(self) -> None:
        """Begin a training: what it does not ask for may be forgotten."""
        self._training += 1

    def stream(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return (tokens, width) float32, rows end to end, in memory that the caller may change."""
        import torch

        if not self.first:
            return self.decoder.below(ragged(rows, self.device), 0)
        keys = [tuple(row) for row in rows]
        with self._lock:
            found = {key: self._known[key][1] for key in set(keys) if key in self._known}
        new = [key for key in dict.fromkeys(keys) if key not in found]
        if new:
            whole = self.decoder.below(ragged(new, self.device), self.first)
            found.update(zip(new, torch.split(whole, [len(key) for key in new]), strict=True))
        with self._lock:
            for key in found:
                self._remember(key, found[key])
        return torch.cat([found[key] for key in keys])

    def _remember(self, key: Row, states: torch.Tensor) -> None:
        if key in self._known:
            self._known[key] = self._training, self._known[key][1]
            self._known.move_to_end(key)
            return
        size = states.numel() * states.element_size()
        while self._bytes + size > self.room:
            if not self._known or next(iter(self._known.values()))[0] == self._training:
                return
            _, (_, old) = self._known.popitem(last=False)
            self._bytes -= old.numel() * old.element_size()
        self._known[key] = self._training, states.clone()
        self._bytes += size
