"""Checks of loaded weights: none is missing, and all are finite numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from choose.errors import ModelError

_PATCHING = RLock()


@contextmanager
def recorded_missing() -> Iterator[set[str]]:
    """Yield a set that collects the keys for which transformers finds no weights in the block.

    Libraries that load transformers models for us drop its loading report, and use random numbers
    in place of what is missing. Nothing uses the output of a pooler, so it may be missing.
    """
    from transformers import PreTrainedModel

    missing: set[str] = set()
    library: Any = PreTrainedModel
    original = library.__dict__["from_pretrained"]

    def recording(cls: type, *args: Any, **kwargs: Any) -> Any:
        wanted = kwargs.pop("output_loading_info", False)
        model, report = original.__func__(cls, *args, **kwargs, output_loading_info=True)
        missing.update(missing_keys(report))
        return (model, report) if wanted else model

    with _PATCHING:
        library.from_pretrained = classmethod(recording)
        try:
            yield missing
        finally:
            library.from_pretrained = original


def loading_error(what: str, folder: Path, error: Exception) -> ModelError:
    """Return a library's error on a damaged or foreign folder as one line."""
    reason = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
    return ModelError(f"Cannot load {what} from {str(folder)!r}: {reason}. Name another model.")


def missing_keys(report: Any) -> set[str]:
    """Return the missing keys of a loading report, without those of a pooler."""
    return {key for key in report["missing_keys"] if "pooler" not in key}


def check_complete(folder: Path, missing: Iterable[str], kind: str) -> None:
    """Refuse a model of some kind with weights that no file of its folder holds.

    Raises:
        ModelError: naming the file and some of the weights.
    """
    names = sorted(missing)
    if names:
        raise ModelError(
            f"{_weights_file(folder)} has no weights for {', '.join(names[:3])} "
            f"({len(names)} in all): it is damaged, or is no {kind}."
        )


def check_finite(model: Any, folder: Path) -> None:
    """Refuse a model with a weight that is NaN or infinite.

    Raises:
        ModelError: naming the file.
    """
    for name, tensor in model.named_parameters():
        if not is_finite(tensor):
            raise ModelError(
                f"{_holder(folder)} holds NaN or infinity in {name}: the weights are damaged. "
                "Fetch or save the model again."
            )


def is_finite(tensor: Any) -> bool:
    """Return whether a tensor holds finite numbers only, in one pass and without a copy."""
    import torch

    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    low, high = torch.aminmax(tensor.detach())  # NaN is passed on
    return bool(torch.isfinite(low) and torch.isfinite(high))


def _weights_file(folder: Path) -> Path:
    files = sorted(folder.rglob("*.safetensors"))
    return files[0] if len(files) == 1 else folder


def _holder(folder: Path) -> Path:
    """Return the first safetensors file with a number that is not finite, or the folder."""
    from safetensors import safe_open

    for file in sorted(folder.rglob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            if not all(is_finite(tensors.get_tensor(name)) for name in tensors.keys()):  # noqa: SIM118
                return file
    return folder
