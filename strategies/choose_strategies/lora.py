"""Fine-tuning: a PEFT LoRA adapter, with a head for labels or on a causal LM that writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from choose.errors import StrategyError
from choose.models.records.values_in_text import dropped_note
from choose.models.saving import read_json, read_labels, read_tensors
from choose.models.weights.resolve import weights_digest
from choose.models.weights.spec import DEFAULT_ENCODER, DEFAULT_LM
from choose.tasks.multilabel import Multilabel
from choose.types import Answers, Example, Family, Item, Task

if TYPE_CHECKING:
    from choose.models.classical.label_set_head import Thresholds
    from choose.models.lora.answer_writer import AnswerWriter
    from choose.models.lora.training_run import TrainingRun

# Learning rates of a classification head with its adapter, and of an adapter that writes.
RATE, WRITING_RATE = 1e-3, 2e-3

# More than the hidden sizes of small models, beyond which no adapter says more.
MOST_RANK = 1_024

# What a saved adapter needs to be rebuilt.
_SETTINGS = ("base", "rank", "targets", "dropout", "upper")


class Lora:
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) that label texts or write answers.

    Labels come from a linear head over the adapted model. Where answers are records or texts, a
    causal LM learns to write them, and reads texts of eight times `max_tokens`.

    `learning_rate` and `epochs` default to a schedule that depends on the pool; `targets` are the
    query and value projections ("attention") or every linear layer ("all", the default of `compare`
    where answers are written), in the `upper` share of the model's layers. A share below 1 makes
    steps faster, above all on Llama-like bases, where the layers below are computed once a text;
    docs/methods/speed.md has the loss of accuracy.
    """

    title: ClassVar[str] = "LoRA fine-tuning"
    good_for: ClassVar[str] = "a stable task with many clean labels, answered often"
    needs: ClassVar[str] = "labelled rows, usually hundreds; a model to tune (tune)"
    takes: ClassVar[str] = "a minute or more a fit without a GPU, milliseconds an answer"
    family: ClassVar[Family] = "fine-tuning"
    kinds: ClassVar[tuple[str, ...]] = (
        "classification",
        "multilabel",
        "extraction",
        "writing",
        "answering",
    )
    revision: ClassVar[int] = 10
    kind_settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **{kind: {"base": DEFAULT_ENCODER} for kind in kinds[:2]},
        **{kind: {"targets": "all"} for kind in kinds[2:]},
    }
    # Of sets of labels: what they may hold, and from which probability on.
    _choices: tuple[str, ...] = ()
    _thresholds: Thresholds | None = None
    # Passes over a pool, and rows from which on early stopping is decided; None: what suits lora.
    writing_epochs: ClassVar[float | None] = None
    least_checked: ClassVar[int | None] = None
    learns: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    cheap: ClassVar[bool] = False
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "rank 4": {"rank": 4},
        "all layers": {"targets": "all"},
    }
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        "rank": (1, MOST_RANK),
        "dropout": (0, 0.99),
        "learning_rate": (1e-9, 10),
        "epochs": (1e-3, 10_000),
        "max_tokens": (4, 1_000_000),
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
        """Train; a pool with one class, or none, sets the head's bias and nothing else.

        Raises:
            StrategyError: if a hyperparameter is out of range, or training changed nothing.
            ModelError: if the base cannot be loaded.
        """
        from choose.models.lora.fit import verify_learning

        if (run := self._prepare_run(task, examples)) is not None:
            self._train([self], [run], [examples])
            verify_learning(run)

    def side_by_side(self) -> bool:
        """Return whether trials share the base's products when they are trained together."""
        from choose.models.lora.fit import trains_together
        from choose.models.lora.model import load_base

        return trains_together(load_base(self.base))

    @classmethod
    def fit_group(
        cls, strategies: Sequence[Lora], task: Task, pools: Sequence[Sequence[Example]]
    ) -> list[int]:
        """Train several together; each gets the weights of a fit alone, but for rounding.

        Return the indices of strategies that failed to train.

        Raises:
            StrategyError: if a hyperparameter is out of range.
            ModelError: if a base cannot be loaded.
        """
        from choose.models.lora.fit import verify_learning

        runs = [one._prepare_run(task, pool) for one, pool in zip(strategies, pools, strict=True)]
        cls._train(strategies, runs, pools)
        failed = []
        for index, run in enumerate(runs):
            try:
                if run is not None:
                    verify_learning(run)
            except StrategyError:
                failed.append(index)
        return failed

    @staticmethod
    def _train(
        strategies: Sequence[Lora],
        runs: Sequence[TrainingRun | None],
        pools: Sequence[Sequence[Example]],
    ) -> None:
        """Train the runs, together where they adapt the same layers of a base."""
        from choose.models.lora.fit import engine_notes, train_together
        from choose.models.lora.objectives import AnswerRun, SetRun

        groups: dict[tuple[int, float], list[TrainingRun]] = {}
        for strategy, run in zip(strategies, runs, strict=True):
            if run is not None:
                groups.setdefault((id(run.model.base), strategy.upper), []).append(run)
        for group in groups.values():
            train_together(group)
        for strategy, run, pool in zip(strategies, runs, pools, strict=True):
            if isinstance(run, SetRun):
                strategy._thresholds = run.thresholds()
            if isinstance(run, AnswerRun) and strategy._writer is not None:
                strategy._writer.choose_ending(pool, run)
            if run is not None:
                engine = engine_notes(run.model.base, strategy.targets)
                strategy._notes = [*run.notes(), *strategy._limits_noted(), *engine]
                strategy._cached_seconds = run.cached_seconds

    def _limits_noted(self) -> list[str]:
        notes = []
        if self.upper < 1:
            notes.append(f"Only the upper {100 * self.upper:g} % of the layers have adapters.")
        if self._truncated:
            notes.append(f"Texts cut to {self._limit} tokens: {self._truncated}.")
        if self._writer is not None and (dropped := dropped_note(self._writer.literal)):
            notes.append(dropped)
        if self._writer is not None and self._writer.note:
            notes.append(self._writer.note)
        return notes

    def _prepare_run(self, task: Task, examples: Sequence[Example]) -> TrainingRun | None:
        """Return a run that is ready to train, or None where the pool holds one class."""
        from choose.models.lora.answer_writer import AnswerWriter
        from choose.models.lora.batching import tokenise
        from choose.models.lora.classifier import ClassifierRun, schedule_for

        self._check()
        self.labels = task.labels
        self._notes: list[str] = []
        self._cached_seconds = 0.0
        self._writer: AnswerWriter | None = None
        self._choices, self._thresholds = (), None
        if isinstance(task, Multilabel):
            return self._set_run(task, examples)
        if not task.labels:
            model = self._untrained(writes=True)
            self._writer = AnswerWriter(model, task, self.base, self._limit)
            rate = self.learning_rate or WRITING_RATE
            epochs = self.writing_epochs if self.epochs is None else self.epochs
            least = {} if self.least_checked is None else {"least": self.least_checked}
            answers = self._writer.training_run(examples, rate, epochs, self.seed, **least)
            self._truncated = self._writer.cut_texts
            self._notes = [] if answers else ["The pool is empty, so nothing was trained."]
            return answers
        model = self._untrained()
        rows = tokenise(model.base.tokenizer, [e.text for e in examples], self._limit)
        self._truncated = rows.truncated
        targets = [task.labels.index(example.target) for example in examples]
        if len(set(targets)) < 2:
            self._single(targets)
            return None
        rate = self.learning_rate or RATE
        schedule = schedule_for(len(rows.ids), len(task.labels), rate, self.epochs)
        return ClassifierRun(model, rows.ids, targets, schedule, self.seed)

    def _set_run(self, task: Multilabel, examples: Sequence[Example]) -> TrainingRun | None:
        """Return a run for sets of labels, or None where all rows of the pool have the same."""
        from choose.models.classical.label_set_head import Thresholds, members_of
        from choose.models.lora.batching import tokenise
        from choose.models.lora.classifier import SET_EPOCHS, schedule_for
        from choose.models.lora.objectives import SetRun, start_from_shares

        self._choices = task.choices
        model = self._untrained()
        members = members_of(task.choices, [example.target for example in examples])
        rows = tokenise(model.base.tokenizer, [e.text for e in examples], self._limit)
        self._truncated = rows.truncated
        start_from_shares(model, members)
        if len({example.target for example in examples}) < 2:
            self._thresholds = Thresholds(np.full(len(task.choices), 0.5), False)
            self._notes = [alike(examples)]
            return None
        rate = self.learning_rate or RATE
        classes = len(task.choices)
        schedule = schedule_for(len(rows.ids), classes, rate, self.epochs, usual=SET_EPOCHS)
        return SetRun(model, rows.ids, members, schedule, self.seed)

    def _check(self) -> None:
        allowed = {
            "rank": (1 <= self.rank <= MOST_RANK, f"from 1 to {MOST_RANK:,}"),
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

    def _untrained(self, writes: bool = False) -> Any:
        from choose.models.lora.answer_writer import TEXT_FACTOR
        from choose.models.lora.answering_model import untrained_answers
        from choose.models.lora.classifier import untrained_model
        from choose.models.lora.model import AdapterSpec, load_base, seeded

        base = load_base(self.base, writes)
        # Computed now, since the folder may hold another model by the time this one is saved.
        self._weights = self.weights()
        self._limit = min(self.max_tokens * (TEXT_FACTOR if writes else 1), base.max_tokens)
        spec = AdapterSpec(self.rank, self.targets, self.dropout, self.upper)
        with seeded(self.seed, base.device):
            self._model: Any = (
                untrained_answers(base, spec, self.base)
                if writes
                else untrained_model(base, spec, len(self.labels or self._choices), self.base)
            )
        return self._model

    def _single(self, targets: Sequence[int]) -> None:
        """Answer the pool's only class, with the probability of Laplace's rule of succession."""
        import torch

        counts = torch.bincount(torch.tensor(targets, dtype=torch.long), minlength=len(self.labels))
        with torch.no_grad():
            self._model.head.bias.copy_((counts + 1.0).log())
        self._notes = ["The pool holds one class only, so nothing was trained."]

    def predict(self, items: Sequence[Item]) -> Answers:
        """Answer with the most probable label, or write; longer texts are cut to the limit."""
        import torch

        from choose.models.lora.batching import tokenise

        if self._writer is not None:
            return self._writer.predict(items)
        start = perf_counter()
        rows = tokenise(self._model.base.tokenizer, [item.text for item in items], self._limit)
        logits = self._model.predict_logits(rows.ids, "predicting")
        if self._thresholds is not None:
            return self._sets(logits.double().sigmoid().numpy(), rows.lengths, start)
        scores = torch.log_softmax(logits.double(), dim=1).numpy()
        lengths = np.array(rows.lengths, dtype=np.int64)
        share = lengths / max(1, lengths.sum())
        return Answers.from_scores(
            self.labels, scores, tokens_in=lengths, latency=(perf_counter() - start) * share
        )

    def _sets(self, chances: Any, lengths: Sequence[int], start: float) -> Answers:
        from choose.models.classical.label_set_head import set_answers

        assert self._thresholds is not None
        counts = np.array(lengths, dtype=np.int64)
        seconds = (perf_counter() - start) * counts / max(1, counts.sum())
        chosen = self._thresholds(chances)
        return set_answers(self._choices, chosen, chances, tokens_in=counts, latency=seconds)

    def save(self, folder: Path) -> None:
        """Write the adapter as PEFT does, and lora.json with what it takes to use it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._model.adapter.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty template
        about = {
            "labels": self.labels,
            **({} if self._thresholds is None else self._saved_thresholds()),
            "limit": self._limit,
            **(self._save_head(folder) if self._writer is None else self._writer.facts()),
            "notes": self._notes,
            "weights": self._weights,
            **{name: getattr(self, name) for name in _SETTINGS},
        }
        (folder / "lora.json").write_text(json.dumps(about, indent=2), encoding="utf-8")

    def _saved_thresholds(self) -> dict[str, Any]:
        assert self._thresholds is not None
        return {
            "choices": self._choices,
            "least": self._thresholds.least.tolist(),
            "never_empty": self._thresholds.never_empty,
        }

    def _save_head(self, folder: Path) -> dict[str, Any]:
        from safetensors.torch import save_file

        from choose.models.lora.batching import special_tokens_around

        base = self._model.base
        before, after = special_tokens_around(base.tokenizer)
        head = {name: t.cpu().contiguous() for name, t in self._model.head.state_dict().items()}
        save_file(head, folder / "head.safetensors")
        empty = base.tokenizer.eos_token_id or 0
        return {"before": before, "after": after, "empty": empty, "pooling": base.pooling}

    def load(self, folder: Path) -> None:
        """Restore the fitted strategy that was saved.

        Raises:
            StrategyError: if the base's weights have changed since training, or a file is damaged.
        """
        from peft import get_peft_model_state_dict, set_peft_model_state_dict

        from choose.models.lora.answer_writer import writer_from

        # Adapters saved before `upper` existed are in every layer.
        about = {"upper": 1.0, **read_json(folder / "lora.json")}
        for name in _SETTINGS:
            setattr(self, name, about[name])
        self._check()
        if about["weights"] != self.weights():
            raise StrategyError(
                f"The adapter in {folder} was trained on other weights than those "
                f"of {self.base!r} now; train it again."
            )
        self._notes, self._cached_seconds = list(about["notes"]), 0.0
        writes, sets = "task" in about, "choices" in about
        self._choices = read_labels({"labels": about["choices"]}) if sets else ()
        self._thresholds = _read_thresholds(about, len(self._choices)) if sets else None
        self.labels = () if writes or sets else read_labels(about)
        model = self._untrained(writes)
        wanted = get_peft_model_state_dict(model.adapter, save_embedding_layers=False)
        tensors = read_tensors(folder / "adapter_model.safetensors", wanted)
        set_peft_model_state_dict(model.adapter, tensors)
        if writes:
            self._writer = writer_from(model, self.base, about)
        else:
            self._load_head(folder, about)
            self._writer = None

    def _load_head(self, folder: Path, about: Mapping[str, Any]) -> None:
        base, limit = self._model.base, about["limit"]
        if about["pooling"] != base.pooling:
            raise StrategyError(
                f"The adapter in {folder} reads texts as an older version of choose did. "
                "Export it again."
            )
        if type(limit) is not int or not 1 <= limit <= base.max_tokens:
            raise StrategyError(
                f"The adapter in {folder} reads texts of {limit!r} tokens; its base reads "
                f"1 to {base.max_tokens}. Export it again."
            )
        self._limit = limit
        head = read_tensors(folder / "head.safetensors", self._model.head.state_dict())
        self._model.head.load_state_dict(head)

    def weights(self) -> str:
        """Return the base's digest."""
        return weights_digest(self.base)

    def facts(self) -> Mapping[str, Any]:
        """Return threads, the number type of training, sizes in MB, notes, and cached seconds."""
        from choose.models.hardware.compute_settings import megabytes, trains_in_bfloat16
        from choose.models.hardware.timed_steps import threads_in_use
        from choose.models.lora.training_run import trained_state

        base = self._model.base

        return {
            "threads": threads_in_use(),
            "dtype": "bfloat16" if trains_in_bfloat16(base.device) else "float32",
            "artefact_mb": megabytes(trained_state(self._model).values()),
            "base_mb": megabytes(base.model.parameters()),
            "notes": self._notes,
            "cached_seconds": self._cached_seconds,
        }


def alike(examples: Sequence[Example]) -> str:
    """Return the note on a pool whose rows all have the same set of labels, or that has none."""
    if not examples:
        return "The pool is empty, so nothing was trained."
    return "All rows of the pool have the same labels, so nothing was trained."


def _read_thresholds(about: Mapping[str, Any], labels: int) -> Thresholds:
    """Return the saved thresholds.

    Raises:
        ValueError: if there is not one for each label.
    """
    from choose.models.classical.label_set_head import Thresholds
    from choose.models.saving import floats

    least = floats({"least": np.array(about["least"], dtype=np.float64)}, "least", labels)
    return Thresholds(least, bool(about["never_empty"]))
