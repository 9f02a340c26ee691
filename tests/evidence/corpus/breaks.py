"""Days that the operator sealed with breaks and says so, and what can be changed about them."""

from collections.abc import Callable, Iterator
from datetime import date

from tests.evidence.corpus.bundle import Bundle, bundle
from tests.evidence.corpus.case import Case, tampered
from tests.evidence.corpus.events import Row, erased, sealed
from tests.evidence.corpus.world import TenantDay, World, at, chains

DAY = date(2026, 11, 3)
"""Acme's rows of that day have the seqs 12 to 17."""


def broken(edit: Callable[[TenantDay], object], *breaks: tuple[str, int], declared: int | None = None) -> Bundle:
    """The honest bundle of a log in which a day was sealed as ``edit`` left it, with these breaks."""
    world = World(chains())
    part = world.chain("acme").days[DAY]
    edit(part)
    part.breaks, part.declared = list(breaks), declared
    return bundle(world.publish())


def _alter(index: int, **columns: str | None) -> Callable[[TenantDay], None]:
    def edit(part: TenantDay) -> None:
        part.rows[index] = part.rows[index] | columns

    return edit


def _reseal(index: int, **columns: str | None) -> Callable[[TenantDay], None]:
    """Change a row and its own hashes; the row after it links to what was there."""

    def edit(part: TenantDay) -> None:
        part.rows[index] = sealed(part.rows[index] | columns)

    return edit


def cases() -> Iterator[Case]:
    yield from _declared()
    yield from _misdeclared()


def _declared() -> Iterator[Case]:
    def case(name: str, description: str, part: Bundle) -> Case:
        return Case(f"declared-{name}", description, 1, "declared-break", files=part.files())

    def several(part: TenantDay) -> None:
        del part.rows[4]
        _alter(1, ip="10.0.0.1", outcome="unknown")(part)

    def half_erased(part: TenantDay) -> None:
        part.rows[2] = erased(part.rows[2]) | {"ip": "203.0.113.14"}

    yield case("payload", "an altered payload", broken(_alter(2, ip="10.0.0.1"), ("payload-hash", 14)))
    yield case("half-erased", "a payload erased in part", broken(half_erased, ("payload-hash", 14)))
    yield case("integrity", "an altered core column", broken(_alter(2, outcome="failure"), ("integrity-hash", 14)))
    yield case("link", "a row that was replaced", broken(_reseal(2, actor_id="u-9"), ("link", 15)))
    yield case("link-first", "the first row was", broken(_reseal(0, actor_id="u-9"), ("link", 13)))
    yield case(
        "link-to-nothing", "a row links elsewhere", broken(_reseal(2, prev_hash="00" * 32), ("link", 14), ("link", 15))
    )
    yield case("missing", "a row is lost", broken(lambda p: p.rows.pop(2), ("missing", 14), ("link", 15)))
    yield case("missing-first", "the first row is", broken(lambda p: p.rows.pop(0), ("missing", 12), ("link", 13)))
    yield case("missing-last", "the last row is", broken(lambda p: p.rows.pop(), ("missing", 17)))
    yield case(
        "missing-run", "a run of rows", broken(lambda p: p.rows.__delitem__(slice(1, 4)), ("missing", 13), ("link", 16))
    )
    yield case("missing-all", "all rows", broken(lambda p: p.rows.clear(), ("missing", 12)))
    late = at(date(2026, 11, 4), 5)
    yield case("time", "a row of the next day", broken(_reseal(5, recorded_at=late), ("time", 17), ("head", 17)))
    early = at(DAY, 0)
    yield case(
        "time-back",
        "a row earlier than the one before",
        broken(_reseal(3, recorded_at=early), ("time", 15), ("link", 16)),
    )
    yield case("head", "the last row was replaced", broken(_reseal(5, actor_id="u-9"), ("head", 17)))
    yield case(
        "several",
        "several breaks in one row and beside it",
        broken(several, ("payload-hash", 13), ("integrity-hash", 13), ("missing", 16), ("link", 17)),
    )
    files = broken(_alter(2, ip="10.0.0.1"), ("payload-hash", 14)).files()
    yield Case("declared-no-key", "breaks, and no key: the breaks come first", 1, "declared-break", (), files)


def _misdeclared() -> Iterator[Case]:
    gap = broken(lambda p: p.rows.pop(2), ("missing", 14), ("link", 15))
    day = 2

    def breaks(*listed: tuple[str, str]) -> Callable[[Bundle], None]:
        return lambda b: b.days[day].update(breaks=[{"kind": kind, "seq": seq} for kind, seq in listed])

    def drop(b: Bundle) -> Row:
        return b.rows.pop(8)

    yield from tampered("breaks-emptied", "the list of breaks is emptied", gap, breaks(), "breaks")
    yield from tampered("breaks-shortened", "one is left out", gap, breaks(("missing", "14")), "breaks")
    more = breaks(("missing", "14"), ("link", "15"), ("time", "16"))
    yield from tampered("breaks-added", "one that is not there", gap, more, "breaks")
    yield from tampered("breaks-moved", "another seq", gap, breaks(("missing", "14"), ("link", "16")), "breaks")
    yield from tampered("breaks-renamed", "another kind", gap, breaks(("missing", "14"), ("time", "15")), "breaks")
    yield from tampered(
        "breaks-unsorted", "in another order", gap, breaks(("link", "15"), ("missing", "14")), "malformed"
    )
    twice = breaks(("missing", "14"), ("missing", "14"))
    yield from tampered("breaks-twice", "one is there twice", gap, twice, "malformed")
    yield from tampered("breaks-unknown", "a kind that there is not", gap, breaks(("lost", "14")), "malformed")
    yield from tampered("breaks-padded", "a seq with a zero", gap, breaks(("missing", "014")), "malformed")
    alter = {"ip": "10.9.9.9"}
    yield from tampered("broken-day-altered", "one more row altered", gap, lambda b: b.rows[6].update(alter), "breaks")
    yield from tampered("broken-day-cut", "one more row cut out", gap, drop, "event-tree")
    yield from tampered(
        "broken-day-twice", "a row is there twice", gap, lambda b: b.rows.insert(7, b.rows[6]), "row-duplicate"
    )
    other = broken(lambda _part: None)
    yield from tampered("breaks-invented", "breaks of a day without any", other, breaks(("time", "15")), "breaks")
    first = lambda b: b.days[0].update(breaks=[{"kind": "missing", "seq": "0"}])  # noqa: E731
    absent = bundle(World(chains()).publish(), "globex")
    yield from tampered("breaks-before-the-tenant", "breaks of a day without the tenant", absent, first, "breaks")
    for name, description, edit, reason in (
        ("hidden-alteration", "an altered row", _alter(2, outcome="failure"), "integrity-hash"),
        ("hidden-payload", "an altered payload", _alter(2, ip="10.0.0.1"), "payload-hash"),
        ("hidden-link", "a replaced row", _reseal(2, actor_id="u-9"), "row-link"),
        ("hidden-head", "a replaced last row", _reseal(5, actor_id="u-9"), "row-head"),
    ):
        files = broken(edit).files()
        yield Case(name, f"{description}, sealed as if the chain were whole", 1, reason, files=files)
    three = broken(_alter(2, ip="10.0.0.1"), ("payload-hash", 14), declared=3).files()
    yield Case("breaks-overstated", "the record counts more breaks than there are", 1, "breaks", files=three)
    none = broken(lambda _part: None, declared=1).files()
    yield Case("breaks-unfounded", "the record declares a break, and there is none", 1, "breaks", files=none)
