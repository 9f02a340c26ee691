"""What is checked of a day each time it is sealed or published: cheap, and independent of the code that did it.

None of this hashes the day's events again; sealing did so on what it read back, and ``lumi verify --all`` does so for
the whole history. Every function here judges one day and returns a verdict; only programming errors are raised.
"""

import hashlib
from collections.abc import Callable
from datetime import date
from typing import Final

from lumi_pipeline.errors import LakeError, LumiError
from lumi_pipeline.judgements import failure
from lumi_pipeline.lake import Lake, seal_prefix
from lumi_pipeline.profile import day_profile
from lumi_pipeline.sealedday import current_files, load_manifest, load_sealed_day, read_day_record
from lumi_pipeline.tenantdays import stored_tenants
from lumi_pipeline.verdict import Status, Verdict
from transparency.checkpoint import parse_signed_checkpoint
from transparency.encoding import b64encode
from transparency.entries import DayRecord, Genesis, day_index
from transparency.errors import VerificationError
from transparency.logview import LogView
from transparency.policy import Policy, evaluate

DECLARED_BREAK: Final = "declared-break"
"""The reason of a verdict on a day that is as it was sealed, with breaks that its public record declares."""

_SHOWN: Final = 20


def manifest_matches_bytes(lake: Lake, day: date) -> Verdict:
    """Read every file of the day again: size and SHA-256 are the manifest's, the manifest's are the day record's."""

    def check() -> str:
        record = read_day_record(lake, day)
        manifest = load_manifest(lake, day)
        if hashlib.sha256(manifest.encode()).digest() != record.manifest:
            raise LakeError(f"{seal_prefix(day)}manifest.json was altered: it is not the one that the day record names")
        files = (stored_tenants(manifest), *current_files(lake, day))
        size = sum(len(lake.read(file)) for file in files)
        erased = len(set(files) - set(manifest.files))
        rewritten = f", {erased} of them written since, by an erasure or a pruning" if erased else ""
        return f"{len(files)} file(s) of {size} bytes in all are the ones that were sealed{rewritten}"

    return _judged(day, check)


def counts_reconcile(lake: Lake, day: date) -> Verdict:
    """Count the day's rows with DuckDB and compare: tenant by tenant with the records, in all with the manifest."""

    def check() -> str:
        sealed = load_sealed_day(lake, day)
        counted, present = day_profile(lake, day), sealed.present
        for tenant_id in sorted(set(sealed.tenants.tenants) | set(counted.by_tenant)):
            tenant = sealed.tenants.tenants.get(tenant_id)
            recorded = tenant.record.count if tenant and tenant_id in present else 0
            found = counted.by_tenant.get(tenant_id, 0)
            if recorded != found:
                raise LakeError(f"{day}: the files hold {found} event(s) of tenant {tenant_id}, its record {recorded}")
        pruned = sealed.pruned.events if sealed.pruned else 0
        if counted.events + pruned != sealed.manifest.events:
            raise LakeError(f"{day}: the files hold {counted.events} events, the manifest {sealed.manifest.events}")
        gone = f"; {pruned} were pruned under policy" if pruned else ""
        return f"{counted.events} event(s) of {len(counted.by_tenant)} tenant(s), as recorded{gone}"

    return _judged(day, check)


def root_recomputes(lake: Lake, day: date) -> Verdict:
    """Build the day's tenant map again from the stored tenant-day records: its root is the public record's."""

    def check() -> str:
        sealed = load_sealed_day(lake, day)
        return f"{len(sealed.tenants.tenants)} tenant-day record(s) give the root {b64encode(sealed.record.map_root)}"

    return _judged(day, check)


def chains_intact(lake: Lake, day: date) -> Verdict:
    """Tell whether the day was sealed with breaks that somebody acknowledged; others would have stopped the seal."""

    def check() -> str:
        sealed = load_sealed_day(lake, day)
        broken = [
            f"{t.tenant_id} ({t.record.breaks})" for t in sealed.tenants.tenants.values() if not t.record.unbroken
        ]
        if broken or sealed.manifest.breaks:
            more = f" and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
            raise VerificationError(
                DECLARED_BREAK,
                f"{day} is sealed with {sealed.manifest.breaks} declared break(s), in the chains of"
                f" {', '.join(broken[:_SHOWN])}{more}",
            )
        return f"the chains of {len(sealed.tenants.tenants)} tenant(s) are intact"

    return _judged(day, check)


def index_is_day(lake: Lake, policy: Policy, day: date) -> Verdict:
    """Look the day up in the log, at the one index where it may be: the record there is the sealed one.

    Everything read is authenticated against the signed checkpoint, the log's genesis, which fixes the first day,
    included.
    """

    def check() -> str:
        view = LogView(lake.store)
        data = view.checkpoint()
        if data is None:
            raise VerificationError("day-index", f"{day} is not in the log: nothing is published yet")
        signed = parse_signed_checkpoint(data)
        evaluate(policy, signed)
        head = signed.checkpoint
        tiles = view.tiles(head.size, head.root)
        index = day_index(Genesis.parse(tiles.read_entry(0)).first_day, day)
        if not 0 < index < head.size:
            raise VerificationError("day-index", f"{day} is entry {index} of the log, which has {head.size} entries")
        entry = tiles.read_entry(index)
        record = DayRecord.parse(entry)
        if record != read_day_record(lake, day):
            raise VerificationError(
                "day-index", f"entry {index} of the log is not the record that was sealed for {day}"
            )
        if (record.day, record.index) != (day, index):
            raise VerificationError(
                "day-index", f"entry {index} of the log is of {record.day} and says index {record.index}, not {day}"
            )
        return f"entry {index} of {head.size}"

    return _judged(day, check)


def _judged(day: date, check: Callable[[], str]) -> Verdict:
    try:
        return Verdict(str(day), Status.VERIFIED, "ok", (check(),))
    except LumiError as error:
        return failure(str(day), error)
