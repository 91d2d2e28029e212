"""Tiny random models of real families, each with the kind of tokenizer and template that it has.

Weights are random and large, so that positions, windows, caps and norms change what is written.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from support.tiny_models import CHAT, byte_level, sentencepiece, trained

SIZE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "initializer_range": 0.4,
}

# As published, shortened: which turns are refused, where the text begins, and what closes a turn.
TEMPLATES = {
    "chatml": CHAT,
    "gemma2": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
        "{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
        "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
        "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    ),
    "gemma3": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
        "{% set first = messages[0]['content'] + '\n\n' %}{% set rest = messages[1:] %}"
        "{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}"
        "{% for m in rest %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}"
        "\n{{ first if loop.first else '' }}{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    ),
    "mistral": (
        "{{ bos_token }}{% for m in messages %}"
        "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant/user') }}{% endif %}"
        "{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
        "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
    ),
    "phi3": (
        "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
    ),
    "granite": (
        "{% for m in messages %}<|start_of_role|>{{ m['role'] }}<|end_of_role|>{{ m['content'] }}"
        "<|end_of_text|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{% endif %}"
    ),
    "olmo2": (
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}"
        "<|assistant|>\n{{ m['content'] }}{{ eos_token if not loop.last else '' }}\n"
        "{% else %}<|{{ m['role'] }}|>\n{{ m['content'] }}\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    ),
}


@cache
def _byte_level(marks: tuple[str, ...]) -> str:
    return str(byte_level(marks).to_str())


@cache
def _unigram(marks: tuple[str, ...]) -> str:
    from tokenizers import decoders, models, pre_tokenizers, trainers

    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=list(marks), unk_token="[UNK]", show_progress=False
    )
    blanks = pre_tokenizers.Metaspace(prepend_scheme="always")
    decoder = decoders.Metaspace(prepend_scheme="always")
    return str(trained(models.Unigram(), trainer, pre_tokenizer=blanks, decoder=decoder).to_str())


@cache
def _word_piece(marks: tuple[str, ...]) -> str:
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = trained(
        models.WordPiece(unk_token="[UNK]"),
        trainers.WordPieceTrainer(vocab_size=300, special_tokens=[*marks], show_progress=False),
        normalizer=normalizers.BertNormalizer(),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
        decoder=decoders.WordPiece(),
    )
    return str(tokenizer.to_str())


@cache
def _metaspace(marks: tuple[str, ...], opens: bool = True) -> str:
    """Return a BPE over blanks as letters, in the manner of Llama 2, or of Gemma (`opens` no)."""
    written = json.loads(sentencepiece().backend_tokenizer.to_str())
    vocabulary = written["model"]["vocab"]
    for mark in marks:
        vocabulary.setdefault(mark, len(vocabulary))
    if not opens:
        written["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
        written["decoder"]["decoders"] = written["decoder"]["decoders"][:3]
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    written["added_tokens"] = [
        {"id": vocabulary[mark], "content": mark, "special": True, **plain}
        for mark in dict.fromkeys(["<unk>", *marks])
    ]
    written["added_tokens"].sort(key=lambda token: token["id"])
    return json.dumps(written)


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
        config: transformers' class of its configuration.
        settings: what differs from SIZE.
        vocabulary: what makes its kind of tokenizer of marks.
        named: its special tokens by their part.
        marks: further marks of its template.
        around: special tokens that the tokenizer puts before and after a text.
        template: its chat template, None for an encoder.
        ends: marks that end an answer, besides the tokenizer's.
        images: settings of what reads images, for models that read both.
    """

    config: str
    vocabulary: Callable[[tuple[str, ...]], str]
    named: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    marks: Sequence[str] = ()
    around: tuple[Sequence[str], Sequence[str]] = ((), ())
    template: str | None = None
    ends: Sequence[str] = ()
    images: Mapping[str, Any] = field(default_factory=dict)

    def tokenizer(self) -> Any:
        from tokenizers import Tokenizer, processors
        from transformers import PreTrainedTokenizerFast

        marks = tuple(dict.fromkeys([*self.named.values(), *self.marks]))
        tokenizer = Tokenizer.from_str(self.vocabulary(marks))
        before, after = self.around
        if before or after:
            known = [(mark, tokenizer.token_to_id(mark)) for mark in {*before, *after}]
            tokenizer.post_processor = processors.TemplateProcessing(
                single=[*before, "$A", *after], special_tokens=known
            )
        fast = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            additional_special_tokens=[m for m in self.marks if m.startswith("<")],
            model_max_length=512,
            **self.named,
        )
        if self.template is not None:
            fast.chat_template = TEMPLATES[self.template]
        return fast

    def save(self, folder: Path, head: bool = True) -> Path:
        """Save a model with random weights, norms and biases included, and its tokenizer."""
        import torch
        import transformers

        tokenizer = self.tokenizer()
        ids = {f"{k}_id": getattr(tokenizer, f"{k}_id") for k in ("bos_token", "eos_token")}
        ids["pad_token_id"] = tokenizer.pad_token_id
        settings = {**SIZE, "vocab_size": len(tokenizer) + 3, **ids, **self.settings}
        if self.images:
            settings = {"text_config": settings, "vision_config": self.images, **ids}
        config = getattr(transformers, self.config)(**settings)
        auto = transformers.AutoModelForCausalLM if head else transformers.AutoModel
        with torch.random.fork_rng():
            torch.manual_seed(1)
            model = auto.from_config(config)
            for name, parameter in model.named_parameters():
                if "norm" in name.lower():
                    parameter.data.add_(torch.randn_like(parameter) * 0.2)
                elif name.endswith("bias"):
                    parameter.data.normal_(0.0, 0.2)
        if self.ends:
            model.generation_config.eos_token_id = [
                tokenizer.eos_token_id,
                *tokenizer.convert_tokens_to_ids(list(self.ends)),
            ]
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder


_QWEN: dict[str, Any] = {
    "vocabulary": _byte_level,
    "named": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    "marks": ("<|im_start|>",),
    "template": "chatml",
    "ends": ("<|endoftext|>",),
}
_GEMMA: dict[str, Any] = {
    "vocabulary": partial(_metaspace, opens=False),
    "named": {f"{part}_token": f"<{part}>" for part in ("bos", "eos", "pad", "unk")},
    "marks": ("<start_of_turn>", "<end_of_turn>"),
    "around": (("<bos>",), ()),
    "ends": ("<end_of_turn>",),
}
_GEMMA_2 = {"head_dim": 16, "sliding_window": 24, "query_pre_attn_scalar": 16}
_GEMMA_3 = {**_GEMMA_2, "layer_types": ["sliding_attention", "full_attention"]}
_PHI: dict[str, Any] = {
    "marks": ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
    "template": "phi3",
    "ends": ("<|end|>",),
}
_LLAMA = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}

DECODERS = {
    "Qwen2": Family(
        "Qwen2Config",
        settings={"tie_word_embeddings": True, "use_sliding_window": False, "bos_token_id": 0},
        **_QWEN,
    ),
    "Qwen3": Family(
        "Qwen3Config",
        settings={"head_dim": 16, "tie_word_embeddings": True},
        **_QWEN,
    ),
    "Gemma 2": Family(
        "Gemma2Config",
        settings={
            **_GEMMA_2,
            "attn_logit_softcapping": 5.0,
            "final_logit_softcapping": 4.0,
        },
        template="gemma2",
        **_GEMMA,
    ),
    "Gemma 3": Family("Gemma3TextConfig", settings=_GEMMA_3, template="gemma3", **_GEMMA),
    "Gemma 3 with images": Family(
        "Gemma3Config",
        settings=_GEMMA_3,
        template="gemma3",
        images={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
        **_GEMMA,
    ),
    "Phi-3": Family(
        "Phi3Config",
        _metaspace,
        {"bos_token": "<s>", "eos_token": "<|endoftext|>", "unk_token": "<unk>",
         "pad_token": "<|endoftext|>"},
        {"sliding_window": 40, "partial_rotary_factor": 0.5},
        **_PHI,
    ),
    "Phi-4": Family(  # the small one; the large has the settings of Phi-3
        "Phi3Config",
        _byte_level,
        {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
         "unk_token": "<|endoftext|>"},
        {
            "sliding_window": 2048,
            "tie_word_embeddings": True,
            "original_max_position_embeddings": 300,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10_000.0,
                "partial_rotary_factor": 0.75,
                "original_max_position_embeddings": 300,
                "short_factor": [1.0, 1.5, 2.0],
                "long_factor": [1.0, 2.0, 4.0],
            },
        },
        **_PHI,
    ),
    "Mistral": Family(
        "MistralConfig",
        _metaspace,
        _LLAMA,
        {"sliding_window": 24, "pad_token_id": None},
        around=(("<s>",), ()),
        template="mistral",
    ),
    "Granite": Family(
        "GraniteConfig",
        _byte_level,
        {"bos_token": "<|end_of_text|>", "eos_token": "<|end_of_text|>",
         "pad_token": "<|end_of_text|>", "unk_token": "<|end_of_text|>"},
        {
            "embedding_multiplier": 12.0,
            "attention_multiplier": 0.2,
            "residual_multiplier": 0.22,
            "logits_scaling": 8.0,
            "tie_word_embeddings": True,
        },
        marks=("<|start_of_role|>", "<|end_of_role|>"),
        template="granite",
    ),
    "OLMo": Family(
        "OlmoConfig",
        _byte_level,
        {"eos_token": "<|endoftext|>", "pad_token": "<|padding|>"},
        {"clip_qkv": 8.0},
        around=((), ("<|endoftext|>",)),
    ),
    "OLMo 2": Family(
        "Olmo2Config",
        _byte_level,
        {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"},
        template="olmo2",
    ),
}  # fmt: skip

_BERT = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_BERT_AROUND = (("[CLS]",), ("[SEP]",))

# A step with dropout has other gradients each time.
_CERTAIN = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}

ENCODERS = {
    "BERT": Family("BertConfig", _word_piece, _BERT, _CERTAIN, around=_BERT_AROUND),
    "RoBERTa": Family(
        "RobertaConfig",
        _byte_level,
        {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>",
         "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"},
        {**_CERTAIN, "max_position_embeddings": 66, "type_vocab_size": 1},
        around=(("<s>",), ("</s>",)),
    ),
    "DeBERTa-v3": Family(
        "DebertaV2Config",
        _unigram,
        _BERT,
        {
            **_CERTAIN,
            "relative_attention": True,
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "type_vocab_size": 0,
            "max_position_embeddings": 64,
        },
        around=_BERT_AROUND,
    ),
    "ModernBERT": Family(
        "ModernBertConfig",
        _byte_level,
        _BERT,
        {
            "num_hidden_layers": 3,
            "global_attn_every_n_layers": 3,
            "local_attention": 8,
            "initializer_cutoff_factor": 3.0,
            "max_position_embeddings": 128,
        },
        around=_BERT_AROUND,
    ),
}  # fmt: skip
