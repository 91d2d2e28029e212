"""The name of the machine that stands in every result."""

from pathlib import Path

import pytest

from machine import _processor, environment


def test_processors_of_one_name_are_told_by_their_generation(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    one = "processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n\n"
    file.write_text(one + one.replace("26", "25"))
    assert _processor(file) == "AMD EPYC (cpu family 26, model 2)"
    file.write_text("model name\t: Cortex\n")
    assert _processor(file) == "Cortex"
    assert _processor(tmp_path / "none")


def test_a_peer_waits_as_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "5000")
    ours, peer = (environment(side, 2) for side in ("choose", "peer"))
    assert ours.keys() - peer.keys() == {"GOMP_SPINCOUNT"}
