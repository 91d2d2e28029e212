"""A pretended card: tensors that say they are on another device, computed by the processor.

No test machine has a GPU. torch lets a device be written in Python: on this one, an operator that
mixes its tensors with the processor's fails, as on a card, and all others give the same numbers.

    python -m support.pretended_card FOLDER FILE (card | cpu)

scores labels, writes answers and trains adapters with the model in a folder on either, and saves
the results.
"""

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CARD = "card"

ATEN = torch.ops.aten

# A card's kernels take these from the processor: copies, and indices of what is indexed.
COPIES = {ATEN.copy_.default, ATEN._to_copy.default, ATEN.to.other}
INDEXED = {ATEN.index.Tensor, ATEN.index_put_.default, ATEN._index_put_impl_.default}


class OnCard(torch.Tensor):
    """A tensor on the card; `values` are its numbers, in the processor's memory."""

    values: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values: torch.Tensor, requires_grad: bool = False) -> Any:
        self = torch.Tensor._make_wrapper_subclass(
            cls, values.shape, strides=values.stride(), storage_offset=values.storage_offset(),
            dtype=values.dtype, device=torch.device(CARD, 0), requires_grad=requires_grad,
        )  # fmt: skip
        self.values = values
        return self

    def __init__(self, *_: Any, **__: Any) -> None:
        """Take what `__new__` takes."""

    @classmethod
    def __torch_dispatch__(cls, operator: Any, _: Any, args: Any = (), named: Any = None) -> Any:
        return computed(operator, args, named or {})

    def tolist(self) -> Any:
        return self.values.tolist()

    @property
    def data(self) -> Any:
        return self.detach()

    @data.setter
    def data(self, other: torch.Tensor) -> None:
        self.values = on_processor(other)


class Card(TorchDispatchMode):
    """Let operators that are told a device know the card."""

    def __torch_dispatch__(self, operator: Any, _: Any, args: Any = (), named: Any = None) -> Any:
        return computed(operator, args, named or {})


def on_processor(some: Any) -> Any:
    if isinstance(some, torch.device):
        return torch.device("cpu")
    return some.values if isinstance(some, OnCard) else some


def computed(operator: Any, args: Any, named: Any) -> Any:
    tensors = [one for one in tree_leaves((args, named)) if isinstance(one, torch.Tensor)]
    ours = {id(one.values): one for one in tensors if isinstance(one, OnCard)}
    check_devices(operator, args, tensors)
    there = bool(ours)
    for place in (*args, *named.values()):
        if isinstance(place, torch.device):
            there = place.type == CARD
    if operator in (ATEN.copy_.default, ATEN.to.other):
        there = isinstance(args[operator is ATEN.to.other], OnCard)
    found = operator(*tree_map(on_processor, args), **tree_map(on_processor, named))

    def placed(one: Any) -> Any:
        if not (there and isinstance(one, torch.Tensor)):
            return one
        # What is changed in place stays the same tensor.
        return ours[id(one)] if id(one) in ours else OnCard(one)

    return tree_map(placed, found)


def check_devices(operator: Any, args: Any, tensors: list[torch.Tensor]) -> None:
    """Refuse what a card refuses.

    Raises:
        RuntimeError: if an operator mixes devices, or is one of the processor's own.
    """
    mine = [one for one in tensors if isinstance(one, OnCard)]
    if not mine or operator in COPIES:
        return
    if "mkl" in str(operator):
        raise RuntimeError(f"{operator} is the processor's")
    strangers = [one for one in tensors if not isinstance(one, OnCard) and one.dim()]
    if operator in INDEXED:
        values = [one for one in args[2:3] if isinstance(one, torch.Tensor) and one.dim()]
        strangers = [one for one in (args[0], *values) if not isinstance(one, OnCard)]
    if strangers:
        shapes = [f"{type(one).__name__} {tuple(one.shape)}" for one in tensors]
        raise RuntimeError(f"{operator}: tensors are on two devices: {', '.join(shapes)}")


def copy(source: torch.Tensor, target: torch.Tensor, _: bool = False) -> torch.Tensor:
    """Copy from one device to the other."""
    on_processor(target).copy_(on_processor(source))
    return target


# How torch's own code gets memory on the card, and fills it.
LIBRARY = torch.library.Library("aten", "IMPL")


def pretend(folder: Path) -> None:
    """Let `choose` find a card, and the model of a folder without another load: files are on disk.

    What torch does out of Python's sight is told where to do it.
    """
    from transformers import AutoModelForCausalLM

    import choose.engines.lora.classifier  # noqa: F401  # everything that asks for the device
    from choose.engines.hardware.device_and_dtype import device

    loaded = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    AutoModelForCausalLM.from_pretrained = lambda *_, **__: loaded
    for module in list(sys.modules.values()):
        if vars(module).get("device") is device:
            module.device = lambda: CARD
    about = backend_registration._DummyBackendModule()
    about.get_amp_supported_dtype = lambda: [torch.bfloat16]
    backend_registration._setup_privateuseone_for_python_backend(CARD, about)
    tensor, generator = torch.tensor, torch.Generator

    class Generator(generator):
        def __new__(cls, device: Any = "cpu") -> Any:
            return super().__new__(cls)

    torch.tensor = lambda *a, device=None, **k: tensor(*a, **k).to(device or "cpu")
    torch.Generator = Generator
    torch.inference_mode = lambda mode=True: torch.no_grad() if mode else torch.enable_grad()
    for name, function in {
        "empty_strided": lambda size, stride, dtype=None, **_: OnCard(
            torch.empty_strided(size, stride, dtype=dtype)
        ),
        "empty.memory_format": lambda size, dtype=None, **_: OnCard(torch.empty(size, dtype=dtype)),
        "_copy_from": copy,
    }.items():
        LIBRARY.impl(name, function, "PrivateUse1")
    Card().__enter__()


def results(folder: str) -> dict[str, Any]:
    """Return label scores, answers' log-probabilities, gradients and logits after training."""
    from choose.engines.causal.chat_template import Prompt
    from choose.engines.causal.label_scoring import LabelTrie
    from choose.engines.causal.loading import load_causal, load_generator
    from choose.engines.causal.stop_rules import StopRule

    lm, generator = load_causal(folder), load_generator(folder)
    lm.cache = generator.cache = None
    chooser = random.Random(0)

    def tokens(length: int) -> tuple[int, ...]:
        return tuple(chooser.randrange(5, 200) for _ in range(length))

    shared = tokens(12)
    prompts = [Prompt(shared, tokens(n)) for n in (3, 9, 5, 5)]
    trie = LabelTrie.of([(*tokens(n % 4 + 1), 2) for n in range(9)])
    scores = lm.score(prompts, trie).logprobs
    found = {"fast": np.array([lm.tree, generator.packed]), "scores": scores}
    found["answers"] = generator.write(prompts, StopRule(6)).logprobs
    return found | trained(folder, [tokens(length) for length in range(3, 27)])


def trained(folder: str, rows: list[tuple[int, ...]]) -> dict[str, Any]:
    from choose.engines.lora import fit
    from choose.engines.lora.classifier import ClassifierRun
    from choose.engines.lora.model import load_base
    from choose.engines.lora.training_run import Schedule
    from support.tiny_models import autograd_gradients, tuned

    fit.trains_together = lambda _: False  # as on a card
    base = load_base(folder)

    def run(seed: int, dropout: float = 0.0) -> ClassifierRun:
        model = tuned(base, "attention", dropout)
        for parameter in model.adapter.parameters():
            if parameter.requires_grad:  # rounding grows with what adapters do
                parameter.data.mul_(0.5)
        targets = [len(row) % 3 for row in rows]
        return ClassifierRun(model, rows, targets, Schedule(10, 8, 1e-2, 0), seed)

    gradients = {name: grad.cpu().numpy() for name, grad in autograd_gradients(run(0)).items()}
    fit.train_together([run(0, 0.1)])  # a card draws other masks, so its logits differ
    runs = [run(seed) for seed in range(2)]
    fit.train_together(runs)
    logits = [one.model.predict_logits(rows).detach().cpu().numpy() for one in runs]
    return gradients | {f"trained {n}": one for n, one in enumerate(logits)}


if __name__ == "__main__":
    if sys.argv[3] == CARD:
        pretend(Path(sys.argv[1]))
    np.savez(sys.argv[2], **results(sys.argv[1]))
