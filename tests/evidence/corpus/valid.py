"""Bundles with nothing wrong in them, and those whose only fault is what the reader brings or the operator declares."""

from collections.abc import Iterator
from datetime import date

from tests.evidence.corpus.bundle import TO, bundle
from tests.evidence.corpus.case import EVIDENCE_PINNED, Case, valid, zipped
from tests.evidence.corpus.csvfile import events_csv
from tests.evidence.corpus.events import HOSTILE
from tests.evidence.corpus.signing import Key
from tests.evidence.corpus.world import ORIGIN, Chain, World, standard


def cases() -> Iterator[Case]:
    world = standard().publish()
    plain = bundle(world)
    yield valid("plain", "four days of a tenant, one of them idle", plain)
    yield valid("evidence-key-given", "the reader brings the evidence key too", plain, *EVIDENCE_PINNED)
    yield valid("from-the-start", "from the tenant's first event on", bundle(world, start=date(2026, 10, 30)))
    yield valid("begins-in-period", "a tenant whose first event is on the second day", bundle(world, "globex"))
    yield valid("absence-only", "who never was a tenant", bundle(world, "initech"))
    yield valid("one-day", "one day with events", bundle(world, start=TO, end=TO))
    idle = date(2026, 11, 2)
    yield valid("one-idle-day", "one day without events", bundle(world, start=idle, end=idle))
    whole = bundle(world, start=date(2026, 10, 30), end=date(2026, 11, 6))
    yield valid("whole-log", "all days that the log has", whole)
    hostile = World([Chain("acme", (1, 1, 9, 0, len(HOSTILE) - 9), columns=[{}, {}, *HOSTILE])]).publish()
    yield valid("hostile-text", "texts that stumble readers of CSV, spreadsheets and hashes", bundle(hostile))
    yield Case("zip", "the same files in a ZIP file", 0, "ok", archive=zipped(plain.files()))
    quoted = plain.copy()
    quoted.csv = events_csv(plain.rows, quote_all=True)
    yield valid("all-quoted", "a writer that puts every cell but nulls in quotes", quoted)
    yield Case("no-key", "the reader brings nothing", 3, "key-unconfirmed", (), plain.files())
    wrong = Key(ORIGIN, seed="another log of this name").vkey
    yield Case("wrong-key", "a key of this name that did not sign", 1, "checkpoint-signature", (wrong,), plain.files())
    other = Key("audit.example.com/another").vkey
    yield Case("key-of-another-log", "the reader trusts another log", 1, "checkpoint-origin", (other,), plain.files())
