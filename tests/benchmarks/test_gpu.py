"""The benchmark on GPUs, in small on a CPU: every side runs, and every target is told."""

import json

import pytest

import gpu


@pytest.mark.slow
def test_all_sides_run_in_small(tmp_path, capsys, monkeypatch):
    call = ["--tiny", "--json", "--folder", str(tmp_path), "--sides"]
    assert gpu.main([*call, "harness,vllm"]) == 0
    assert gpu.read_results(tmp_path / "tiny.results").keys() == {"harness", "vllm"}
    # In this process, which has loaded the libraries.
    for side in ("choose", "generate", "trainer"):
        file = tmp_path / "tiny.results" / f"{side}.jsonl"
        gpu.one_side(tmp_path / "tiny", side, gpu.SMALL, file)
    capsys.readouterr()
    monkeypatch.setattr(gpu, "find_spec", lambda _: None)
    assert gpu.main([*call, "vllm"]) == 0, "what was measured before is kept"
    found = json.loads(capsys.readouterr().out)["tiny"]
    monkeypatch.undo()
    assert found["vllm"] == {"absent": {"failed": "vllm is not installed"}}
    lora = {"lora 12", "lora 24"}
    ours = {"labels 6", "labels 77", "texts", "texts shared", "peak", *lora}
    assert found["choose"].keys() == ours
    assert found["harness"].keys() == {"labels 6", "labels 77"}
    assert found["generate"].keys() == {"texts", "texts shared"}
    assert found["trainer"].keys() == lora
    assert not [one for side in found.values() for name, one in side.items()
                if "failed" in one and name != "absent"]  # fmt: skip
    assert all(one["tokens_a_second"] > 0 for one in found["choose"].values())
    assert gpu.ratios(found).keys() == ours - {"peak"}
    assert 0 < found["choose"]["peak"]["share"] < 1.5
    told = "\n".join(gpu.report({"tiny": found}))
    assert "x generate" in told
    assert "tokens/s" in told
