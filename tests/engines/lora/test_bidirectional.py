"""Decoders that a switch makes into encoders: answers do not depend on the batch."""

from pathlib import Path
from typing import Any

import pytest

from choose.engines.lora.classifier import untrained_model
from choose.engines.lora.fused.training_step import supports
from choose.engines.lora.model import AdapterSpec, Base, is_causal, load_base, seeded
from support import tiny_models as tiny

SWITCHED: dict[str, dict[str, Any]] = {
    "Gemma3": {"use_bidirectional_attention": True, "head_dim": 8},
    "Llama": {"is_causal": False},
}


@pytest.fixture(params=SWITCHED)
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Base:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny.causal_lm(tmp_path / "other"))
    settings = {**tiny.SMALL, **SWITCHED[request.param]}
    return load_base(str(tiny.random_lm(tmp_path / "lm", request.param, settings, tokenizer)))


def test_answers_do_not_depend_on_their_company(base: Base) -> None:
    import torch

    with seeded(0, "cpu"):
        tuned = untrained_model(base, AdapterSpec(4, "attention", 0.0), 3, "tiny")
        torch.nn.init.normal_(tuned.head.weight)
    short, long = [5, 9, 7], [11, 3, 8, 40, 6, 21, 9, 30, 2, 17, 33]
    alone, together = tuned.predict_logits([short]), tuned.predict_logits([short, long])
    torch.testing.assert_close(together[:1], alone, rtol=0, atol=1e-4)
    # The last token does not stand for all: those before have read it too.
    assert not base.causal
    assert base.pooling == "mean"
    # Autograd, which trains them, sees both ways.
    assert not supports(base.model)


def test_a_plain_decoder_sees_what_came_before() -> None:
    from transformers import AutoConfig

    def causal(kind: str, **more: Any) -> bool:
        return is_causal(AutoConfig.for_model(kind, **more))

    assert causal("llama")
    assert causal("gemma3_text")
    assert not causal("gemma3_text", use_bidirectional_attention=True)
    assert not causal("llama", is_causal=False)
    assert not causal("bert")
