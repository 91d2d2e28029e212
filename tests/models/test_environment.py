"""Settings in environment variables are checked before anything is run."""

from pathlib import Path

import pytest

from choose.api.compare import export
from support.studies import small_study, write_csv

WRONG = [("CHOOSE_THREADS", "two"), ("CHOOSE_THREADS", "²"), ("CHOOSE_DTYPE", "float64")]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a labelled file, a study of it and an export."""
    folder = tmp_path_factory.mktemp("stated")
    study = small_study(folder, "tfidf")
    made = export(study, folder / "made", candidate="tfidf").folder
    return {"DATA": write_csv(folder / "rows.csv"), "STUDY": study, "MADE": made}


@pytest.mark.parametrize(
    "command",
    [
        ["compare", "DATA", "--out", "new"],
        ["demo", "--out", "new"],
        ["plan", "DATA"],
        ["export", "STUDY", "new"],
        ["predict", "MADE", "DATA"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_a_wrong_setting_is_one_red_line(choose, places, monkeypatch, command, name, wrong):
    monkeypatch.setenv(name, wrong)
    result = choose(*[places.get(word, word) for word in command])
    assert result.code == 2
    assert result.out == ""
    assert len(result.err.strip().splitlines()) == 1
    assert result.err.startswith(f"Error: {name} is '{wrong}'")
    assert not Path("new").exists()
