"""A frozen base model, shared by a process, and PEFT adapters over it."""

import copy
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import torch

from choose.engines.causal.loading import load_causal
from choose.engines.hardware.device_and_dtype import base_dtype, device, dtype, quiet_loading
from choose.engines.hardware.placement import load_placed
from choose.engines.hardware.timed_steps import TimedSteps
from choose.engines.weights.resolve import resolve, weights_digest
from choose.engines.weights.safe_folders import loading_error
from choose.errors import ModelError, StrategyError
from choose.files import read_text

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
    """A frozen model with its tokenizer; shared, so neither may be changed.

    Encoders are in float32 on a CPU; decoders in the number type that is fast where they are.

    Attributes:
        model: what reads texts, without a head, and without what reads images.
        lm: the model with its language-model head around `model`; None for classifiers.
        causal: whether a token attends to earlier ones only.
        pools_first_token: whether the model was trained to represent a text by its first token.
        engine_state: the fused engine's packed layers, by number type.
        steps: how many threads steps take, by what they do.
    """

    model: Any
    tokenizer: Any
    causal: bool
    pools_first_token: bool
    device: str
    engine_state: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
    steps: defaultdict[str, TimedSteps] = field(
        default_factory=lambda: defaultdict(TimedSteps), repr=False, compare=False
    )
    lm: Any = None

    @property
    def hidden_size(self) -> int:
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
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

    folder = resolve(spec)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # damaged files can raise anything
        raise loading_error("a base model", folder, error) from error
    if writes and not is_causal(config):
        raise ModelError(
            f"{spec!r} is no causal language model, so it cannot write answers. Name one with "
            "--set tune=SPEC."
        )
    if config.is_encoder_decoder:
        raise ModelError(
            f"{config.model_type!r} is an encoder-decoder; LoRA takes causal LMs and encoders."
        )
    if _has_head(config) and base_dtype() is dtype():
        # The prompted model has the same number type, so it is the base too.
        prompted = load_causal(spec)
        tokenizer, model = prompted.template.tokenizer, prompted.model
    else:
        # Encoders are small, and some train all of their weights.
        kind = base_dtype() if is_causal(config) else torch.float32
        loader = AutoModelForCausalLM if writes else AutoModel
        tokenizer, model = load_placed(loader, folder, dtype=kind, kind="base model")
    inner = model.base_model
    # What reads texts, in a model that reads images too.
    inner = getattr(inner, "language_model", inner)
    pooling = folder / "1_Pooling" / "config.json"
    settings = json.loads(read_text(pooling)) if pooling.is_file() else {}
    first, lm = bool(settings.get("pooling_mode_cls_token")), model if writes else None
    return Base(inner, tokenizer, is_causal(config), first, device(), lm=lm)


def _has_head(config: Any) -> bool:
    """Return whether the files hold a causal LM with the head that turns states into words."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()
    return is_causal(config) and any(name in known for name in config.architectures or ())


Targets = Literal["attention", "all"]


@dataclass(frozen=True, slots=True)
class AdapterSpec:
    """An adapter's size, and which linear layers get one: those of the last `share` of layers."""

    rank: int
    targets: Targets
    dropout: float
    share: float = 1.0


def attach_adapter(base: Base, spec: AdapterSpec, name: str) -> Any:
    """Return a PEFT model over a copy of the base's modules that shares the base's tensors.

    The base itself is never changed, so several adapters can exist at a time. Initial values come
    from torch's global generator: call it inside `seeded`.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    whole = base.model if base.lm is None else base.lm
    inner = next(path for path, module in whole.named_modules() if module is base.model)
    # What reads images stays as it is, and so do the first layers.
    outside = [rf"(?!{re.escape(inner)}\.).*"] if inner.count(".") else []
    count = base.model.config.get_text_config().num_hidden_layers
    if (below := count - max(1, round(spec.share * count))) > 0:
        outside.append(rf"\D*\b({'|'.join(map(str, range(below)))})\..*")
    config = LoraConfig(
        task_type=None if base.lm is None else TaskType.CAUSAL_LM,
        r=spec.rank,
        lora_alpha=2 * spec.rank,
        lora_dropout=spec.dropout,
        target_modules=(spec.targets == "attention" and attention_layers(base)) or "all-linear",
        exclude_modules="|".join([r".*pooler.*", *outside]),
    )
    with quiet_loading():
        try:
            model = get_peft_model(shared_copy(whole), config)
        except ValueError as error:
            raise StrategyError(f"LoRA finds nothing to adapt in {name!r}: {error}") from error
    # PEFT writes the local folder here, which is useless on another machine.
    model.peft_config["default"].base_model_name_or_path = name
    return model


def shared_copy(model: Any) -> Any:
    tensors = (*model.parameters(), *model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def attention_layers(base: Base) -> list[str] | None:
    """Return the names of the query and value layers of a base, where PEFT knows them."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    return [*KNOWN.get(base.model.config.model_type, ())] or None


class LearningCheck(NamedTuple):
    """The loss on training rows before and after, and how far the adapter moves a logit."""

    loss_before: float
    loss_after: float
    largest_change: float


@dataclass
class Adapted:
    """An adapter over a base, or a copy of its model.

    Attributes:
        learning: None where nothing was trained.
        reader: of the copy, whose weights it has packed as they were when it last read.
    """

    base: Base
    adapter: Any
    learning: LearningCheck | None = field(default=None, init=False)
    reader: Any = field(default=None, init=False, repr=False, compare=False)

    @property
    def head_parameters(self) -> dict[str, Any]:
        """Return the parameters that learn beside the adapter's, by name."""
        return {}


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Seed torch inside the block and restore its global generators afterwards."""
    cards = list(range(torch.cuda.device_count())) if device == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        torch.manual_seed(seed)
        yield
