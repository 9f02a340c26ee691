"""Values of settings, and secrets, which are never values."""

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumi_pipeline.errors import ConfigError
from lumi_pipeline.siem.options import (
    Given,
    Option,
    Parser,
    Secret,
    SecretUnavailable,
    choice,
    flag,
    header_name,
    header_value,
    https_url,
    names,
    number,
    path,
    proxy_url,
    read_options,
    secret,
    text,
    texts,
)

BASE = Path("/etc/lumi")

URLS = [
    ("https://siem.example", True),
    ("https://siem.example:8443/a/b%20c?x=1&y=%C3%A9", True),
    ("http://127.0.0.1:80", True),
    ("https://[2001:db8::1]:8443/x", True),
    ("HTTPS://Siem.Example/", True),
    ("https://xn--bcher-kva.example/", True),
    ("https://bücher.example/", False),
    ("https://siem.example/ü", False),
    ("https://siem.example/a b", False),
    ("https://siem.example/a\\b", False),
    ("https://siem.example/#part", False),
    ("https://user@siem.example/", False),
    ("https://user:sesame@siem.example/", False),
    ("https://siem.example:port/", False),
    ("https://siem.example:99999/", False),
    ("https://[fe80::1%25eth0]/", False),
    ("https://[::1/", False),
    ("https://.example/", False),
    ("https://a..b/", False),
    ("https:///path", False),
    ("https://", False),
    ("siem.example", False),
    ("ftp://siem.example/", False),
    ("file:///etc/passwd", False),
    ("", False),
]


def given_value(value: object) -> Given:
    return Given("destinations[0] ('soc'): key", value, BASE)


@pytest.mark.parametrize(("url", "is_right"), URLS)
def test_urls(url: str, is_right: bool) -> None:
    if is_right:
        assert https_url(given_value(url)) == url
    else:
        refused(https_url, url)


def refused(parse: Parser, value: object) -> None:
    """The message names destination and key, and does not repeat the value."""
    with pytest.raises(ConfigError) as caught:
        parse(given_value(value))
    assert str(caught.value).startswith("destinations[0] ('soc'): key")
    assert " must be " in str(caught.value)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("parse", "value"),
    [
        (text, 1),
        (text, ""),
        (text, "  "),
        (text, "a\nb"),
        (text, "a\0b"),
        (text, None),
        (flag, "true"),
        (flag, 1),
        (number(1, 9), 0),
        (number(1, 9), 10),
        (number(1, 9), True),
        (number(1, 9), 2.0),
        (number(1, 9), "2"),
        (choice("a", "b"), "c"),
        (choice("a", "b"), ["a"]),
        (choice("a", "b"), {}),
        (texts, "a"),
        (texts, []),
        (texts, ["a", 1]),
        (texts, ["a", "a"]),
        (texts, [""]),
        (names, ["a"]),
        (names, {"a": 1}),
        (names, {"a": ""}),
        (path, 1),
        (path, ""),
        (path, "~nobody-of-this-name/x"),
        (secret, "sesame"),
        (secret, "env:"),
        (secret, "file:"),
        (secret, "env:sesame opened"),
        (secret, "env:sesame-1"),
        (secret, "file:a\0b"),
        (secret, "file:~nobody-of-this-name/x"),
        (secret, "vault:sesame"),
        (secret, "ENV:NAME"),
        (secret, 7),
        (secret, {"env": "A"}),
        (header_name, "X Key"),
        (header_name, "X-Key:"),
        (header_name, "é"),
        (header_value, "é"),
        (header_value, " a"),
        (header_value, "a\r\nb"),
        (proxy_url, "https://proxy.example"),
        (proxy_url, "http://user:sesame@proxy.example"),
        (proxy_url, "socks5://proxy.example"),
        (proxy_url, "http://proxy.example/path"),
        (proxy_url, "proxy.example:3128"),
    ],
)
def test_values_that_are_wrong(parse: Parser, value: object) -> None:
    refused(parse, value)


@given(st.one_of(st.text(), st.from_regex(r"https?://\[?[^ ]*")))
def test_any_text_is_a_url_or_refused(value: str) -> None:
    try:
        assert https_url(given_value(value)) == value
    except ConfigError as error:
        assert str(error).startswith("destinations[0]")  # noqa: PT017 - most are refused, not all


def test_values_that_are_right() -> None:
    assert path(given_value("out/x")) == BASE / "out/x"
    assert path(given_value("/out")) == Path("/out")
    assert secret(given_value("file:keys/token")) == Secret("file:/etc/lumi/keys/token")
    assert secret(given_value("env:LUMI_TOKEN")) == Secret("env:LUMI_TOKEN")
    assert proxy_url(given_value("http://10.0.0.1:3128")) == "http://10.0.0.1:3128"
    assert texts(given_value(["a", "b"])) == ("a", "b")
    assert names(given_value({"a": "b"})) == {"a": "b"}
    assert header_name(given_value("X-Api-Key")) == "X-Api-Key"


def test_unknown_keys_suggest_the_nearest_and_quote_no_value() -> None:
    options = {"token": Option(secret), "timeout": Option(number(1, 600), 30), "url": Option(text, required=True)}
    with pytest.raises(ConfigError, match=r"here: unknown key 'tokn'; did you mean 'token'\?"):
        read_options(options, {"tokn": "sesame"}, "here", BASE)
    with pytest.raises(ConfigError, match="here: 'url' is missing"):
        read_options(options, {}, "here", BASE)
    assert read_options(options, {"url": "a"}, "here", BASE) == {"token": None, "timeout": 30, "url": "a"}


# Secrets


def test_a_secret_is_read_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    from_file, from_environment = Secret(f"file:{file}"), Secret("env:TOKEN")
    for value in ("sesame", "ságamé 2"):
        file.write_text(f"{value}\n")
        monkeypatch.setenv("TOKEN", value)
        assert from_file.read() == from_environment.read() == value


def test_a_secret_shows_only_where_it_is(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("sesame")
    secret_file = Secret(f"file:{file}")
    assert secret_file.read() == "sesame"
    for shown in (repr(secret_file), str(secret_file), pickle.dumps(secret_file).decode("latin-1")):
        assert "sesame" not in shown
        assert str(file) in shown


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"a\0b", b"\xff", b"a\x1b[31m"])
def test_contents_that_are_no_secret(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_bytes(content)
    with pytest.raises(SecretUnavailable, match=str(file)):
        Secret(f"file:{file}").read()


def test_files_that_others_can_read(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("sesame")
    for mode in (0o640, 0o604, 0o660):
        file.chmod(mode)
        with pytest.raises(SecretUnavailable, match=rf"mode {mode:04o}, not 0600; run: chmod 600 {file}"):
            Secret(f"file:{file}").read()


def test_what_is_not_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name, words in (("missing", "No such file"), ("pipe", "not a regular file"), (".", "not a regular file")):
        with pytest.raises(SecretUnavailable, match=words):
            Secret(f"file:{tmp_path / name}").read()
    monkeypatch.delenv("TOKEN", raising=False)
    with pytest.raises(SecretUnavailable, match="environment variable TOKEN is not set"):
        Secret("env:TOKEN").read()


def test_a_secret_larger_than_any(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("x" * (1 << 17))
    with pytest.raises(SecretUnavailable, match="64 KiB"):
        Secret(f"file:{file}").read()
