"""Attacks on an evidence bundle, up to those of somebody who holds the evidence key."""

import csv
import hashlib
import io
from collections.abc import Callable
from typing import Final

import pyarrow as pa

from lumi_pipeline.drill.attack import Area, Attack
from lumi_pipeline.drill.checks import BUNDLE
from lumi_pipeline.drill.rows import (
    Edit,
    add_row,
    change_cell,
    change_payload,
    change_tenant,
    cut_tail,
    delete_row,
    duplicate_row,
    swap_rows,
)
from lumi_pipeline.drill.scratch import Trial
from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.evidence.bundlefiles import EVENTS, PROOFS, README, SIGNATURE, SUMMED, SUMS
from lumi_pipeline.evidence.cells import HEADER, LineWriter
from lumi_pipeline.evidence.csvblocks import read_events
from transparency.keys import SigningKey
from transparency.note import sign_note

_Act = Callable[[Trial], None]


def _edited(edit: Edit) -> _Act:
    """Return the attack that edits the rows of ``events.csv``."""

    def act(trial: Trial) -> None:
        path = trial.bundle / EVENTS
        with path.open("rb") as file:
            rows = [row for table in read_events(file, path.stat().st_size) for row in table.to_pylist()]
        with LineWriter() as writer:
            lines = b"".join(writer.lines(pa.Table.from_pylist(edit(rows), schema=EVENT_SCHEMA)))
        trial.replace(path, HEADER + lines)

    return act


def _save_again(trial: Trial) -> None:
    """Open the CSV and save it, as a spreadsheet does: a byte order mark, quotes where it likes, other line ends."""
    path = trial.bundle / EVENTS
    rows = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
    saved = io.StringIO(newline="")
    csv.writer(saved, lineterminator="\n").writerows(rows)
    trial.replace(path, saved.getvalue().encode("utf-8-sig"))


def _readme(trial: Trial) -> None:
    path = trial.bundle / README
    trial.replace(path, path.read_bytes() + b"All of this was reviewed.\n")


def _proofs(trial: Trial) -> None:
    path = trial.bundle / PROOFS
    before, mark, record = path.read_bytes().partition(b'"tenant_record":"')
    trial.replace(path, before + mark + record.replace(b"\\nbreaks 0\\n", b"\\nbreaks 1\\n", 1))


def _summed(act: _Act, signer: Callable[[Trial], SigningKey] | None = None) -> _Act:
    """Return the attack that also computes the checksums anew, and signs them if it has a key."""

    def covered(trial: Trial) -> None:
        act(trial)
        sums = "".join(
            f"{hashlib.sha256((trial.bundle / name).read_bytes()).hexdigest()}  {name}\n" for name in sorted(SUMMED)
        )
        trial.replace(trial.bundle / SUMS, sums.encode())
        if signer is not None:
            trial.replace(trial.bundle / SIGNATURE, sign_note(sums, [signer(trial)]))

    return covered


def _stranger(trial: Trial) -> SigningKey:
    return SigningKey.generate(trial.keys.evidence.name)


def _attack(name: str, told: str, act: _Act) -> Attack:
    return Attack(f"evidence-{name}", Area.BUNDLE, told, act, (BUNDLE,))


ATTACKS: Final = (
    _attack("cell", "Another actor in one cell", _edited(change_cell)),
    _attack("payload", "Another payload in one cell", _edited(change_payload)),
    _attack("row-dropped", "A row left out", _edited(delete_row)),
    _attack("row-added", "A row added, with right hashes", _edited(add_row)),
    _attack("rows-swapped", "Two rows exchanged", _edited(swap_rows)),
    _attack("row-duplicated", "A row put in twice", _edited(duplicate_row)),
    _attack("tail-cut", "The last two rows left out", _edited(cut_tail)),
    _attack("foreign-row", "A row of another tenant", _edited(change_tenant)),
    _attack("saved-again", "Opened in a spreadsheet and saved", _save_again),
    _attack("proofs", "A break made up in the tenant's record", _proofs),
    _attack("readme", "A sentence added to the README", _readme),
    _attack("re-summed", "The same, and the checksums computed anew", _summed(_readme)),
    _attack("re-signed", "The same, and signed with another key of the same name", _summed(_readme, _stranger)),
    _attack(
        "insider",
        "A cell changed, checksums computed anew, signed with the evidence key itself",
        _summed(_edited(change_cell), lambda trial: trial.keys.evidence),
    ),
)
