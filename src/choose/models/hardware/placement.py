"""Load weights onto the device at hand: their number type, 4-bit, several cards, and memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from choose.errors import ModelError
from choose.models.hardware.compute_settings import device, quiet_loading
from choose.models.hardware.memory import (
    fit_limits,
    free_bytes,
    free_machine_bytes,
    memory_notes,
)
from choose.models.weights.folder_checks import (
    check_finite,
    check_finite_files,
    check_tokenizer,
    loading_error,
)
from choose.models.weights.model_size import FOUR_BIT_SHARE, ModelSize, gigabytes, size_of_folder

if TYPE_CHECKING:
    import torch

# Bytes of a card that stay free of weights where they are spread over several.
ROOM = 2 << 30


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the weights of a model go.

    Attributes:
        device: the device that reads the tokens.
        dtype: the number type of weights, and of products with 4-bit ones.
        four_bit: whether linear layers are held in 4 bits.
        memory: by card, most bytes of weights, where one card does not hold them.
    """

    device: str
    dtype: torch.dtype
    four_bit: bool = False
    memory: dict[int, int] | None = None

    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"dtype": self.dtype, "output_loading_info": True}
        if self.memory is not None:
            options |= {"device_map": "auto", "max_memory": self.memory}
        elif self.four_bit or self.device.startswith("cuda"):
            # Straight to the card: a copy in the machine's memory would have to fit there too.
            options["device_map"] = {"": self.device}
        if self.four_bit:
            from transformers import BitsAndBytesConfig

            options["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=self.dtype,
            )
        return options


def place(size: ModelSize, name: str, dtype: torch.dtype, four_bit: bool) -> Placement:
    """Return where the weights of a model go.

    Raises:
        ModelError: if memory does not suffice, or 4-bit needs a package that is not installed.
    """
    if four_bit:
        check_four_bit()
    kind = device()
    needed, free = size.bytes(dtype.itemsize, four_bit), free_bytes(kind)
    # The first card is the one that torch calls by the device's name alone.
    if not free or needed <= free[0]:
        return Placement(kind, dtype, four_bit)
    if needed <= max(free):
        raise ModelError(_other_card(name, needed, free))
    rooms = {card: max(0, room - ROOM) for card, room in enumerate(free)}
    if kind == "cuda" and len(free) > 1 and needed <= sum(rooms.values()):
        return Placement(kind, dtype, four_bit, rooms)
    raise ModelError(too_little(size, name, dtype.itemsize, four_bit, sum(free), kind))


def _other_card(name: str, needed: int, free: Sequence[int]) -> str:
    """Return which card would hold a model that the first one does not."""
    best = free.index(max(free))
    visible = [card for card in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if card]
    card = visible[best] if best < len(visible) else str(best)
    return (
        f"{name!r} needs {gigabytes(needed)}, and the first card has {gigabytes(free[0])} free; "
        f"another has {gigabytes(free[best])}. Set CUDA_VISIBLE_DEVICES={card.strip()}, or end "
        "what uses the first card."
    )


def too_little(
    size: ModelSize, name: str, itemsize: int, four_bit: bool, free: int, kind: str
) -> str:
    """Return how much memory a model needs, how much there is, and which setting would fit."""
    needed, smaller = size.bytes(itemsize, four_bit), size.bytes(itemsize, four_bit=True)
    where = "this machine" if kind == "cpu" else f"{kind} here"
    text = (
        f"{name!r} needs {gigabytes(needed)} for its {size.billions} weights alone, and "
        f"{where} has {gigabytes(free)} free. "
    )
    if not four_bit and smaller <= free:
        return f'{text}quantise = "4bit" would take {gigabytes(smaller)}; or name a smaller model.'
    each = itemsize * (FOUR_BIT_SHARE if four_bit else 1)
    most = free / each / 1e9
    return (
        f"{text}Name a model of at most {most:.1f} billion weights, or use a machine with more "
        "memory."
    )


def check_room(needed: int, what: str) -> None:
    """Refuse work that the machine's memory does not hold: the system would end the process.

    Raises:
        ModelError: if less than `needed` bytes are free.
    """
    free = free_machine_bytes()
    if free is not None and needed > free:
        raise ModelError(
            f"{what} needs {gigabytes(needed)} beside its weights, and this machine has "
            f'{gigabytes(free)} free. quantise = "4bit" needs less; or name a smaller model, or '
            "use a machine with more memory."
        )


def check_four_bit() -> None:
    """Refuse 4-bit weights where the package that computes with them is missing.

    Raises:
        ModelError: if bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise ModelError(
            'quantise = "4bit" needs the package bitsandbytes, which is not installed: '
            'pip install "choose-llm[quantise]". Or leave quantise out.'
        )


def load_placed(
    loader: Any, folder: Path, dtype: torch.dtype, four_bit: bool, what: str
) -> tuple[Any, Any, Any]:
    """Return the tokenizer, the frozen model on its device, and transformers' report of loading.

    `what` names the kind of model in messages.

    Raises:
        ModelError: if a file is damaged, transformers does not know the class, or memory does not
            suffice.
    """
    from transformers import AutoTokenizer

    where = place(size_of_folder(folder), str(folder), dtype, four_bit)
    with quiet_loading():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model, report = loader.from_pretrained(
                folder, use_safetensors=True, trust_remote_code=False, **where.options()
            )
        except ModelError:
            raise
        except Exception as error:  # damaged files can raise anything
            raise loading_error(what, folder, error) from error
    words = getattr(model.config.get_text_config(), "vocab_size", None)
    check_tokenizer(tokenizer, words, folder)
    if four_bit:
        check_finite_files(folder)
    else:
        check_finite(model, folder)
    model.requires_grad_(False).eval()
    if four_bit:
        _prepare_four_bit(model)
    if "device_map" not in where.options():
        model.to(where.device)
    free = free_bytes(where.device)
    used = [n for card, n in enumerate(free) if (where.memory or {0: 1}).get(card)]
    fit_limits(where.device, min(used, default=None))
    return tokenizer, model, report


def _prepare_four_bit(model: Any) -> None:
    """Let adapters be trained over weights that are shared with models that only answer."""
    # PEFT asks the model that it is given, which may be this one without its head.
    for part in (model, model.base_model):
        part.is_loaded_in_4bit = True
    for module in model.modules():
        # Some processors repack weights at the first answer, and autograd cannot use them then.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def placement_notes(model: Any) -> list[str]:
    """Return how a model's weights are held and what memory changed, for a trial's facts."""
    notes = ["Weights are held in 4 bits (NF4)."] if is_quantised(model) else []
    if is_spread(model):
        cards = {str(parameter.device) for parameter in model.parameters()}
        notes.append(f"Weights are spread over {', '.join(sorted(cards))}.")
    return notes + memory_notes(model.device.type)


def is_quantised(model: Any) -> bool:
    return any(hasattr(parameter, "quant_state") for parameter in model.parameters())


def is_spread(model: Any) -> bool:
    """Return whether a model's weights are on several devices."""
    return len({parameter.device for parameter in model.parameters()}) > 1
