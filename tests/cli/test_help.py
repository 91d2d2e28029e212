"""The help screens: commands by purpose, options in groups, no line cut at 80 columns."""

import pytest

from choose.cli.app import EVERYDAY, GROUPS, app
from choose.cli.models_and_strategies import glossary
from choose.strategy import available, describe
from choose.study.candidates import default_strategies


def test_commands_are_listed_by_purpose_and_no_line_is_cut(choose) -> None:
    out = choose("--help").out
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "..." not in out.replace("[ARGS]...", "")
    assert [line for line in lines if line in {f"{title}:" for title in GROUPS}] == [
        "Start:", "Decide:", "Use:", "Know:",
    ]  # fmt: skip
    registered = {str(info.name) for info in app.registered_commands}
    assert {name for names in GROUPS.values() for name in names} == registered | {"models"}
    for name in registered | {"models"}:  # on one line with all that it says
        assert sum(line.startswith(f"  {name} ") for line in lines) == 1
    assert out.index("demo") < out.index("compare") < out.index("export") < out.index("plan")


@pytest.mark.parametrize("name", sorted(n for names in GROUPS.values() for n in names))
def test_the_help_of_every_command_fits_80_columns(choose, name: str) -> None:
    out = choose(name, "--help").out
    assert max(map(len, out.splitlines())) <= 80
    assert "..." not in out.replace("[ARGS]...", "").replace("...]", "")
    assert "<list" not in out


def test_everyday_options_of_compare_fit_one_screen_below_lines_to_copy(choose) -> None:
    lines = choose("compare", "--help").out.splitlines()
    assert len(lines) <= 23  # of 24, with the command above
    options = [line.split()[0] for line in lines if line.startswith("  -")]
    assert len(options) == 12 + 1  # and --help-all
    start = lines.index("Options:")
    assert lines[start + 1].startswith("  FILE ")
    examples = [line.strip() for line in lines[:start] if line.startswith("  choose ")]
    assert any("--model openai:" in line for line in examples)


@pytest.mark.parametrize("name", sorted(EVERYDAY))
def test_an_everyday_option_takes_one_line(choose, name: str) -> None:
    lines = choose(name, "--help").out.splitlines()
    options = lines[lines.index("Options:") + 1 :]
    assert len(options) == len(EVERYDAY[name]) + 1 + ("[" in lines[0].split("OPTIONS]")[1])


def test_all_options_of_compare_are_in_groups(choose) -> None:
    lines = choose("compare", "--help-all").out.splitlines()
    assert [line for line in lines if line.endswith(":") and not line.startswith(" ")] == [
        "Arguments:", "Your data:", "What to compare:", "Time and money:", "What is good enough:",
        "In a build:", "Options:",
    ]  # fmt: skip
    assert len({line.split()[0] for line in lines if line.startswith("  -")}) <= 33  # and --help
    extent = lines[lines.index("Time and money:") : lines.index("What is good enough:")]
    assert any("--quick" in line for line in extent)


SAID = ["folds", "point", "95 % CI", "macro f1", "against X", "chrf", "mrr", "hit@k", "mean recall"]


@pytest.mark.parametrize("word", SAID)
def test_words_are_explained_however_they_are_written(choose, word: str) -> None:
    assert choose("explain", word).out.strip() in glossary().values()
    assert choose("explain", *word.split()).out == choose("explain", word).out


def test_an_unknown_word_gets_the_nearest_one(choose) -> None:
    assert "logistic regression" in choose("explain", "probe").out
    assert "Did you mean 'probe'?" in choose("explain", "prob").err


def test_strategies_say_what_they_are_good_for(choose) -> None:
    out = choose("strategies").out
    said = " ".join(out.split())
    for name in available():
        described = describe(name)
        assert described.title
        for text in (described.title, described.good_for):
            assert text in said, name
    assert "dropout" not in out
    # What a study runs by itself, and what it has to name.
    assert {name for name in available() if f" {name}*" in out} == set(available()) - set(
        default_strategies()
    )
    labels = choose("strategies", "--for", "labels").out
    assert ("lora" in labels, "bm25" in labels) == (True, False)
    assert "dropout" in choose("explain", "lora").out


def test_demo_has_a_quick_look(choose, monkeypatch) -> None:
    given = {}
    monkeypatch.setattr(
        "choose.cli.compare.run", lambda *_, **__: given.update(_[2].get("grid", {}))
    )
    for flags, budget in (((), None), (("--quick",), 120.0), (("--quick", "--budget", "3m"), "3m")):
        given.clear()
        assert choose("demo", *flags).code == 0
        assert given.get("budget") == budget
        assert ("rounds" in given) is bool(flags)
