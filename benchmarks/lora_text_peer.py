"""The peer in lora_text.py: TRL's SFTTrainer with PEFT, loss of the completions only.

python benchmarks/lora_text_peer.py JOB.json     prints a line of JSON
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
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class Clock(TrainerCallback):
    """Record when each step ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Record the time."""
        self.ends.append(perf_counter())


def main(job: dict[str, Any]) -> dict[str, float]:
    """Return the median seconds of a step."""
    clock = Clock()
    rows = [
        {
            "prompt": [
                {"role": "system", "content": job["instruction"]},
                {"role": "user", "content": text},
            ],
            "completion": [{"role": "assistant", "content": target}],
        }
        for text, target in job["rows"]
    ]
    with TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(job["folder"], dtype=torch.float32),
            processing_class=AutoTokenizer.from_pretrained(job["folder"]),
            args=SFTConfig(
                output_dir=folder,
                use_cpu=True,
                bf16=job["bf16"],
                per_device_train_batch_size=job["batch"],
                padding_free=not job["padded"],
                max_length=None,
                completion_only_loss=True,
                gradient_checkpointing=False,
                max_steps=job["steps"] + 2,
                learning_rate=job["rate"],
                lr_scheduler_type="cosine",
                seed=job["seed"],
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list(rows),
            peft_config=LoraConfig(
                r=job["rank"],
                lora_alpha=2 * job["rank"],
                lora_dropout=job["dropout"],
                target_modules="all-linear" if job["targets"] == "all" else ["q_proj", "v_proj"],
                task_type="CAUSAL_LM",
            ),
            callbacks=[clock],
        )
        trainer.train()
    return {"step_seconds": median(after - before for before, after in pairwise(clock.ends[1:]))}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
