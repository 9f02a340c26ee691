"""``lumi landing rebase``: accept a restored database after checking it."""

from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import ExitCode, Stop, VerifyingCommand, examples
from lumi_pipeline.cli.options import Given, config_option, json_option
from lumi_pipeline.cli.output import count, note, say, say_json, say_pairs, say_table
from lumi_pipeline.cli.progress import progress
from lumi_pipeline.errors import ForkedOutbox

if TYPE_CHECKING:
    from lumi_pipeline.rebase import RebaseReport
    from lumi_pipeline.rebasing import Finding, Findings

_SHOWN = 20
"""Tenants that are listed by name."""

_FINDS = {
    "new": "never landed",
    "same": "as landed",
    "ahead": "as landed, with new events",
    "behind": "landed events are missing",
    "forked": "other events where some were landed",
    "head-missing": "the chain has no head",
    "head-altered": "the head contradicts the events",
    "started-anew": "the chain was started anew",
}


@click.group(epilog=examples("lumi landing rebase"))
def landing() -> None:
    """Help landing over a database that was restored."""


@landing.command(
    cls=VerifyingCommand,
    epilog=examples(
        "lumi landing rebase",
        'lumi landing rebase --accept --reason "restored the dump of 03:00, ticket OPS-7"',
        'lumi landing rebase --accept --rerecord --reason "the same; events were recorded since"',
    ),
)
@click.option("--accept", is_flag=True, help="Make the database agree with what was landed, and go on from it.")
@click.option("--reason", metavar="TEXT", help="Why, in words that an auditor can read; needed to accept.")
@click.option("--rerecord", is_flag=True, help="Allow events that took the place of landed ones to be recorded again.")
@config_option
@json_option
@click.pass_context
def rebase(ctx: click.Context, /, accept: bool, reason: str | None, rerecord: bool, as_json: bool) -> None:
    """Compare a restored database with everything landed from it, and accept it.

    Without --accept nothing is changed. Accepting closes sealed days again, puts landed events back that the database
    has lost, and, with --rerecord, moves events that were recorded in their place behind them, keeping the originals as
    evidence in the lake. Repairs need the owner of the tables. It becomes an event of the operator's own tenant. It can
    be repeated, also after an interruption.

    Exit codes: 0 nothing to do, acceptable as it is, or accepted; 1 action is needed; 2 usage; 3 could not complete.
    """
    given: Given = ctx.obj
    if accept and not (reason or "").strip():
        raise click.UsageError("--accept needs a --reason that an auditor can read")
    if not accept and (reason is not None or rerecord):
        raise click.UsageError("--reason and --rerecord say how to --accept; without it nothing is changed")
    rebaser = given.pipeline().rebaser()
    if accept:
        try:
            with progress("Comparing the outbox", "events") as meter:
                report = rebaser.accept(str(reason), rerecord=rerecord, progress=meter.advance)
        except ForkedOutbox as error:
            raise Stop(str(error), ExitCode.FAILURE) from None
        _show_report(report, as_json=as_json)
        return
    with progress("Comparing the outbox", "events") as meter:
        findings = rebaser.check(meter.advance)
    interrupted = rebaser.is_interrupted(findings)
    needed = interrupted or not findings.is_acceptable
    if as_json:
        say_json({**_findings(findings), "interrupted": interrupted})
    else:
        _say_findings(findings)
        _say_next(findings, interrupted=interrupted)
    ctx.exit(ExitCode.FAILURE if needed else ExitCode.SUCCESS)


def _say_findings(findings: "Findings") -> None:
    system = "another than was landed last" if findings.other_system else "the one landed last"
    closed = f"every day before {findings.closed_before:%Y-%m-%d}"
    say_pairs(
        [
            ("database", f"{findings.system_id} ({system if findings.landed_system else 'nothing was landed yet'})"),
            ("closed", f"{closed}, but {findings.sealed} is sealed" if findings.days_open else closed),
        ]
    )
    if findings.counts:
        say()
        rows = [
            (
                count(number, "tenant"),
                kind.value,
                sum(f.missing for f in findings.tenants if f.kind is kind),
                sum(f.forked for f in findings.tenants if f.kind is kind),
                sum(f.new for f in findings.tenants if f.kind is kind),
                _FINDS[kind.value],
            )
            for kind, number in sorted(findings.counts.items())
        ]
        say_table(("tenants", "state", "missing", "forked", "new", "meaning"), rows)
    for found in findings.repairs[:_SHOWN]:
        say(f"  {_described(found)}")
    if len(findings.repairs) > _SHOWN:
        say(f"  … and {len(findings.repairs) - _SHOWN:,} more tenants; --json lists them all")


def _described(found: "Finding") -> str:
    parts = [f"{found.tenant_id}: {_FINDS[found.kind.value]}; landed up to seq {found.landed}"]
    if found.missing:
        parts.append(f"{count(found.missing, 'event')} missing from seq {found.first} on")
    if found.forked:
        parts.append(f"{count(found.forked, 'event')} in their place from seq {found.first} on")
    return ", ".join(parts)


def _say_next(findings: "Findings", *, interrupted: bool) -> None:
    say()
    if interrupted:
        say("A rebase was interrupted. Complete it: lumi landing rebase --accept --reason TEXT")
    elif findings.is_accepted:
        say("Nothing to do: lumi land goes on from here.")
    elif findings.forks:
        say("Accept it, and record again what took the place of landed events:")
        say("  lumi landing rebase --accept --rerecord --reason TEXT")
    elif findings.is_acceptable:
        say("It can be accepted as it is: lumi landing rebase --accept --reason TEXT")
    else:
        say("Accept it, and let it be repaired: lumi landing rebase --accept --reason TEXT")


def _show_report(report: "RebaseReport", *, as_json: bool) -> None:
    put_back = sum(mended.put_back for mended in report.mended)
    taken_out = sum(mended.taken_out for mended in report.mended)
    recorded = sum(mended.recorded for mended in report.mended)
    known = sum(mended.known for mended in report.mended)
    unfit = sum(mended.unfit for mended in report.mended)
    if as_json:
        say_json(
            {
                **_findings(report.findings),
                "known": known,
                "number": report.number,
                "put_back": put_back,
                "recorded": recorded,
                "resumed": report.resumed,
                "taken_out": taken_out,
                "unfit": unfit,
            }
        )
        return
    if report.number is None:
        say("Nothing to do: lumi land goes on from here.")
        return
    if report.resumed:
        note("This completes a rebase that was interrupted; its reason stays the one given then.")
    say(f"Rebase {report.number}: {count(len(report.mended), 'tenant')} repaired, {count(put_back, 'event')} put back.")
    if taken_out:
        say(
            f"{count(taken_out, 'event')} had taken the place of landed ones: {recorded:,} recorded again, "
            f"{known:,} landed under the same id, {unfit:,} not well-formed. "
            f"All are kept in rebases/{report.number:012d}/."
        )
    say("The database is accepted: lumi land goes on from here.")


def _findings(findings: "Findings") -> dict[str, object]:
    return {
        "closed_before": findings.closed_before.isoformat(),
        "counts": {kind.value: number for kind, number in sorted(findings.counts.items())},
        "days_open": findings.days_open,
        "landed_system": findings.landed_system,
        "other_system": findings.other_system,
        "system_id": findings.system_id,
        "tenants": [
            {
                "first": found.first,
                "forked": found.forked,
                "kind": found.kind.value,
                "landed": found.landed,
                "missing": found.missing,
                "new": found.new,
                "tenant": found.tenant_id,
            }
            for found in findings.repairs
        ],
    }
