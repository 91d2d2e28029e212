"""LoRA with the Trainer of transformers and PEFT, in the number type they choose."""

from __future__ import annotations

import tempfile
from typing import Any


def load(job: dict[str, Any]) -> dict[str, Any]:
    """Load the base with an adapter and a classification head."""
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job["base"])
    model = AutoModelForSequenceClassification.from_pretrained(
        job["base"], num_labels=len(job["order"])
    )
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    attention = {"query", "value", "q_proj", "v_proj"}  # what choose adapts unasked
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    settings = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=16,
        lora_alpha=32,
        lora_dropout=0.05,
        target_modules=sorted(names & attention),
    )
    return {"tokenizer": tokenizer, "model": get_peft_model(model, settings)}


def fit(model: dict[str, Any], job: dict[str, Any]) -> int:
    """Train for so many steps; return how many."""
    from tokenised import Rows
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    targets = [job["order"].index(label) for label in job["labels"]]
    rows = Rows(model["tokenizer"], job["texts"], targets)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=job["batch"],
            max_steps=job["steps"],
            learning_rate=job["rate"],
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            logging_strategy="no",
        )
        collator = DataCollatorWithPadding(model["tokenizer"])
        trainer = Trainer(model["model"], arguments, train_dataset=rows, data_collator=collator)
        trainer.train()
    return int(job["steps"])


def ask(model: dict[str, Any], job: dict[str, Any]) -> list[str]:
    """Return an answer for each question, in batches of 32."""
    import torch

    answers: list[str] = []
    model["model"].eval()
    for first in range(0, len(job["questions"]), 32):
        texts = job["questions"][first : first + 32]
        batch = model["tokenizer"](
            texts, truncation=True, max_length=128, padding=True, return_tensors="pt"
        )
        with torch.inference_mode():
            best = model["model"](**batch).logits.argmax(-1)
        answers += [job["order"][int(n)] for n in best]
    return answers
