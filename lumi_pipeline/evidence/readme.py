"""``README.txt``: what an auditor finds first in a bundle, and has to understand without a programmer."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from importlib.metadata import version
from typing import Final

from lumi_pipeline.evidence.period import Asked
from lumi_pipeline.evidence.rowstream import QUERY
from transparency.checkpoint import Checkpoint
from transparency.encoding import format_timestamp

_TEXT: Final = """\
AUDIT EVIDENCE
==============

Tenant      {tenant}
Period      {first} to {last} (UTC days, both included)
Events      {rows:,}, all of the tenant's events in these days; nothing was filtered out
Log         {origin}, {size:,} entries
Made        {at} by run {run}
            with {software}, Python {python}

What this is
------------
events.csv holds every event that was recorded for this tenant in this period, one a row. The other files prove
two things about it, to anybody and without asking anybody: that NO ROW IS MISSING, and that NO ROW WAS ALTERED
since its day was sealed. Days without events are proved as well: the log holds a signed record of zero events.

An event belongs to the day on which it was recorded (recorded_at). occurred_at is what the application said,
and may lie on another day.

How to check it
---------------
You need the public key of the log, a line that begins with "{origin}+". Get it from somewhere else
than this folder: from the contract, from the log's public page, from earlier evidence. The file log.vkey is
only there to compare. Its fingerprint is
    {fingerprint}
Without a key from elsewhere you learn that the files fit each other, but not who made them.

Any one of these is enough; they share no code:

1. In a browser. Open verify.html (double-click). It needs no network and sends nothing anywhere. Paste the key,
   and drop this folder, or the ZIP file, on the page.
2. With Python, on any computer that has it:
       pip install pynacl
       python verify.py --key "THE KEY"
   verify.py is one short file, which a programmer can read in half an hour.
3. With lumi-pipeline:
       lumi verify . --key "THE KEY"

Whoever made this folder could have put other verifiers into it. Take verify.html or verify.py from somewhere else
as well (the software's public source, or a folder that you checked before), and keep yours for the next time.

What the answer means
---------------------
"Verified"            The rows are complete and unaltered, as committed to by the log that this key signs.
"Key unconfirmed"     Everything fits together, but no key was given, so anybody could have made it.
"Does not verify"     Something was changed, is missing or was added. The reason and the row are named.
"Declared break"      The rows are as they were sealed, and the operator declared then that the chain of events
                      was not whole on these days. It is a finding; ask what happened.

If a spreadsheet program opened events.csv and SAVED it, the file is another one, and you will be told so: get a
fresh copy. Looking at it does no harm. In cells that begin with ' the program put that mark there, so that
nothing is taken for a formula; it is not part of the value.

What this does not prove
------------------------
That everything that happened was recorded in the first place, and that what the application said is true. From
which moment on a day's rows were fixed is shown by the delay that the verifiers print: the time until a witness
who is not the operator signed for them. Without a witness, nobody but the operator vouches for that time.

What lies here
--------------
events.csv      the events. Hashes are hexadecimal; an empty cell is "no value", two quotes are "empty text"
evidence.json   the proofs
SHA256SUMS      checksums of these files (sha256sum -c SHA256SUMS), signed in SHA256SUMS.sig
log.vkey        the log's public key, for comparison
verify.html     the verifier for browsers
verify.py       the verifier in Python

Where the rows come from
------------------------
For each day, from the sealed Parquet files that the day's manifest lists (the checksum of each one that was read
was compared), the rows of
    {query}
with $tenant = {tenant}

Rows by day
-----------
"""


@dataclass(frozen=True, slots=True)
class DayCount:
    """How many rows a day has, or None where the tenant was not there yet; and its breaks."""

    day: date
    rows: int | None
    breaks: int


@dataclass(frozen=True, slots=True)
class Run:
    """The run that made a bundle."""

    identifier: str
    at: datetime


def readme(asked: Asked, run: Run, checkpoint: Checkpoint, fingerprint: str, days: Sequence[DayCount]) -> bytes:
    """Return the text of ``README.txt``; ``fingerprint`` is that of the log's key as the producer states it."""
    rows = sum(day.rows or 0 for day in days)
    broken = [day for day in days if day.breaks]
    software = ", ".join(f"{name} {version(name)}" for name in ("lumi-pipeline", "duckdb", "pyarrow"))
    text = _TEXT.format(
        tenant=asked.tenant_id,
        first=asked.first,
        last=asked.last,
        rows=rows,
        origin=checkpoint.origin,
        size=checkpoint.size,
        at=format_timestamp(run.at),
        run=run.identifier,
        software=software,
        python=platform.python_version(),
        fingerprint=fingerprint,
        query=QUERY,
    )
    lines = [f"{day.day}  {_described(day)}" for day in days]
    total = f"Total       {rows:>12,} rows in {len(days):,} day{'' if len(days) == 1 else 's'}"
    if broken:
        total += f"; {sum(day.breaks for day in broken):,} declared breaks on {len(broken):,} of them"
    return (text + "\n".join([*lines, total]) + "\n").encode()


def _described(day: DayCount) -> str:
    if day.rows is None:
        return f"{'-':>12}  not a tenant yet"
    found = f"{day.rows:>12,} rows"
    return f"{found}, {day.breaks:,} declared breaks" if day.breaks else found
