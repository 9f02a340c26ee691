"""What docs/formats.md says of plans, ledgers, receipts and statements is what a delivery leaves in the lake."""

import gzip
import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import pytest

from lumi_pipeline.hashing import net
from lumi_pipeline.siem import receipts
from lumi_pipeline.siem.ledger import Delivery, Do, Key
from lumi_pipeline.siem.ledgerbook import RECEIPT_TYPE
from tests.docs.delivering import DELIVERY_FORMS, NAME, deliver
from tests.docs.formats_page import FORMS, TEXT
from tests.docs.test_formats_fields import shape
from tests.lake.world import World, at
from transparency.encoding import canonical_json

FOLDERS = {
    "receipt-delivered": "receipts",
    "siem-digest": "digests",
    "siem-lease": "lease",
    "siem-ledger": "ledger",
    "siem-plan": "plans",
    "statement": "statements",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World.create(tmp_path_factory.mktemp("delivery") / "world", at(2))
    made.record("acme", at(0), at(1))
    made.pipeline().land()
    deliver(made)
    return made


def stored(world: World, folder: str) -> bytes:
    """The first object of a kind."""
    return world.store.get(next(world.store.list(f"siem/{NAME}/{folder}/")))


def read(world: World, form: str) -> dict[str, Any]:
    """An object, or a file's first line, as JSON."""
    found: dict[str, Any] = json.loads(stored(world, FOLDERS[form]).split(b"\n")[0])
    return found


def check(form: str, ours: dict[str, Any]) -> None:
    shown = json.loads(FORMS[form])
    # These may be empty, or hold anything.
    assert [list(shown), list(ours)] == [sorted(shown)] * 2
    for value in (shown, ours):
        for name in ("facts", "missing", "refused"):
            value.pop(name, None)
    assert shape(shown) == shape(ours)
    assert [shown.get(name) for name in ("format", "type")] == [ours.get(name) for name in ("format", "type")]


@pytest.mark.parametrize("form", FOLDERS)
def test_form_of_an_object(form: str, world: World) -> None:
    check(form, read(world, form))


def test_form_of_a_quarantined_event() -> None:
    found = receipts.quarantined(NAME, Delivery(Key(0, 0, 0, 1), "", at(2)), ("acme", 0, "<event id>"), "<text>", at(2))
    line = canonical_json({**found, "number": "0", "prev": "0" * 64, "type": RECEIPT_TYPE})
    check("receipt-quarantined", json.loads(line))


def test_form_of_a_note(world: World) -> None:
    file = receipts.ReceiptFile.parse(stored(world, "receipts"))
    values = {
        "<name of the destination>": NAME,
        "<number of lines in this file>": str(len(file.lines)),
        "<hexadecimal H(the last line, without its LF)>": sha256(file.lines[-1].encode()).hexdigest(),
    }
    text = FORMS["receipts-note"]
    for name, value in values.items():
        assert name in text
        text = text.replace(name, value)
    assert file.note.startswith(f"{text}\n".encode())


def test_form_of_a_batch_id(world: World) -> None:
    """Follow the formula as a reader would."""
    plan, receipt = read(world, "siem-plan"), read(world, "receipt-delivered")
    batch = plan["batches"][0]
    content = gzip.decompress(world.store.get(batch["body"]["path"]))
    records = [json.loads(line) for line in content.splitlines()]
    values: Mapping[str, str] = {
        "destination": receipt["destination"],
        "route": batch["route"],
        "mapping": plan["mapping"],
        "first event_id": records[0]["event_id"],
        "last event_id": records[-1]["event_id"],
        "number of events": batch["body"]["rows"],
        "hex H(content)": sha256(content.replace(batch["id"].encode(), b"\x01" * 64)).hexdigest(),
    }
    form = FORMS["batch-id"]
    assert 'H("lumi/siem-batch/v1\\n"' in form
    names = re.findall(r"net\((hex H\(content\)|[^()]+)\)", form)
    assert names == list(values)
    hashed = b"lumi/siem-batch/v1\n" + b"".join(net(values[name]) for name in names)
    assert sha256(hashed).hexdigest() == batch["id"] == receipt["batch"] == records[0]["batch_id"]


def test_moves() -> None:
    [said] = re.findall(r"`do` is\s(.*?);", TEXT, re.DOTALL)
    assert re.findall(r"`(\w+)`", said) == [do.value for do in Do]


def test_every_form_is_checked() -> None:
    others = {"batch-id", "receipt-quarantined", "receipts-note"}
    assert FOLDERS.keys() | others == DELIVERY_FORMS
