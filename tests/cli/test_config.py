"""Where settings come from, which one wins, and what is refused."""

import os
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumi_pipeline.config import SETTINGS, Config, Setting, load_config
from lumi_pipeline.errors import ConfigError
from lumi_pipeline.outboxaddress import postgresql_address, sqlite_address
from lumi_pipeline.stores.objectlock import Retention


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(
    path: Path | None = None, env: dict[str, str] | None = None, overrides: dict[str, str | None] | None = None
) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, env or {}, overrides)
    return str(caught.value)


def test_defaults_are_those_of_the_manual(here: Path) -> None:
    assert load_config(env={}) == Config(
        root=(here / "data/local/lake").as_uri(),
        outbox=sqlite_address(here / "data/local/outbox.db"),
        origin="localhost/lumi-demo",
        first_day=None,
        log_key_file=here / "data/local/keys/log.key",
        evidence_key_file=here / "data/local/keys/evidence.key",
        policy_file=None,
        record_due=timedelta(hours=2),
        operator_tenant="lumi-operator",
        analyst_db=here / "data/local/analyst.duckdb",
        compute="inline",
        file=None,
    )


def test_retention_is_a_number_of_days(here: Path) -> None:
    write(here / "lumi.toml", "retention_days = 365\n")
    assert load_config(env={}).retention_days == 365
    assert load_config(env={"LUMI_RETENTION_DAYS": "30"}).retention_days == 30
    for days in ("0", "-1", "x", "36526", "1.5", "٣"):
        assert "is not a number of days from 1 to 36525" in refusal(env={"LUMI_RETENTION_DAYS": days})
    write(here / "lumi.toml", "retention_days = true\n")
    assert "lumi.toml: retention_days" in refusal()


def test_each_layer_beats_the_one_before(here: Path) -> None:
    write(here / "lumi.toml", 'origin = "from.file/log"\noperator_tenant = "file"\nlog_key_file = "file.key"\n')
    env = {"LUMI_OPERATOR_TENANT": "env", "LUMI_LOG_KEY_FILE": "env.key"}
    config = load_config(env=env, overrides={"log_key_file": "option.key", "origin": None})
    assert config.origin == "from.file/log"
    assert config.operator_tenant == "env"
    assert config.log_key_file == here / "option.key"
    assert config.file == here / "lumi.toml"


def test_paths_in_the_file_start_from_the_file_and_others_from_here(here: Path) -> None:
    file = write(here / "etc/lumi.toml", 'root = "lake"\noutbox = "sqlite:///box.db"\npolicy_file = "../policy"\n')
    config = load_config(file, env={"LUMI_EVIDENCE_KEY_FILE": "evidence.key"}, overrides={"log_key_file": "/k/log.key"})
    assert config.root_path == here / "etc/lake"
    assert config.outbox.path == here / "etc/box.db"
    assert config.policy_file == here / "etc/../policy"
    assert config.evidence_key_file == here / "evidence.key"
    assert config.log_key_file == Path("/k/log.key")


def test_a_named_file_beats_the_environment_which_beats_the_current_directory(here: Path) -> None:
    write(here / "lumi.toml", 'origin = "here"')
    by_variable = write(here / "a.toml", 'origin = "variable"')
    by_option = write(here / "b.toml", 'origin = "option"')
    assert load_config(env={}).origin == "here"
    assert load_config(env={"LUMI_CONFIG": "a.toml"}).file == by_variable
    assert load_config(by_option, env={"LUMI_CONFIG": "a.toml"}).origin == "option"


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1, max_size=40))
def test_any_path_survives_its_url(name: str) -> None:
    path = Path("/srv") / name.strip("/").replace("..", "_") / "lake"
    config = load_config(Path(os.devnull), env={}, overrides={"root": str(path)})
    assert config.root_path == path
    assert load_config(Path(os.devnull), env={}, overrides={"root": config.root}).root_path == path


def test_roots_in_s3_are_kept_in_one_form() -> None:
    for text, expected in {
        "s3://a-bucket": "s3://a-bucket",
        "s3://a-bucket/": "s3://a-bucket",
        "s3://b.c/d/e=f/": "s3://b.c/d/e=f",
    }.items():
        config = load_config(Path(os.devnull), env={}, overrides={"root": text, "kms_key": "alias/lumi"})
        assert (config.root, config.root_path, config.kms_key) == (expected, None, "alias/lumi")


def test_a_locked_copy_may_go_with_a_root_in_s3_or_on_disk() -> None:
    for root in ("s3://plain/lake", "lake"):
        env = {"LUMI_LOCKED_ROOT": "s3://locked/lake/", "LUMI_OBJECT_LOCK": "compliance:2557", "LUMI_KMS_KEY": "k-1"}
        config = load_config(Path(os.devnull), env, {"root": root})
        assert (config.locked_root, config.object_lock) == ("s3://locked/lake", Retention("compliance", 2557))


def test_a_day_may_be_text_or_a_toml_day(here: Path) -> None:
    for text in ("2026-01-31", '"2026-01-31"'):
        write(here / "lumi.toml", f"first_day = {text}")
        assert load_config(env={}).first_day == date(2026, 1, 31)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_empty_values_are_refused_and_named(here: Path, setting: Setting) -> None:
    name, variable = setting.name, setting.variable
    assert variable in refusal(env={variable: ""})
    assert "--" + name.replace("_", "-") in refusal(overrides={name: " "})
    write(here / "lumi.toml", f'{name} = ""')
    assert f"lumi.toml: {name}" in refusal()
    write(here / "lumi.toml", f"{name} = [3]")
    assert f"lumi.toml: {name}" in refusal()


def test_a_misspelt_name_is_answered_with_the_right_one(here: Path) -> None:
    write(here / "lumi.toml", 'orign = "x"')
    assert "'orign'; did you mean 'origin'?" in refusal()
    write(here / "lumi.toml", '[log]\nkey_file = "x"')
    assert "unknown key 'log'" in refusal()
    write(here / "lumi.toml", "x" * 500_000 + " = 1")
    assert "unknown key" in refusal()
    (here / "lumi.toml").unlink()
    assert "LUMI_ROOTS; did you mean LUMI_ROOT?" in refusal(env={"LUMI_ROOTS": "x"})
    assert "LUMI_CONFG; did you mean LUMI_CONFIG?" in refusal(env={"LUMI_CONFG": "x"})
    assert "did you mean 'policy_file'?" in refusal(overrides={"policy": "x"})
    assert load_config(env={"LUMI_SPLUNK_TOKEN": "secret"}).file is None


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"root": "gs://bucket/lake"}, "--root: 'gs' URLs"),
        ({"root": "s3://"}, "not an S3 address"),
        ({"root": "s3://B/lake"}, "not an S3 address"),
        ({"root": "s3://bucket//lake"}, "between single '/'"),
        ({"root": "s3://bucket/../lake"}, "its prefix may have"),
        ({"root": "s3://bucket/lake?x"}, "its prefix may have"),
        ({"root": "s3://bucket/" + "x/" * 300}, "512 in all"),
        ({"locked_root": "/srv/locked", "object_lock": "compliance:1"}, "only S3 has Object Lock"),
        ({"locked_root": "s3://locked/lake"}, "needs 'object_lock'"),
        ({"root": "s3://a-bucket/a", "locked_root": "s3://a-bucket/b", "object_lock": "compliance:1"}, "in one bucket"),
        ({"object_lock": "compliance:1"}, "'object_lock' needs S3"),
        ({"root": "s3://bucket", "object_lock": "forever"}, "compliance:DAYS"),
        ({"root": "s3://bucket", "object_lock": "compliance:0"}, "compliance:DAYS"),
        ({"root": "s3://bucket", "object_lock": "governance:36501"}, "limit of 36500"),
        ({"kms_key": "alias/lumi"}, "'kms_key' needs S3"),
        ({"root": "s3://bucket", "kms_key": "two words"}, "neither the id nor the ARN"),
        ({"root": "file://host/lake"}, "file:///PATH"),
        ({"root": "~nobody-of-that-name/lake"}, "no home directory"),
        ({"outbox": "box.db"}, "write sqlite:///box.db"),
        ({"outbox": "sqlite://box.db"}, "sqlite:///PATH"),
        ({"outbox": "sqlite:///:memory:"}, "sqlite:///PATH"),
        ({"outbox": "sqlite:///box.db?mode=ro"}, "no parameters"),
        ({"outbox": "mysql://app:hunter2@db/app"}, "'mysql' URLs"),
        ({"outbox": "postgresql://app:hunter2@db/app"}, "LUMI_OUTBOX"),
        ({"outbox": "postgresql://app@db/app?password=hunter2"}, "LUMI_OUTBOX"),
        ({"origin": "two words"}, "white space"),
        ({"origin": "a+b"}, "'+'"),
        ({"first_day": "2026-02-30"}, "no such day"),
        ({"first_day": "yesterday"}, "YYYY-MM-DD"),
        ({"operator_tenant": "../up"}, "not a tenant id"),
        ({"compute": "dask://10.0.0.1:8786"}, "is no place to compute"),
    ],
)
def test_malformed_values_are_refused(overrides: dict[str, str | None], said: str) -> None:
    message = refusal(Path(os.devnull), overrides=overrides)
    assert said in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:hunt@er2@db/app",
        "postgresql://app:hunt/er2@db/app",
        "postgresql://app:12/hunter2@db/app",
        "postgresql://app:hunt?er/2@db/app",
        "postgresql://db?password=hunt@er2",
        "postgresql://app:hunter2",
        "postgresql:app:hunter2@db/app",
        "app:hunter2@db/app",
        "host=db user=app password=hunter2 dbname=app",
    ],
)
def test_nothing_of_a_password_is_taken_for_something_that_may_be_shown(url: str) -> None:
    message = refusal(Path(os.devnull), env={"LUMI_OUTBOX": url})
    assert "LUMI_OUTBOX is not a" in message
    assert "postgresql://USER" in message
    assert not any(part in message for part in ("hunt", "er2", "12"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///app",
        "postgresql://%2Frun%2Fpostgresql/app",
        "postgresql://app@one:5432,two:5433/app?target_session_attrs=read-write",
        "postgresql://app@[::1]:5432/app",
        "postgresql://app:h%40t%2Fr?#:[]!2@db.example.com/app",
        "postgres://db?user=app&sslrootcert=/etc/ssl/me@home.pem",
    ],
)
def test_every_form_of_a_postgresql_url_may_be_given(url: str) -> None:
    outbox = load_config(Path(os.devnull), env={"LUMI_OUTBOX": url}).outbox
    assert outbox.url == url
    assert psycopg.conninfo.conninfo_to_dict(url)
    assert "2@" not in outbox.name


def test_the_password_of_the_outbox_is_never_shown() -> None:
    url = "postgresql://app:hunter2@db.example:6432/app?sslmode=require&password=hunter3"
    config = load_config(Path(os.devnull), env={"LUMI_OUTBOX": url})
    assert config.outbox == postgresql_address(url)
    assert config.outbox.url == url
    assert config.outbox.name == "postgresql://app@db.example:6432/app"
    assert "hunter" not in repr(config)
    assert load_config(Path(os.devnull), env={}, overrides={"outbox": "postgres://db/app"}).outbox.path is None


def test_unusable_files_are_refused(here: Path) -> None:
    assert "No such file" in refusal(here / "missing.toml")
    assert "No such file" in refusal(env={"LUMI_CONFIG": "missing.toml"})
    assert "directory" in refusal(here)
    (here / "lumi.toml").symlink_to(here / "gone")
    assert "No such file" in refusal()
    (here / "lumi.toml").unlink()
    (here / "lumi.toml").write_bytes(b"\xff")
    assert "UTF-8" in refusal()
    write(here / "lumi.toml", "root = \n")
    assert "line 1" in refusal()
    write(here / "lumi.toml", "x = " + "[" * 100_000)
    assert "not TOML" in refusal()
    write(here / "lumi.toml", "#" * (1 << 20) + "#")
    assert "larger than" in refusal()
