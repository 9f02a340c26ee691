"""One line for people about each step; steps log it, and ``python -m assets`` prints it."""

from lumi_pipeline.analytics import BuildReport
from lumi_pipeline.cli.output import count, rate, size
from lumi_pipeline.evidence.monthly import MonthReport
from lumi_pipeline.landing import LandingReport
from lumi_pipeline.publishing import PublishReport
from lumi_pipeline.sealing import SealReport
from lumi_pipeline.witnessing import Cosigning
from transparency.encoding import b64encode


def landed(report: LandingReport) -> str:
    """What a landing brought in."""
    broken = f"; {count(len(report.breaks), 'break')} in their chains" if report.breaks else ""
    return (
        f"landed {count(report.rows, 'event')} of {count(report.tenants, 'tenant')}, {size(report.size)} "
        f"in {rate(report.rows, report.seconds)}{broken}"
    )


def sealed(report: SealReport) -> str:
    """What a day consists of, and whether it was sealed now."""
    done = "sealed" if report.fresh else "verified"
    broken = f", {count(len(report.breaks), 'acknowledged break')}" if report.breaks else ""
    return (
        f"{done} {report.day}: {count(report.rows, 'event')} of {count(report.tenants, 'tenant')}{broken}, "
        f"{size(report.size)} in {rate(report.rows, report.seconds)}"
    )


def published(report: PublishReport) -> str:
    """How far the log has come."""
    if not report.days:
        done = "published nothing new"
    else:
        period = f"{report.days[0]} to {report.days[-1]}" if len(report.days) > 1 else str(report.days[0])
        done = f"published {count(len(report.days), 'day')} ({period})"
    return f"{done}: the log has {count(report.size, 'entry', 'entries')}, root {b64encode(report.root)}"


def evidence(report: MonthReport) -> str:
    """How many bundles of a month there are, and how many of them were made now."""
    fresh = sum(bundle.fresh for bundle in report.bundles)
    failed = f", {count(len(report.failed), 'tenant')} failed" if report.failed else ""
    verified = len(report.bundles) - fresh
    return f"evidence of {report.month:%Y-%m}: {count(fresh, 'bundle')} made, {verified:,} verified again{failed}"


def cosigned(report: Cosigning) -> str:
    """Who has signed a checkpoint, and why others have not."""
    away = "".join(f"\n{reply.witness}: {reply.problem}" for reply in report.replies if reply.problem)
    return f"{count(report.size, 'entry', 'entries')} cosigned by {', '.join(report.cosigned_by) or 'nobody'}{away}"


def built(report: BuildReport) -> str:
    """What the analyst database holds, and what of it was read now."""
    read = (
        f"{count(len(report.rebuilt), 'day')} and {count(report.rows, 'event')} read" if report.changed else "no news"
    )
    return f"analyst database: {count(report.events, 'event')}, {size(report.size)}; {read} in {report.seconds:.1f} s"
