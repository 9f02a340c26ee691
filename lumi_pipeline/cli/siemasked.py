"""What the commands of ``lumi siem`` are asked about: destinations by name, and periods."""

import difflib
from datetime import date
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.options import Given

if TYPE_CHECKING:
    from lumi_pipeline.siem.account import Period
    from lumi_pipeline.siem.exports import Exports


def exports_of(given: Given) -> "Exports":
    """Open the destinations of the configuration."""
    from lumi_pipeline.siem.exports import Exports

    return Exports(given.pipeline())


def chosen(exports: "Exports", names: tuple[str, ...]) -> list[str]:
    """The destinations that were named, or all; an unknown one is an error that says what there is."""
    return [exports.settings(name).name for name in names] or exports.names or [exports.settings("").name]


def read_period(exports: "Exports", name: str, first: date | None, last: date | None, tenant: str | None) -> "Period":
    """The period that was asked for; by default from where the destination begins until today."""
    from lumi_pipeline.siem.account import Period

    today = exports.clock().date()
    begin = first or exports.begin(name)
    end = last or max(today, begin)
    if end < begin:
        raise click.UsageError(f"the period would end on {end}, before it begins on {begin}")
    if end > today:
        raise click.UsageError(
            f"the period would end on {end}, but today is {today}: nothing is recorded after that yet"
        )
    if tenant is not None and tenant not in exports.source.cursors:
        # An account of nothing would say that nothing is missing.
        known = difflib.get_close_matches(tenant[:100], exports.source.cursors, n=1, cutoff=0.0)
        meant = f"; did you mean {known[0]!r}?" if known else ""
        raise click.UsageError(f"no event of a tenant {tenant[:100]!r} was landed{meant}")
    return Period(begin, end, tenant)
