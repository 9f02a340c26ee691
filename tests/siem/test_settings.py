"""``[[destinations]]`` in ``lumi.toml``: every wrong value is named with its destination and key."""

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from lumi_pipeline.config import load_config
from lumi_pipeline.errors import ConfigError
from lumi_pipeline.siem.options import Secret
from lumi_pipeline.siem.settings import MAX_DESTINATIONS, DestinationSettings, Selection, known_kinds, read_destinations

SENTINEL = """
endpoint = "https://a.ingest.monitor.azure.com"
dcr = "dcr-0123456789abcdef0123456789abcdef"
stream = "Custom-Lumi_CL"
directory = "11111111-2222-3333-4444-555555555555"
client_id = "app"
client_secret = "env:SECRET"
"""
REQUIRED = {
    "https": 'url = "https://siem.example/"\n',
    "sumo": 'url = "env:SUMO_URL"\n',
    "sentinel": SENTINEL,
    "file": 'path = "out"\n',
}


def load(tmp_path: Path, kind: str, lines: str = "") -> DestinationSettings:
    """Read a file with one destination; a line replaces what is required of the same key."""
    keys = set(re.findall(r"(?m)^(\w+) *=", lines.partition("[[")[0]))
    required = [line for line in REQUIRED[kind].splitlines() if line.partition(" ")[0] not in keys]
    file = tmp_path / "lumi.toml"
    file.write_text(f'[[destinations]]\nname = "soc"\nkind = "{kind}"\n' + "\n".join([*required, lines]))
    return load_config(file, {}).destinations[0]


def refused(tmp_path: Path, kind: str, lines: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, kind, lines)
    message = str(caught.value)
    assert re.search(r"destinations\[0\] \('soc'\): ", message), message
    assert words in message
    assert "sesame" not in message


@pytest.mark.parametrize("kind", REQUIRED)
def test_the_least_that_can_be_said(kind: str, tmp_path: Path) -> None:
    settings = load(tmp_path, kind)
    assert (settings.name, settings.kind, settings.format, settings.since) == ("soc", kind, "native", None)
    assert (settings.deadline, settings.timeout, settings.concurrency) == (timedelta(days=7), 30.0, 4)
    assert (settings.isolate, settings.ordered, settings.allow_private) == (False, False, False)
    assert [route.name for route in settings.routes] == ["default"]


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "https",
        """
tenants = ["acme", "globex"]
actions = ["LOGIN"]
format = "ocsf"
since = 2026-03-01
isolate = true
ordered = true
concurrency = 1
deadline_days = 30
timeout = 600
allow_private = true
ca_file = "ca.pem"
proxy = "http://proxy.example:3128"
token = "file:keys/token"
""",
    )
    assert settings.selection == Selection(frozenset({"acme", "globex"}), frozenset({"LOGIN"}))
    assert (settings.format, settings.since) == ("ocsf", date(2026, 3, 1))
    assert (settings.isolate, settings.ordered, settings.concurrency, settings.allow_private) == (True, True, 1, True)
    assert (settings.deadline, settings.timeout) == (timedelta(days=30), 600.0)
    assert (settings.ca_file, settings.proxy) == (tmp_path / "ca.pem", "http://proxy.example:3128")
    assert settings.options["token"] == Secret(f"file:{tmp_path / 'keys/token'}")
    assert load(tmp_path, "https", 'since = "beginning"').since == date.min
    assert load(tmp_path, "https", 'since = "2026-03-01"').since == date(2026, 3, 1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('tenants = "acme"', "tenants must be a list of texts"),
        ("tenants = []", "tenants must be a list of texts, not empty"),
        ('tenants = ["a b"]', "tenants must be a list of tenant ids; 'a b' is none"),
        ('tenants = ["a", "a"]', "tenants must be a list of texts, each once"),
        ("tenants = [1]", "tenants[0] must be text"),
        ('actions = ["login"]', "actions must be a list of actions such as 'LOGIN'; 'login' is none"),
        ('format = "xml"', "format must be one of native, ocsf"),
        ("format = 1", "format must be one of"),
        ('since = "yesterday"', "since must be a day (YYYY-MM-DD) or 'beginning'"),
        ("since = 2026-03-01T00:00:00Z", "since must be text"),
        ("since = 2026", "since must be text"),
        ('isolate = "yes"', "isolate must be true or false"),
        ("ordered = 1", "ordered must be true or false"),
        ("concurrency = 0", "concurrency must be a whole number from 1 to 64"),
        ("concurrency = 65", "concurrency must be a whole number"),
        ("concurrency = true", "concurrency must be a whole number"),
        ("deadline_days = 1.5", "deadline_days must be a whole number from 1 to 365"),
        ("timeout = 601", "timeout must be a whole number from 1 to 600"),
        ("timeout = inf", "timeout must be a whole number"),
        ('allow_private = "true"', "allow_private must be true or false"),
        ("ca_file = 1", "ca_file must be text"),
        ('ca_file = "~no-such-person/ca.pem"', "ca_file must be a path"),
        ('proxy = "http://user:sesame@proxy.example"', "proxy must be a URL without user name and password"),
        ('proxy = "socks5://proxy.example"', "proxy must be a URL"),
        ("concurency = 1", "unknown key 'concurency'; did you mean 'concurrency'?"),
        ('tenant = "sesame"', "unknown key 'tenant'; did you mean 'tenants'?"),
        ('"a\\nb" = 1', "unknown key 'a\\nb'"),
    ],
)
def test_what_every_destination_has(line: str, words: str, tmp_path: Path) -> None:
    refused(tmp_path, "file", line, words)


@pytest.mark.parametrize(
    ("kind", "line", "words"),
    [
        ("https", 'url = "siem.example"', "url must be a URL that begins with https://"),
        ("https", 'url = "https://u:sesame@siem.example/"', "url must be a URL without user name and password"),
        ("https", 'token = "sesame"', "token must be env:NAME or file:PATH"),
        ("https", 'tokens = "sesame"', "unknown key 'tokens'; did you mean 'token'?"),
        ("https", 'password = "sesame"', "password must be env:NAME or file:PATH"),
        ("https", 'username = "a:b"', "username must be a user name without a colon"),
        ("https", 'webhook_key = "whsk_sesame"', "webhook_key must be env:NAME or file:PATH"),
        ("https", 'header = "X Key"', "header must be the name of an HTTP header"),
        ("https", 'header = "Host"', "header must be another header than Host"),
        ("https", 'headers = { Authorization = "sesame" }', "headers must be without Authorization, which is a secret"),
        ("https", 'headers = { content-type = "text/plain" }', "must be another header than content-type"),
        ("https", 'headers = { "X Key" = "a" }', "headers: 'X Key' must be the name of an HTTP header"),
        ("https", 'headers = { X-Key = "é" }', "headers.X-Key must be printable ASCII text"),
        ("https", 'headers = { X-Key = "a", x-key = "b" }', "headers must be a table of headers, each once"),
        ("https", "headers = { X-Key = 1 }", "headers.X-Key must be text"),
        ("https", 'headers = ["X-Key"]', "headers must be a table of texts"),
        ("https", 'body = "csv"', "body must be one of ndjson, array"),
        ("https", "max_bytes = 1023", "max_bytes must be a whole number from 1024"),
        ("https", "max_events = 0", "max_events must be a whole number from 1"),
        ("sumo", 'url = "https://collectors.sumologic.com/sesame"', "url must be env:NAME or file:PATH"),
        ("sumo", 'category = "é"', "category must be printable ASCII"),
        ("sumo", 'source_name = ""', "source_name must be text"),
        ("sumo", 'source_host = " a"', "source_host must be printable ASCII text, without spaces"),
        ("sumo", 'fields = { a = "b,c" }', "fields.a must be without comma and equals sign"),
        ("sumo", 'fields = { "a=b" = "c" }', "fields: 'a=b' must be without comma and equals sign"),
        ("sumo", "fields = {}", "fields must be a table of texts, not empty"),
        ("sumo", "categroy = 1", "unknown key 'categroy'; did you mean 'category'?"),
        ("sentinel", 'endpoint = "https://a.example/path"', "endpoint must be a URL without a path"),
        ("sentinel", 'login = "https://a.example/?q=1"', "login must be a URL without a path"),
        ("sentinel", 'dcr = "my-rule"', "dcr must be the immutable id of a data collection rule"),
        ("sentinel", 'stream = "LumiAudit_CL"', "stream must be the name of a stream"),
        ("sentinel", 'stream = "Custom-a/../b"', "stream must be the name of a stream"),
        ("sentinel", 'directory = "../x"', "directory must be an id"),
        ("sentinel", 'client_id = "a b"', "client_id must be an id"),
        ("sentinel", 'client_secret = "sesame"', "client_secret must be env:NAME or file:PATH"),
        ("sentinel", 'scope = "monitor"', "scope must be a URL"),
        ("sentinel", 'plan = "basic"', "plan must be one of analytics, auxiliary"),
        ("file", "path = 1", "path must be text"),
        ("file", 'path = "~no-such-person"', "path must be a path"),
        ("file", "max_bytes = 1", "max_bytes must be a whole number from"),
        ("file", "max_events = true", "max_events must be a whole number from"),
    ],
)
def test_what_a_kind_has(kind: str, line: str, words: str, tmp_path: Path) -> None:
    refused(tmp_path, kind, line, words)


@pytest.mark.parametrize("kind", REQUIRED)
def test_what_is_missing(kind: str, tmp_path: Path) -> None:
    for line in REQUIRED[kind].strip().splitlines():
        file = tmp_path / "lumi.toml"
        others = REQUIRED[kind].replace(line, "")
        file.write_text(f'[[destinations]]\nname = "soc"\nkind = "{kind}"\n{others}')
        with pytest.raises(ConfigError, match=rf"destinations\[0\] \('soc'\): '{line.partition(' ')[0]}' is missing"):
            load_config(file, {})


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "destinations[0]: 'kind' is missing; it is one of "),
        ({"name": "soc"}, "destinations[0] ('soc'): 'kind' is missing"),
        ({"name": "soc", "kind": "htps"}, "did you mean 'https'?"),
        ({"name": "soc", "kind": ["https"]}, "kind must be one of"),
        ({"name": "soc", "kind": "os.path"}, "kind must be one of"),
        ({"kind": "file", "path": "x"}, "destinations[0]: 'name' is missing"),
        ({"kind": "file", "path": "x", "name": 1}, "destinations[0]: name must be text"),
        ({"kind": "file", "path": "x", "name": "../x"}, "name must be 1 to 63 of a-z 0-9 -"),
        ({"kind": "file", "path": "x", "name": "-x"}, "name must be 1 to 63"),
        ({"kind": "file", "path": "x", "name": "a" * 64}, "name must be 1 to 63"),
    ],
)
def test_names_and_kinds(table: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_destinations([table], "destinations", Path("/"))
    assert words in str(caught.value)


def test_names_are_for_one_each() -> None:
    table = {"name": "soc", "kind": "file", "path": "x"}
    with pytest.raises(ConfigError, match="two destinations are named 'soc'"):
        read_destinations([table, table], "destinations", Path("/"))
    for value in ({}, "x", [1], [table, None]):
        with pytest.raises(ConfigError, match=r"destinations must be tables, each headed \[\[destinations\]\]"):
            read_destinations(value, "destinations", Path("/"))
    with pytest.raises(ConfigError, match="more than 1000"):
        read_destinations([table] * (MAX_DESTINATIONS + 1), "destinations", Path("/"))


ROUTES = """
category = "all"
[[destinations.routes]]
name = "acme"
tenants = ["acme"]
url = "env:ACME_URL"
[[destinations.routes]]
name = "logins"
actions = ["LOGIN", "LOGOUT"]
category = "logins"
"""


def test_routes_change_what_can_differ(tmp_path: Path) -> None:
    settings = load(tmp_path, "sumo", ROUTES)
    found = [(route.name, route.options["url"], route.options["category"]) for route in settings.routes]
    assert found == [
        ("acme", Secret("env:ACME_URL"), "all"),
        ("logins", Secret("env:SUMO_URL"), "logins"),
        ("default", Secret("env:SUMO_URL"), "all"),
    ]
    assert [route.selection for route in settings.routes] == [
        Selection(frozenset({"acme"})),
        Selection(None, frozenset({"LOGIN", "LOGOUT"})),
        Selection(),
    ]
    assert "ACME_URL" not in repr(settings)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('[[destinations.routes]]\ntenants = ["a"]', "routes[0]: 'name' is missing"),
        ('[[destinations.routes]]\nname = "a"', "routes[0]: 'tenants' or 'actions' must say what takes this route"),
        ('[[destinations.routes]]\nname = "default"\ntenants = ["a"]', "routes[0]: another route is named 'default'"),
        ('[[destinations.routes]]\nname = "A"\ntenants = ["a"]', "routes[0]: name must be 1 to 63"),
        ('[[destinations.routes]]\nname = "a"\ntenants = ["a b"]', "routes[0]: tenants must be a list of tenant ids"),
        ('[[destinations.routes]]\nname = "a"\ntenants = ["a"]\nurl = "sesame"', "routes[0]: url must be env:NAME"),
        ('[[destinations.routes]]\nname = "a"\ntenants = ["a"]\ntimeout = 1', "routes[0]: unknown key 'timeout'"),
        (
            '[[destinations.routes]]\nname = "a"\ntenants = ["a"]\nsource = "x"',
            "routes[0]: unknown key 'source'; did you mean 'source_name'?",
        ),
        ('routes = "a"', "routes must be tables, each headed [[destinations.routes]]"),
        ("routes = [1]", "routes must be tables"),
        (
            '[[destinations.routes]]\nname = "a"\ntenants = ["a"]\n' * 2,
            "routes[1]: another route is named 'a'",
        ),
    ],
)
def test_routes_that_are_wrong(lines: str, words: str, tmp_path: Path) -> None:
    refused(tmp_path, "sumo", lines, words)


def test_kinds_are_found_by_their_modules() -> None:
    assert set(REQUIRED) <= set(known_kinds())
