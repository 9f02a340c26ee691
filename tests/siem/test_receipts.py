"""Receipts: a chain of lines in signed files, each event in one of them, and nothing lost on the way into a file."""

import json
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumi_pipeline.errors import LedgerError
from lumi_pipeline.siem import receipts
from lumi_pipeline.siem.deliver import LEASE_LENGTH
from lumi_pipeline.siem.destination import Result
from lumi_pipeline.siem.evidencekeys import EvidenceKeys
from lumi_pipeline.siem.lease import SKEW
from lumi_pipeline.siem.ledgerbook import LedgerBook
from lumi_pipeline.siem.receipts import NOTE_TAG, ReceiptBook, ReceiptFile, parse_receipt
from tests.crashing import Killed
from tests.lake.world import EVIDENCE_KEY
from tests.siem.dying import DoomedStore
from tests.siem.shipping import KEYS, Shipping, copied, failing, lake_of, settings, taken
from transparency.keys import SigningKey, VerifierKey
from transparency.note import sign_note


def files(shipping: Shipping) -> list[str]:
    return list(shipping.store.list("siem/siem/receipts/"))


def test_each_run_closes_a_file_and_the_chain_goes_on(shipping: Shipping) -> None:
    shipping.settings = settings(ordered=True)
    shipping.siem.script = lambda request: failing(Result.BLOCKED) if request.number == 2 else taken()
    assert shipping.run().receipts == 2
    assert shipping.run().receipts == 0
    shipping.clock.now += timedelta(minutes=16)
    assert shipping.run().receipts == 4
    assert len(files(shipping)) == 2
    shipping.check_settled()


def test_there_are_so_many_lines_to_a_file(shipping: Shipping, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "_PER_FILE", 4)
    shipping.run()
    assert [len(ReceiptFile.parse(shipping.store.get(key)).lines) for key in files(shipping)] == [4, 2]
    shipping.check_settled()


def test_killed_between_its_files_a_run_leaves_the_rest_to_the_next(
    shipping: Shipping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "_PER_FILE", 1)
    whole = DoomedStore(copied(shipping.store))
    shipping.deliverer(whole).run()
    writes = [number for number, write in enumerate(whole.writes) if "/receipts/" in write.key]
    assert len(writes) == 6
    shipping.siem.arrived.clear()
    for number in writes:
        other = Shipping(copied(shipping.store), shipping.clock)
        with suppress(Killed):
            other.deliverer(DoomedStore(other.store, after=number)).run()
        shipping.clock.now += LEASE_LENGTH + SKEW
        assert other.run().receipts == writes[-1] - number
        other.check_settled()
        assert set(other.siem.counts.values()) == {1}


def test_counts_in_receipts_are_those_on_the_other_side(shipping: Shipping) -> None:
    bad = {event for key, events in shipping.planned().items() for event in events[1:2] if key.batch % 2}
    shipping.siem.script = lambda request: (
        failing(Result.REFUSED, index=next(i for i, e in enumerate(request.events) if e in bad))
        if bad & set(request.events)
        else taken()
    )
    shipping.run(timedelta(hours=1))
    found = shipping.receipts()
    delivered = sum(int(str(receipt["events"])) for receipt in found if receipt["outcome"] == "delivered")
    aside = [receipt["event_id"] for receipt in found if receipt["outcome"] == "quarantined"]
    assert delivered == len(shipping.siem.arrived) == 22 - len(bad)
    assert sorted(aside) == sorted(bad)
    per_tenant: dict[str, int] = {}
    for receipt in found:
        for tenant_id, first, last, count in receipt["ranges"]:  # type: ignore[attr-defined]
            assert int(count) <= int(last) - int(first) + 1
            per_tenant[tenant_id] = per_tenant.get(tenant_id, 0) + int(count)
    assert per_tenant == {"acme": 10, "globex": 7, "initech": 5}
    shipping.check_settled()


LINE = '{"type":"lumi/receipt/v1"}'
NOTE = f"{NOTE_TAG}\nsiem\n"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", LINE.encode(), f"{LINE}\n".encode(), NOTE.encode(), f"{LINE}\nlumi/other\n".encode(), b"{\xff}\n"],
)
def test_what_is_no_file_of_receipts_is_refused(data: bytes) -> None:
    with pytest.raises(LedgerError):
        ReceiptFile.parse(data)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_whatever_a_file_holds_is_read_or_refused(before: bytes, after: bytes) -> None:
    data = before + f"{LINE}\n".encode() + after + NOTE.encode()
    try:
        read = ReceiptFile.parse(data)
    except LedgerError:
        return
    assert "".join(f"{line}\n" for line in read.lines).encode() + read.note == data


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"type":"other"}', '{"a": 1}', f"{LINE} ", "{" * 100])
def test_what_is_no_receipt_is_refused(line: str) -> None:
    with pytest.raises(LedgerError, match="receipt"):
        parse_receipt(line)
    assert parse_receipt(LINE) == json.loads(LINE)


def test_a_file_that_can_not_be_read_is_named(shipping: Shipping) -> None:
    shipping.run()
    [key] = files(shipping)
    shipping.store.put(key, b"{}\n")
    book = ReceiptBook(lake_of(shipping.store), "siem", KEYS)
    with pytest.raises(LedgerError, match=key):
        book.read(0)
    with pytest.raises(LedgerError, match=key):
        list(book.filed(0))


@pytest.mark.parametrize("number", [0, 1])
def test_a_receipt_that_is_gone_does_not_make_its_events_missing(shipping: Shipping, number: int) -> None:
    shipping.settings = settings(ordered=True)
    shipping.siem.script = lambda request: failing(Result.BLOCKED) if request.number == 2 else taken()
    shipping.run()
    shipping.clock.now += timedelta(minutes=16)
    shipping.run()
    book, ledger = ReceiptBook(lake_of(shipping.store), "siem", KEYS), LedgerBook(lake_of(shipping.store), "siem")
    assert len(list(book.about(ledger, 0))) == 6
    key = files(shipping)[number]
    kept = shipping.store.get(key)
    shipping.store.delete(key)
    if number == 0:
        with pytest.raises(LedgerError, match=f"{key} is gone"):
            list(book.about(ledger, 0))
    else:  # the ledger has those of the last runs too
        assert len(list(book.about(ledger, 0))) == 6
    shipping.store.put_new(key, kept.replace(b'"attempts":1', b'"attempts":2', 1))
    with pytest.raises(LedgerError, match="does not follow"):
        list(book.about(ledger, 0))


def resigned(data: bytes, key: SigningKey) -> bytes:
    """A file of receipts as somebody would write it who has another key: one event fewer was delivered."""
    lines = [line.replace('"outcome":"delivered"', '"outcome":"discarded"') for line in ReceiptFile.parse(data).lines]
    note = sign_note(receipts.note_text("siem", lines), [key])
    return "".join(f"{line}\n" for line in lines).encode() + note


def test_files_that_the_evidence_key_did_not_sign_are_refused_and_named(shipping: Shipping) -> None:
    shipping.run()
    [key] = files(shipping)
    kept, name = shipping.store.get(key), EVIDENCE_KEY.name
    book, ledger = ReceiptBook(lake_of(shipping.store), "siem", KEYS), LedgerBook(lake_of(shipping.store), "siem")
    other = SigningKey(name, bytes(32))
    forged = {
        "no evidence key of this log": resigned(kept, other),
        "does not verify": kept[:-6] + b"AAAA=\n",
        "about other lines": kept[kept.index(b"\n") + 1 :],
        "about other lines than": resigned(kept, EVIDENCE_KEY).replace(b"\nsiem\n", b"\nother\n"),
    }
    for reason, data in forged.items():
        shipping.store.put(key, data)
        for read in (lambda: list(book.about(ledger, 0)), lambda: list(book.filed(0)), book.last, book.end):
            with pytest.raises(LedgerError, match=f"{key}: .*{reason}.*restore the file from a backup"):
                read()
    shipping.store.put(key, kept)
    assert len(list(book.about(ledger, 0))) == 6


def test_a_key_that_was_replaced_still_speaks_for_what_it_signed(shipping: Shipping) -> None:
    shipping.run()
    other, asked = SigningKey(EVIDENCE_KEY.name, bytes(32)), []

    def announced() -> list[VerifierKey]:
        asked.append(True)
        return [EVIDENCE_KEY.verifier, other.verifier]

    keys = EvidenceKeys(lambda: [other], announced)
    book, ledger = ReceiptBook(lake_of(shipping.store), "siem", keys), LedgerBook(lake_of(shipping.store), "siem")
    assert len(list(book.about(ledger, 0))) == 6
    assert book.end() == (1, 6)
    assert asked == [True], "the log is read once"
    with pytest.raises(LedgerError, match="no evidence key of this log"):
        ReceiptBook(lake_of(shipping.store), "siem", EvidenceKeys(lambda: [other])).end()
