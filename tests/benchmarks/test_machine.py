"""The name of the machine that stands in every result."""

from __future__ import annotations

from pathlib import Path

from machine import _processor


def test_processors_of_one_name_are_told_by_their_generation(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    one = "processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n\n"
    file.write_text(one + one.replace("26", "25"))
    assert _processor(file) == "AMD EPYC (cpu family 26, model 2)"
    file.write_text("model name\t: Cortex\n")
    assert _processor(file) == "Cortex"
    assert _processor(tmp_path / "none")
