"""Encoders with all weights trained: the loss, the batches, and a base that stays as it was."""

import math
import random
from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest

from choose.conformance import TASK, pool, questions
from choose.engines.embeddings import load_encoder
from choose.engines.hardware import batch_limits
from choose.engines.hardware.batch_limits import limits_of
from choose.engines.lora.encoder_tuning import (
    ContrastiveRun,
    TunedEncoder,
    balanced_batches,
    contrastive_loss,
    contrastive_schedule,
    overlaps,
    own_copy,
)
from choose.engines.lora.model import load_base
from choose.errors import StrategyError
from choose.strategy import build

WHOLE = ("setfit", "full-fine-tuning")


def tuned(name: str, encoder: str, **params: object) -> Any:
    # A random encoder of two layers learns at a higher rate than one that knows its language.
    return build(name, seed=0, encoder=encoder, **{"learning_rate": 3e-3, **params})


def test_the_loss_of_four_rows_by_hand() -> None:
    import torch

    # Two pairs: cosine 1 within a pair, 0 across. At temperature 0.1 each row's right partner has
    # the probability e^10 / (e^10 + 2).
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])

    def loss_of(*labels: int) -> float:
        alike = torch.from_numpy(overlaps(np.eye(2, dtype=np.bool_)[list(labels)]))
        return float(contrastive_loss(vectors[: len(labels)], alike))

    assert loss_of(0, 0, 1, 1) == pytest.approx(math.log(1 + 2 * math.exp(-10)), rel=1e-3)
    # The wrong labels: the partner has 1 / (e^10 + 2).
    assert loss_of(0, 1, 0, 1) == pytest.approx(math.log(math.exp(10) + 2), rel=1e-5)
    # A row without a partner is no term of its own, but others are contrasted with it.
    assert loss_of(0, 0, 1) == pytest.approx(math.log(1 + math.exp(-10)), rel=1e-2)


def test_sets_are_alike_by_what_they_share_and_pairs_weigh_as_much() -> None:
    import torch

    alike = overlaps(np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]], dtype=np.bool_))
    assert alike.tolist() == [[1, 0.5, 0, 0], [0.5, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    # With orthogonal rows every other row has a third, whatever the weights of a row add up to.
    loss = float(contrastive_loss(torch.eye(4), torch.from_numpy(alike)))
    assert loss == pytest.approx(math.log(3), rel=1e-6)
    # The first row shares half with the second and a third with the third, which is nearer.
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    weights = torch.tensor([[1, 1 / 2, 1 / 3], [0, 1, 0], [0, 0, 1]])
    near, far = (-math.log(w / (1 + math.exp(10))) for w in (math.exp(10), 1))
    wanted = (far / 2 + near / 3) / (1 / 2 + 1 / 3)
    assert float(contrastive_loss(vectors, weights)) == pytest.approx(wanted, rel=1e-5)


def test_batches_of_sets_hold_rows_of_each_label_and_of_none() -> None:
    members = np.zeros((30, 3), dtype=np.bool_)
    members[:20, 0], members[18:24, 1], members[24, 2] = True, True, True
    for batch in islice(balanced_batches(members, 16, random.Random(0)), 5):
        assert len(batch) == 16
        assert (members[batch].sum(axis=0) >= 4).all()
        assert (~members[batch].any(axis=1)).sum() == 4


def test_batches_hold_as_many_rows_of_each_label_and_use_all_rows() -> None:
    targets = [0] * 50 + [1] * 10 + [2]
    single = np.eye(40, dtype=np.bool_)
    batches = list(islice(balanced_batches(single[targets], 12, random.Random(0)), 20))
    assert all(Counter(targets[i] for i in batch) == {0: 4, 1: 4, 2: 4} for batch in batches)
    assert len({i for batch in batches for i in batch}) == 61
    many = [label for label in range(40) for _ in range(3)]
    batch = next(balanced_batches(single[many], 16, random.Random(0)))
    assert set(Counter(many[i] for i in batch).values()) == {2}
    assert len(batch) == 16


def test_rows_are_read_by_length_with_the_gradients_of_all_at_once(encoder, monkeypatch):
    import torch

    base, rows = load_base(encoder), [[5 + i * j % 20 for j in range(3 + i)] for i in range(12)]
    model = TunedEncoder(base, own_copy(base))
    members = np.eye(3, dtype=np.bool_)[[i % 3 for i in range(12)]]
    run = ContrastiveRun(model, rows, members, contrastive_schedule(12, 1e-3, None), 0)
    weights, usual = model.adapter.get_input_embeddings().weight, limits_of("cpu")
    whole, parts = [], []
    for tokens, found in ((10_000, whole), (30, parts)):
        monkeypatch.setitem(batch_limits._LIMITS, "cpu", replace(usual, training_tokens=tokens))
        found.extend(torch.autograd.grad(next(run.losses(range(12))), weights))
    torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-6)
    with torch.no_grad():
        weights.mul_(1.5)  # of the copy, which is read as it is now
        plain = torch.nn.functional.normalize(model.pooled(rows), dim=1)
    torch.testing.assert_close(torch.from_numpy(model.embed(rows)), plain, rtol=0, atol=1e-5)


def test_the_number_of_steps_has_a_floor_and_a_ceiling_unless_epochs_are_given() -> None:
    assert contrastive_schedule(16, 1e-4, None).steps == contrastive_schedule(100, 1e-4, None).steps
    few, many = contrastive_schedule(16, 1e-4, None), contrastive_schedule(10**5, 1e-4, None)
    assert few.steps < contrastive_schedule(2_000, 1e-4, None).steps < many.steps
    assert contrastive_schedule(320, 1e-4, 2.0).steps == 20


@pytest.mark.parametrize("name", WHOLE)
def test_it_learns_and_leaves_the_shared_model_and_its_embeddings_alone(name, encoder, monkeypatch):
    base, shared = load_base(encoder), load_encoder(encoder)
    weights = {n: p.clone() for n, p in base.model.named_parameters()}
    rows = pool(rows=60)
    before = shared.embed([e.text for e in rows]).copy()
    strategy = tuned(name, encoder)
    strategy.fit(TASK, rows)
    asked = pool(seed=1, rows=30)
    # What was trained has packed its weights.
    monkeypatch.setattr("choose.engines.lora.fused.training_step.Encoder", None)
    answers = strategy.predict([e.item() for e in asked])
    assert np.mean([a == e.target for a, e in zip(answers.outputs, asked, strict=True)]) > 0.8
    assert all((p == weights[n]).all() for n, p in base.model.named_parameters())
    assert not any(p.requires_grad for p in base.model.parameters())
    shared.vectors.clear()
    assert np.abs(shared.embed([e.text for e in rows]) - before).max() < 1e-6
    assert "all weights of the encoder trained" in strategy.facts()["notes"][0]


@pytest.mark.parametrize("name", WHOLE)
def test_a_rate_that_breaks_the_model_is_an_error(name: str, encoder: str, refusal: Any) -> None:
    strategy = tuned(name, encoder, learning_rate=10.0, epochs=1.0)
    assert "did not learn" in refusal(StrategyError, strategy.fit, TASK, pool())


@pytest.mark.parametrize("name", WHOLE)
def test_a_saved_model_of_another_encoder_is_refused(name, encoder, tmp_path):
    strategy = tuned(name, encoder, epochs=1.0)
    strategy.fit(TASK, [e for e in pool() if e.target == "fruit"])
    assert strategy.predict(questions()[:1]).outputs == ("fruit",)
    strategy.save(tmp_path / "saved")
    (tmp_path / "saved" / "encoder.safetensors").unlink()
    with pytest.raises(StrategyError):
        tuned(name, encoder).load(tmp_path / "saved")
