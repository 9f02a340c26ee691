"""The verdicts on our own whole history, as ``lumi verify --all`` and ``lumi fsck`` give them."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date

from lumi_pipeline.cli.logs import unconfirmed
from lumi_pipeline.cli.progress import progress
from lumi_pipeline.compute import Inline, open_compute
from lumi_pipeline.dayunits import verify_days_apart
from lumi_pipeline.errors import LumiError
from lumi_pipeline.judgements import failure
from lumi_pipeline.keyadvice import claimed_keys
from lumi_pipeline.meanwhile import Meanwhile
from lumi_pipeline.outboxverification import verify_outbox
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.sealedday import load_sealed_day
from lumi_pipeline.sealing import Sealer
from lumi_pipeline.stores.roots import LakeAddress
from lumi_pipeline.succession import earlier_logs, verify_earlier
from lumi_pipeline.tenantdays import DayTenants
from lumi_pipeline.verdict import Status, Verdict
from lumi_pipeline.verification import (
    verify_days,
    verify_erasures,
    verify_folders,
    verify_landings,
    verify_prunings,
    verify_published,
)
from transparency.entries import Genesis
from transparency.policy import Policy


def judge_history(
    pipeline: Pipeline, policy: Policy | None, first: date | None, last: date | None
) -> Iterator[Verdict]:
    """Verify everything we hold: the log, each sealed day (of a period, if one is given), the landings, the outbox."""
    yield judge_published(pipeline, policy)
    erasures, prunings = pipeline.erasures(), pipeline.prunings()
    try:
        meanwhile = Meanwhile(pipeline.lake, erasures, prunings)
        days = pipeline.sealed_days()
        genesis = pipeline.genesis()
        earlier = earlier_logs(pipeline.lake, genesis) if genesis else []
    except LumiError as error:
        yield failure("lake", error)
        return

    def chosen(days: Sequence[date]) -> list[date]:
        return [day for day in days if (first is None or day >= first) and (last is None or day <= last)]

    for log, pinned in reversed(earlier):
        try:
            of_before = verify_earlier(pipeline.lake, log, pinned)
        except LumiError as error:
            yield failure(log.origin, error)
            continue
        line = f"{log.origin}, {pinned.size} entries, {of_before[0]} to {of_before[-1]}: as this log's genesis pins it."
        yield Verdict(log.origin, Status.VERIFIED, "ok", (line,))
        yield from _judge_days(pipeline, log, chosen(of_before), meanwhile)
        days = [*of_before, *days]
    if genesis is not None:
        own = chosen([day for day in days if day >= genesis.first_day])
        yield from _judge_days(pipeline, genesis, own, meanwhile)
    if (first or last) and not chosen(days):
        yield Verdict("lake", Status.INCOMPLETE, "no-days", ("No day of that period is sealed.",))
    yield from verify_folders(pipeline.lake, genesis)
    verdicts = [*verify_erasures(erasures), *verify_prunings(prunings)]
    if any(verdict.status is not Status.VERIFIED for verdict in verdicts) and meanwhile.went_on():
        verdicts = [*verify_erasures(erasures), *verify_prunings(prunings)]
    yield from verdicts

    def landed(sealed: DayTenants | None) -> Verdict:
        return verify_landings(pipeline.lake, sealed, erasures)

    yield _on_what_is_sealed(pipeline, "landings", landed, meanwhile)
    with progress("Outbox", "events") as meter:
        yield _on_what_is_sealed(
            pipeline,
            "outbox",
            lambda sealed: verify_outbox(pipeline.outbox, pipeline.lake, sealed, erasures, meter.advance),
            meanwhile,
        )


def _on_what_is_sealed(
    pipeline: Pipeline, subject: str, check: Callable[[DayTenants | None], Verdict], meanwhile: Meanwhile
) -> Verdict:
    """Check what builds on the last sealed day: once more when a day was sealed or rows were erased meanwhile."""
    try:
        before = pipeline.lake_days()
        verdict = check(load_sealed_day(pipeline.lake, before[-1]).tenants if before else None)
        if verdict.status is Status.VERIFIED:
            return verdict
        went_on, after = meanwhile.went_on(), pipeline.lake_days()
        if after == before and not went_on:
            return verdict
        return check(load_sealed_day(pipeline.lake, after[-1]).tenants if after else None)
    except LumiError as error:
        return failure(subject, error)


def judge_published(pipeline: Pipeline, policy: Policy | None) -> Verdict:
    """Recompute everything public from the log's entries; without a policy nothing confirms whose log it is."""
    store = pipeline.lake.store
    try:
        if not any(
            True for prefix in ("log/", "log-private/commits/", "log-private/cosigned/") for _ in store.list(prefix)
        ):
            return Verdict("log", Status.INCOMPLETE, "unpublished", ("Nothing was published yet.",))
        trusted = policy or claimed_keys(lambda path: store.get(f"log/{path}"))
    except LumiError as error:
        return failure("log", error)
    with progress("Log", "entries") as meter:
        verdict = verify_published(pipeline.lake, trusted, meter.reach)
    if policy is None and verdict.status is Status.VERIFIED:
        return unconfirmed(verdict, trusted.log_keys[-1])
    return verdict


def _judge_days(pipeline: Pipeline, genesis: Genesis, days: Sequence[date], meanwhile: Meanwhile) -> Iterator[Verdict]:
    if not days:
        return
    compute = open_compute(pipeline.config.compute)
    sealer = Sealer(pipeline.lake, genesis, pipeline.clock, meanwhile.erasures, meanwhile.prunings)
    with progress("Days", "events") as meter:
        if isinstance(compute, Inline):
            yield from verify_days(pipeline.lake, sealer, genesis, days, meter.advance, meanwhile=meanwhile)
        else:
            address = LakeAddress.of(pipeline.config)
            yield from verify_days_apart(
                compute, address, genesis, sealer, days, progress=meter.advance, meanwhile=meanwhile
            )
