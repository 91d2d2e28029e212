"""Fine-tuning: a PEFT LoRA adapter and a classification head on a causal LM or an encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from choose.errors import StrategyError
from choose.models.saving import read_json
from choose.models.weights.resolve import weights_digest
from choose.models.weights.spec import DEFAULT_LM
from choose.types import Answers, Example, Family, Item, Task

if TYPE_CHECKING:
    from choose.models.lora.training import Course

RATE = 1e-3

# What a saved adapter needs to be rebuilt.
_SETTINGS = ("base", "rank", "targets", "dropout", "upper")


class Lora:
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) under a linear head.

    `learning_rate` and `epochs` default to a schedule that depends on the pool; `targets` are the
    query and value projections ("attention") or every linear layer ("all"), in the `upper` share of
    the model's layers. A step then costs less, above all on Llama-like bases, where what lies below
    is computed once a text; what it loses in accuracy is in docs/methods/speed.md.
    """

    family: ClassVar[Family] = "fine-tuning"
    revision: ClassVar[int] = 5
    learns: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    cheap: ClassVar[bool] = False
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "rank 4": {"rank": 4},
        "all layers": {"targets": "all"},
    }

    def __init__(
        self,
        *,
        seed: int,
        base: str = DEFAULT_LM,
        rank: int = 16,
        targets: Literal["attention", "all"] = "attention",
        dropout: float = 0.05,
        upper: float = 1.0,
        learning_rate: float | None = None,
        epochs: float | None = None,
        max_tokens: int = 128,
    ) -> None:
        self.seed, self.base, self.rank, self.targets = seed, base, rank, targets
        self.dropout, self.upper, self.learning_rate = dropout, upper, learning_rate
        self.epochs, self.max_tokens = epochs, max_tokens

    def prepare(self) -> None:
        """Load the base and the adapter library."""
        import peft  # noqa: F401

        from choose.models.lora.model import load_base

        load_base(self.base)

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Train; a pool with one class, or none, teaches the head's bias and nothing else.

        Raises:
            StrategyError: if a hyperparameter cannot be, or training learnt nothing.
            ModelError: if the base cannot be loaded.
        """
        from choose.models.lora.fit import believe

        if (course := self._start(task, examples)) is not None:
            self._train([self], [course])
            believe(course)

    def side_by_side(self) -> bool:
        """Return whether trials share the base's products; only packed passes do."""
        from choose.models.lora.fused.decoder import fits
        from choose.models.lora.model import load_base

        return fits(load_base(self.base).model)

    @classmethod
    def fit_group(
        cls, strategies: Sequence[Lora], task: Task, pools: Sequence[Sequence[Example]]
    ) -> list[int]:
        """Train several side by side; each learns what it would learn alone, but for rounding.

        Return the places of those that did not learn.

        Raises:
            StrategyError: if a hyperparameter cannot be.
            ModelError: if a base cannot be loaded.
        """
        from choose.models.lora.fit import believe

        started = [one._start(task, pool) for one, pool in zip(strategies, pools, strict=True)]
        cls._train(strategies, started)
        failed = []
        for place, course in enumerate(started):
            try:
                if course is not None:
                    believe(course)
            except StrategyError:
                failed.append(place)
        return failed

    @staticmethod
    def _train(strategies: Sequence[Lora], started: Sequence[Course | None]) -> None:
        """Train what was started, side by side where the same layers of a base are adapted."""
        from choose.models.lora.fit import train_several

        alike: dict[tuple[int, float], list[Course]] = {}
        for one, course in zip(strategies, started, strict=True):
            if course is not None:
                alike.setdefault((id(course.tuned.base), one.upper), []).append(course)
        for courses in alike.values():
            train_several(courses)
        for one, course in zip(strategies, started, strict=True):
            if course is not None:
                one._notes = _notes(course, one._cut, one._limit, one.upper)
                one._cached_seconds = course.cached_seconds

    def _start(self, task: Task, examples: Sequence[Example]) -> Course | None:
        """Return what is to be trained, or None where the pool leaves nothing to train."""
        from choose.models.lora.batching import tokenise
        from choose.models.lora.training import Course, plan

        self._check()
        self.labels = task.labels
        self._notes: list[str] = []
        self._cached_seconds = 0.0
        tuned = self._untrained()
        rows = tokenise(tuned.base.tokenizer, [e.text for e in examples], self._limit)
        self._cut = rows.cut
        targets = [task.labels.index(example.target) for example in examples]
        if len(set(targets)) < 2:
            self._single(targets)
            return None
        chosen = plan(len(rows.ids), len(task.labels), self.learning_rate or RATE, self.epochs)
        return Course(tuned, rows.ids, targets, chosen, self.seed)

    def _check(self) -> None:
        allowed = {
            "rank": (1 <= self.rank <= 1024, "from 1 to 1024"),
            "targets": (self.targets in ("attention", "all"), "'attention' or 'all'"),
            "dropout": (0 <= self.dropout < 1, "from 0 to under 1"),
            "upper": (0 < self.upper <= 1, "above 0 and at most 1"),
            "max_tokens": (self.max_tokens >= 4, "4 or more"),
            "learning_rate": (self.learning_rate is None or self.learning_rate > 0, "above 0"),
            "epochs": (self.epochs is None or self.epochs > 0, "above 0"),
        }
        for name, (fine, range_) in allowed.items():
            if not fine:
                raise StrategyError(
                    f"LoRA's {name} is {getattr(self, name)!r}; it must be {range_}."
                )

    def _untrained(self) -> Any:
        from choose.models.lora.model import Shape, fresh, load_base, own_randomness

        base = load_base(self.base)
        # Now, since a folder may hold another model by the time this one is saved.
        self._weights = self.weights()
        self._limit = min(self.max_tokens, base.longest)
        shape = Shape(self.rank, self.targets, self.dropout, self.upper)
        with own_randomness(self.seed, base.device):
            self._tuned = fresh(base, shape, len(self.labels), self.base)
        return self._tuned

    def _single(self, targets: Sequence[int]) -> None:
        """Answer what the pool knows, with the certainty of Laplace's rule of succession."""
        import torch

        counts = torch.bincount(torch.tensor(targets, dtype=torch.long), minlength=len(self.labels))
        with torch.no_grad():
            self._tuned.head.bias.copy_((counts + 1.0).log())
        self._notes = ["The pool holds one class only, so nothing was trained."]

    def predict(self, items: Sequence[Item]) -> Answers:
        """Answer with the most probable label; longer texts are read up to the limit."""
        import torch

        from choose.models.lora.batching import tokenise

        start = perf_counter()
        rows = tokenise(self._tuned.base.tokenizer, [item.text for item in items], self._limit)
        scores = torch.log_softmax(self._tuned.ask(rows.ids, "asking").double(), dim=1).numpy()
        lengths = np.array(rows.lengths, dtype=np.int64)
        share = lengths / max(1, lengths.sum())
        return Answers.from_scores(
            self.labels, scores, tokens_in=lengths, latency=(perf_counter() - start) * share
        )

    def save(self, folder: Path) -> None:
        """Write the adapter as PEFT does, the head beside it, and how to put them together."""
        from safetensors.torch import save_file

        from choose.models.lora.batching import affixes

        folder.mkdir(parents=True, exist_ok=True)
        self._tuned.adapter.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's form, which nobody has filled in
        base = self._tuned.base
        before, after = affixes(base.tokenizer)
        head = {name: t.cpu().contiguous() for name, t in self._tuned.head.state_dict().items()}
        save_file(head, folder / "head.safetensors")
        about = {
            "labels": self.labels,
            "limit": self._limit,
            "before": before,
            "after": after,
            "empty": base.tokenizer.eos_token_id or 0,
            "pooling": base.pooling,
            "notes": self._notes,
            "weights": self._weights,
            **{name: getattr(self, name) for name in _SETTINGS},
        }
        (folder / "lora.json").write_text(json.dumps(about, indent=2), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Become the fitted strategy that was saved.

        Raises:
            StrategyError: if the base's weights are not those it was trained on.
        """
        from peft import set_peft_model_state_dict
        from safetensors.torch import load_file

        # Adapters saved before there was a choice stand in every layer.
        about = {"upper": 1.0, **read_json(folder / "lora.json")}
        for name in _SETTINGS:
            setattr(self, name, about[name])
        if about["weights"] != self.weights():
            raise StrategyError(
                f"The adapter in {folder} was trained on other weights than those "
                f"of {self.base!r} now; train it again."
            )
        self.labels, self._notes = tuple(about["labels"]), about["notes"]
        self._cached_seconds = 0.0
        tuned = self._untrained()
        if about["pooling"] != tuned.base.pooling:
            raise StrategyError(
                f"The adapter in {folder} reads texts as an older version of choose did. "
                "Export it again."
            )
        self._limit = about["limit"]
        set_peft_model_state_dict(tuned.adapter, load_file(folder / "adapter_model.safetensors"))
        tuned.head.load_state_dict(load_file(folder / "head.safetensors"))

    def usage(self, folder: str) -> str:
        """Return Python that loads a saved folder with PEFT and transformers alone."""
        from choose.models.saving import usage

        return usage(self.base, folder)

    def weights(self) -> str:
        """Return the base's digest."""
        return weights_digest(self.base)

    def facts(self) -> Mapping[str, Any]:
        """Return threads, the number type of training, sizes, the schedule, and what was there."""
        from choose.models.hardware.device import megabytes
        from choose.models.lora.autograd import halves
        from choose.models.lora.fused.engine import training_threads
        from choose.models.lora.model import state_of

        return {
            "threads": training_threads(self._tuned.base),
            "dtype": "bfloat16" if halves(self._tuned.base) else "float32",
            "artefact_mb": megabytes(state_of(self._tuned).values()),
            "base_mb": megabytes(self._tuned.base.model.parameters()),
            "notes": self._notes,
            "cached_seconds": self._cached_seconds,
        }


def _notes(course: Course, cut: int, limit: int, upper: float) -> list[str]:
    plan, proof = course.plan, course.tuned.proof
    assert proof is not None
    checked = "no early stopping"
    if course.checked:
        end = f"stopped after {course.step}" if course.step < plan.steps else "taken to the end"
        checked = f"checked on {len(course.checked)} rows, {end}"
    notes = [
        f"Up to {plan.steps} steps of {plan.batch} rows at learning rate {plan.rate:g}, {checked}.",
        f"Loss {proof[0]:.3f} before and {proof[1]:.3f} after training; the adapter moves a logit "
        f"by up to {proof[2]:.2f}.",
    ]
    if upper < 1:
        notes.append(f"Only the upper {100 * upper:g} % of the layers have adapters.")
    if cut:
        notes.append(f"{cut} texts were cut to {limit} tokens.")
    return notes
