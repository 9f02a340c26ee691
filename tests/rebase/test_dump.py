"""Dumps of PostgreSQL's own tools, restored into another server."""

import os
import subprocess
from pathlib import Path

import pytest

from lumi_pipeline.cli.prove import make_proof
from lumi_pipeline.outbox.opening import open_outbox
from lumi_pipeline.outboxaddress import postgresql_address
from lumi_pipeline.proofs import verify_proof
from lumi_pipeline.rebasing import Kind
from lumi_pipeline.verdict import Status
from tests.databases import url_of
from tests.lake.world import LOG_KEY, at
from tests.postgresql import PrivatePostgresql
from tests.rebase.conftest import make_site
from transparency.policy import Policy


@pytest.mark.slow
def test_a_dump_restored_into_another_server(
    request: pytest.FixtureRequest, tmp_path: Path, private_postgresql: PrivatePostgresql
) -> None:
    site = make_site(request, tmp_path / "site", "postgresql")
    proofs = {event_id: make_proof(site.pipeline(), event_id) for event_id in site.committed[:2]}
    programs, dump = private_postgresql.programs, tmp_path / "dump"
    _run(programs / "pg_dump", "-Fc", "-f", dump, url_of(site.outbox))
    site.record("acme", at(3, "08:00:00"))
    site.record("globex", at(3, "08:00:00"))
    site.pipeline().run()

    # Roles belong to the server and are in no dump; whoever restores one makes them first.
    made = postgresql_address(private_postgresql.create_database())
    for role in ("lumi_writer", "lumi_pipeline"):
        _run(programs / "psql", "-c", f"CREATE ROLE {role}", made.url)
    _run(programs / "pg_restore", "-d", made.url, dump)
    site.restore(open_outbox(made))
    site.server = private_postgresql
    site.record("acme", at(3, "09:00:00"))
    findings = site.pipeline().rebaser().check()
    assert (findings.other_system, findings.days_open) == (True, True)
    assert dict(findings.counts) == {Kind.FORKED: 1, Kind.BEHIND: 1, Kind.SAME: 1}
    report = site.pipeline().rebaser().accept("the server was lost", rerecord=True)
    assert [(mended.put_back, mended.recorded) for mended in report.mended] == [(1, 1), (1, 0)]
    site.assert_whole()
    for event_id, proof in proofs.items():
        for found in (proof, make_proof(site.pipeline(), event_id)):
            assert verify_proof(found, Policy.pinning(LOG_KEY.verifier.vkey), event_id).status is Status.VERIFIED


def _run(program: Path, *arguments: object) -> None:
    subprocess.run([program, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, env={**os.environ})
