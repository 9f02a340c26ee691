"""Bundles with nothing wrong in them, and those whose only fault is what the reader brings."""

from collections.abc import Iterator
from datetime import date

from tests.evidence.corpus.bundle import TO, bundle
from tests.evidence.corpus.case import EVIDENCE_PINNED, PINNED, Case, valid, zipped
from tests.evidence.corpus.csvfile import events_csv
from tests.evidence.corpus.events import HOSTILE, erased
from tests.evidence.corpus.primitives import EMPTY, b64
from tests.evidence.corpus.signing import COSIGNATURE, Key
from tests.evidence.corpus.world import (
    EVIDENCE_KEY,
    LOG_KEY,
    ORIGIN,
    OTHER_WITNESS,
    WITNESS,
    Chain,
    World,
    chains,
    standard,
)

NEW_LOG_KEY = Key(ORIGIN, seed="the log's second key")
NEW_EVIDENCE_KEY = Key(EVIDENCE_KEY.name, seed="the second evidence key")


def cases() -> Iterator[Case]:
    yield from _periods()
    yield from _texts()
    yield from _keys()
    yield from _evidence_keys()
    yield from _rotated()
    yield from _witnessed()


def _periods() -> Iterator[Case]:
    world, first = standard(), date(2026, 10, 30)
    yield valid("plain", "four days of a tenant, one of them idle", bundle(world))
    yield valid("from-the-start", "from the tenant's first event on", bundle(world, start=first))
    yield valid("begins-in-period", "a tenant whose first event is on the second day", bundle(world, "globex"))
    yield valid("absence-only", "who never was a tenant", bundle(world, "initech"))
    yield valid("one-day", "one day with events", bundle(world, start=TO, end=TO))
    yield valid("one-idle-day", "one day without", bundle(world, start=date(2026, 11, 2), end=date(2026, 11, 2)))
    yield valid("whole-log", "all days that the log has", bundle(world, start=first, end=date(2026, 11, 6)))
    yield valid("first-day-alone", "the first day of the log", bundle(world, start=first, end=first))
    alone = World([Chain("acme", (2, 3))], days=2).publish()
    yield valid("only-tenant", "the only tenant of the log", bundle(alone, start=first, end=date(2026, 10, 31)))
    empty = World([], days=2).publish()
    yield valid("no-tenants", "a log without tenants", bundle(empty, start=first, end=date(2026, 10, 31)))
    number = World(
        chains(),
        origin="2026",
        log_keys=(Key("2026"),),
        evidence_key=Key("2026/evidence"),
        witnesses=(Key("7", COSIGNATURE),),
    ).publish()
    keys = (Key("2026").vkey, Key("7", COSIGNATURE).vkey)
    yield valid("log-of-digits", "a log and a witness whose names are numbers", bundle(number), *keys)
    successor = World(chains(), previous=f"previous audit.example.org/old 17 {b64(EMPTY)}\n").publish()
    yield valid("successor", "a log that succeeds another one", bundle(successor))


def _texts() -> Iterator[Case]:
    hostile = World([Chain("acme", (1, 1, 9, 0, len(HOSTILE) - 9), columns=[{}, {}, *HOSTILE])]).publish()
    yield valid("hostile-text", "texts that stumble readers of CSV, spreadsheets and hashes", bundle(hostile))
    plain = bundle(standard())
    quoted = plain.copy()
    quoted.csv = events_csv(plain.rows, quote_all=True)
    yield valid("all-quoted", "a writer that puts every cell but nulls in quotes", quoted)
    forgotten = plain.copy()
    forgotten.rows = [erased(row) if number % 2 else row for number, row in enumerate(plain.rows)]
    yield valid("payloads-erased", "every second payload was erased", forgotten)
    more = plain.files() | {"notes.txt": b"an auditor's own", ".DS_Store": b"\x00"}
    yield Case("other-files", "a folder in which somebody left other files", 0, "ok", files=more)
    files = plain.files()
    yield Case("zip", "the same files in a ZIP file", 0, "ok", archive=zipped(files))
    backwards = dict(sorted(files.items(), reverse=True))
    yield Case("zip-stored", "not compressed, in another order", 0, "ok", archive=zipped(backwards, method=0))
    yield Case(
        "zip-no-key", "a ZIP file, and the reader brings nothing", 3, "key-unconfirmed", (), archive=zipped(files)
    )


def _keys() -> Iterator[Case]:
    files = bundle(standard()).files()
    yield Case("no-key", "the reader brings nothing", 3, "key-unconfirmed", (), files)
    yield Case("evidence-key-given", "the evidence key too", 0, "ok", EVIDENCE_PINNED, files)
    yield Case("only-evidence-key", "the evidence key alone", 3, "key-unconfirmed", (EVIDENCE_KEY.vkey,), files)
    wrong = Key(ORIGIN, seed="another log of this name").vkey
    yield Case("wrong-key", "a key of this name that did not sign", 1, "checkpoint-signature", (wrong,), files)
    other = Key("audit.example.com/another").vkey
    yield Case("key-of-another-log", "the reader trusts another log", 1, "checkpoint-origin", (other,), files)
    yield Case("keys-of-two-logs", "the right key and another log's", 0, "ok", (other, *PINNED), files)
    wrong_too = (*PINNED, wrong)
    yield Case("right-and-wrong-key", "two keys of this name, one of which did not sign", 0, "ok", wrong_too, files)


def _evidence_keys() -> Iterator[Case]:
    def announce(day: int) -> World:
        def edit(number: int, lines: dict[str, str]) -> None:
            if number == day:
                lines["next-evidence-key"] = NEW_EVIDENCE_KEY.vkey

        return World(chains(), edit_day=edit).publish()

    within = bundle(announce(3))
    within.signers = (NEW_EVIDENCE_KEY,)
    yield valid("evidence-key-rotated", "signed with a key that a day of the bundle announces", within)
    within.signers = (EVIDENCE_KEY, NEW_EVIDENCE_KEY)
    yield valid("two-evidence-keys", "signed with the old key and the new one", within)
    before = bundle(announce(0))
    before.signers = (NEW_EVIDENCE_KEY,)
    yield valid(
        "evidence-key-brought",
        "a key announced earlier, which the reader brings",
        before,
        *PINNED,
        NEW_EVIDENCE_KEY.vkey,
    )
    yield Case("evidence-key-unknown", "the same, and the reader does not", 1, "evidence-key", PINNED, before.files())


def _rotated() -> Iterator[Case]:
    old, new = LOG_KEY.vkey, NEW_LOG_KEY.vkey

    def edit(number: int, lines: dict[str, str]) -> None:
        if number == 3:
            lines["next-key"] = new

    def rotated(*signers: Key) -> dict[str, bytes]:
        keys = (LOG_KEY, NEW_LOG_KEY)
        return bundle(World(chains(), log_keys=keys, signers=signers, edit_day=edit).publish()).files()

    both, after = rotated(LOG_KEY, NEW_LOG_KEY), rotated(NEW_LOG_KEY)
    yield Case("log-key-rotating", "the log signs with two keys, and both are pinned", 0, "ok", (old, new), both)
    yield Case("log-key-rotating-old", "the old one is pinned", 0, "ok", (old,), both)
    yield Case(
        "log-key-rotating-new", "the new one is pinned, and the genesis names the old", 1, "genesis-key", (new,), both
    )
    yield Case("log-key-rotated", "only the new key signs, and both are pinned", 0, "ok", (old, new), after)
    yield Case("log-key-rotated-old", "only the old one is pinned", 1, "checkpoint-signature", (old,), after)
    yield Case("log-key-rotated-new", "only the new one is pinned", 1, "genesis-key", (new,), after)
    yield Case("log-key-rotated-none", "nothing pinned: keys of the bundle stand in", 3, "key-unconfirmed", (), after)
    stated = after | {"log.vkey": f"{old}\n".encode()}
    yield Case("log-key-announced", "the key that signs stands in a day only", 1, "checksums", (), stated)


def _witnessed() -> Iterator[Case]:
    plain, cosigned = bundle(standard()), bundle(World(chains(), witnesses=(WITNESS,)).publish())
    one, other = WITNESS.vkey, OTHER_WITNESS.vkey
    yield valid("cosigned", "cosigned by the reader's witness", cosigned, *PINNED, one)
    yield valid("cosigned-by-one-of-two", "by one of the reader's two", cosigned, *PINNED, one, other)
    yield valid("cosigned-by-unknown", "by a witness that the reader does not know", cosigned)
    files = cosigned.files()
    yield Case("cosigned-by-another", "by another than the reader's", 1, "witness-quorum", (*PINNED, other), files)
    yield Case(
        "not-cosigned", "by none, and the reader asks for one", 1, "witness-quorum", (*PINNED, one), plain.files()
    )
    yield Case("witness-without-log-key", "a witness's key and none of the log", 3, "key-unconfirmed", (one,), files)
    both = bundle(World(chains(), witnesses=(WITNESS, OTHER_WITNESS)).publish())
    yield valid("cosigned-twice", "by both of the reader's witnesses", both, *PINNED, one, other)
