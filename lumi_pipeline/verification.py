"""Verification of our whole history: every sealed day, what is landed, and the outbox it came from.

Goes on after a failure, so that one run names everything that is wrong. Nothing here writes.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, timedelta

from lumi_pipeline.acknowledging import check_acknowledgements
from lumi_pipeline.chain import Break, ChainEnd, ChainFold, ChainState
from lumi_pipeline.days import day_range
from lumi_pipeline.erasure.confirming import Erasures
from lumi_pipeline.erasure.orders import Order, newest_order, said_of_gone
from lumi_pipeline.errors import (
    LakeError,
    LandingError,
    LumiError,
    UnfinishedErasure,
    UnfinishedLanding,
    UnfinishedPruning,
)
from lumi_pipeline.events import MIN_MICROS
from lumi_pipeline.genesis import GENESIS_KEY
from lumi_pipeline.hashing import genesis_hash
from lumi_pipeline.judgements import Found, failure, judged, raise_found, spelled_out
from lumi_pipeline.lake import REWRITTEN, Lake, events_prefix, seal_prefix
from lumi_pipeline.landings import landing_key, landings
from lumi_pipeline.meanwhile import Meanwhile
from lumi_pipeline.pending import DayRange, Pending
from lumi_pipeline.pruned import KEPT, pruned_keys, pruned_prefix
from lumi_pipeline.pruning.confirming import AGAIN, Prunings
from lumi_pipeline.rotation import ORDERS, Role, read_rotations
from lumi_pipeline.sealedday import SealedDay, load_sealed_day
from lumi_pipeline.sealing import Progress, Sealer, SealReport
from lumi_pipeline.site import SiteState, site_state
from lumi_pipeline.succession import earlier_logs
from lumi_pipeline.superseding import record_name
from lumi_pipeline.tenantdays import DayTenants, stored_tenants
from lumi_pipeline.verdict import Status, Verdict
from transparency.audit import check_journal
from transparency.encoding import Json, format_timestamp, parse_day
from transparency.entries import Genesis
from transparency.errors import EncodingError, ObjectMissing, VerificationError
from transparency.logview import LogView
from transparency.policy import Policy
from transparency.verify import LogVerdict, Problem, fsck

_OF_A_DAY = re.compile(r"(?:events|seals)/day=([^/]+)/[^/]+")
_LANDED = re.compile(r"landed/([0-9]{12})/[^/]+")
_SHOWN = 20
"""How many erasures a verdict names, the newest."""
_SITES = {
    SiteState.CURRENT: "index.html is this version's page.",
    SiteState.OTHER: "index.html is another version's page, or altered; this version's is written by: lumi log site",
    SiteState.FOREIGN: "index.html is not a page of this software; it is no evidence, and was not looked at.",
    SiteState.MISSING: "There is no index.html; it is written by: lumi log site",
}
"""What is said of the site: it is no evidence, so it fails nothing."""


def verify_published(lake: Lake, policy: Policy, progress: Callable[[int, int], None] | None = None) -> Verdict:
    """Recompute everything public from the log's entries and hold its private journal and the sealed records to it."""

    def check() -> Found:
        report = fsck(lake.store, policy, progress=progress)
        log = report.log
        problems = [
            *report.problems,
            *check_journal(lake.store, log.checkpoint, policy),
            *_check_entries(lake, log),
            *_check_orders(lake, log),
        ]
        if problems:
            found = "\n".join(f"  {problem.key}: {problem.message}" for problem in problems)
            raise VerificationError("log-object", f"{len(problems)} object(s) of the log are wrong:\n{found}")
        days = (
            f"its records run from {log.genesis.first_day} to {log.last_day}" if log.last_day else "it has no records"
        )
        return Found(
            f"log {log.checkpoint.origin}, {log.checkpoint.size} entries, {report.objects} objects; {days}.",
            f"Signed by {log.policy.log_key.fingerprint}.",
            _SITES[site_state(lake.store)],
        )

    return judged("log", check)


def verify_days(
    lake: Lake,
    sealer: Sealer,
    genesis: Genesis,
    days: Sequence[date],
    progress: Progress | None = None,
    *,
    meanwhile: Meanwhile | None = None,
) -> Iterator[Verdict]:
    """Recompute sealed days from their stored rows, each on top of the day before it.

    A day that fails is recomputed once more if ``meanwhile`` tells of an erasure or a pruning.
    """
    before: SealedDay | None = None
    for day in days:
        after, verdict = _verify_day(lake, sealer, genesis, day, before=before, progress=progress)
        if verdict.status is not Status.VERIFIED and meanwhile is not None and meanwhile.went_on():
            after, verdict = _verify_day(lake, sealer, genesis, day, before=None, progress=progress)
        before = after
        yield verdict


def _verify_day(
    lake: Lake, sealer: Sealer, genesis: Genesis, day: date, *, before: SealedDay | None, progress: Progress | None
) -> tuple[SealedDay | None, Verdict]:
    """Recompute one day on top of the day before, if ``before`` is that one, else on top of that as it is stored."""
    eve = day - timedelta(days=1)
    if day == genesis.first_day and genesis.previous is None:
        before = None
    elif before is None or before.record.day != eve:
        try:
            before = load_sealed_day(lake, eve)
        except LumiError as error:
            line = f"{day} could not be checked, because the day before it can't be read: {error}"
            return None, Verdict(str(day), Status.INCOMPLETE, "day-before", (line,))
    try:
        sealed, report = sealer.verify(day, before, progress)
        _check_partition(lake, sealed, sealer.erasures)
    except LumiError as error:
        return None, failure(str(day), error)
    return sealed, _day_verdict(report)


def verify_folders(lake: Lake, genesis: Genesis | None) -> Iterator[Verdict]:
    """Name what lies beside the days of the log, where a reader of plain Parquet would count it; nothing is as usual.

    What lies under a day that is not sealed yet counts for nothing: an interrupted seal leaves it, and the next one
    clears it away.
    """
    logs = [] if genesis is None else [genesis, *(earlier for earlier, _ in earlier_logs(lake, genesis))]
    first = logs[-1].first_day if logs else None
    strays = [
        key for prefix in ("events/", "seals/") for key in lake.store.list(prefix) if not _is_of_a_day(key, first)
    ]
    if strays:
        found = (f"{key} lies under no day of the log; move it away" for key in strays)
        yield Verdict("lake", Status.FAILED, "stray", tuple(found))


def verify_erasures(erasures: Erasures) -> Iterator[Verdict]:
    """Hold every order of erasure against the event of the operator's chain that gave it; without any, say nothing."""

    def check() -> Found:
        given, unfinished = erasures.given(), [k.order for k in erasures.known() if k.outcome is None]
        if unfinished:
            raise UnfinishedErasure(
                f"erasure {unfinished[0].number} of {len(unfinished[0].events)} event(s) of tenant "
                f"{unfinished[0].tenant_id} is under way or was interrupted; 'lumi erase --resume' completes it"
            )
        erasures.check_holds()
        events = sum(len(order.events) for order in given)
        line = f"{len(given)} erasure(s) of {events} event(s), each ordered by an event of the operator."
        more = [f"  … and {len(given) - _SHOWN} before these"] if len(given) > _SHOWN else []
        return Found(line, *more, *map(_erasure_line, given[-_SHOWN:]))

    if newest_order(erasures.lake) >= 0:
        yield judged("erasures", check)


def _erasure_line(order: Order) -> str:
    """An erasure in words: an auditor asks what was blanked, by whose order, and why."""
    found = said_of_gone(order.gone)
    gone = f" (gone already when it was ordered: {found})" if found else ""
    return (
        f"  {order.number}: {len(order.events)} event(s) of tenant {order.tenant_id}, erased at "
        f"{format_timestamp(order.at)}{gone}, ordered by event {order.event_id}: {order.reason}"
    )


def verify_prunings(prunings: Prunings) -> Iterator[Verdict]:
    """Hold every record of a pruned day against the event that gave it, and the other way round; of none say nothing.

    The chain is asked even where there is no record: one may be gone. What is wrong with the chain itself is then told
    with the outbox.
    """

    def check() -> Found:
        records = prunings.check_all()
        days, events = {record.day for record in records}, {record.event_id for record in records}
        return Found(f"{len(days)} day(s) were pruned under policy, as {len(events)} event(s) of the operator say.")

    verdict = judged("prunings", check)
    if verdict.reason in {"pruned", "against-policy", "unfinished"} or pruned_keys(prunings.lake):
        yield verdict


def verify_landings(lake: Lake, sealed: DayTenants | None, erasures: Erasures) -> Verdict:
    """Check every landing's commit object and files, and the chains of the rows that are not sealed yet."""

    def check() -> Found:
        floor, sealed_day = (sealed.landing_floor, sealed.day) if sealed else (0, None)
        present = set(lake.store.list("landed/"))
        known: set[str] = set()
        number = -1
        for landing in landings(lake):
            number = landing.number
            known |= {file.path for file in landing.all_files}
            replaced = set(landing.files) - set(landing.event_files)
            for file in {*landing.all_files, *landing.event_files} - replaced:
                known.add(file.path)
                if number >= floor or file.path in present:
                    lake.read(file)
            _check_replaced([key for key in present if key in {file.path for file in replaced}], erasures)
        if number < floor - 1:
            raise LandingError(
                f"{landing_key(floor - 1)} was lost, although {sealed_day} is sealed from it; restore it"
            )
        unlisted = present - known
        _check_replaced([key for key in unlisted if REWRITTEN in key], erasures)
        uncommitted = _check_landed_files(unlisted, number)
        with Pending(lake, floor) as pending:
            fold, breaks = _fold_pending(pending, sealed)
        raise_found(breaks)
        erasures.check("landings", fold.tenants)
        erasures.check_carried_out("landings", fold.tenants)
        rows = sum(tenant.count for tenant in fold.tenants.values())
        if uncommitted:
            raise UnfinishedLanding(
                f"{uncommitted[0]} belongs to no landing yet. Either a landing is under way or was interrupted; then "
                f"'lumi land' completes it. Or {landing_key(number + 1)} was lost; then restore it from a backup"
            )
        return Found(f"{number + 1} landing(s); {rows} landed event(s) are not sealed yet.", events=rows)

    return judged("landings", check)


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


def _check_orders(lake: Lake, log: LogVerdict) -> Iterator[Problem]:
    """For every key that the log announces there is the order, by which publishing finds out who signs."""
    known = {(r.role, r.key, r.takeover.announced) for r in read_rotations(lake, log.last_day) if r.takeover}
    for role, takeovers in ((Role.LOG, log.takeovers), (Role.EVIDENCE, log.evidence_takeovers)):
        for takeover in takeovers:
            if (role, takeover.key, takeover.announced) not in known:
                yield Problem(
                    f"{ORDERS}{takeover.announced}-{role.value}",
                    f"is missing, although the record of {takeover.announced} announces a key; restore it",
                )


def _day_verdict(report: SealReport) -> Verdict:
    line = f"{report.day}: {report.rows} event(s) of {report.tenants} tenant(s) give the sealed root at {report.index}."
    facts: dict[str, Json] = {"day": str(report.day), "events": str(report.rows), "index": str(report.index)}
    if report.pruned is not None:
        pruned = report.pruned
        line = (
            f"{report.day}: {pruned.events} of {report.rows} event(s) were pruned under policy, as event "
            f"{pruned.event_id} says; the {report.tenants} tenant-day record(s) give the sealed root at {report.index}."
        )
        facts |= {"pruned": str(pruned.events), "pruned_by": pruned.event_id}
    if not report.breaks:
        return Verdict(str(report.day), Status.VERIFIED, "pruned" if report.pruned else "ok", (line,), facts)
    found = (line, f"Finding: sealed with {len(report.breaks)} declared break(s):", *spelled_out(report.breaks))
    return Verdict(str(report.day), Status.FAILED, "declared-break", found, facts)


def _check_partition(lake: Lake, sealed: SealedDay, erasures: Erasures) -> None:
    """Nothing but the sealed day may lie in its folders, where a reader of plain Parquet would count it."""
    day = sealed.manifest.day
    known = {stored_tenants(sealed.manifest).path, *(file.path for file in sealed.event_files)}
    known |= {f"{seal_prefix(day)}{name}" for name in ("manifest.json", "day.txt")}
    known |= {f"{seal_prefix(day)}{record_name(record.erasure)}" for record in sealed.superseded}
    known |= check_acknowledgements(lake, day, sealed.breaks)
    known |= set(lake.store.list(pruned_prefix(day))) if sealed.pruned else set()
    listed = {file.path for file in sealed.manifest.files}
    for prefix in (events_prefix(day), seal_prefix(day)):
        for key in lake.store.list(prefix):
            if key not in known:
                if KEPT in key or (sealed.pruned is not None and (key in listed or REWRITTEN in key)):
                    raise UnfinishedPruning(
                        f"{key} does not count any more, or not yet: a pruning of {day} is under way or was "
                        f"interrupted; {AGAIN}"
                    )
                if key in listed or REWRITTEN in key:
                    _check_replaced([key], erasures)
                raise LakeError(f"{key} is not part of the sealed day: its manifest does not list it; move it away")


def _check_replaced(keys: Sequence[str], erasures: Erasures) -> None:
    """Files that an erasure replaced, or was about to put in their place, may be there until it is finished."""
    if keys and any(known.outcome is None for known in erasures.known()):
        raise UnfinishedErasure(
            f"{keys[0]} does not count any more, or not yet: an erasure is under way or was interrupted; "
            "'lumi erase --resume' completes it"
        )
    if keys:
        raise LakeError(f"{keys[0]} was replaced by an erasure; 'lumi erase --resume' removes what it left")


def _is_of_a_day(key: str, first: date | None) -> bool:
    match = _OF_A_DAY.fullmatch(key)
    try:
        return match is not None and (first is None or parse_day(match[1]) >= first)
    except EncodingError:
        return False


def _check_landed_files(unlisted: Iterable[str], number: int) -> list[str]:
    """Return which of these files, which no landing lists, may be those of a landing after the last, ``number``."""
    uncommitted = []
    for key in sorted(unlisted):
        match = _LANDED.fullmatch(key)
        if match is None:
            raise LandingError(f"{key} does not belong to a landing; move it away")
        if int(match[1]) <= number:
            raise LandingError(f"{key} is not part of its landing: the commit object does not list it; move it away")
        uncommitted.append(key)
    return uncommitted


def _fold_pending(pending: Pending, sealed: DayTenants | None) -> tuple[ChainFold, list[Break]]:
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
    return fold, breaks
