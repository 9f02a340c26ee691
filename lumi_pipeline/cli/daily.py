"""``lumi run`` and its steps one by one: ``land``, ``seal``, ``publish``."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.analyst import build_json, build_line, build_shown
from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import DAY, Given, config_option, json_option
from lumi_pipeline.cli.output import count, note, rate, say, say_json, size
from lumi_pipeline.cli.progress import progress
from lumi_pipeline.cli.siemshow import delivery_json, say_delivery
from lumi_pipeline.cli.witness import cosigning_json, say_cosigning
from lumi_pipeline.errors import LumiError
from transparency.encoding import b64encode

if TYPE_CHECKING:
    from lumi_pipeline.analytics import BuildReport
    from lumi_pipeline.chain import Break
    from lumi_pipeline.landing import LandingReport
    from lumi_pipeline.pipeline import Pipeline
    from lumi_pipeline.publishing import PublishReport
    from lumi_pipeline.runreport import RunReport
    from lumi_pipeline.sealing import SealReport
    from lumi_pipeline.siem.rounds import Round


@click.command(cls=Command, epilog=examples("lumi run", "lumi run --through 2026-11-21 --json"))
@click.option("--through", type=DAY, help="The last day to seal; default: the last complete one.")
@config_option
@json_option
@click.pass_obj
def run(given: Given, through: date | None, as_json: bool) -> None:
    """Land, seal and publish every complete day not yet done, then everything that is made from it.

    Destinations and feeds are sent what they are to get, and the analyst database is brought up to date. Whatever was
    missed is caught up with, in order; what is done already is left alone. What a destination does not take now waits
    for the next run, and is told. When a day can't be sealed or published, all this is done with what was landed.
    """
    pipeline = given.pipeline()
    seals: list[SealReport] = []
    with progress("Sealing days", "days") as meter:

        def sealed(report: "SealReport") -> None:
            seals.append(report)
            meter.advance(1)

        try:
            report = pipeline.run(through, sealed)
        except LumiError:
            # What was done before the failure stays done, so it is told before the failure is.
            for line in _seal_lines(seals):
                note(line)
            _go_on_all_the_same(pipeline)
            raise
    sent = _deliver(pipeline)
    built, failure = _build(pipeline)
    if as_json:
        publication = report.publication
        say_json(
            {
                "analyst": build_json(built) if built else {"error": str(failure)},
                "deliveries": {done.name: _delivery(done) for done in sent},
                "landing": _landing(report.landing),
                "publication": None if publication is None else _publication(publication),
                "seals": [_seal(one) for one in report.seals],
                "seconds": round(report.seconds, 3),
            }
        )
    else:
        _say_run(report, sent)
        if built:
            say(build_line(built))
    if failure is not None:
        raise failure


def _say_run(report: "RunReport", sent: "list[Round]") -> None:
    _say_landing(report.landing)
    for line in _seal_lines(report.seals):
        say(line)
    if not report.seals:
        say("No complete day was waiting to be sealed.")
    if report.publication is not None:
        _say_publication(report.publication)
    for done in sent:
        if done.delivery is not None:
            say_delivery(done.delivery)
        else:
            _note_trouble(done)


def _build(pipeline: "Pipeline") -> "tuple[BuildReport | None, LumiError | None]":
    """Bring the analyst database up to date; where that fails, all else was done and is told first."""
    try:
        return build_shown(pipeline), None
    except LumiError as error:
        return None, error


def _go_on_all_the_same(pipeline: "Pipeline") -> None:
    """Do what waits for no seal and no witness, although the command ends with a failure."""
    try:
        for done in _deliver(pipeline):
            _note_trouble(done)
    except LumiError as error:
        note(f"delivery: {error}")
    _, failure = _build(pipeline)
    if failure is not None:
        note(str(failure))


def _note_trouble(done: "Round") -> None:
    if done.error or done.held:
        note(f"{done.name}: {done.error or done.held}")


def _deliver(pipeline: "Pipeline") -> "list[Round]":
    """Publish feeds, plan and deliver; of each destination what happened last."""
    if not pipeline.config.destinations and not pipeline.config.feeds:
        return []
    from lumi_pipeline.siem.exports import Exports
    from lumi_pipeline.siem.feed import publish_feeds
    from lumi_pipeline.siem.rounds import deliver_all, plan_all

    exports = Exports(pipeline)
    for tenant, reason in publish_feeds(exports.source, pipeline.config.feeds).failed.items():
        note(f"feed of {tenant}: {reason}")
    unplanned = {done.name: done for done in plan_all(exports) if done.error}
    return [unplanned.get(done.name, done) for done in deliver_all(exports, timedelta(0))]


def _delivery(done: "Round") -> dict[str, object]:
    if done.delivery is not None:
        return delivery_json(done.delivery)
    return {"error": done.error, "held": done.held}


@click.command(cls=Command, epilog=examples("lumi land"))
@config_option
@json_option
@click.pass_obj
def land(given: Given, as_json: bool) -> None:
    """Read and verify what the outbox gained.

    What was found is kept as it is, broken chains included; those are reported here and stop the seal of their day.
    """
    with progress("Landing", "events"):
        report = given.pipeline().land()
    if as_json:
        say_json(_landing(report))
    else:
        _say_landing(report)


@click.command(cls=Command, epilog=examples("lumi seal", "lumi seal --day 2026-11-21"))
@click.option("--day", type=DAY, help="One day, which must be next in order; a sealed day is verified instead.")
@config_option
@json_option
@click.pass_obj
def seal(given: Given, day: date | None, as_json: bool) -> None:
    """Seal the complete days that are not sealed yet, or one day.

    A day that is sealed already is recomputed from its stored bytes; nothing of it is written again.
    """
    pipeline = given.pipeline()
    days = pipeline.missing_days() if day is None else [day]
    reports: list[SealReport] = []
    with progress("Sealing days", "days", len(days)) as meter:

        def sealed() -> Iterator["SealReport"]:
            for report in pipeline.seal(days):
                meter.advance(1)
                reports.append(report)
                yield report

        for line in _seal_lines(sealed()):
            if not as_json:
                say(line)
    if as_json:
        say_json({"seals": [_seal(report) for report in reports]})
    elif not reports:
        say("No complete day is waiting to be sealed. What was never landed is not known yet: lumi land")


@click.command(cls=Command, epilog=examples("lumi publish"))
@config_option
@json_option
@click.pass_obj
def publish(given: Given, as_json: bool) -> None:
    """Append the sealed days to the public log.

    They come under one signed checkpoint, and what a crashed run left unfinished is finished.
    """
    report = given.pipeline().publish()
    if as_json:
        say_json(_publication(report))
    else:
        _say_publication(report)


def _say_landing(report: "LandingReport") -> None:
    if report.number is None:
        say("Nothing new in the outbox.")
        return
    events, tenants = count(report.rows, "event"), count(report.tenants, "tenant")
    say(f"Landing {report.number}: {events} of {tenants}, {size(report.size)} in {rate(report.rows, report.seconds)}.")
    if report.breaks:
        note(f"The chains are broken in {count(len(report.breaks), 'place')}; their days will not be sealed like this:")
        _note_breaks(report.breaks)


def _seal_lines(reports: Iterable["SealReport"]) -> Iterator[str]:
    """Say what became of each day, as soon as it is known; a stretch of idle days is told in one line."""
    for idle, group in groupby(reports, lambda report: report.fresh and not report.rows and not report.breaks):
        if not idle:
            yield from map(_seal_line, group)
            continue
        stretch = list(group)
        first, last = stretch[0], stretch[-1]
        if first is last:
            yield _seal_line(first)
        else:
            days = count(len(stretch), "day")
            yield f"{first.day} to {last.day} sealed: {days} without events; entries {first.index} to {last.index}."


def _seal_line(report: "SealReport") -> str:
    events, tenants = count(report.rows, "event"), count(report.tenants, "tenant")
    done = "sealed" if report.fresh else "is sealed, verified again"
    broken = f", {count(len(report.breaks), 'break')}" if report.breaks else ""
    return (
        f"{report.day} {done}: {events} of {tenants}{broken}, {size(report.size)} in "
        f"{rate(report.rows, report.seconds)}; entry {report.index}."
    )


def _say_publication(report: "PublishReport") -> None:
    if report.days:
        period = f"{report.days[0]} to {report.days[-1]}" if len(report.days) > 1 else str(report.days[0])
        say(f"Published {count(len(report.days), 'day')} ({period}).")
    else:
        say("Every sealed day is published.")
    say(f"The log has {count(report.size, 'entry', 'entries')}, root {b64encode(report.root)}.")
    if report.cosigning is not None:
        say_cosigning(report.cosigning)
        if not report.cosigning.quorum_met:
            note(f"Published without the policy's quorum ({report.cosigning.quorum}); try again: lumi witness submit")


def _note_breaks(breaks: "Sequence[Break]") -> None:
    for one in breaks:
        note(f"  {one}")


def _landing(report: "LandingReport") -> dict[str, object]:
    return {
        "breaks": _breaks(report.breaks),
        "bytes": report.size,
        "days": {day.isoformat(): rows for day, rows in sorted(report.days.items())},
        "number": report.number,
        "rows": report.rows,
        "seconds": round(report.seconds, 3),
        "tenants": report.tenants,
    }


def _seal(report: "SealReport") -> dict[str, object]:
    return {
        "breaks": _breaks(report.breaks),
        "bytes": report.size,
        "day": report.day.isoformat(),
        "files": report.files,
        "fresh": report.fresh,
        "index": report.index,
        "manifest_sha256": report.manifest_sha256,
        "map_root": b64encode(report.map_root),
        "rows": report.rows,
        "seconds": round(report.seconds, 3),
        "tenants": report.tenants,
    }


def _publication(report: "PublishReport") -> dict[str, object]:
    return {
        "checkpoint": report.checkpoint,
        "cosigning": None if report.cosigning is None else cosigning_json(report.cosigning),
        "days": [day.isoformat() for day in report.days],
        "root": b64encode(report.root),
        "seconds": round(report.seconds, 3),
        "size": report.size,
    }


def _breaks(breaks: "Sequence[Break]") -> list[dict[str, object]]:
    return [
        {"expected": b.expected, "found": b.found, "kind": b.kind.value, "seq": b.seq, "tenant": b.tenant_id}
        for b in breaks
    ]
