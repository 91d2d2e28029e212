"""Load weights onto the device at hand, where its memory holds them."""

from __future__ import annotations

from contextlib import suppress
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from choose.engines.hardware.batch_limits import fit_limits, free_bytes, free_machine_bytes
from choose.engines.hardware.device_and_dtype import device, quiet_loading
from choose.engines.weights.safe_folders import (
    check_complete,
    check_finite,
    check_tokenizer,
    loading_error,
    missing_keys,
)
from choose.errors import ModelError
from choose.progress import report_progress

if TYPE_CHECKING:
    import torch


def load_placed(loader: Any, folder: Path, *, dtype: torch.dtype, kind: str) -> tuple[Any, Any]:
    """Return the tokenizer and the frozen model on its device; `kind` names it in messages.

    Raises:
        ModelError: if a file is damaged, weights are missing, transformers does not know the class,
            or memory does not suffice.
    """
    # Its libraries are loaded, which takes about half of the time.
    report_progress(1, 2, "loading a model", at_most=True)
    where = device()
    check_fits(count_weights(folder), str(folder), dtype.itemsize, where)
    # Straight to the card: a copy in the machine's memory would have to fit there too.
    to_card = {"device_map": {"": where}} if where == "cuda" else {}
    with quiet_loading():
        try:
            tokenizer, model, report = _loaded(loader, folder, dtype=dtype, **to_card)
        except ModelError:
            raise
        except Exception as error:  # damaged files can raise anything
            raise loading_error(f"a {kind}", folder, error) from error
    check_tokenizer(tokenizer, getattr(model.config.get_text_config(), "vocab_size", None), folder)
    check_finite(model, folder)
    # An encoder loads as a causal LM too, with random numbers for the head that it lacks.
    check_complete(folder, missing_keys(report), kind)
    model.requires_grad_(False).eval()
    if not to_card:
        model.to(where)
    fit_limits(where, free_bytes(where))
    return tokenizer, model


def _loaded(loader: Any, folder: Path, **options: Any) -> tuple[Any, Any, Any]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    model, report = loader.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False, output_loading_info=True, **options
    )
    return tokenizer, model, report


def count_weights(folder: Path) -> int:
    """Return the weights of a model, from the headers of its files.

    A damaged file counts as empty: what loads the model says what is wrong with it.
    """
    from safetensors import SafetensorError, safe_open

    count = 0
    for file in folder.rglob("*.safetensors"):
        with suppress(OSError, SafetensorError), safe_open(file, "np") as tensors:
            names = tensors.keys()
            count += sum(prod(tensors.get_slice(name).get_shape()) for name in names)
    return count


def gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 0.95e9 else f"{count / 1e6:.0f} MB"


def check_fits(weights: int, name: str, itemsize: int, where: str) -> None:
    """Refuse a model whose weights alone exceed the free memory of a device.

    Raises:
        ModelError: with the size that would fit.
    """
    needed, free = weights * itemsize, free_bytes(where)
    if free is None or needed <= free:
        return
    here = "this machine" if where == "cpu" else f"{where} here"
    other = ", set CUDA_VISIBLE_DEVICES to another card" if where == "cuda" else ""
    raise ModelError(
        f"{name!r} needs {gigabytes(needed)} for its {weights / 1e9:.1f} billion weights alone, "
        f"and {here} has "
        f"{gigabytes(free)} free. Name a model of at most {free / itemsize / 1e9:.1f} billion "
        f"weights{other}, or use a machine with more memory."
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
            f"{gigabytes(free)} free. Name a smaller model, or use a machine with more memory."
        )
