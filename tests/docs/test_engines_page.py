"""The page on engines: its lines run, here with tiny models in place of the two that it fetches."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from choose.engines.weights import spec
from support import tiny_models as tiny

PAGE = Path(__file__).parents[2] / "docs" / "engines.md"


def test_each_engine_is_used_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(spec, "DEFAULT_LM", str(tiny.causal_lm(tmp_path / "lm")))
    monkeypatch.setattr(spec, "DEFAULT_ENCODER", str(tiny.encoder(tmp_path / "encoder")))
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        exec(block, names)
    assert names["logprobs"].shape == (40, 2)
    assert len(names["written"].texts) == 40
    assert np.allclose(np.linalg.norm(names["vectors"], axis=1), 1, atol=1e-5)
    assert names["predicted"].shape == (40,)
    assert names["threads"] >= 1
    assert str(tmp_path) in capsys.readouterr().out
