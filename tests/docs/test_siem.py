"""What docs/siem.md says of settings, fields, policies and messages is what our code knows; its commands run elsewhere.

(test_commands.py runs the commands, in order.)
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lumi_pipeline.catalogue import CATALOGUE
from lumi_pipeline.cli.app import app
from lumi_pipeline.cli.siem import siem
from lumi_pipeline.config import load_config
from lumi_pipeline.ocsf_classes import CLASSES
from lumi_pipeline.siem import destinations as kinds
from lumi_pipeline.siem import encoding, settings
from lumi_pipeline.siem.opening import opened
from lumi_pipeline.siem.options import Option
from lumi_pipeline.siem.sentinelcolumns import columns
from lumi_pipeline.siem.settings import kind_options, known_kinds
from lumi_pipeline.siem.status import Health
from tests.docs.test_commands import REPOSITORY, Block, blocks
from tests.docs.test_operations import actions, texts
from tests.siem.samples import event
from tests.siem.samples import opened as opened_kind
from tests.siem.sending import records_of

PAGE = (REPOSITORY / "docs" / "siem.md").read_text(encoding="utf-8")
BLOCKS = blocks(PAGE)
TOML = [block for block in BLOCKS if block.language == "toml"]
JSON = [json.loads(block.text) for block in BLOCKS if block.language == "json"]
HEADINGS = {
    "datadog": "Datadog",
    "file": "Files",
    "https": "HTTPS",
    "kafka": "Kafka",
    "s3": "S3",
    "sentinel": "Microsoft Sentinel",
    "splunk": "Splunk",
    "sumo": "Sumo Logic",
}


def section(heading: str) -> str:
    """What is below a heading, up to the next one."""
    _, found, rest = PAGE.partition(f"\n{heading}\n")
    assert found, heading
    return re.split(r"^#{2,3} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def tables(text: str) -> Iterator[list[list[str]]]:
    """Yield the tables of a text, each without its header."""
    for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        yield [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])] for line in table.splitlines()[2:]]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("block", TOML, ids=lambda block: f"line {block.line}")
def test_samples_are_settings(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "lumi.toml"
    file.write_text(block.text, encoding="utf-8")
    config = load_config(file, env={})
    assert config.destinations
    for destination in config.destinations:
        with opened(destination):
            pass


def test_every_kind_has_a_sample_and_a_section() -> None:
    shown = {table["kind"] for block in TOML for table in tomllib.loads(block.text)["destinations"]}
    assert shown == set(known_kinds()) == HEADINGS.keys()
    for kind, heading in HEADINGS.items():
        assert f'kind = "{kind}"' in section(f"### {heading}")
    [assurances, *_] = tables(section("## What is promised"))
    assert {code(row[0])[0] for row in assurances} == set(known_kinds())


def check_defaults(rows: list[list[str]], options: Mapping[str, Option]) -> None:
    """Hold a table's names and defaults against options; what is no plain value is said in words there."""
    assert [code(row[0]) for row in rows] == [[name] for name in options]
    for row, option in zip(rows, options.values(), strict=True):
        shown = row[1]
        assert (shown == "required") == option.required, row
        if isinstance(option.default, bool):
            assert shown == str(option.default).lower(), row
        elif isinstance(option.default, int):
            assert shown == str(option.default), row
        elif option.default:
            assert code(shown) == [option.default], row
        elif not option.required and row[0] != "`sourcetype`":
            assert shown, row
            assert not code(shown), row


def test_settings_of_every_destination() -> None:
    [rows] = tables(section("### Settings of every destination"))
    check_defaults(rows, {**settings._COMMON, "routes": Option(str)})
    assert set(code(rows[1][2])) == set(known_kinds())


@pytest.mark.parametrize("kind", known_kinds())
def test_settings_of_a_kind(kind: str) -> None:
    options = kind_options(kind)
    found = [rows for rows in tables(section(f"### {HEADINGS[kind]}")) if len(rows[0]) == 4]
    [rows] = found
    check_defaults(rows, options)
    assert [row[2] for row in rows] == ["yes" if option.routable else "no" for option in options.values()]


def encoded(**changes: object) -> list[dict[str, Any]]:
    options = {"url": "https://siem.example/", **changes}
    every = [
        event(i, action=action, entity_type=entity, **payload)
        for i, (action, entity, payload) in enumerate(
            (name, entity, payload)
            for name in CATALOGUE
            for entity in ("user", "session", "thing")
            for payload in ({"before_state": "{}"}, {"ip": "not an address", "before_state": "x" * 3000})
        )
    ]
    lines = records_of(opened_kind("https", **options), *every)
    return [json.loads(line) for line in lines]


def has(record: object, path: str) -> bool:
    """Whether a record has something at a path, in any element of its lists."""
    name, _, rest = path.partition(".")
    if isinstance(record, list):
        return any(has(item, path) for item in record)
    return isinstance(record, dict) and name in record and (not rest or has(record[name], rest))


def test_fields() -> None:
    [rows] = tables(section("### native"))
    names = [code(row[0])[0] for row in rows]
    native = encoded(max_bytes=2048)
    assert names[:-1] == list(native[0])  # all but what only some records have
    assert {name for record in native for name in record} == set(names)
    assert {code(row[1])[0] for row in rows} == columns("native").keys() - {"TimeGenerated"}
    ocsf = [*encoded(format="ocsf"), *encoded(format="ocsf", max_bytes=2600)]
    for row in rows:
        for path in code(row[2]):
            assert any(has(record, path) for record in ocsf), path


def test_the_record_shown_is_one() -> None:
    [shown] = [value for value in JSON if "event_id" in value]
    one = encoded()[0]
    assert [(name, type(value)) for name, value in shown.items()] == [(n, type(value)) for n, value in one.items()]


def test_what_is_said_of_large_values() -> None:
    said = section("### What is too large")
    assert set(encoding._LARGE) <= set(code(said))
    assert f"more than {encoding._SMALL} bytes" in said


def test_ocsf_classes() -> None:
    [rows] = tables(section("### ocsf"))
    assert [(row[0], int(row[1])) for row in rows] == sorted(
        ((name, uid) for uid, name in CLASSES.values()), key=lambda pair: pair[1]
    )
    for row in rows:
        for action in code(row[2]):
            assert CATALOGUE[action].class_uid == int(row[1]), action


def test_states() -> None:
    rows = next(tables(section("## On call")))
    assert [row[0].lower() for row in rows] == [health.value for health in Health]


def test_policies_are_ours() -> None:
    policies = [value for value in JSON if "Statement" in value]
    granted = {action for policy in policies for action in actions(policy)}
    named = {right for text in texts() for right in re.findall(r"\b(?:s3|kms):[A-Z][a-z]\w+", text)}
    assert granted - named == {"sts:AssumeRole", "s3:AbortMultipartUpload"}


MESSAGES = [text for row in next(tables(section("## By message"))) for text in code(row[0])]


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_are_those_that_we_give(message: str) -> None:
    if re.fullmatch(r"answered \d+", message):
        message = "answered …"
    pattern = re.compile(".*".join(map(re.escape, message.split("…"))))
    assert any(pattern.search(text.replace("\n", " ")) for text in texts())


def status_lines() -> Iterator[str]:
    """What the page shows below tables of ``lumi siem status``."""
    _, _, rest = PAGE.partition("\n## On call\n")
    for shown in re.findall(r"^```text\n(.*?)^```$", rest.partition("\n## Backfill\n")[0], re.MULTILINE | re.DOTALL):
        yield from (line for line in shown.splitlines() if line.startswith("splunk: "))


@pytest.mark.parametrize("line", list(status_lines()))
def test_lines_shown_are_those_that_we_print(line: str) -> None:
    parts = [text.split("…") for text in texts() if len(text.replace("…", "")) > 12]
    patterns = [".*".join(map(re.escape, part)) for part in parts]
    assert any(re.fullmatch(rf"(splunk: )?{pattern}", line) for pattern in patterns), line


def test_commands_and_options_named_in_text_exist() -> None:
    named = set(re.findall(r"\blumi siem ([a-z]+)", PAGE))
    assert {"check", "plan", "deliver", "status", "reconcile", "backfill", "quarantine", "unblock"} == named
    assert named <= set(siem.commands)
    assert set(re.findall(r"`lumi ([a-z]+)", PAGE)) <= set(app.commands)
    known = {option for command in siem.commands.values() for given in command.params for option in given.opts}
    inline = re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    for option in re.findall(r"`(--[a-z-]+)", inline):
        assert option in known | {"--key"}, option


def test_kinds_are_all_there_is() -> None:
    assert {path.stem for path in Path(kinds.__path__[0]).glob("*.py")} - {"__init__"} == set(known_kinds())


def test_names_in_dagster_are_those_of_our_definitions() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "assets").glob("*.py"))
    rows = next(tables(section("## Dagster")))
    for name in (name for row in rows for cell in row[1:] for name in code(cell)):
        assert re.search(rf'def {name}\(|"{name}"', sources), name
