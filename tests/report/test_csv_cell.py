"""Cells of CSV files that a spreadsheet may open."""

import pytest

from choose.files import csv_cell

FULL_WIDTH = ("\uff1da", "\uff0ba", "\uff0da", "\uff20a")


@pytest.mark.parametrize(
    "cell",
    [
        "=a",
        "+a",
        "-a",
        "@a",
        *FULL_WIDTH,
        "\t=a",
        "\ta",
        "\ra",
        " =a",
        " \uff1da",
        "\x00=a",
        "-5+1",
    ],
)
def test_no_cell_is_a_formula(cell: str) -> None:
    assert csv_cell(cell).startswith("'")


@pytest.mark.parametrize("cell", ["+3.5", "-1", "-1,5", "a=b", "", "5"])
def test_numbers_and_plain_text_stay_as_they_are(cell: str) -> None:
    assert csv_cell(cell) == cell


def test_a_cell_is_one_line_without_control_characters() -> None:
    assert csv_cell("a\x1b[2J\r\nb\u202e") == "a[2J  b"
