"""The peer in lora.py: Hugging Face's Trainer on a PEFT LoRA model, as its documentation shows.

python benchmarks/lora_peer.py JOB.json     prints a line of JSON
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)


class Clock(TrainerCallback):
    """Record when each step ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Record the time."""
        self.ends.append(perf_counter())


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Return seconds a step where the job names a number of steps, else accuracies."""
    if job["steps"]:
        _, clock, _ = _fitted(job, job["seeds"][0], job["steps"] + 2)
        ends = clock.ends  # the first step is the warm-up
        gaps = [after - before for before, after in pairwise(ends[1:])]
        return {"step_seconds": median(gaps)}
    accuracy, seconds = [], 0.0
    for seed in job["seeds"]:
        start = perf_counter()
        trainer, _, rows = _fitted(job, seed, job["plan_steps"])
        seconds += perf_counter() - start
        predicted = trainer.predict(rows).predictions.argmax(1)
        accuracy.append(float((predicted == [row["labels"] for row in rows]).mean()))
    return {"fit_seconds": seconds, "accuracy": accuracy}


def _fitted(job: dict[str, Any], seed: int, steps: int) -> tuple[Trainer, Clock, list[Any]]:
    set_seed(seed)
    clock = Clock()
    tokenizer = AutoTokenizer.from_pretrained(job["folder"])
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token

    def rows(texts: list[str], targets: list[int]) -> list[Any]:
        read = tokenizer(texts, truncation=True, max_length=job["max_tokens"])["input_ids"]
        return [{"input_ids": i, "labels": t} for i, t in zip(read, targets, strict=True)]

    with TemporaryDirectory() as folder:
        trainer = Trainer(
            _adapted(job, len(job["labels"]), tokenizer.pad_token_id),
            _arguments(job, seed, steps, folder),
            train_dataset=rows(job["texts"], job["targets"]),
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[clock],
        )
        trainer.train()
    return trainer, clock, rows(job["test_texts"], job["test_targets"])


def _adapted(job: dict[str, Any], labels: int, pad: int) -> Any:
    model = AutoModelForSequenceClassification.from_pretrained(
        job["folder"], num_labels=labels, dtype=torch.float32
    )
    model.config.pad_token_id = pad
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=job["rank"],
        lora_alpha=2 * job["rank"],
        lora_dropout=job["dropout"],
        target_modules=job["targets_of_peer"],
    )
    return get_peft_model(model, config)


def _arguments(job: dict[str, Any], seed: int, steps: int, folder: str) -> TrainingArguments:
    return TrainingArguments(
        folder,
        use_cpu=True,
        bf16=job["bf16"],
        train_sampling_strategy="group_by_length" if job["grouped"] else "random",
        per_device_train_batch_size=job["batch"],
        per_device_eval_batch_size=32,
        max_steps=steps,
        learning_rate=job["rate"],
        lr_scheduler_type="cosine",
        warmup_steps=round(0.1 * job["plan_steps"]),
        weight_decay=0.01,
        seed=seed,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
