"""A frozen base shared by a process, and an adapter with a head over it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from choose.errors import ModelError, StrategyError
from choose.models.hardware.memory import asked_tokens
from choose.models.lora.batching import by_length, pad
from choose.models.weights.resolve import resolve, weights_digest
from choose.progress import report_progress

if TYPE_CHECKING:
    import torch


def is_causal(config: Any) -> bool:
    """Return whether a token of a model with that configuration sees only those before it.

    Some language models are made into encoders by a switch of their configuration and keep their
    name: EmbeddingGemma is a Gemma 3 with `use_bidirectional_attention`, others set `is_causal`.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind, text = config.model_type, config.get_text_config()
    # Encoders such as BERT can be had as causal LMs too, so that list alone does not tell.
    listed = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    # The other way "vision" is about images only.
    both_ways = getattr(text, "use_bidirectional_attention", None) in (True, "all")
    return (
        listed
        and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
        and getattr(text, "is_causal", True)
        and not both_ways
    )


Pooling = Literal["first", "last", "mean"]


@dataclass(frozen=True, slots=True)
class Base:
    """A frozen model in float32 with its tokenizer; nobody may change either.

    `causal` says that a token sees only those before it; `first` that the model was trained to
    stand for a text by its first token. `halves` are matrices cast to bfloat16, by the identity of
    the original; `packed` its layers laid out for training, by number type, and what texts become
    in its lower ones.
    """

    model: Any
    tokenizer: Any
    causal: bool
    first: bool
    device: str
    halves: dict[int, Any] = field(default_factory=dict, repr=False, compare=False)
    packed: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def width(self) -> int:
        """Return the size of a hidden state."""
        return int(self.model.config.hidden_size)

    @property
    def pooling(self) -> Pooling:
        """Return which states stand for a text.

        The last token of a causal model is the only one that has read all of it.
        """
        if self.causal:
            return "last"
        return "first" if self.first else "mean"

    @property
    def longest(self) -> int:
        """Return how many tokens the model can read."""
        known = getattr(self.model.config, "max_position_embeddings", None) or 10**6
        # RoBERTa and its kin count positions from two on.
        return int(min(known - 2, self.tokenizer.model_max_length))


def load_base(spec: str) -> Base:
    """Load a base once a process, and anew when its folder holds something else by now.

    Raises:
        ModelError: if it is not there, transformers cannot load it, or it is neither causal LM nor
            encoder.
    """
    return _loaded(spec, weights_digest(spec))


@lru_cache(maxsize=2)
def _loaded(spec: str, digest: str) -> Base:
    from transformers import AutoModel, AutoTokenizer

    from choose.models.hardware.device import device, quiet, threads
    from choose.models.hardware.memory import share_weights

    threads()
    folder = resolve(spec)
    try:
        with quiet("Loading the base model"):
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model, loading = AutoModel.from_pretrained(
                folder,
                dtype="float32",
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"Cannot load a base model from {folder}: {error}") from error
    # What stands for a text is never a pooler's, so that one may be missing.
    missing = sorted(key for key in loading["missing_keys"] if "pooler" not in key)
    if missing:
        raise ModelError(
            f"{folder} has no weights for {', '.join(missing[:3])}: it is another kind of model."
        )
    if model.config.is_encoder_decoder:
        raise ModelError(
            f"{model.config.model_type!r} is an encoder-decoder; LoRA takes causal LMs and "
            "encoders."
        )
    model.requires_grad_(False).eval().to(device())
    share_weights(model, digest)
    return Base(model, tokenizer, is_causal(model.config), _first(folder), device())


def _first(folder: Path) -> bool:
    stated = folder / "1_Pooling" / "config.json"
    return stated.is_file() and bool(
        json.loads(stated.read_text()).get("pooling_mode_cls_token", False)
    )


def read(model: Any, base: Base, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return what stands for each text, (B, width) float32, from ids padded on the right."""
    import torch

    if base.causal:
        # Padding on the right comes after all that a causal model's tokens look at, so no mask is
        # needed, and the attention kernel without one is the faster.
        states = model(input_ids=ids, use_cache=False).last_hidden_state.float()
        last: torch.Tensor = states[torch.arange(len(lengths), device=states.device), lengths - 1]
        return last
    mask = (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]).long()
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    if base.pooling == "first":
        pooled: torch.Tensor = states[:, 0]
    else:
        pooled = (states * mask[..., None]).sum(1) / lengths[:, None]
    return pooled


def logits_of(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return (rows, classes) for what stands for each text.

    States of different models differ in scale by a hundred; the head's rate should not.
    """
    import torch

    scaled = torch.nn.functional.layer_norm(states, states.shape[-1:])
    return torch.nn.functional.linear(scaled, weight, bias)


@dataclass
class Tuned:
    """An adapter and its head over a base.

    `proof` holds the mean loss before and after training, and the largest change of a logit when
    the adapter is switched off; None where there was nothing to learn.
    """

    base: Base
    adapter: Any
    head: torch.nn.Linear
    proof: tuple[float, float, float] | None = None

    def logits(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return (B, classes) float32."""
        states = read(self.adapter, self.base, ids, lengths)
        return logits_of(states, self.head.weight, self.head.bias)

    def loss(self, rows: Sequence[Sequence[int]], targets: Sequence[int]) -> float:
        """Return the mean cross-entropy in nats."""
        import torch

        logits = self.ask(rows)
        return float(torch.nn.functional.cross_entropy(logits, torch.tensor(list(targets))))

    def ask(self, rows: Sequence[Sequence[int]], loop: str = "") -> torch.Tensor:
        """Return (n, classes) logits in the order of the rows, computed in float32.

        bfloat16 would be faster, but its rounding depends on the batch's shape, so an answer would
        depend on its neighbours. Where it is a `loop` of its own and no part of training, it says
        how far it is.
        """
        import torch

        found, done = torch.zeros(len(rows), self.head.out_features), 0
        room = asked_tokens(self.base.device)
        self.adapter.eval()
        with torch.inference_mode():
            for places in by_length([len(row) for row in rows], room):
                ids, lengths = pad([rows[i] for i in places], self.base.device)
                found[places] = self.logits(ids, lengths).cpu()
                done += len(places)
                if loop:
                    report_progress(done, len(rows), loop)
        return found


@contextmanager
def own_randomness(seed: int, device: str) -> Iterator[None]:
    """Seed torch for a while and put its global generators back as they were."""
    import torch

    cards = list(range(torch.cuda.device_count())) if device == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        torch.manual_seed(seed)
        yield


def state_of(tuned: Tuned) -> dict[str, Any]:
    """Return a copy of all that was trained, by name."""
    parts = {n: p for n, p in tuned.adapter.named_parameters() if p.requires_grad}
    parts |= {f"head.{n}": p for n, p in tuned.head.named_parameters()}
    return {name: tensor.detach().clone() for name, tensor in parts.items()}


def restore(tuned: Tuned, state: dict[str, Any]) -> None:
    """Put back what `state_of` had copied."""
    import torch

    with torch.no_grad():
        for name, parameter in tuned.adapter.named_parameters():
            if name in state:
                parameter.copy_(state[name])
        for name, parameter in tuned.head.named_parameters():
            parameter.copy_(state[f"head.{name}"])


Targets = Literal["attention", "all"]


@dataclass(frozen=True, slots=True)
class Shape:
    """What an adapter looks like; `upper` is the share of the layers that get one, from the top."""

    rank: int
    targets: Targets
    dropout: float
    upper: float = 1.0


def fresh(base: Base, shape: Shape, classes: int, name: str) -> Tuned:
    """Return an untrained adapter under a head that gives every class the same."""
    import torch

    head = torch.nn.Linear(base.width, classes)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    return Tuned(base, adapt(base, shape, name), head.to(base.device))


def adapt(base: Base, shape: Shape, name: str) -> Any:
    """Return a PEFT model over a copy of the base's frame that shares the base's tensors.

    The base itself is never touched, so nothing has to be taken off again and several adapters
    can live side by side. Initial values come from torch's global generator: fork it.
    """
    from peft import LoraConfig, get_peft_model

    from choose.models.hardware.device import quiet

    config = LoraConfig(
        r=shape.rank,
        lora_alpha=2 * shape.rank,
        lora_dropout=shape.dropout,
        target_modules=_modules(base.model.config.model_type, shape.targets),
        exclude_modules="|".join([r".*pooler.*", *_below(base.model, shape.upper, name)]),
    )
    with quiet("Attaching the adapter"):
        try:
            model = get_peft_model(frame(base), config)
        except ValueError as error:
            raise StrategyError(f"LoRA finds nothing to adapt in {name!r}: {error}") from error
    # PEFT puts the folder of this machine here, which means nothing to who gets the adapter.
    model.peft_config["default"].base_model_name_or_path = name
    return model


def frame(base: Base) -> Any:
    """Return a copy of the base's modules over the same tensors."""
    tensors = (*base.model.parameters(), *base.model.buffers())
    return copy.deepcopy(base.model, {id(tensor): tensor for tensor in tensors})


def lowest(layers: int, upper: float) -> int:
    """Return the first of so many layers that gets an adapter."""
    return layers - max(1, round(upper * layers))


def _below(model: Any, upper: float, name: str) -> list[str]:
    """Return a pattern of the modules in layers too low to be adapted, if there are any.

    PEFT's own `layers_to_transform` reads a layer's number only behind a prefix that a bare base
    does not have.

    Raises:
        StrategyError: if the model's layers are not one list.
    """
    import torch

    count = model.config.num_hidden_layers
    first = lowest(count, upper)
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


def _modules(kind: str, targets: Targets) -> str | None:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    known = kind in TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    return None if targets == "attention" and known else "all-linear"
