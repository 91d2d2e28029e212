"""An endpoint that cannot work: one error line with the reason, exit code 2, no files left."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from support.serving.faulty import FaultyServer, Habits
from support.serving.real import free_port
from support.serving.studies import bench, words_rule

pytestmark = pytest.mark.slow


def refused(folder: Path, url: str, **how: object) -> str:
    study = bench(folder, url, **how)  # type: ignore[arg-type]
    out, err = study.run("compare", "--yes", "--json", "--out", "st", code=2)
    assert out == ""
    assert "Traceback" not in err
    assert not list(folder.glob("st/trials/*/trial.json"))
    return " ".join(err.split())


def test_a_wrong_key(tmp_path: Path) -> None:
    with FaultyServer(words_rule, Habits(key="right")) as server:
        told = refused(tmp_path, server.url, secret="wrong-key-0123")
    assert "BIG_MODEL_KEY" in told
    assert "wrong-key-0123" not in told


def test_no_key(tmp_path: Path) -> None:
    with FaultyServer(words_rule) as server:
        told = refused(tmp_path, server.url, endpoint={"api_key_env": "NOT_SET_ANYWHERE"})
        assert server.ledger.requests == 0
    assert "NOT_SET_ANYWHERE" in told


def test_no_such_model(tmp_path: Path) -> None:
    with FaultyServer(words_rule) as server:
        told = refused(tmp_path, server.url, endpoint={"model": "bigger-model"})
    assert "bigger-model" in told


def test_a_web_page(tmp_path: Path) -> None:
    with FaultyServer(words_rule, Habits(page=True)) as server:
        told = refused(tmp_path, server.url)
    assert "HTML" in told


def test_not_an_api(tmp_path: Path) -> None:
    with FaultyServer(words_rule) as server:
        told = refused(tmp_path, server.url.removesuffix("/v1") + "/somewhere")
    assert "404" in told


def test_nobody_there(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    assert url.split("/")[2] in refused(tmp_path, url)


def test_a_certificate_that_nobody_signed(tmp_path: Path) -> None:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with FaultyServer(words_rule, tls=context) as server:
        told = refused(tmp_path, server.url)
        assert server.ledger.requests == 0
    assert "certificate" in told.lower()


def test_https_to_a_server_that_speaks_http(tmp_path: Path) -> None:
    with FaultyServer(words_rule) as server:
        told = refused(tmp_path, server.url.replace("http:", "https:"))
    assert "secure" in told.lower()


def test_no_terminal_and_no_yes(tmp_path: Path) -> None:
    with FaultyServer(words_rule) as server:
        study = bench(tmp_path, server.url)
        out, err = study.run("compare", "--json", "--out", "st", code=2)
        assert server.ledger.requests == 0
    assert "--yes" in err
    assert out == ""
