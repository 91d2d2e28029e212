"""What a training pass keeps in memory for its way back, and so how large it may be."""

from __future__ import annotations

from choose.models.frozen import NORMS
from choose.models.low_rank import Adapters
from choose.models.room import kept_bytes

# Most tokens of a part of a batch, where memory would allow more.
PART_TOKENS = 1024

# Bytes of a number of the stream and of attention, which are float32 whatever products are in.
_WHOLE = 4


def part_tokens(adapters: Adapters, longest: int, device: str) -> int:
    """Return how many tokens a part of a batch may have whose longest row has `longest`.

    By the trial's own adapters, so that its parts are the same whatever is trained beside it.
    """
    return min(PART_TOKENS, fitting_tokens(adapters, longest, device))


def fitting_tokens(adapters: Adapters, longest: int, device: str) -> int:
    """Return how many tokens of such rows a pass can have in the memory meant for it."""
    return max(1, kept_bytes(device) // token_bytes(adapters, longest))


def token_bytes(adapters: Adapters, longest: int) -> int:
    """Return the bytes that a pass keeps for each token of rows of `longest` tokens.

    See `decoder_layer` and `heads` for what that is.
    """
    decoder = adapters.decoder
    width, projected = decoder.shape("qkv")
    norms = 2 * _WHOLE * (width + 1)
    attention = _WHOLE * (projected + decoder.layers[0].heads.asking * longest)
    gate = 3 * decoder.dtype.itemsize * decoder.shape("rise")[1] // 2
    seen = sum(_adapter_bytes(adapters, name, ranks) for name, ranks in adapters.ranks.items())
    return len(decoder.layers) * (norms + attention + gate + seen)


def _adapter_bytes(adapters: Adapters, name: str, ranks: int) -> int:
    """Return the bytes of what a product's adapters saw and made of a token, and of dropout."""
    size, inputs = adapters.decoder.dtype.itemsize, adapters.decoder.shape(name)[0]
    # What a norm gave is kept anyway, in float32.
    copies = 2 if adapters.dropout else 0 if name in NORMS and size == _WHOLE else 1
    return size * (copies * inputs + ranks)
