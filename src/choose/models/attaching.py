"""LoRA adapters on a copy of a base's frame: which linears of which layers get one."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any, Literal

from choose.errors import StrategyError
from choose.models.adapters import Base, Tuned

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

    from choose.models.runtime import quiet

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
