"""Rows of events.csv changed, taken out, put in or moved."""

from collections.abc import Callable, Iterator
from typing import Final

from tests.evidence.corpus.breaks import DAY
from tests.evidence.corpus.bundle import Bundle, bundle
from tests.evidence.corpus.case import Case, altered, tampered
from tests.evidence.corpus.events import COLUMNS, PAYLOAD, Row, erased, event, link, payload_hash, sealed
from tests.evidence.corpus.world import World, at, chains, day_of, standard

CHANGED: Final = {
    "tenant_id": "globex",
    "seq": "9",
    "event_id": "019aa4f2-0000-7000-8000-00000000ffff",
    "recorded_at": "2026-11-01T09:01:01.000062Z",
    "occurred_at": "2026-11-01T09:01:00.000009Z",
    "action": "LOGIN",
    "outcome": "failure",
    "actor_type": "support",
    "auth_method": "",
    "payload_salt": "ff" * 16,
    "payload_hash": "ff" * 32,
    "prev_hash": "ff" * 32,
    "integrity_hash": "ff" * 32,
    "erased_at": "2026-12-24T18:00:00.000000Z",
}
"""What a column of the second row (seq 8) is changed to; of other columns one letter more."""


def cases() -> Iterator[Case]:
    plain = bundle(standard())
    yield from _cells(plain)
    yield from _missing(plain)
    yield from _added(plain)
    yield from _moved(plain)
    yield from _rewritten(plain)
    yield from _erased(plain)
    yield from _by_the_operator()


def _cells(plain: Bundle) -> Iterator[Case]:
    for name in COLUMNS:
        reason = "payload-hash" if name in {*PAYLOAD, "payload_salt", "erased_at"} else "integrity-hash"
        reason = "row-tenant" if name == "tenant_id" else reason
        text = CHANGED.get(name, f"{plain.rows[1][name] or ''}x")

        def edit(b: Bundle, name: str = name, text: str = text) -> None:
            b.rows[1][name] = text

        yield from tampered(f"cell-{name}", f"another {name}", plain, edit, reason)
    for name, reason in (("user_agent", "payload-hash"), ("auth_method", "integrity-hash")):

        def swap(b: Bundle, name: str = name) -> None:
            b.rows[0][name] = ""  # was null

        yield from tampered(f"null-to-empty-{name}", f"a null {name} made empty", plain, swap, reason)


def _missing(plain: Bundle) -> Iterator[Case]:
    yield from tampered("row-dropped-middle", "a row is missing", plain, lambda b: b.rows.pop(2), "row-missing")
    yield from tampered("row-dropped-first", "the first row is missing", plain, lambda b: b.rows.pop(0), "row-missing")
    yield from tampered("row-dropped-last", "the last row is missing", plain, lambda b: b.rows.pop(), "row-missing")
    yield from tampered(
        "rows-dropped-day", "a day's rows are missing", plain, lambda b: b.rows.__delitem__(slice(5)), "row-missing"
    )
    yield from tampered("rows-dropped-all", "all rows are missing", plain, lambda b: b.rows.clear(), "row-missing")
    yield from tampered(
        "rows-truncated", "the tail is cut off", plain, lambda b: b.rows.__delitem__(slice(6, None)), "row-missing"
    )
    content = plain.content()
    csv = content["events.csv"]
    for name, cut in (
        ("in-a-cell", 900),
        ("in-quotes", csv.index(b'""status') + 4),
        ("line-end", len(csv) - 2),
        ("lf", len(csv) - 1),
    ):
        cut_off = content | {"events.csv": csv[:cut]}
        yield from altered(f"truncated-{name}", "the file is cut off within a record", plain, cut_off, "csv-format")


def _added(plain: Bundle) -> Iterator[Case]:
    last = plain.rows[-1]
    more = event("acme", 20, at(day_of(5), 3000), prev_hash=last["integrity_hash"])
    before = event("acme", 6, at(day_of(2), 0), prev_hash="00" * 32)

    def insert(index: int, row: Row) -> Callable[[Bundle], None]:
        return lambda b: b.rows.insert(index, dict(row))

    yield from tampered(
        "row-added-end", "a row more, with hashes that fit", plain, insert(13, sealed(more)), "row-added"
    )
    wrong = sealed(more) | {"actor_id": "u-9"}
    yield from tampered(
        "row-added-end-wrong", "a row more, with hashes that don't", plain, insert(13, wrong), "integrity-hash"
    )
    yield from tampered("row-added-start", "a row in front", plain, insert(0, sealed(before)), "row-added")
    between = sealed(plain.rows[3] | {"event_id": before["event_id"], "prev_hash": plain.rows[2]["integrity_hash"]})
    yield from tampered(
        "row-added-middle", "a row in between, with a seq of another", plain, insert(3, between), "row-duplicate"
    )
    yield from tampered(
        "row-added-far", "a row of a far seq", plain, insert(13, sealed(more | {"seq": "900"})), "row-added"
    )
    yield from tampered("row-twice", "a row is there twice", plain, insert(1, plain.rows[0]), "row-duplicate")
    yield from tampered("row-twice-end", "once more at the end", plain, insert(13, plain.rows[0]), "row-duplicate")
    yield from tampered(
        "rows-twice", "all rows are there twice", plain, lambda b: b.rows.extend(b.rows[:]), "row-duplicate"
    )
    others = bundle(standard(), "globex").rows
    yield from tampered(
        "rows-of-another", "another tenant's rows", plain, lambda b: setattr(b, "rows", others), "row-tenant"
    )
    yield from tampered("row-of-another", "one of them", plain, insert(4, others[0]), "row-tenant")
    earlier = bundle(standard(), start=day_of(0), end=day_of(1)).rows
    yield from tampered(
        "rows-of-other-days", "rows of another period", plain, lambda b: setattr(b, "rows", earlier), "row-added"
    )


def _moved(plain: Bundle) -> Iterator[Case]:
    def move(source: int, target: int) -> Callable[[Bundle], None]:
        return lambda b: b.rows.insert(target, b.rows.pop(source))

    yield from tampered("rows-swapped", "two rows changed places", plain, move(1, 0), "row-order")
    yield from tampered("row-moved-to-end", "the first row is last", plain, move(0, 12), "row-order")
    yield from tampered("row-moved-to-start", "the last row is first", plain, move(12, 0), "row-order")
    yield from tampered("rows-reversed", "the rows are backwards", plain, lambda b: b.rows.reverse(), "row-order")
    both = lambda b: b.rows.extend([b.rows.pop(0)] * 2)  # noqa: E731
    yield from tampered("row-moved-and-twice", "moved to the end, twice", plain, both, "row-duplicate")


def _rewritten(plain: Bundle) -> Iterator[Case]:
    """What somebody does who knows how the hashes are made."""

    def rewrite(index: int, end: int, **columns: str | None) -> Callable[[Bundle], None]:
        def edit(b: Bundle) -> None:
            rows = [b.rows[index] | columns, *b.rows[index + 1 : end]]
            b.rows[index:end] = link(rows, b.rows[index]["prev_hash"] or "")

        return edit

    def payload_hash_too(b: Bundle) -> None:
        row = b.rows[2] | {"ip": "10.0.0.1"}
        b.rows[2] = row | {"payload_hash": payload_hash(row)}

    yield from tampered("rewritten-payload", "a payload and its hash", plain, payload_hash_too, "integrity-hash")
    yield from tampered("rewritten-row", "a row and its hashes", plain, rewrite(2, 3, actor_id="u-9"), "row-link")
    yield from tampered(
        "rewritten-day", "and those after it on the day", plain, rewrite(2, 5, actor_id="u-9"), "row-head"
    )
    yield from tampered("rewritten-onwards", "and all after it", plain, rewrite(2, 13, actor_id="u-9"), "row-link")
    yield from tampered("rewritten-last-day", "on the last day", plain, rewrite(11, 13, actor_id="u-9"), "row-head")
    yield from tampered("rewritten-last-row", "the last row", plain, rewrite(12, 13, ip=""), "row-head")
    other_day = "2026-11-02T09:00:00.000000Z"
    yield from tampered(
        "rewritten-time", "a row moved to the next day", plain, rewrite(4, 5, recorded_at=other_day), "row-time"
    )
    back = "2026-11-01T09:00:00.000000Z"
    yield from tampered(
        "rewritten-time-back", "to before the row before", plain, rewrite(2, 5, recorded_at=back), "row-time"
    )

    def renumber(b: Bundle) -> None:
        rows = [b.rows[1] | {"seq": "7"}, b.rows[0] | {"seq": "8"}, *b.rows[2:5]]
        b.rows[:5] = link(rows, b.rows[0]["prev_hash"] or "")

    def close_gap(b: Bundle) -> None:
        rows = [row | {"seq": str(number)} for number, row in enumerate([*b.rows[:2], *b.rows[3:]], start=7)]
        b.rows = link(rows, b.rows[0]["prev_hash"] or "")

    yield from tampered("rewritten-swap", "two rows changed places and seqs", plain, renumber, "row-time")
    yield from tampered("rewritten-gap", "a row cut out and the gap closed", plain, close_gap, "row-missing")


def _erased(plain: Bundle) -> Iterator[Case]:
    def half(**columns: str | None) -> Callable[[Bundle], None]:
        return lambda b: b.rows[4].update(erased(b.rows[4]) | columns)

    def edit(**columns: str | None) -> Callable[[Bundle], None]:
        return lambda b: b.rows[4].update(columns)

    row = plain.rows[4]
    yield from tampered("erased-but-ip", "a column is left", plain, half(ip=row["ip"]), "payload-hash")
    yield from tampered(
        "erased-but-salt", "the salt is left", plain, half(payload_salt=row["payload_salt"]), "payload-hash"
    )
    yield from tampered("erased-but-empty", "a column is empty, not null", plain, half(actor_name=""), "payload-hash")
    yield from tampered("erased-unmarked", "no erased_at", plain, half(erased_at=None), "payload-hash")
    yield from tampered("salt-only", "only the salt is gone", plain, edit(payload_salt=None), "payload-hash")
    marked = edit(erased_at="2026-12-24T18:00:00.000000Z")
    yield from tampered("marked-only", "marked as erased, and all is there", plain, marked, "payload-hash")
    for form, reason in (("kept", "csv-resaved"), ("resummed", "bundle-signature")):
        text = "a payload erased by somebody else: all rows verify, the bundle's own signature tells"
        yield from tampered("erased-later", text, plain, half(), reason, forms=(form,))


def _by_the_operator() -> Iterator[Case]:
    """Records that do not fit their rows, in a log that the operator signed."""
    for name, line, reason in (
        ("record-root", {"root": "ztV0bGl0dGxlIG9uZXMsIGxvdHMgb2Ygc21hbGwgYnk="}, "event-tree"),
        ("record-count", {"count": "5"}, "tenant-record"),
        ("record-head-after", {"head-after": "ab" * 32}, "tenant-chain"),
    ):
        world = World(chains())
        world.chain("acme").days[DAY].edits = line
        yield Case(
            f"operator-{name}", "a signed record that is wrong", 1, reason, files=bundle(world.publish()).files()
        )
    world = World(chains())
    world.chain("acme").days[day_of(5)].edits = {"head-after": "ab" * 32}
    yield Case("operator-last-head", "wrong in the last record", 1, "row-head", files=bundle(world.publish()).files())
