"""The outbox, whatever database holds it: there, the one that was landed before, and open for recording."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

import pyarrow.compute as pc

from lumi_pipeline.doctor.examination import Examination
from lumi_pipeline.doctor.findings import Check, Finding, not_tried, ok, problem
from lumi_pipeline.errors import ClockAhead
from lumi_pipeline.landings import last_landing
from lumi_pipeline.outbox import Connection
from lumi_pipeline.recorder import AuditRecorder

PROBE_TENANT: Final = "lumi-doctor"
"""Tenant of rows that are tried and rolled back."""


def look_at_outbox(examination: Examination) -> Iterator[Finding]:
    """Open the outbox, which compares its columns, and count what it holds."""
    with examination.outbox.snapshot() as snapshot:
        heads = snapshot.heads()
    events = pc.sum(heads.column("next_seq")).as_py() or 0
    yield ok(f"{examination.config.outbox.name}: {events:,} event(s) of {len(heads):,} tenant(s)")


def look_at_identity(examination: Examination) -> Iterator[Finding]:
    """Hold the database's identity against that of the last landing."""
    sealed = examination.last_sealed
    last = last_landing(examination.pipeline.lake, sealed.tenants.landing_floor if sealed else 0)
    with examination.outbox.snapshot() as snapshot:
        here = snapshot.system_id
    if last is None:
        yield ok(f"{here}; nothing was landed yet")
    elif last.landing.system_id == here:
        yield ok(f"{here}, as landed before")
    else:
        yield problem(
            f"this is another database ({here}) than the one landed before ({last.landing.system_id})",
            "correct 'outbox', or put the original back; if it was restored on purpose: lumi landing rebase",
        )


def recording_check(trying: Callable[[Examination], AbstractContextManager[Connection]]) -> Check:
    """The check that an event can be recorded; ``trying`` opens a transaction that is rolled back."""
    advice = "see lumi outbox init, which sets up who may record"
    return Check("outbox recording", partial(look_at_recording, trying), advice, ("outbox",))


def look_at_recording(
    trying: Callable[[Examination], AbstractContextManager[Connection]], examination: Examination
) -> Iterator[Finding]:
    """Record an event of the operator's tenant, as acknowledging a day does, and roll it back."""
    tenant = examination.config.operator_tenant
    try:
        with trying(examination) as connection:
            AuditRecorder(connection, clock=examination.clock).record(
                tenant_id=tenant,
                action="DOCTOR_PROBE",
                entity_type="doctor",
                entity_id="probe",
                actor_type="system",
                actor_id="lumi-pipeline",
            )
    except ClockAhead:
        yield not_tried("see outbox clock")
    else:
        yield ok(f"events of {tenant} can be recorded (tried and rolled back)")


OUTBOX: Final = Check(
    "outbox", look_at_outbox, "see 'outbox' in lumi.toml or LUMI_OUTBOX; lumi outbox init creates the tables"
)
IDENTITY: Final = Check(
    "outbox identity", look_at_identity, "lumi verify --all tells what is damaged", ("outbox", "root")
)
