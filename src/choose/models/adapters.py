"""A frozen base shared by a process, and an adapter with a head over it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from choose.errors import ModelError
from choose.meter import went
from choose.models.batches import by_length, pad
from choose.models.causality import is_causal
from choose.models.room import asked_tokens
from choose.models.weights import resolve, weights_digest

if TYPE_CHECKING:
    import torch

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

    from choose.models.memory import share_weights
    from choose.models.runtime import device, quiet, threads

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
                    went(done, len(rows), loop)
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
