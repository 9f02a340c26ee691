"""Making and showing keys."""

import stat
from pathlib import Path

import pytest

from tests.cli.system import Lumi, System
from transparency.keys import SigningKey


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_new_keys_are_private_and_named_after_the_log(here: Path, lumi: Lumi) -> None:
    ran = lumi("--origin", "audit.test/log", "keys", "new")
    assert ran.code == 0
    for name, file in (("audit.test/log", "log.key"), ("audit.test/log/evidence", "evidence.key")):
        path = here / "data/local/keys" / file
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        key = SigningKey.load(path)
        assert key.name == name
        assert key.verifier.vkey in ran.out
        assert key.verifier.fingerprint in ran.out
        assert "PRIVATE" not in ran.out + ran.err


def test_existing_keys_are_never_replaced(here: Path, lumi: Lumi) -> None:
    assert lumi("keys", "new").code == 0
    before = {path: path.read_bytes() for path in (here / "data/local/keys").iterdir()}
    again = lumi("keys", "new")
    assert (again.code, "never overwritten" in again.err) == (1, True)
    (here / "data/local/keys/evidence.key").unlink()
    completed = lumi("keys", "new", "--json").json
    assert completed["log"]["made"] is False  # type: ignore[index]
    assert completed["evidence"]["made"] is True  # type: ignore[index]
    log_key = here / "data/local/keys/log.key"
    assert log_key.read_bytes() == before[log_key]


def test_keys_of_another_log_are_refused_before_anything_is_written(here: Path, lumi: Lumi) -> None:
    assert lumi("keys", "new").code == 0
    (here / "data/local/keys/evidence.key").unlink()
    ran = lumi("--origin", "another.test/log", "keys", "new")
    assert (ran.code, "localhost/lumi-demo" in ran.err) == (1, True)
    assert not (here / "data/local/keys/evidence.key").exists()


def test_show_prints_public_halves_only(here: Path, lumi: Lumi) -> None:
    missing = lumi("keys", "show")
    assert (missing.code, "lumi keys new" in missing.err) == (1, True)
    made = lumi("keys", "new", "--json").json
    shown = lumi("keys", "show", "--json").json
    assert shown["log"]["vkey"] == made["log"]["vkey"]  # type: ignore[index]
    assert "PRIVATE" not in lumi("keys", "show").out
    (here / "data/local/keys/log.key").chmod(0o644)
    readable = lumi("keys", "show")
    assert (readable.code, "chmod 600" in readable.err) == (1, True)


def test_a_key_is_replaced_in_steps_that_show_tells_of(recorded: System, lumi: Lumi) -> None:
    assert lumi("run", "--through", recorded.days[0]).code == 0
    steady = lumi("keys", "show", "--json").json
    assert (steady["log"]["phase"], steady["log"]["next"], steady["log"]["to_do"]) == ("steady", None, None)  # type: ignore[index]
    ran = lumi("keys", "rotate", "--log")
    assert ran.code == 0
    path = recorded.directory / "keys/log.key.next"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = SigningKey.load(path)
    assert key.verifier.vkey in ran.out
    assert f"log key in {path}" in ran.out
    assert "back that file up before" in ran.out
    assert "evidence" not in ran.out
    assert "PRIVATE" not in ran.out + ran.err
    again = lumi("keys", "rotate", "--log")
    assert (again.code, "is being replaced already" in again.err) == (2, True)
    path.rename(path.with_suffix(".away"))
    assert f"{path}, the key that takes over, is not here: restore it" in lumi("keys", "show").out
    path.with_suffix(".away").rename(path)

    assert lumi("run").code == 0
    shown = lumi("keys", "show", "--json").json["log"]
    assert isinstance(shown, dict)
    assert (shown["phase"], shown["next"]["vkey"]) == ("both", key.verifier.vkey)
    assert shown["signs"] == [shown["vkey"], key.verifier.vkey]
    told = lumi("keys", "show").out
    assert f"alone from the record of {shown['alone_from']} on" in told
    assert lumi("verify", "--all").code == 0
    assert lumi("verify", "lake/log", "--key", key.verifier.vkey).code == 0
    assert lumi("verify", "lake/log", "--key", "lake/log/log.vkey").code == 0

    path.rename(path.with_suffix(".away"))
    alone = lumi("doctor")
    assert "signs with log.test/lumi+" in alone.out
    path.with_suffix(".away").rename(path)
    assert "keys of this log" in lumi("doctor").out


def test_keys_are_shown_where_the_log_cannot_be_read(published: System, lumi: Lumi) -> None:
    (published.root / "log-private/genesis.txt").write_text("nonsense")
    ran = lumi("keys", "show")
    assert (ran.code, "vkey" in ran.out, "is not known" in ran.err) == (0, True, True)
    assert lumi("keys", "show", "--json").json["log"]["phase"] is None  # type: ignore[index]


def test_before_there_is_a_log_there_is_nothing_to_replace(recorded: System, lumi: Lumi) -> None:
    assert recorded.directory.exists()
    ran = lumi("keys", "rotate")
    assert (ran.code, "nothing is sealed yet" in ran.err) == (1, True)
    assert not (recorded.directory / "keys/log.key.next").exists()
