"""What docs/operations.md shows of PostgreSQL and S3 runs in order on real ones; its policies and messages are ours.

The rest of its commands run in test_commands.py, on SQLite and files.
"""

import ast
import configparser
import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lumi_pipeline.cli.app import app
from lumi_pipeline.recorder import AuditRecorder, system_clock
from tests.docs.test_commands import (
    DOCUMENTS,
    ENVIRONMENT,
    REPOSITORY,
    SERVERS,
    Block,
    Shell,
    blocks,
    copy_repository,
    perform,
)
from tests.events.making import new_event
from tests.postgresql import PrivatePostgresql
from tests.s3 import S3

PAGE = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
BLOCKS = blocks(PAGE)
JSON = [json.loads(block.text) for block in BLOCKS if block.language == "json"]
POLICIES = [value for value in JSON if "Statement" in value]
[LIFECYCLE] = [value for value in JSON if "Rules" in value]
PASSWORD = "only-for-tests"


class Deployment:
    """The page's servers: where they really are, and what its application does meanwhile."""

    def __init__(self, directory: Path, postgresql: PrivatePostgresql, s3: S3) -> None:
        at = psycopg.conninfo.conninfo_to_dict(postgresql.url)
        passwords = directory / "pgpass"
        passwords.write_text(f"*:*:*:*:{PASSWORD}\n", encoding="utf-8")
        passwords.chmod(0o600)
        self.administrator = postgresql.url
        self.real = {
            "acme-audit-locked": s3.bucket(locked=True),
            "acme-audit": s3.bucket(),
            "db.example.com": str(at["host"]),
            "PASSWORD '…'": f"PASSWORD '{PASSWORD}'",
        }
        for name in ("acme-audit", "acme-audit-locked"):
            s3.admin.put_bucket_lifecycle_configuration(Bucket=self.real[name], LifecycleConfiguration=LIFECYCLE)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
            "PATH": f"{ENVIRONMENT / 'bin'}:{postgresql.programs}:{os.environ['PATH']}",
            "PGPASSFILE": str(passwords),
            "PGPORT": str(at["port"]),
        }
        self.application = f"postgresql://app:{PASSWORD}@{at['host']}:{at['port']}/app"

    def located(self, text: str) -> str:
        """The text with the servers as they are here."""
        for shown, real in self.real.items():
            text = text.replace(shown, real)
        return text

    def administer(self, statements: str) -> None:
        with psycopg.connect(self.administrator, autocommit=True) as connection:
            for statement in filter(None, map(str.strip, statements.split(";"))):
                connection.execute(statement)  # type: ignore[call-overload]

    def record(self, *tenants: str, days_ago: int) -> None:
        with psycopg.connect(self.application) as connection:
            times = [system_clock() - timedelta(days_ago)] * len(tenants)
            AuditRecorder(connection).record_many([new_event(tenant_id=name) for name in tenants], recorded_at=times)


@pytest.mark.slow
def test_postgresql_and_s3_as_shown(tmp_path: Path, private_postgresql: PrivatePostgresql, s3: S3) -> None:
    deployment = Deployment(tmp_path, private_postgresql, s3)
    copy_repository(tmp_path / "repository")
    (tmp_path / "data").symlink_to(tmp_path / "repository/data")
    shell = Shell(tmp_path, deployment.environment)
    for block in (block for block in BLOCKS if block.needs == SERVERS):
        text = deployment.located(block.text)
        if block.language == "sql":
            deployment.administer(text)
            continue
        if "Landing 0" in text:
            deployment.record("acme", "globex", days_ago=1)
        if text.startswith("dropdb"):  # what the dump before it lacks
            deployment.record("acme", days_ago=0)
            assert shell.run("lumi land").returncode == 0
        try:
            perform(Block(block.line, block.language, None, text), shell)
        except AssertionError as error:
            raise AssertionError(f"block in line {block.line}: {error}") from None


def actions(policy: Mapping[str, Any]) -> Iterator[str]:
    for statement in policy["Statement"]:
        assert statement.keys() <= {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}
        assert statement["Effect"] == "Allow"
        yield from [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]


@cache
def texts() -> list[str]:
    """Every text in our code but docstrings, with ``…`` for what is filled in."""
    found = []
    for package in ("transparency", "lumi_pipeline", "assets"):
        for path in (REPOSITORY / package).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.JoinedStr):
                    found.append("".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                    found.append(re.sub(r"\{\w*\}", "…", node.value))
    return found


def test_the_policies_hold_every_right_that_we_name() -> None:
    named = {right for text in texts() for right in re.findall(r"\b(?:s3|kms):[A-Z][a-z]\w+", text)}
    assert {"s3:PutObjectRetention", "kms:Decrypt", "s3:ListBucket"} <= named
    granted = {action for policy in POLICIES for action in actions(policy)}
    # The first is what nobody should have; the other belongs to uploads in parts, which are refused as PutObject.
    assert granted ^ named == {"s3:BypassGovernanceRetention", "s3:AbortMultipartUpload"}


def test_the_locked_bucket_lets_nothing_be_deleted_but_probes() -> None:
    [locked] = [policy for policy in POLICIES if "acme-audit-locked" in json.dumps(policy)]
    for statement in locked["Statement"]:
        if "Delete" in json.dumps(statement["Action"]):
            assert statement["Resource"].endswith("/log-private/doctor/*")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    section = re.split(r"^#{2,3} ", PAGE.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    [table, *_] = re.findall(r"(?:^\|.*\|\n)+", section, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


MESSAGES = [row[0].strip("`") for heading in ("## By message", "## S3 errors") for row in rows(heading)]


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_are_those_that_we_give(message: str) -> None:
    pattern = re.compile(".*".join(map(re.escape, message.split("…"))))
    assert any(pattern.search(text.replace("\n", " ")) for text in texts())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        page = document.parent / path if path else document
        assert page.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target


def test_commands_named_in_text_and_units_exist() -> None:
    units = [block.text for block in BLOCKS if block.language == "ini"]
    for unit in units:
        configparser.ConfigParser(interpolation=None).read_string(unit)
    names = set(re.findall(r"(?:`|bin/|^)lumi (?!-)([a-z]+)", PAGE, re.MULTILINE))
    assert {"run", "landing", "doctor"} <= names
    assert names <= set(app.commands)
