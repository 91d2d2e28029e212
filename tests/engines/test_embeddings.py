"""Embeddings: unit vectors, computed once a text, with their cost."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from choose.conformance import HOSTILE, pool
from choose.engines.embeddings import Encoder, load_encoder
from choose.engines.hardware import batch_limits
from choose.engines.hardware import packed_products as products
from choose.engines.hardware.packed_products import can_pack, packed_products
from choose.engines.lora.fused import linear_layers
from choose.engines.lora.fused.unpadded_encoder import unpadded
from choose.models.retrieval.question_encoder_tuning import untuned
from support import tiny_models as tiny
from support.families import ENCODERS

TEXTS = [example.text for example in pool(rows=40)]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.encoder(tmp_path_factory.mktemp("models") / "encoder"))


def fresh(spec: str) -> Encoder:
    return Encoder(load_encoder(spec).model)


def test_vectors_of_any_texts_have_length_one(spec: str) -> None:
    texts = [*TEXTS, *HOSTILE, "\ud800 alone"]
    vectors = load_encoder(spec).embed(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(texts), 32)
    assert np.isfinite(vectors).all()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert load_encoder(spec).embed([]).shape == (0, 32)


def test_company_and_order_change_nothing(spec: str) -> None:
    together = fresh(spec).embed(TEXTS)
    backwards = fresh(spec).embed(TEXTS[::-1])[::-1]
    alone = np.concatenate([fresh(spec).embed([text]) for text in TEXTS[:5]])
    assert np.abs(together - backwards).max() < 1e-5
    assert np.abs(together[:5] - alone).max() < 1e-5


def test_first_steps_are_small_as_one_of_them_is_on_fewer_threads(spec: str) -> None:
    encoder, sizes = fresh(spec), list[int]()
    encoder._encode = lambda some: sizes.append(len(some)) or np.ones((len(some), 2))
    encoder.embed([f"{n:0320}" for n in range(200)])
    assert sizes == [*[16] * 4, 64, 64, 8]


# Of no word to more than the model reads.
LONG_AND_SHORT = ["", "a", *TEXTS, *(" ".join(TEXTS[n : 2 * n]) for n in range(1, 12)), *TEXTS[:3]]


def plain(encoder: Encoder, texts: list[str]) -> np.ndarray:
    return encoder.model.encode(texts, normalize_embeddings=True)


def assert_alike(encoder: Encoder, skips: bool, texts: list[str] = TEXTS) -> None:
    """Vectors are those of sentence-transformers, padding skipped or not."""
    with unpadded(encoder.model) as skipped:
        assert skipped is skips
    assert np.abs(encoder.embed(texts) - plain(encoder, texts)).max() < 2e-6


@pytest.mark.parametrize("family", [*ENCODERS])
def test_vectors_are_those_of_sentence_transformers(family: str, tmp_path: Path) -> None:
    encoder = fresh(str(ENCODERS[family].save(tmp_path / "encoder", head=False)))
    encoder.model.max_seq_length = 60
    assert_alike(encoder, family in ("BERT", "RoBERTa"), LONG_AND_SHORT)


@pytest.mark.parametrize("pooling", ["cls_token", "max_tokens", "lasttoken"])
def test_other_poolings_see_no_padding(pooling: str, tmp_path: Path) -> None:
    folder = tiny.encoder(tmp_path / "encoder")
    first = {"word_embedding_dimension": 32, f"pooling_mode_{pooling}": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(first))
    assert_alike(fresh(str(folder)), True, LONG_AND_SHORT)


def test_weights_that_were_trained_in_place_count(spec: str) -> None:
    encoder = Encoder(untuned(spec))
    before = encoder.embed(TEXTS)
    with torch.no_grad():
        for parameter in encoder.model.parameters():
            parameter.mul_(1.5)
    encoder.vectors.clear()
    after = encoder.embed(TEXTS)
    assert np.abs(after - before).max() > 1e-2
    assert np.abs(after - plain(encoder, TEXTS)).max() < 2e-6


def test_padding_is_computed_where_gradients_are_asked_for(spec: str) -> None:
    model = untuned(spec)
    with unpadded(model) as skips, torch.enable_grad():
        assert skips
        model(model.preprocess(TEXTS[:3]))["sentence_embedding"].sum().backward()
    assert all(p.grad is not None for p in model[0].model.encoder.parameters())
    assert all("forward" not in module.__dict__ for module in model.modules())


def test_layers_that_compute_otherwise_keep_their_padding_and_unpacked_ones_do_not(
    spec, monkeypatch
):
    encoder = Encoder(untuned(spec))
    encoder.model[0].model.encoder.layer[1].intermediate.intermediate_act_fn = torch.nn.SiLU()
    assert_alike(encoder, False)
    monkeypatch.setattr(linear_layers, "can_pack", lambda _: False)
    assert_alike(Encoder(untuned(spec)), True)


def test_a_text_is_embedded_once_and_its_cost_is_remembered(spec, monkeypatch):
    encoder = fresh(spec)
    assert encoder.cached_seconds(TEXTS) == 0
    first = encoder.embed([*TEXTS, *TEXTS])
    assert len(encoder.vectors) == len(set(TEXTS))
    whole = encoder.cached_seconds(TEXTS)
    assert whole > 0
    assert encoder.cached_seconds([*TEXTS, *TEXTS]) == pytest.approx(whole)
    monkeypatch.setattr(encoder.model, "encode", lambda *_, **__: pytest.fail("made again"))
    assert (encoder.embed(TEXTS) == first[: len(TEXTS)]).all()


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_a_checkpoint_in_half_precision_is_computed_in_whole(half: str, tmp_path: Path) -> None:
    from transformers import BertModel

    folder = tiny.encoder(tmp_path / "encoder")
    BertModel.from_pretrained(folder).to(getattr(torch, half)).save_pretrained(folder)
    encoder = load_encoder(str(folder))
    assert encoder.model.dtype == torch.float32
    cold = encoder.embed(TEXTS)
    assert cold.dtype == np.float32
    assert np.allclose(np.linalg.norm(cold, axis=1), 1, atol=1e-6)


def test_where_memory_runs_out_fewer_texts_are_embedded_at_a_time(spec, monkeypatch):
    encoder, sizes = Encoder(untuned(spec)), list[int]()
    whole, encode = encoder.embed(TEXTS), encoder.model.encode

    def small(texts: list[str], batch_size: int = 1, **more: Any) -> Any:
        sizes.append(batch_size)
        if batch_size > 8:
            raise MemoryError
        return encode(texts, batch_size=batch_size, **more)

    monkeypatch.setattr(batch_limits, "_HALVINGS", Counter())
    monkeypatch.setattr(encoder.model, "encode", small)
    encoder.vectors.clear()
    assert np.abs(encoder.embed(TEXTS) - whole).max() < 1e-6
    assert sizes == [len(TEXTS), 16, 8]


def test_vectors_of_a_card_that_computes_in_halves_are_whole() -> None:
    class Halves:
        device = type("Device", (), {"type": "cuda"})

        def encode(self, texts: list[str], **_: object) -> np.ndarray:
            return np.ones((len(texts), 4), np.float16) / 2

    assert Encoder(Halves()).embed(["a", "b"]).dtype == np.float32


class Gated(torch.nn.Module):
    """A gated feed-forward layer under a linear one, as decoders have them."""

    device = torch.device("cpu")

    def __init__(self, dtype: torch.dtype, activation: Any = torch.nn.functional.silu) -> None:
        super().__init__()
        self.dtype, self.activation = dtype, activation
        self.gate_proj = torch.nn.Linear(24, 40, dtype=dtype)
        self.up_proj = torch.nn.Linear(24, 40, bias=False, dtype=dtype)
        self.down_proj = torch.nn.Linear(40, 24, dtype=dtype)

    def forward(self, x: torch.Tensor) -> Any:
        return self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))


def reads(model: Any, rows: int) -> torch.Tensor:
    x = torch.randn(1, rows, 24, generator=torch.Generator().manual_seed(rows)).to(model.dtype)
    with torch.inference_mode():
        found: torch.Tensor = model(x).float()
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("activation", [torch.nn.functional.silu, torch.nn.functional.gelu])
def test_results_are_those_of_the_plain_layers(dtype: torch.dtype, activation: Any) -> None:
    if not can_pack(dtype):
        pytest.skip("torch cannot pack here")
    torch.manual_seed(0)
    model = Gated(dtype, activation)
    for rows in (1, 3, 65):
        plain = reads(model, rows)
        with packed_products(model):
            replaced = [name for name, m in model.named_modules() if "forward" in m.__dict__]
            packed = reads(model, rows)
        tolerance = 1e-6 if dtype is torch.float32 else 2e-2
        assert (packed - plain).abs().max() <= tolerance * plain.abs().max()
        # A layer with another activation keeps its own formula over packed linear layers.
        assert ("" in replaced) is (activation is torch.nn.functional.silu)
        assert {"gate_proj", "up_proj", "down_proj"} <= set(replaced)
    assert all("forward" not in module.__dict__ for module in model.modules())


def test_exchanged_weights_are_packed_anew_and_errors_leave_nothing() -> None:
    model = Gated(torch.float32)
    with pytest.raises(RuntimeError), packed_products(model):
        model(torch.zeros(1, 2, 7))
    assert all("forward" not in module.__dict__ for module in model.modules())
    with packed_products(model):
        reads(model, 2)
    model.up_proj.weight = torch.nn.Parameter(2 * model.up_proj.weight.detach())
    with packed_products(model):
        packed = reads(model, 2)
    assert torch.allclose(packed, reads(model, 2), atol=1e-6)


def test_large_models_and_other_layers_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(torch.nn.Linear):
        pass

    model = Gated(torch.float32)
    model.up_proj = Own(24, 40)
    with packed_products(model):
        assert "forward" not in model.up_proj.__dict__
        assert "forward" not in model.__dict__
    monkeypatch.setattr(products, "MOST_BYTES", 100)
    large = Gated(torch.float32)
    with packed_products(large):
        assert all("forward" not in module.__dict__ for module in large.modules())
