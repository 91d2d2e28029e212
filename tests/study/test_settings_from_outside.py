"""Numbers and settings from outside are refused with the name of their key (issue 16, point 2)."""

import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from choose.cli.options import seconds
from choose.errors import ChooseError, ModelError, StudyError
from choose.models.environment_settings import cache_dir, encoder_dtype_setting, threads_setting
from choose.models.results.output_cache import size_limit
from choose.study.study_file import load_study, overrides_of, settings_of
from choose.untrusted import check_values, finite, number, whole

NO_NUMBERS = (float("nan"), float("inf"), -float("inf"), 10**400, 1e300)


@pytest.mark.parametrize(
    "value", [*NO_NUMBERS, "nan", "inf", "1e999", "9" * 5_000, "1_0", True, None, "x", [1]]
)
def test_what_is_no_usual_number_is_none(value: object) -> None:
    assert finite(value) is None
    with pytest.raises(StudyError, match="a key"):
        number(value, "a key")
    with pytest.raises(ModelError, match="a key"):
        whole(value, "a key", 0, 9, ModelError)


def test_usual_numbers_pass() -> None:
    assert finite("2.5") == 2.5
    assert number(3, "a", low=0, high=3) == 3
    assert whole("7", "a", 0, 9) == 7


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"goal": {"target": "x"}}, "it must be a number"),
        ({"grid": {"seeds": 1.5}}, "it must be a whole number"),
        ({"grid": {"seeds": -1}}, "it must be at least"),
        ({"goal": {"metric": "x"}}, "it must be accuracy, balanced, cost"),
        ({"candidates": [{}]}, "it is missing"),
        ({"candidates": 7}, "it must be a list"),
    ],
)
def test_a_wrong_type_is_said_in_plain_words(settings: Any, says: str) -> None:
    """U5: pydantic's own words were shown."""
    with pytest.raises(StudyError, match=says):
        load_study(settings)


@pytest.mark.parametrize("place", ["params", "extra_body"])
@pytest.mark.parametrize("value", [date(2024, 1, 1), object(), "half \udcff", *NO_NUMBERS])
def test_what_no_request_and_no_store_can_hold_is_refused(place: str, value: object) -> None:
    """C6, C8: NaN in `params` left half a store behind, as did a date in `extra_body`."""
    with pytest.raises(StudyError, match=f"{place}.d"):
        check_values({place: {"d": value}}, "")


def test_a_large_seed_may_stand_in_a_request() -> None:
    check_values({"extra_body": {"seed": 2**63 - 1}}, "")


def test_deep_settings_are_refused(tmp_path: Path) -> None:
    """C9: a list 5,000 deep overflowed the stack."""
    file = tmp_path / "deep.toml"
    for text in (
        "a." * 400_000 + "b = 1",
        f"[{'a . ' * 60}b]",
        f"[data]\nx = {'[' * 5_000}{']' * 5_000}",
        f"x = {'[' * 90}{']' * 90}",
    ):
        file.write_text(text)
        with pytest.raises(StudyError, match="nested"):
            load_study(file)


def test_a_study_file_is_a_small_regular_file(tmp_path: Path) -> None:
    """M7, C12: `-c /dev/zero` took all memory, `-c FIFO` waited for ever."""
    fifo, large = tmp_path / "fifo", tmp_path / "large.toml"
    os.mkfifo(fifo)
    large.write_text("# " + "x" * 1_000_000)
    for path in (Path("/dev/zero"), fifo, large, tmp_path):
        with pytest.raises(StudyError, match="study file"):
            load_study(path)


@pytest.mark.parametrize("text", ["goal = 3", "candidates = 3", "x = " + "9" * 5_000, "\xff"])
def test_a_broken_study_file_is_one_line_even_below_flags(tmp_path: Path, text: str) -> None:
    file = tmp_path / "s.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(StudyError):
        load_study(file, {"goal": {"target": 0.9}})


@pytest.mark.parametrize("text", ["9" * 400, "1e300", "nan", "inf", "0", "٣"])
def test_times_on_the_command_line(text: str) -> None:
    with pytest.raises(StudyError, match="--budget"):
        seconds(text)


@pytest.mark.parametrize("text", ["1e999999999", "9" * 30, "nan", "-1", "1/0"])
def test_rates_on_the_command_line(text: str) -> None:
    """A fraction of a billion digits was computed."""
    with pytest.raises(StudyError):
        load_study(None, overrides_of(settings_of([f"noise={text}"])))


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("CHOOSE_KEEP_GB", "1e308", size_limit),
        ("CHOOSE_KEEP_GB", "nan", size_limit),
        ("CHOOSE_KEEP_GB", "-1", size_limit),
        ("CHOOSE_THREADS", "9" * 5_000, threads_setting),
        ("CHOOSE_THREADS", "0", threads_setting),
        ("CHOOSE_ENCODER_DTYPE", "x" * 5_000, encoder_dtype_setting),
        ("CHOOSE_CACHE", "~nosuchuser/x", cache_dir),
        ("CHOOSE_CACHE", "/dev/null", cache_dir),
    ],
)
def test_variables_are_refused_by_name(monkeypatch, name, value, read):
    """C10, C11: OverflowError and RuntimeError."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ChooseError, match=name) as error:
        read()
    assert len(str(error.value)) < 300


def test_an_address_belongs_to_ray() -> None:
    """N13: it was ignored without a word."""
    with pytest.raises(StudyError, match=r"run\.address is for executor = 'ray'"):
        load_study({"run": {"executor": "local", "address": "10.0.0.1:6379"}})
    assert load_study({"run": {"address": "10.0.0.1:6379"}}).run.on_ray


@pytest.mark.parametrize("url", ["http://a/v1\r\nHost: b", "http://a b/v1", "http://a/v1\x1b[31m"])
def test_an_address_of_a_server_has_no_blanks_and_line_breaks(url: str) -> None:
    """N17: it was accepted until no request could be sent."""
    with pytest.raises(StudyError, match="without blanks and line breaks"):
        load_study({"endpoints": {"e": {"base_url": url, "model": "m"}}})
