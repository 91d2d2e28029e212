"""Labels scored with transformers: one forward pass a label, as examples on the web do it."""

from __future__ import annotations

from typing import Any


def load(job: dict[str, Any]) -> Any:
    """Load the model."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(job["model"]).eval()


def fit(model: Any, job: dict[str, Any]) -> int:
    """Do nothing: rows that calibrate are asked like any other and counted by the caller."""
    return 0


def ask(model: Any, job: dict[str, Any]) -> list[list[float]]:
    """Return the log-probability of each label for each prompt of token ids."""
    import torch

    found = []
    for prompt in job["prompts"]:
        row = []
        for label in job["label_tokens"]:
            ids = torch.tensor([prompt + label])
            with torch.inference_mode():
                logprobs = model(ids).logits[0].float().log_softmax(-1)
            places = range(len(prompt) - 1, len(prompt) - 1 + len(label))
            row.append(sum(float(logprobs[p, t]) for p, t in zip(places, label, strict=True)))
        found.append(row)
    return found
