"""Names beside marks cover neither a mark nor each other."""

from __future__ import annotations

import pytest

from choose.report.html.chart_style import decades, powers
from choose.report.html.charts import mark_names


def placed(*marks: tuple[str, float, float]) -> dict[str, tuple[str, int, int]]:
    rows = [{"candidate": name, "x": x, "value": value} for name, x, value in marks]
    found = {}
    for layer in mark_names(rows, (0.01, 1000.0), (0.0, 100.0)):
        where = layer.mark
        for row in layer.data.values:
            assert (row["candidate"], row["x"], row["value"]) in marks
            found[row["candidate"]] = (where.align, where.dx, where.dy)
    return found


def test_a_name_stands_right_of_its_mark_where_nothing_is() -> None:
    assert placed(("tfidf", 0.1, 70), ("lora", 40, 90)) == {
        "tfidf": ("left", 9, 0),
        "lora": ("left", 9, 0),
    }


def test_a_name_gives_way_to_a_mark_and_to_a_name() -> None:
    found = placed(("lora", 8.3, 90), ("probe", 11.4, 91), ("knn", 11.8, 91.7))
    assert found["lora"][0] == "right"
    assert len(set(found.values())) == 3


def test_axes_enclose_their_values() -> None:
    assert decades([0.092, 323]) == (0.01, 1000.0)
    assert decades([1.0, 1.0]) == (1.0, 10.0)
    assert powers((0.01, 100.0)) == [0.01, 0.1, 1.0, 10.0, 100.0]
    assert decades([3e-7, 2]) == (pytest.approx(1e-7), 10.0)
