"""Monthly evidence that other processes write: the same bytes, no key among them, and no loss when they die."""

import base64
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from lumi_pipeline.compute import Compute, Inline, open_compute
from lumi_pipeline.errors import ConcurrentRun, ErasureMeanwhile, EvidenceError, LumiError
from lumi_pipeline.evidence.basis import Basis
from lumi_pipeline.evidence.bundleunits import BundleUnit, DraftUnit, SignedDraft, complete_bundle, write_draft
from lumi_pipeline.evidence.drafts import DRAFTS, draft_key, purge_drafts
from lumi_pipeline.evidence.monthly import MonthlyEvidence, MonthReport
from lumi_pipeline.evidence.period import Asked
from lumi_pipeline.evidence.readme import Run
from lumi_pipeline.evidence.signing import sign_sums
from lumi_pipeline.evidence.stored import StoredBundle
from lumi_pipeline.stores.roots import LakeAddress
from tests.computing import Doomed, die_after
from tests.lake.places import NewPlace
from tests.lake.world import EVIDENCE_KEY, LOG_KEY, World, at
from transparency.keys import SigningKey

FEBRUARY = date(2024, 2, 1)
RUN = Run("0123456789abcdef", at(3, "08:00:00"))
ASKED = Asked("acme", date(2024, 2, 28), date(2024, 2, 29))
KEY = f"evidence/acme/{ASKED.name}.zip"
_Unit = TypeVar("_Unit")
_Result = TypeVar("_Result")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, new_place: NewPlace) -> World:
    """The log begins on 28 February; three tenants have events in that month."""
    made = World.create(tmp_path_factory.mktemp("units") / "world", at(3, "08:00:00"), new_place)
    made.record("acme", at(0, "09:00:00"), at(0, "09:00:01"), at(1), at(2))
    made.record("globex", at(1))
    made.record("initech", at(0), at(1))
    made.pipeline().run()
    return made


@pytest.fixture
def world(template: World, tmp_path: Path) -> World:
    return template.copy(tmp_path / "world")


def months(world: World, compute: Compute, *tenants: str) -> MonthlyEvidence:
    return MonthlyEvidence(world.pipeline(evidence_tenants=tenants), compute)


class Dying:
    """The worker of one unit of the ``deadly`` work is killed, once it has written and before it can say so."""

    def __init__(self, compute: Compute, deadly: object, place: Path) -> None:
        self._compute = compute
        self._deadly = deadly
        self._place = place

    def map(self, work: Callable[[_Unit], _Result], units: Iterable[_Unit]) -> Iterator[_Result]:
        if work is not self._deadly:
            return self._compute.map(work, units)
        return self._compute.map(die_after, (Doomed(work, unit, self._place) for unit in units))


class Keyless:
    """Work is done here while no key file is; what goes to it and comes of it is kept as the bytes on the wire."""

    def __init__(self, world: World) -> None:
        self._files = sorted(world.directory.glob("*.key"))
        self.wire: list[bytes] = []

    def map(self, work: Callable[[_Unit], _Result], units: Iterable[_Unit]) -> Iterator[_Result]:
        for unit in units:
            sent = pickle.dumps((work, unit))
            for file in self._files:
                file.rename(file.with_suffix(".away"))
            there, what = pickle.loads(sent)  # noqa: S301 - what we have pickled ourselves
            answer = pickle.dumps(there(what))
            for file in self._files:
                file.with_suffix(".away").rename(file)
            self.wire += [sent, answer]
            yield pickle.loads(answer)  # noqa: S301


@pytest.mark.slow
@pytest.mark.parametrize(("place", "deadly"), [("processes:2", complete_bundle), ("dask", write_draft)])
def test_the_same_bytes_come_from_everywhere_and_killed_workers_lose_none(
    world: World, tmp_path: Path, place: str, deadly: Callable[..., object], request: pytest.FixtureRequest
) -> None:
    tenants = ("initech", "acme", "acmee", "globex")
    other = world.copy(tmp_path / "other")
    inline = months(other, Inline(), *tenants).make(FEBRUARY, RUN)
    assert [bundle.tenant_id for bundle in inline.bundles] == ["initech", "acme", "globex"]
    assert "did you mean acme?" in inline.failed["acmee"]

    address = f"dask:{request.getfixturevalue('scheduler')}" if place == "dask" else place
    apart = months(world, Dying(open_compute(address), deadly, tmp_path), *tenants).make(FEBRUARY, RUN)
    assert (tmp_path / "died").exists()
    assert apart == inline
    assert world.contents("evidence") == other.contents("evidence")


@pytest.mark.everywhere
def test_no_key_is_sent_or_needed_where_the_work_is_done(world: World) -> None:
    compute = Keyless(world)
    evidence = months(world, compute, "acme", "globex")
    report = evidence.make(FEBRUARY)
    assert [(bundle.tenant_id, bundle.rows, bundle.fresh) for bundle in report.bundles] == [
        ("acme", 3, True),
        ("globex", 1, True),
    ]
    made = world.contents("evidence")
    assert list(made) == [bundle.key for bundle in report.bundles]
    again = evidence.make(FEBRUARY)
    assert again == MonthReport(FEBRUARY, tuple(replace(bundle, fresh=False) for bundle in report.bundles), {})
    assert [verdict.reason for verdict in evidence.judge(FEBRUARY)] == ["ok", "ok"]
    assert world.contents("evidence") == made

    assert len(compute.wire) == 2 * (2 + 2 + 2 + 2)
    for key in (LOG_KEY, EVIDENCE_KEY):
        assert not any(form in wire for form in forms(key, world) for wire in compute.wire)


def forms(key: SigningKey, world: World) -> list[bytes]:
    """The secret half of a key as somebody might have written it: raw, in hexadecimal, in base64, as its file."""
    name = "evidence.key" if key is EVIDENCE_KEY else "log.key"
    seed = bytes(range(32, 64)) if key is EVIDENCE_KEY else bytes(range(32))
    text = (world.directory / name).read_bytes().strip()
    assert base64.b64encode(seed)[3:-4] in text or base64.b64encode(b"\x01" + seed) in text
    return [seed, seed.hex().encode(), base64.b64encode(seed)[:-2], base64.b64encode(b"\x01" + seed)[2:-4], text]


def test_without_the_key_what_is_stored_is_verified_all_the_same(world: World) -> None:
    months(world, Inline(), "acme").make(FEBRUARY)
    (world.directory / "evidence.key").unlink()
    for compute in (Inline(), Keyless(world)):
        report = months(world, compute, "acme", "globex").make(FEBRUARY)
        assert [(bundle.tenant_id, bundle.fresh) for bundle in report.bundles] == [("acme", False)]
        assert "there is no key at" in report.failed["globex"]


def draft_unit(world: World) -> DraftUnit:
    return DraftUnit(LakeAddress.of(world.config), ASKED, Basis.of(world.pipeline(), RUN), draft_key(RUN, ASKED))


def drafted(world: World) -> BundleUnit:
    """A draft is there, and signed."""
    unit = draft_unit(world)
    digests = write_draft(unit)
    assert isinstance(digests, Mapping)
    assert list(world.contents(DRAFTS)) == [unit.draft]
    signed = SignedDraft(unit.draft, sign_sums(digests, [EVIDENCE_KEY]), 0)
    return BundleUnit(unit.address, ASKED, KEY, world.policy, signed)


def refused(unit: BundleUnit, error: type[LumiError], said: str) -> None:
    outcome = complete_bundle(unit)
    assert type(outcome) is error
    assert said in str(outcome)


def test_a_unit_that_runs_twice_does_the_same(world: World) -> None:
    unit = drafted(world)
    draft = world.contents(DRAFTS)
    drafted(world)
    assert world.contents(DRAFTS) == draft
    first = complete_bundle(unit)
    assert isinstance(first, StoredBundle)
    bundle = world.contents("evidence/")
    assert complete_bundle(unit) == first
    assert world.contents("evidence/") == bundle


def test_a_draft_that_was_altered_or_is_gone_becomes_no_evidence(world: World) -> None:
    unit = drafted(world)
    assert unit.signed is not None
    [(key, data)] = world.contents(DRAFTS).items()
    position = data.index(b"events.csv") + 60
    world.overwrite(key, data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
    refused(unit, EvidenceError, "does not verify, so it was not written")
    world.overwrite(key, data)
    refused(replace(unit, signed=replace(unit.signed, erasures=1)), ErasureMeanwhile, "an erasure went on meanwhile")
    purge_drafts(world.pipeline().lake)
    refused(unit, ConcurrentRun, "was removed meanwhile; make the evidence again")
    assert world.contents("evidence/") == {}


class Lying:
    """A worker that says another SHA-256 of some file."""

    def __init__(self, name: str) -> None:
        self._name = name

    def map(self, work: Callable[[_Unit], _Result], units: Iterable[_Unit]) -> Iterator[_Result]:
        for result in Inline().map(work, units):
            yield {**result, self._name: "0" * 64} if isinstance(result, Mapping) else result  # type: ignore[misc]


@pytest.mark.parametrize("name", ["verify.html", "verify.py", "log.vkey"])
def test_what_an_auditor_opens_is_ours_or_not_signed(world: World, name: str) -> None:
    report = months(world, Lying(name), "acme").make(FEBRUARY)
    assert "so it was not signed" in report.failed["acme"]
    assert world.contents("evidence") == {}


@pytest.mark.parametrize("name", ["receipt", "events.csv "])
def test_nothing_but_checksums_is_signed(name: str) -> None:
    with pytest.raises(EvidenceError, match="those are not the checksums of a bundle's files"):
        sign_sums({name: "0" * 64}, [EVIDENCE_KEY])


def test_drafts_that_were_left_behind_go_a_day_later(world: World) -> None:
    left, fresh = (
        f"{DRAFTS}{at(3, '08:00:00') - timedelta(hours=hours):%Y%m%dT%H%M%SZ}-00/acme.zip" for hours in (25, 23)
    )
    for key in (left, fresh):
        world.store.put(key, b"draft")
    months(world, Inline(), "acme").make(FEBRUARY)
    assert list(world.contents(DRAFTS)) == [fresh]
