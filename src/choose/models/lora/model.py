"""A frozen base model, shared by a process, and PEFT adapters over it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from choose.errors import ModelError, StrategyError
from choose.files import read_text
from choose.models.hardware.compute_settings import trains_in_bfloat16
from choose.models.weights.folder_checks import (
    check_complete,
    check_finite,
    loading_error,
    missing_keys,
)
from choose.models.weights.resolve import resolve, weights_digest

if TYPE_CHECKING:
    pass

Pooling = Literal["first", "last", "mean"]


def is_causal(config: Any) -> bool:
    """Return whether a model with that configuration attends to earlier tokens only.

    Some language models become encoders by a switch of their configuration and keep their name:
    EmbeddingGemma is a Gemma 3 with `use_bidirectional_attention`, others set `is_causal`.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind, text = config.model_type, config.get_text_config()
    # Encoders such as BERT are listed as causal LMs too, so the list alone does not suffice.
    listed = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    # The value "vision" is about images only.
    bidirectional = getattr(text, "use_bidirectional_attention", None) in (True, "all")
    return (
        listed
        and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
        and getattr(text, "is_causal", True)
        and not bidirectional
    )


@dataclass(frozen=True, slots=True)
class Base:
    """A frozen model in float32 with its tokenizer; shared, so neither may be changed.

    Attributes:
        lm: the model with its language-model head around `model`; None for classifiers.
        causal: whether a token attends to earlier ones only.
        pools_first_token: whether the model was trained to represent a text by its first token.
        bfloat16_copies: weights cast to bfloat16, by the identity of the original.
        engine_state: the fused engine's packed layers, by number type, and its lower layers.
    """

    model: Any
    tokenizer: Any
    causal: bool
    pools_first_token: bool
    device: str
    bfloat16_copies: dict[int, Any] = field(default_factory=dict, repr=False, compare=False)
    engine_state: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
    lm: Any = None

    @property
    def hidden_size(self) -> int:
        """Return the size of a hidden state."""
        return int(self.model.config.hidden_size)

    @property
    def pooling(self) -> Pooling:
        """Return which hidden states represent a text.

        Only the last token of a causal model attends to the whole text.
        """
        if self.causal:
            return "last"
        return "first" if self.pools_first_token else "mean"

    @property
    def max_tokens(self) -> int:
        """Return the most tokens that the model reads."""
        known = getattr(self.model.config, "max_position_embeddings", None) or 10**6
        # RoBERTa and its relatives count positions from two on.
        return int(min(known - 2, self.tokenizer.model_max_length))


def load_base(spec: str, writes: bool = False) -> Base:
    """Load a base once a process, and again when the content of its folder has changed.

    One that `writes` is a causal LM with its head.

    Raises:
        ModelError: if it is missing, transformers cannot load it, or it is neither a causal LM nor
            an encoder that can be used.
    """
    return _loaded(spec, weights_digest(spec), writes)


@lru_cache(maxsize=4)
def _loaded(spec: str, digest: str, writes: bool) -> Base:
    from choose.models.hardware.compute_settings import device, quiet_loading, set_threads
    from choose.models.hardware.memory import share_weights

    set_threads()
    folder = resolve(spec)
    try:
        with quiet_loading("Loading the base model"):
            tokenizer, model, loading = _read(folder, spec, writes)
    except ModelError:
        raise
    except Exception as error:  # damaged files can raise anything
        raise loading_error("a base model", folder, error) from error
    check_complete(folder, missing_keys(loading), "base model")
    check_finite(model, folder)
    if model.config.is_encoder_decoder:
        raise ModelError(
            f"{model.config.model_type!r} is an encoder-decoder; LoRA takes causal LMs and "
            "encoders."
        )
    model.requires_grad_(False).eval().to(device())
    share_weights(model, digest)
    lm = model if writes else None
    first = _pools_first_token(folder)
    inner = model.base_model if writes else model
    return Base(inner, tokenizer, is_causal(model.config), first, device(), lm=lm)


def _read(folder: Path, spec: str, writes: bool) -> tuple[Any, Any, dict[str, Any]]:
    """Return tokenizer, model, and what transformers says of the loading."""
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if writes and not is_causal(AutoConfig.from_pretrained(folder, trust_remote_code=False)):
        raise ModelError(
            f"{spec!r} is no causal language model, so it cannot write answers. Name one with "
            "--tune."
        )
    loader: Any = AutoModelForCausalLM if writes else AutoModel
    model, loading = loader.from_pretrained(
        folder,
        dtype="float32",
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    return tokenizer, model, loading


def _pools_first_token(folder: Path) -> bool:
    config = folder / "1_Pooling" / "config.json"
    settings = json.loads(read_text(config)) if config.is_file() else {}
    return bool(settings.get("pooling_mode_cls_token", False))


Targets = Literal["attention", "all"]


@dataclass(frozen=True, slots=True)
class AdapterSpec:
    """An adapter's size; `upper` is the share of the layers that get one, from the top."""

    rank: int
    targets: Targets
    dropout: float
    upper: float = 1.0


def attach_adapter(base: Base, spec: AdapterSpec, name: str) -> Any:
    """Return a PEFT model over a copy of the base's modules that shares the base's tensors.

    The base itself is never changed, so several adapters can exist at a time. Initial values come
    from torch's global generator: call it inside `seeded`.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    from choose.models.hardware.compute_settings import quiet_loading

    whole = base.model if base.lm is None else base.lm
    config = LoraConfig(
        task_type=None if base.lm is None else TaskType.CAUSAL_LM,
        r=spec.rank,
        lora_alpha=2 * spec.rank,
        lora_dropout=spec.dropout,
        target_modules=_target_modules(base.model.config.model_type, spec.targets),
        exclude_modules="|".join([r".*pooler.*", *_excluded_modules(whole, spec.upper, name)]),
    )
    with quiet_loading("Attaching the adapter"):
        try:
            model = get_peft_model(shared_copy(whole), config)
        except ValueError as error:
            raise StrategyError(f"LoRA finds nothing to adapt in {name!r}: {error}") from error
    # PEFT writes the local folder here, which is useless on another machine.
    model.peft_config["default"].base_model_name_or_path = name
    return model


def shared_copy(model: Any) -> Any:
    """Return a copy of a model's modules over the same tensors."""
    tensors = (*model.parameters(), *model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def lowest_adapted_layer(layers: int, upper: float) -> int:
    """Return the index of the lowest of `layers` layers that gets an adapter."""
    return layers - max(1, round(upper * layers))


def _excluded_modules(model: Any, upper: float, name: str) -> list[str]:
    """Return a pattern of the modules in the layers below the adapted ones, if there are any.

    PEFT's own `layers_to_transform` reads a layer's number only behind a prefix that a bare base
    does not have.

    Raises:
        StrategyError: if the model's layers are not one list.
    """
    import torch

    count = model.config.num_hidden_layers
    first = lowest_adapted_layer(count, upper)
    lists = [
        path
        for path, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == count
    ]
    if not first:
        return []
    if not lists:
        raise StrategyError(f"The layers of {name!r} are not one list; upper must be 1 for it.")
    return [rf"{re.escape(lists[0])}\.({'|'.join(map(str, range(first)))})\..*"]


def _target_modules(kind: str, targets: Targets) -> str | None:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    known = kind in TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    return None if targets == "attention" and known else "all-linear"


class LearningCheck(NamedTuple):
    """The loss on training rows before and after, and how far the adapter moves a logit."""

    loss_before: float
    loss_after: float
    largest_change: float


@dataclass
class Adapted:
    """An adapter over a base; `learning` is None where nothing was trained."""

    base: Base
    adapter: Any
    learning: LearningCheck | None = field(default=None, init=False)

    @property
    def head_parameters(self) -> dict[str, Any]:
        """Return the parameters that learn beside the adapter's, by name."""
        return {}


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Seed torch inside the block and restore its global generators afterwards."""
    import torch

    cards = list(range(torch.cuda.device_count())) if device == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        torch.manual_seed(seed)
        yield


def trained_state(model: Adapted) -> dict[str, Any]:
    """Return a copy of all trained tensors, by name."""
    parts = {n: p for n, p in model.adapter.named_parameters() if p.requires_grad}
    parts |= {f"head.{n}": p for n, p in model.head_parameters.items()}
    return {name: tensor.detach().clone() for name, tensor in parts.items()}


def restore_state(model: Adapted, state: dict[str, Any]) -> None:
    """Put back the tensors that `trained_state` copied."""
    import torch

    with torch.no_grad():
        for name, parameter in model.adapter.named_parameters():
            if name in state:
                parameter.copy_(state[name])
        for name, parameter in model.head_parameters.items():
            parameter.copy_(state[f"head.{name}"])


# Opens a context for one pass.
Cast = Callable[[], AbstractContextManager[None]]


@contextmanager
def frozen_weights(
    adapter: Any, base: Base
) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Yield a context for one pass in the number type of training; see `bfloat16_weights`."""
    import torch

    half, kind = trains_in_bfloat16(base.device), torch.device(base.device).type
    with bfloat16_weights(adapter, base) if half else nullcontext():
        yield lambda: torch.autocast(kind, torch.bfloat16, enabled=half)


@contextmanager
def bfloat16_weights(model: Any, base: Base) -> Iterator[None]:
    """Let the frozen linear layers of a copy of `base` hold bfloat16 weights inside the block.

    Autocast would compute the same products, but casts every frozen weight in every pass: for
    short texts, a third of a step. Norms and embeddings stay in float32, as under autocast.
    """
    import torch

    layers = [
        module
        for module in model.modules()
        if type(module) is torch.nn.Linear and not module.weight.requires_grad
    ]
    originals = [module.weight for module in layers]
    try:
        # The base holds its weights as long as it lives, so their ids identify them.
        for module in layers:
            if (key := id(module.weight)) not in base.bfloat16_copies:
                cast = module.weight.detach().to(torch.bfloat16)
                base.bfloat16_copies[key] = torch.nn.Parameter(cast, requires_grad=False)
            module.weight = base.bfloat16_copies[key]
        yield
    finally:
        for module, weight in zip(layers, originals, strict=True):
            module.weight = weight
