"""Train an adapter and a classification head: schedule, loss, early stopping, proof of learning."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from choose.errors import StrategyError
from choose.models.adapters import Base, Tuned, restore, state_of
from choose.models.batches import pad, shuffled
from choose.models.halved import halved

if TYPE_CHECKING:
    import torch

# Below this many rows every label is worth more as a lesson than as a check.
EARLY_STOPPING_FROM = 1500
PROOF_ROWS = 48
WARM_UP = 0.1
HEAD_RATE = 3.0


@dataclass(frozen=True, slots=True)
class Plan:
    """A training schedule: `steps` batches of `batch` rows; `held_out` rows only checked on."""

    steps: int
    batch: int
    rate: float
    held_out: int


def plan(rows: int, classes: int, rate: float, epochs: float | None = None) -> Plan:
    """Return a schedule for a pool of `rows` labels, from a handful to tens of thousands.

    The number of epochs falls with the square root of the pool, and the number of steps never
    under what a head with that many classes needs to move at all.
    """
    held_out = min(500, rows // 10) if rows >= EARLY_STOPPING_FROM else 0
    learnt = max(1, rows - held_out)
    batch = max(2, min(8 if learnt < 500 else 16 if learnt < 1000 else 32, learnt // 2))
    passes = min(30.0, max(3.0, 7 * math.sqrt(300 / learnt))) if epochs is None else epochs
    least = 40 + 2 * min(classes, 100) if epochs is None else 1
    return Plan(max(least, math.ceil(passes * learnt / batch)), batch, rate, held_out)


def train(
    tuned: Tuned, rows: Sequence[Sequence[int]], targets: Sequence[int], plan: Plan, seed: int
) -> None:
    """Train on rows of token ids with their classes, and prove that something was learnt.

    Raises:
        StrategyError: if the loss did not fall or the adapter changes no logit.
    """
    chooser = random.Random(f"lora-{seed}")
    learnt, checked = _split(targets, plan.held_out, chooser)
    sample = learnt[:: max(1, len(learnt) // PROOF_ROWS)][:PROOF_ROWS]
    shown, truth = [rows[i] for i in sample], [targets[i] for i in sample]
    before = loss_of(tuned, shown, truth)
    best: tuple[float, dict[str, Any]] | None = None
    order = [rows[i] for i in learnt], [targets[i] for i in learnt]
    epoch = math.ceil(len(learnt) / plan.batch)
    for step in _steps(tuned, *order, plan, chooser):
        if not checked or (step % epoch and step != plan.steps):
            continue
        loss = loss_of(tuned, [rows[i] for i in checked], [targets[i] for i in checked])
        if best is not None and loss > best[0] * 1.2:
            break  # a fifth worse than at its best: what follows only memorises
        if best is None or loss < best[0]:
            best = loss, state_of(tuned)
    if best is not None:
        restore(tuned, best[1])
    tuned.proof = before, loss_of(tuned, shown, truth), _effect(tuned, shown)
    _believe(tuned.proof)


def _steps(
    tuned: Tuned,
    rows: Sequence[Sequence[int]],
    targets: Sequence[int],
    plan: Plan,
    chooser: random.Random,
) -> Iterator[int]:
    """Yield the number of steps done after each of them."""
    import torch

    from choose.models.runtime import threads

    weights = class_weights(targets, tuned.head.out_features).to(tuned.base.device)
    truth = torch.tensor(list(targets), device=tuned.base.device)
    parameters = [p for p in tuned.adapter.parameters() if p.requires_grad]
    head = list(tuned.head.parameters())
    optimiser = torch.optim.AdamW(
        [{"params": parameters, "lr": plan.rate}, {"params": head, "lr": plan.rate * HEAD_RATE}],
        weight_decay=0.01,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: _factor(s, plan.steps))
    kind = torch.device(tuned.base.device).type
    half = halves(tuned.base)
    for step, places in enumerate(_batches(rows, plan, chooser), start=1):
        threads()
        tuned.adapter.train()
        ids, lengths = pad([rows[i] for i in places], tuned.base.device)
        # Opened anew for each pass: autocast keeps cast weights until its context ends, so one
        # context around the loop would train against the first step's adapter for ever.
        with halved(tuned.adapter, tuned.base) if half else nullcontext():
            with torch.autocast(kind, torch.bfloat16, enabled=half):
                logits = tuned.logits(ids, lengths)
            wanted = truth[places]
            losses = torch.nn.functional.cross_entropy(logits.float(), wanted, reduction="none")
            (losses * weights[wanted]).mean().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([*parameters, *head], 1.0)
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        yield step
        if step == plan.steps:
            return


def _batches(
    rows: Sequence[Sequence[int]], plan: Plan, chooser: random.Random
) -> Iterator[list[int]]:
    lengths = [len(row) for row in rows]
    while True:
        yield from shuffled(lengths, plan.batch, chooser)


def _factor(step: int, steps: int) -> float:
    """Rise linearly, then fall along a cosine to nothing."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def halves(base: Base) -> bool:
    """Return whether training computes in bfloat16; decided by hardware, so that it repeats."""
    import os

    import torch

    from choose.models.runtime import dtype

    if base.device != "cpu" or os.environ.get("CHOOSE_DTYPE"):
        return dtype() is torch.bfloat16
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def class_weights(targets: Sequence[int], classes: int) -> torch.Tensor:
    """Return (classes,) weights that fall with the square root of a class's size, mean 1 a row.

    The root is the middle between accuracy, which wants none, and recall of rare classes.
    """
    import torch

    counts = Counter(targets)
    raw = torch.tensor([max(1, counts[c]) ** -0.5 for c in range(classes)])
    return raw / raw[list(targets)].mean()


def _split(
    targets: Sequence[int], held_out: int, chooser: random.Random
) -> tuple[list[int], list[int]]:
    """Divide places into learnt and checked, each class in its share, one left to learn from."""
    places = list(range(len(targets)))
    chooser.shuffle(places)
    if not held_out:
        return places, []
    share = held_out / len(targets)
    seen: Counter[int] = Counter()
    learnt: list[int] = []
    checked: list[int] = []
    for place in places:
        seen[targets[place]] += 1
        turn = math.floor(seen[targets[place]] * share) > math.floor(
            (seen[targets[place]] - 1) * share
        )
        (checked if turn else learnt).append(place)
    return learnt, checked


def loss_of(tuned: Tuned, rows: Sequence[Sequence[int]], targets: Sequence[int]) -> float:
    """Return the mean cross-entropy in nats."""
    import torch

    logits = tuned.ask(rows)
    return float(torch.nn.functional.cross_entropy(logits, torch.tensor(list(targets))))


def _effect(tuned: Tuned, rows: Sequence[Sequence[int]]) -> float:
    with tuned.adapter.disable_adapter():
        without = tuned.ask(rows)
    return float((tuned.ask(rows) - without).abs().max())


def _believe(proof: tuple[float, float, float]) -> None:
    before, after, effect = proof
    if not after < before:
        raise StrategyError(
            f"LoRA did not learn: the loss on its own rows went from {before:.4f} to {after:.4f}. "
            "Try a lower learning_rate, or more epochs."
        )
    if not effect > 1e-6:
        raise StrategyError(
            f"The adapter changes no answer: the largest change of a logit is {effect:.2g}, while "
            f"the loss went from {before:.4f} to {after:.4f}. Try a higher learning_rate."
        )
