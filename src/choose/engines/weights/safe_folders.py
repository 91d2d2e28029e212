"""What a model folder may hold, and checks of what was loaded from it: whole and finite."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from threading import RLock
from typing import Any

from choose.errors import ModelError, StrategyError
from choose.files import LARGEST_TEXT, check_regular, read_text

# The files of a model folder that can change an answer. The tests hold them against the names of
# vocabularies that transformers knows.
FILES = (
    *("*.safetensors", "*.json", "*.jinja", "*.model", "vocab.txt", "merges.txt"),
    *("dict.txt", "*.codes", "*.spm", "*.tiktoken", "*.tokenizer"),
)

# The modules of sentence-transformers that are loaded, by the names that its versions write. Others
# take classes by name from their settings, or weights that are no safetensors.
_MODULE = re.compile(
    r"sentence_transformers\.(models|(base|sentence_transformer)\.modules(\.[a-z_]+)?)\."
    r"(Transformer|Pooling|WeightedLayerPooling|Dense|LayerNorm|Dropout|Normalize|StaticEmbedding)"
)

# What the settings of a Transformer module may hold, and which arguments they may pass on.
_SETTINGS = {
    *("max_seq_length", "do_lower_case", "transformer_task", "modality_config"),
    *("module_output_name", "processing_kwargs", "unpad_inputs", "query_length"),
    *("document_length", "query_expansion"),
}
_PASSED_ON = {
    *("model_args", "model_kwargs", "config_args", "config_kwargs"),
    *("tokenizer_args", "processor_kwargs"),
}
_ARGUMENTS = {
    *("add_pooling_layer", "attn_implementation", "dtype", "torch_dtype", "use_cache"),
    *("do_lower_case", "use_fast", "model_max_length", "max_length", "padding_side"),
    *("truncation_side", "add_bos_token", "add_eos_token"),
}

# Ways of computing that transformers has itself; others are fetched from a hub and run.
_IMPLEMENTATIONS = (None, "eager", "sdpa", "grouped_mm", "batched_mm")

# The largest models have 126 layers; loading a million takes minutes.
MAX_LAYERS = 1_000
_LAYERS = re.compile(r"(num|n)_(\w+_)?layers?|\w+_layers")

AGAIN = "Fetch or save the model again."

_PATCHING = RLock()


def content_files(folder: Path) -> list[Path]:
    """Return the files of a model folder that can change an answer."""
    return sorted({file for pattern in FILES for file in folder.rglob(pattern)})


def check_folder(folder: Path) -> None:
    """Refuse a model folder that would load code, pickles, or files its digest does not cover.

    Raises:
        ModelError: naming the file and what is wrong with it.
    """
    _check_regular_files(folder)
    modules = list(_modules(folder))
    for place in {folder, *(place for place, _ in modules)}:
        _check_place(place)
    for place, kind in modules:
        if not _MODULE.fullmatch(kind):
            raise ModelError(
                f"{str(folder)!r} names the module {kind!r} in modules.json. Only Transformer, "
                "Pooling, Dense and a few other modules of sentence-transformers are loaded, since "
                "others are code that would be run. Name another model."
            )
        # A Transformer reads safetensors under any name; other modules read this file or a pickle.
        whole = "*.safetensors" if kind.endswith(".Transformer") else "model.safetensors"
        if (place / "pytorch_model.bin").exists() and not any(place.glob(whole)):
            raise ModelError(
                f"{str(place / 'pytorch_model.bin')!r} holds pickled weights, which are not "
                "loaded. Convert them to safetensors (load the model with sentence-transformers "
                "and save it again), or name another model."
            )


def _check_regular_files(folder: Path) -> None:
    """Refuse pipes, devices and huge texts, on which a library would wait or run out of memory."""
    content = set(content_files(folder))
    for file in sorted(folder.rglob("*")):
        if file not in content and (file.is_dir() or not file.exists()):
            continue
        try:
            check_regular(file, LARGEST_TEXT if file.suffix == ".json" else float("inf"))
        except OSError as error:
            raise ModelError(
                f"Cannot read {str(file)!r}: {error.strerror or error}. {AGAIN}"
            ) from error


def _check_place(place: Path) -> None:
    """Refuse an adapter, settings that load from elsewhere, and configurations that run code."""
    if (place / "adapter_config.json").exists():
        raise ModelError(
            f"{str(place)!r} holds an adapter (adapter_config.json) over other weights, which its "
            "digest would not cover. Merge the adapter into its base and save the whole model."
        )
    for file in sorted(place.glob("sentence_*_config.json")):
        settings = _read(file)
        if not isinstance(settings, dict):
            raise ModelError(f"{str(file)!r} holds no settings. {AGAIN}")
        if unknown := _unknown_settings(settings):
            raise ModelError(
                f"{str(file)!r} sets {unknown[0]}, which can load files or code that the model's "
                "digest does not cover. Save the model whole, without it."
            )
        _check_config(file, settings)
    for file in sorted(place.glob("config*.json")):
        _check_config(file, _read(file))


def _unknown_settings(settings: Mapping[str, Any]) -> list[str]:
    unknown = [key for key in settings if key not in _SETTINGS | _PASSED_ON]
    for key in _PASSED_ON & settings.keys():
        given = settings[key] or {}
        unknown += sorted(given.keys() - _ARGUMENTS) if isinstance(given, dict) else [key]
    return unknown


def _check_config(file: Path, settings: Any) -> None:
    """Refuse code of a hub in place of attention, and numbers of layers that no model has."""
    for key, value in _pairs(settings):
        if key.endswith(("_implementation", "_implementation_internal")):
            for way in value.values() if isinstance(value, dict) else [value]:
                if way not in _IMPLEMENTATIONS:
                    raise ModelError(
                        f"{str(file)!r} sets {key} to {way!r}, which is code that would be "
                        "fetched and run. Remove the key: attention is that of transformers."
                    )
        elif _LAYERS.fullmatch(key) and type(value) is int and value > MAX_LAYERS:
            raise ModelError(
                f"{str(file)!r} sets {key} to {value:,}, and at most {MAX_LAYERS:,} layers are "
                f"loaded: it is damaged. {AGAIN}"
            )


def _pairs(settings: Any) -> Iterator[tuple[str, Any]]:
    parts = [settings]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            yield from part.items()
            parts += part.values()
        elif isinstance(part, list):
            parts += part


def _modules(folder: Path) -> Iterator[tuple[Path, str]]:
    listed = folder / "modules.json"
    if not listed.is_file():
        return
    entries = _read(listed)
    named = [
        (entry["path"], entry["type"])
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and all(isinstance(entry.get(k), str) for k in ("type", "path"))
    ]
    if not isinstance(entries, list) or len(named) < len(entries):
        raise ModelError(f"{str(listed)!r} is no list of modules with a type and a path each.")
    for path, kind in named:
        yield _inside(folder, path), kind


def _inside(folder: Path, path: str) -> Path:
    place = folder / path
    leaves = PureWindowsPath(path).drive or not place.resolve().is_relative_to(folder.resolve())
    if leaves or any(
        part.is_symlink()
        for part in (place, *place.parents)
        if part != folder and part.is_relative_to(folder)
    ):
        raise ModelError(
            f"The module path {path!r} in {str(folder)!r} leads out of the folder. Name another "
            "model."
        )
    return place


def _read(file: Path) -> Any:
    try:
        return json.loads(read_text(file))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"Cannot read {str(file)!r}: {error}. {AGAIN}") from error


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
    return ModelError(
        f"Cannot load {what} from {str(folder)!r}: {loading_reason(error)}. Name another model."
    )


def loading_reason(error: Exception) -> str:
    """Return a library's reason on one line, without its advice to run code of the folder."""
    text = str(error)
    if "trust_remote_code" in text or "custom code" in text:
        return "the folder holds code of its own, which choose does not run"
    if unknown := re.search(r"model type `([^`]*)` but Transformers does not recognize", text):
        return f"the installed transformers does not know its class, {unknown[1]!r}"
    return " ".join(text.split())[:300].rstrip(".") or type(error).__name__


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
        files = sorted(folder.rglob("*.safetensors"))
        raise ModelError(
            f"{files[0] if len(files) == 1 else folder} has no weights for {', '.join(names[:3])} "
            f"({len(names)} in all): it is damaged, or is no {kind}."
        )


def check_tokenizer(tokenizer: Any, vocabulary: int | None, folder: Path) -> None:
    """Refuse a tokenizer that is not the model's: it would map every text to the unknown token.

    `vocabulary` is the number of tokens that the model knows.

    Raises:
        ModelError: naming the folder.
    """
    if vocabulary and 2 * len(tokenizer) < vocabulary:
        raise ModelError(
            f"The tokenizer of {str(folder)!r} has {len(tokenizer):,} tokens and the model "
            f"{vocabulary:,}: its files (such as tokenizer.json) are missing or another model's. "
            f"{AGAIN}"
        )
    places = range(0, len(tokenizer), 1 + len(tokenizer) // 1_000)
    tokens = tokenizer.convert_ids_to_tokens([*places])
    special = {*tokenizer.all_special_tokens, None}
    text = tokenizer.convert_tokens_to_string([token for token in tokens if token not in special])
    if {*tokenizer.encode(text, add_special_tokens=False, verbose=False)} <= {
        tokenizer.unk_token_id
    }:
        raise ModelError(
            f"The tokenizer of {str(folder)!r} maps every word to its unknown token: its files are "
            f"damaged or missing. {AGAIN}"
        )


def check_finite(model: Any, folder: Path) -> None:
    """Refuse a model with a weight that is NaN or infinite.

    Raises:
        ModelError: naming the weight.
    """
    for name, tensor in model.named_parameters():
        if not is_finite(tensor):
            raise ModelError(
                f"{folder} holds NaN or infinity in {name}: the weights are damaged. {AGAIN}"
            )


def is_finite(tensor: Any) -> bool:
    """Return whether a tensor holds finite numbers only, in one pass and without a copy."""
    import torch

    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    low, high = torch.aminmax(tensor.detach())  # NaN is passed on
    return bool(torch.isfinite(low) and torch.isfinite(high))


def read_tensors(path: Path, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tensors in a safetensors file that has the names and shapes of `expected`.

    Raises:
        StrategyError: if the file is damaged or holds other tensors.
    """
    from safetensors.torch import load_file

    try:
        check_regular(path)
        tensors = dict(load_file(path))
    except Exception as error:  # damaged files can raise anything
        raise unlike(path, " ".join(str(error).split())) from error
    if different := sorted(tensors.keys() ^ expected.keys()):
        what = "lacks" if different[0] in expected else "should not hold"
        raise unlike(path, f"it {what} {different[0]}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape or not tensor.is_floating_point():
            raise unlike(path, f"{name} has the shape {tuple(tensor.shape)} or type of another")
        if not is_finite(tensor):
            raise unlike(path, f"{name} holds NaN or infinity")
    return tensors


def unlike(path: Path, why: str) -> StrategyError:
    return StrategyError(f"Cannot read {str(path)!r}: {why}. Export it again.")
