"""Models of a few thousand weights, saved as any model is: real code paths in milliseconds."""

import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from choose.conformance import HOSTILE, pool
from choose.engines.causal.stop_rules import Written
from choose.engines.lora.answer_tuning import AnswerRow, untrained_answers
from choose.engines.lora.classifier import untrained_model
from choose.engines.lora.fit import AutogradEngine
from choose.engines.lora.fused.training_step import FusedEngine
from choose.engines.lora.model import AdapterSpec, seeded

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# The shape of a small decoder.
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
}


def texts() -> list[str]:
    return [example.text for example in pool(rows=60)]


def trained(model: Any, trainer: Any, seen: Sequence[str] = (), **parts: Any) -> Any:
    """Return a tokenizer with these parts, trained on some texts or the usual ones."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer(model)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.train_from_iterator(seen or texts(), trainer)
    return tokenizer


def byte_level(marks: Sequence[str], size: int = 340, seen: Sequence[str] = ()) -> Any:
    from tokenizers import decoders, models, pre_tokenizers, trainers

    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[*marks],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    blanks = pre_tokenizers.ByteLevel(add_prefix_space=False)
    parts = {"pre_tokenizer": blanks, "decoder": decoders.ByteLevel()}
    return trained(models.BPE(), trainer, seen, **parts)


def causal_lm(folder: Path, spread: float = 0.02) -> Path:
    """Save a random two-layer Llama with a byte-level tokenizer and a chat template.

    `spread` is the deviation of its weights; with the usual one all tokens are about as likely.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    seen = texts() + [t for t in HOSTILE if t.isascii()]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], 400, seen),
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        bos_token="<|im_start|>",
        unk_token="<|endoftext|>",
    )
    fast.chat_template = CHAT
    fast.save_pretrained(folder)
    config = LlamaConfig(
        **SMALL,
        vocab_size=len(fast),
        max_position_embeddings=2048,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
        tie_word_embeddings=True,
        initializer_range=spread,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def sentencepiece() -> Any:
    """Return a tokenizer in the manner of Llama 2: blanks are letters, and one opens every text."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    model = models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    blanks = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    steps = decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()
    marks = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = trained(
        model,
        trainers.BpeTrainer(vocab_size=600, special_tokens=marks, show_progress=False),
        normalizer=normalizers.Sequence(blanks),
        decoder=decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)]),
    )
    # Bytes are vocabulary, and no text is searched for their names.
    written = json.loads(tokenizer.to_str())
    written["added_tokens"] = written["added_tokens"][:3]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(written)),
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
    )


def encoder(folder: Path) -> Path:
    """Save a random two-layer BERT as a sentence-transformers folder with mean pooling."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = sorted({word for text in texts() for word in text.split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    vocabulary += [
        w for c in "abcdefghijklmnopqrstuvwxyz0123456789" for w in (c, f"##{c}") if w not in words
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(
        vocab=str(folder / "vocab.txt"), do_lower_case=True, model_max_length=64
    )
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    kind = "sentence_transformers.models"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{kind}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{kind}.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64}))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True})
    )
    return folder


def random_lm(folder: Path, name: str, settings: dict[str, Any], tokenizer: Any) -> Path:
    """Save a random causal model of transformers' class for `name`, such as "Gemma2"."""
    import torch
    import transformers

    text = {"Gemma3": "Gemma3Text"}.get(name, name)
    config = getattr(transformers, f"{text}Config")(
        vocab_size=len(tokenizer), initializer_range=0.5, **settings
    )
    cls = getattr(transformers, f"{name}LMHeadModel", None)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        (cls or getattr(transformers, f"{name}ForCausalLM"))(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def written(texts: Sequence[str], cut: Sequence[bool]) -> Written:
    zeros, counts = np.zeros(len(texts)), np.full(len(texts), 7, dtype=np.int64)
    return Written(
        texts=tuple(texts),
        cut=tuple(cut),
        logprobs=zeros,
        rivals=zeros,
        tokens_in=counts,
        tokens_cached=counts,
        tokens_out=counts,
        latency=zeros,
        cached_seconds=0.0,
    )


def tuned(base, targets="all", dropout=0.0, classes=3, share=1.0):
    """Return an adapter that already does something, so that every gradient is there."""
    import torch

    spec = AdapterSpec(4, targets, dropout, share)
    with seeded(5, "cpu"):
        writes = base.lm is not None
        found = (
            untrained_answers(base, spec, "tiny")
            if writes
            else untrained_model(base, spec, classes, "tiny")
        )
        for name, parameter in found.adapter.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        if not writes:
            torch.nn.init.normal_(found.head.weight, std=0.3)
    return found


def taken(model: Any) -> dict[str, Any]:
    """Return the gradients of an adapter and its head by name, and leave none of them."""
    parts = dict(model.adapter.named_parameters()) | model.head_parameters
    found = {name: p.grad.clone() for name, p in parts.items() if p.grad is not None}
    for parameter in parts.values():
        parameter.grad = None
    return found


def autograd_gradients(run: Any) -> dict[str, Any]:
    AutogradEngine([run]).step([(run, [*range(len(run.rows))])])
    return taken(run.model)


def fused_gradients(run: Any) -> dict[str, Any]:
    engine = FusedEngine([run])
    with ThreadPoolExecutor(1) as pool:
        engine.step([(run, [*range(len(run.rows))])], pool)
    [flat] = engine.adapters.values()
    names = {id(p): name for name, p in run.model.adapter.named_parameters()}
    parts = flat.flat.grad.split([weight.numel() for weight in flat._weights])
    pairs = zip(flat._weights, parts, strict=True)
    found = {names[id(weight)]: part.view(weight.shape).clone() for weight, part in pairs}
    flat.detach_memory()
    return found | taken(run.model)


def gradients_of_answers(model: Any, rows: Sequence[AnswerRow], prefix: Any) -> dict[str, Any]:
    """Return gradients by transformers, a row at a time, with its own loss over masked labels."""
    import torch

    whole = sum(len(row.answer) for row in rows)
    for row in rows:
        ids = [*prefix, *row.prompt, *row.answer]
        labels = [-100] * (len(ids) - len(row.answer)) + list(row.answer)
        loss = model.lm(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss
        (loss * len(row.answer) / whole).backward()
    return taken(model)


def some_rows(lengths: Sequence[int], words: int = 60) -> list[list[int]]:
    chooser = random.Random(3)
    return [[chooser.randrange(2, words) for _ in range(length)] for length in lengths]
