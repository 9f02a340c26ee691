"""Verification of our whole history: every sealed day, what is landed, and the outbox it came from.

Goes on after a failure, so that one run names everything that is wrong. Nothing here writes.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.acknowledging import check_acknowledgements
from lumi_pipeline.chain import Break, ChainEnd, ChainFold, ChainState
from lumi_pipeline.days import day_range
from lumi_pipeline.errors import LakeError, LandingError, LumiError, OutboxLocked, OutboxMissing, ReplacedOutbox
from lumi_pipeline.events import MIN_MICROS
from lumi_pipeline.genesis import GENESIS_KEY
from lumi_pipeline.hashing import genesis_hash
from lumi_pipeline.lake import Lake, events_prefix, seal_prefix
from lumi_pipeline.landing import Cursor, heads_ahead, landings, read_cursors
from lumi_pipeline.outbox import Outbox, Snapshot
from lumi_pipeline.pending import DayRange, Pending
from lumi_pipeline.sealing import Progress, SealedDay, Sealer, SealReport, load_sealed_day
from lumi_pipeline.tenantdays import DayTenants
from lumi_pipeline.verdict import Status, Verdict
from transparency.audit import check_journal
from transparency.entries import Genesis
from transparency.errors import FormatError, ObjectMissing, StoreError, VerificationError
from transparency.logview import LogView
from transparency.policy import Policy
from transparency.verify import LogVerdict, Problem, fsck

_SHOWN = 20
"""How many breaks a verdict spells out; it always says how many there are."""


def verify_published(lake: Lake, policy: Policy, progress: Callable[[int, int], None] | None = None) -> Verdict:
    """Recompute everything public from the log's entries and hold its private journal and the sealed records to it."""

    def check() -> _Found:
        report = fsck(lake.store, policy, progress=progress)
        log = report.log
        problems = [*report.problems, *check_journal(lake.store, log.checkpoint, policy), *_check_entries(lake, log)]
        if problems:
            found = "\n".join(f"  {problem.key}: {problem.message}" for problem in problems)
            raise VerificationError("log-object", f"{len(problems)} object(s) of the log are wrong:\n{found}")
        days = (
            f"its records run from {log.genesis.first_day} to {log.last_day}" if log.last_day else "it has no records"
        )
        return _Found(
            f"log {log.checkpoint.origin}, {log.checkpoint.size} entries, {report.objects} objects; {days}.",
            f"Signed by {log.policy.log_key.fingerprint}.",
        )

    return _judged("log", check)


def verify_days(
    lake: Lake, sealer: Sealer, genesis: Genesis, days: Sequence[date], progress: Progress | None = None
) -> Iterator[Verdict]:
    """Recompute sealed days from their stored rows, each on top of the day before it."""
    before: SealedDay | None = None
    for day in days:
        eve = day - timedelta(days=1)
        if day == genesis.first_day:
            before = None
        elif before is None or before.record.day != eve:
            try:
                before = load_sealed_day(lake, eve)
            except LumiError as error:
                line = f"{day} could not be checked, because the day before it can't be read: {error}"
                yield Verdict(str(day), Status.INCOMPLETE, "day-before", (line,))
                continue
        try:
            before, report = sealer.verify(day, before, progress)
            _check_partition(lake, before)
            yield _day_verdict(report)
        except LumiError as error:
            before = None
            yield failure(str(day), error)


def verify_landings(lake: Lake, sealed: DayTenants | None) -> Verdict:
    """Check every landing's commit object and files, and the chains of the rows that are not sealed yet."""

    def check() -> _Found:
        floor = sealed.landing_floor if sealed else 0
        present = set(lake.store.list("landed/"))
        known: set[str] = set()
        number = -1
        for landing in landings(lake):
            number = landing.number
            for file in landing.all_files:
                known.add(file.path)
                if number >= floor or file.path in present:
                    lake.read(file)
        for key in sorted(present - known):
            if int(key.split("/")[1]) <= number:
                raise LandingError(
                    f"{key} is not part of its landing: the commit object does not list it; move it away"
                )
        with Pending(lake, floor) as pending:
            rows, breaks = _fold_pending(pending, sealed)
        _raise_breaks(breaks)
        return _Found(f"{number + 1} landing(s); {rows} landed event(s) are not sealed yet.", events=rows)

    return _judged("landings", check)


def verify_outbox(outbox: Outbox, lake: Lake, sealed: DayTenants | None, progress: Progress | None = None) -> Verdict:
    """Recompute every chain in the outbox from its beginning, and hold it against what was landed."""

    def check() -> _Found:
        with outbox.snapshot() as snapshot:
            last = max(landings(lake, sealed.landing_floor if sealed else 0), key=lambda x: x.number, default=None)
            if last is not None and snapshot.system_id != last.system_id:
                raise ReplacedOutbox(f"the outbox is another database than the one landed before ({last.system_id})")
            cursors = read_cursors(lake, sealed)
            heads_ahead(snapshot, cursors)
            rows, tenants, breaks = _fold_outbox(snapshot, cursors, progress)
        _raise_breaks(breaks)
        line = f"{rows} event(s) of {tenants} tenant(s) in the outbox; what was landed of them is unchanged."
        return _Found(line, events=rows)

    return _judged("outbox", check)


def failure(subject: str, error: LumiError) -> Verdict:
    """An error as a verdict: what could not be read at all leaves the verification incomplete, all else fails it."""
    if isinstance(error, VerificationError):
        return Verdict(subject, Status.FAILED, error.reason, (str(error),))
    if isinstance(error, OutboxMissing | OutboxLocked):
        return Verdict(subject, Status.INCOMPLETE, "unavailable", (str(error),))
    if isinstance(error, StoreError) and not isinstance(error, ObjectMissing):
        return Verdict(subject, Status.INCOMPLETE, "unavailable", (str(error),))
    reason = (
        "missing" if isinstance(error, ObjectMissing) else "malformed" if isinstance(error, FormatError) else "altered"
    )
    return Verdict(subject, Status.FAILED, reason, (str(error),))


class _Found:
    """What a check that found nothing wrong has to say, and how many events it recomputed."""

    def __init__(self, *lines: str, events: int = 0) -> None:
        self.lines = lines
        self.events = events


def _judged(subject: str, check: Callable[[], _Found]) -> Verdict:
    try:
        found = check()
    except LumiError as error:
        return failure(subject, error)
    return Verdict(subject, Status.VERIFIED, "ok", found.lines, {"events": str(found.events)})


def _check_entries(lake: Lake, log: LogVerdict) -> Iterator[Problem]:
    """The log's entries are the records that lie beside the sealed days, byte for byte."""
    tree = LogView(lake.store).tiles(log.checkpoint.size, log.checkpoint.root)
    keys = [GENESIS_KEY]
    if log.last_day:
        keys += [f"{seal_prefix(day)}day.txt" for day in day_range(log.genesis.first_day, log.last_day)]
    for key, entry in zip(keys, tree.read_entries(0, log.checkpoint.size), strict=True):
        try:
            if lake.store.get(key) != entry:
                yield Problem(key, "was altered: it is not the entry that the log holds")
        except ObjectMissing:
            yield Problem(key, "is missing, although the log holds it; restore it from the log")


def _day_verdict(report: SealReport) -> Verdict:
    line = f"{report.day}: {report.rows} event(s) of {report.tenants} tenant(s) give the sealed root at {report.index}."
    facts = {"day": str(report.day), "events": str(report.rows), "index": str(report.index)}
    if not report.breaks:
        return Verdict(str(report.day), Status.VERIFIED, "ok", (f"{line}",), {**facts})
    found = (line, f"Finding: sealed with {len(report.breaks)} declared break(s):", *_spelled_out(report.breaks))
    return Verdict(str(report.day), Status.FAILED, "declared-break", found, {**facts})


def _check_partition(lake: Lake, sealed: SealedDay) -> None:
    """Nothing but the sealed day may lie in its folders, where a reader of plain Parquet would count it."""
    day = sealed.manifest.day
    known = {file.path for file in sealed.manifest.files}
    known |= {f"{seal_prefix(day)}{name}" for name in ("manifest.json", "day.txt")}
    known |= check_acknowledgements(lake, day)
    for prefix in (events_prefix(day), seal_prefix(day)):
        for key in lake.store.list(prefix):
            if key not in known:
                raise LakeError(f"{key} is not part of the sealed day: its manifest does not list it; move it away")


def _fold_pending(pending: Pending, sealed: DayTenants | None) -> tuple[int, list[Break]]:
    known = sealed.tenants if sealed else {}

    def start(tenant_id: str) -> ChainState:
        if tenant_id in known:
            record = known[tenant_id].record
            return ChainState(record.next, record.head_after, MIN_MICROS)
        return ChainState(0, genesis_hash(tenant_id, pending.tenants[tenant_id].chain_id), MIN_MICROS)

    fold = ChainFold(start, trees=False)
    ends = {tenant_id: ChainEnd(cursor.next_seq, cursor.head) for tenant_id, cursor in pending.tenants.items()}
    for table in pending.rows({tenant_id: DayRange(start(tenant_id).next_seq, end) for tenant_id, end in ends.items()}):
        fold.add(table)
    breaks = [found for tenant_id, end in ends.items() for found in fold.finish(tenant_id, end).breaks]
    return sum(tenant.count for tenant in fold.tenants.values()), breaks


def _fold_outbox(
    snapshot: Snapshot, cursors: dict[str, Cursor], progress: Progress | None
) -> tuple[int, int, list[Break]]:
    heads = snapshot.heads()
    columns = (heads.column(name).to_pylist() for name in ("tenant_id", "chain_id", "next_seq", "head_hash"))
    known = {
        tenant_id: Cursor(chain_id, after, head, 0) for tenant_id, chain_id, after, head in zip(*columns, strict=True)
    }
    fold = ChainFold(lambda t: ChainState(0, genesis_hash(t, known[t].chain_id), MIN_MICROS), trees=False)
    breaks: list[Break] = []
    for table in snapshot.rows([(tenant_id, 0) for tenant_id in known]):
        fold.add(table)
        _check_landed(table, cursors)
        if progress:
            progress(len(table))
    for tenant_id, head in known.items():
        breaks += fold.finish(tenant_id, ChainEnd(head.next_seq, head.head)).breaks
    return sum(tenant.count for tenant in fold.tenants.values()), len(known), breaks


def _check_landed(rows: pa.Table, cursors: dict[str, Cursor]) -> None:
    """The last landed row of each tenant still has the hash it was landed with; the chain then pins all before it."""
    landed = pa.table(
        {
            "tenant_id": pa.array(list(cursors), pa.string()),
            "seq": pa.array([cursor.next_seq - 1 for cursor in cursors.values()], pa.int64()),
            "head": pa.array([cursor.head for cursor in cursors.values()], pa.binary()),
        }
    )
    hashes = rows.select(["tenant_id", "seq", "integrity_hash"])
    met = hashes.join(landed, ["tenant_id", "seq"], join_type="inner")
    for row in met.filter(pc.not_equal(met.column("integrity_hash").cast(pa.binary()), met.column("head"))).to_pylist():
        raise LandingError(
            f"tenant {row['tenant_id']} seq {row['seq']}: the outbox's chain was rewritten, its hash is "
            f"{row['integrity_hash'].hex()} and was landed as {row['head'].hex()}"
        )


def _raise_breaks(breaks: Sequence[Break]) -> None:
    if breaks:
        raise VerificationError("chain-broken", f"{len(breaks)} break(s):\n" + "\n".join(_spelled_out(breaks)))


def _spelled_out(breaks: Sequence[Break]) -> list[str]:
    more = [f"  … and {len(breaks) - _SHOWN} more"] if len(breaks) > _SHOWN else []
    return [f"  {found}" for found in breaks[:_SHOWN]] + more
