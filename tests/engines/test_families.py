"""Real architectures and tokenizers: labels, texts and adapters as plain transformers has them.

Each is compared with float32, one text at a time, through classes of transformers alone.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

from choose.engines.causal.chat_template import ChatTemplate, Prompt
from choose.engines.causal.label_scoring import LabelTrie
from choose.engines.causal.loading import load_causal, load_generator
from choose.engines.causal.stop_rules import StopRule, prompt_key
from choose.engines.hardware import device_and_dtype
from choose.engines.lora.answer_tuning import AnswerRow, AnswerRun
from choose.engines.lora.batching import tokenise
from choose.engines.lora.classifier import ClassifierRun, untrained_model
from choose.engines.lora.fused.training_step import supports
from choose.engines.lora.model import AdapterSpec, is_causal, load_base, seeded
from choose.engines.lora.training_run import Schedule, TrainingRun
from support import tiny_models as tiny
from support.families import DECODERS, ENCODERS
from support.tiny_models import (
    autograd_gradients,
    fused_gradients,
    gradients_of_answers,
    taken,
    tuned,
)

LABELS = ("pear", "pear tree", "plum", "exchange rate")
TEXTS = ("ripe", "", "the rate of exchange of pears and  apples\nis low " * 3, "a plum? <s> [SEP]")

# Those whose attention shares passes, and those that the fused engine trains.
PACKED = set(DECODERS)
FUSED = {"Qwen2"}

FAST = ("Gemma 2",)


def some(names: Sequence[str]) -> list[Any]:
    return [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in names]


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CHOOSE_DTYPE", "float32")
    device_and_dtype.dtype.cache_clear()
    yield
    device_and_dtype.dtype.cache_clear()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Folders of families, saved when they are first asked for."""
    root, saved = tmp_path_factory.mktemp("families"), {}

    def folder(name: str) -> Path:
        if name not in saved:
            decoder = name in DECODERS
            family = (DECODERS if decoder else ENCODERS)[name]
            saved[name] = family.save(root / name.replace(" ", "-"), head=decoder)
        return saved[name]

    return folder


def plain(folder: Path, head: bool = True) -> Any:
    from transformers import AutoModel, AutoModelForCausalLM

    loader = AutoModelForCausalLM if head else AutoModel
    return loader.from_pretrained(folder, dtype="float32", attn_implementation="eager").eval()


def asked(template: ChatTemplate) -> list[Prompt]:
    told = [("system", "Sort: " + ", ".join(LABELS))]
    if not template.system:
        told = [("user", told[0][1]), ("assistant", "Understood.")]
    return [template.prompt([*told, ("user", text)], len(told)) for text in TEXTS]


@pytest.mark.parametrize("name", some([*DECODERS]))
def test_labels_and_texts_are_those_of_transformers(name: str, folders: Any) -> None:
    lm, model = load_causal(str(folders(name))), plain(folders(name))
    prompts, end = asked(lm.template), lm.template.end
    names = [lm.template.content(label) for label in LABELS]
    assert lm.tree is (name in PACKED)
    scored = lm.score(prompts, LabelTrie.build(names, end)).logprobs
    expected = np.zeros_like(scored)
    with torch.inference_mode():
        for row, prompt in enumerate(prompts):
            for column, label in enumerate(names):
                ids = [*prompt.prefix, *prompt.rest, *label, end]
                steps = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
                answer = range(len(ids) - len(label) - 1, len(ids))
                expected[row, column] = sum(float(steps[i - 1, ids[i]]) for i in answer)
    assert np.abs(scored - expected).max() < 2e-3
    assert np.ptp(expected, axis=0).max() > 0.1, "texts matter"
    generator = load_generator(str(folders(name)))
    assert generator.packed is lm.tree
    generator.write(prompts, rule := StopRule(6))
    for prompt in prompts:
        ids = torch.tensor([[*prompt.prefix, *prompt.rest]])
        written = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=6,
            eos_token_id=sorted(generator.ends),
            pad_token_id=0,
        )
        row = generator.answers[prompt_key(prompt, rule)][0]
        assert [int(token) for token in row[4:]] == written[0, ids.shape[1] :].tolist()


def gradients(run: TrainingRun) -> dict[str, torch.Tensor]:
    return (fused_gradients if supports(run.model.base.model) else autograd_gradients)(run)


def agree(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert any(bool(grad.any()) for grad in expected.values())
    for name, grad in expected.items():
        scale = float(grad.abs().max())
        torch.testing.assert_close(found[name], grad, rtol=2e-3, atol=1e-3 * scale + 1e-7)


@pytest.mark.parametrize("targets", ["attention", "all"])
@pytest.mark.parametrize("name", some([*DECODERS]))
def test_an_adapter_learns_to_write_from_the_gradients_of_transformers(name, targets, folders):
    base = load_base(str(folders(name)), writes=True)
    assert supports(base.model) is (name in FUSED)
    model = tuned(base, targets)
    prompts = asked(model.template)
    rows = [
        AnswerRow(p.rest, (*model.template.content(label), model.template.end))
        for p, label in zip(prompts, LABELS, strict=True)
    ]
    prefix = prompts[0].prefix
    found = gradients(AnswerRun(model, prefix, rows, Schedule(5, len(rows), 1e-2, 0), 0))
    agree(found, gradients_of_answers(model, rows, prefix))


@pytest.mark.parametrize("name", some([*DECODERS, *ENCODERS]))
def test_an_adapter_learns_labels_from_the_gradients_of_transformers(name, folders):
    base = load_base(str(folders(name)))
    assert base.causal is (name in DECODERS)
    model = tuned(base, "attention")
    texts = [text for text in TEXTS if text]
    rows, targets = tokenise(base.tokenizer, texts, min(40, base.max_tokens)).ids, [0, 1, 2]
    run = ClassifierRun(model, rows, targets, Schedule(5, 3, 1e-2, 0), 0)
    found = gradients(run)
    for i in run.training_indices:
        ids = torch.tensor([rows[i]])
        more = {} if base.causal else {"attention_mask": torch.ones_like(ids)}
        states = model.adapter(input_ids=ids, **more).last_hidden_state[0]
        pooled = states[-1] if base.causal else states.mean(0)
        logits = model.head(torch.nn.functional.layer_norm(pooled, pooled.shape))
        (torch.nn.functional.cross_entropy(logits, torch.tensor(targets[i])) / 3).backward()
    agree(found, taken(model))
    for row, logits in zip(rows, model.predict_logits(rows), strict=True):
        torch.testing.assert_close(model.predict_logits([row])[0], logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", some([*ENCODERS]))
def test_an_encoder_reads_the_tokens_that_its_tokenizer_makes(name: str, folders: Any) -> None:
    base = load_base(str(folders(name)))
    text = "the rate of exchange of pears"
    [row] = tokenise(base.tokenizer, [text], 60).ids
    assert list(row) == base.tokenizer(text)["input_ids"]
    [longest] = tokenise(base.tokenizer, [text * 99], base.max_tokens).ids
    assert len(longest) == base.max_tokens
    with seeded(0, "cpu"):
        model = untrained_model(base, AdapterSpec(3, "all", 0.0), 2, name)
    assert torch.isfinite(model.predict_logits([longest])).all(), "positions suffice"


@pytest.mark.parametrize(
    ("name", "switch"),
    [
        ("Gemma3", {"use_bidirectional_attention": True, "head_dim": 8}),
        ("Llama", {"is_causal": False}),
    ],
)
def test_a_decoder_that_a_switch_makes_an_encoder_answers_alike_in_any_company(
    name, switch, tmp_path
):
    tokenizer = AutoTokenizer.from_pretrained(tiny.causal_lm(tmp_path / "other"))
    folder = tiny.random_lm(tmp_path / "lm", name, {**tiny.SMALL, **switch}, tokenizer)
    model = tuned(base := load_base(str(folder)), "attention")
    short, long = [5, 9, 7], [11, 3, 8, 40, 6, 21, 9, 30, 2, 17, 33]
    alone, together = model.predict_logits([short]), model.predict_logits([short, long])
    torch.testing.assert_close(together[:1], alone, rtol=0, atol=1e-4)
    # All tokens are compared, not the last alone: those before have read it too.
    assert not base.causal
    assert base.pooling == "mean"
    # Autograd, which trains them, sees both ways.
    assert not supports(base.model)


def test_a_plain_decoder_sees_what_came_before() -> None:
    def causal(kind: str, **more: Any) -> bool:
        return is_causal(AutoConfig.for_model(kind, **more))

    assert causal("llama")
    assert causal("gemma3_text")
    assert not causal("gemma3_text", use_bidirectional_attention=True)
    assert not causal("llama", is_causal=False)
    assert not causal("bert")
