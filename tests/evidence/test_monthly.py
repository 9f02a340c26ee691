"""Monthly evidence: made once for each tenant that is listed, verified ever after, never replaced."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from lumi_pipeline.config import load_config
from lumi_pipeline.errors import ConfigError, EvidenceError
from lumi_pipeline.evidence.judging import judge_bundle
from lumi_pipeline.evidence.monthly import MonthlyEvidence
from lumi_pipeline.evidence.stored import StoredBundle
from tests.lake.places import NewPlace
from tests.lake.world import World, at
from transparency.store import ObjectStore

FEBRUARY, MARCH = date(2024, 2, 1), date(2024, 3, 1)
KEY = "evidence/acme/evidence-acme-2024-02-28-2024-02-29.zip"


def months(world: World, *tenants: str) -> MonthlyEvidence:
    return MonthlyEvidence(world.pipeline(evidence_tenants=tenants))


def judged(world: World, month: date, *tenants: str) -> dict[str, str]:
    return {verdict.subject: verdict.reason for verdict in months(world, *tenants).judge(month)}


def make_world(directory: Path, new_place: NewPlace) -> World:
    """The log begins on 28 February; acme has 3 events in that month, globex none before March."""
    made = World.create(directory, at(3, "08:00:00"), new_place)
    made.record("acme", at(0, "09:00:00"), at(0, "09:00:01"), at(1), at(2))
    made.record("globex", at(2))
    made.pipeline().run()
    return made


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, new_place: NewPlace) -> World:
    return make_world(tmp_path_factory.mktemp("monthly") / "world", new_place)


@pytest.fixture
def world(template: World, tmp_path: Path) -> World:
    return template.copy(tmp_path / "world")


@pytest.mark.everywhere
def test_a_bundle_is_made_once_and_then_verified(world: World, tmp_path: Path) -> None:
    report = months(world, "acme").make(FEBRUARY)
    [bundle] = report.bundles
    assert (bundle.key, bundle.rows, bundle.fresh, report.failed) == (KEY, 3, True, {})
    assert list(world.contents("evidence/")) == [KEY]
    outside = tmp_path / "bundle.zip"
    outside.write_bytes(world.contents("evidence/")[KEY])
    assert judge_bundle(outside, world.policy).reason == "ok"
    assert bundle.size == outside.stat().st_size

    before = world.listing()
    [again] = months(world, "acme").make(FEBRUARY).bundles
    assert again == replace(bundle, fresh=False)
    assert world.listing() == before
    assert judged(world, FEBRUARY, "acme") == {KEY: "ok"}


def test_a_month_before_its_first_event_is_evidence_too(world: World) -> None:
    report = months(world, "acme", "globex").make(FEBRUARY)
    assert [(bundle.tenant_id, bundle.rows) for bundle in report.bundles] == [("acme", 3), ("globex", 0)]


def test_a_month_that_is_not_over_or_not_published_is_refused(world: World) -> None:
    with pytest.raises(EvidenceError, match="the last published day is 2024-03-01"):
        months(world, "acme").make(MARCH)
    with pytest.raises(EvidenceError, match="the log begins with 2024-02-28"):
        months(world, "acme").make(date(2024, 1, 1))
    assert world.contents("evidence/") == {}


def test_before_anything_is_sealed_there_is_no_evidence(tmp_path: Path) -> None:
    empty = World.create(tmp_path / "empty", at(3))
    with pytest.raises(EvidenceError, match="nothing is sealed yet"):
        months(empty, "acme")


def test_an_unknown_tenant_is_said_and_keeps_no_other_waiting(world: World) -> None:
    report = months(world, "acmee", "acme").make(FEBRUARY)
    assert [bundle.tenant_id for bundle in report.bundles] == ["acme"]
    assert "has a tenant 'acmee'; did you mean acme?" in report.failed["acmee"]
    assert list(world.contents("evidence/")) == [KEY]


def test_an_altered_bundle_is_found_and_left_alone(world: World) -> None:
    months(world, "acme").make(FEBRUARY)
    data = bytearray(world.contents(KEY)[KEY])
    data[len(data) // 2] ^= 1
    world.overwrite(KEY, bytes(data))
    report = months(world, "acme").make(FEBRUARY)
    assert report.bundles == ()
    assert "does not verify, and evidence is never overwritten" in report.failed["acme"]
    assert world.contents(KEY)[KEY] == data
    assert judged(world, FEBRUARY, "acme")[KEY] != "ok"


def test_a_good_bundle_in_the_wrong_place_is_found(world: World) -> None:
    months(world, "acme", "globex").make(FEBRUARY)
    [other] = world.contents("evidence/globex/").values()
    world.overwrite(KEY, other)
    assert judged(world, FEBRUARY, "acme")[KEY] == "misplaced"
    assert "It is the evidence of globex" in months(world, "acme").make(FEBRUARY).failed["acme"]


def test_what_is_wanted_and_missing_fails_and_what_is_stored_is_judged(world: World) -> None:
    assert judged(world, FEBRUARY) == {}
    assert judged(world, FEBRUARY, "acme") == {KEY: "missing"}
    months(world, "acme").make(FEBRUARY)
    assert judged(world, FEBRUARY) == {KEY: "ok"}


class Overtaken:
    """A store in which another run makes the bundle just before this one puts its own there."""

    def __init__(self, store: ObjectStore, other: Callable[[], object]) -> None:
        self.get, self.put, self.list, self.delete = store.get, store.put, store.list, store.delete
        self._store = store
        self._other = other

    def put_new(self, key: str, data: bytes) -> None:
        self._other()
        self._store.put_new(key, data)


def test_another_run_that_was_faster_wins(world: World) -> None:
    made: list[StoredBundle] = []
    late = world.pipeline(
        lambda store: Overtaken(store, lambda: made.extend(months(world, "acme").make(FEBRUARY).bundles)),
        evidence_tenants=("acme",),
    )
    [found] = MonthlyEvidence(late).make(FEBRUARY).bundles
    assert [found] == [replace(bundle, fresh=False) for bundle in made]


def test_the_months_that_lack_evidence(world: World) -> None:
    wanted = months(world, "acme")
    assert wanted.published_months() == [FEBRUARY]
    assert wanted.lacking(date(2024, 2, 29)) == []
    assert wanted.lacking(date(2024, 3, 2)) == [FEBRUARY]
    wanted.make(FEBRUARY)
    assert wanted.lacking(date(2024, 3, 2)) == []
    assert wanted.lacking(date(2024, 5, 2)) == [MARCH, date(2024, 4, 1)]
    assert months(world, "acme", "globex").lacking(date(2024, 4, 2)) == [FEBRUARY, MARCH]
    assert months(world).lacking(date(2024, 5, 2)) == []


def test_without_a_key_nothing_is_called_verified(world: World) -> None:
    months(world, "acme").make(FEBRUARY)
    (world.directory / "log.key").unlink()
    assert "there is no key to check evidence against" in months(world, "acme").make(FEBRUARY).failed["acme"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"acme"', "evidence_tenants must be a list of tenant ids"),
        ('["acme", "../x"]', r"evidence_tenants\[1\]: '../x' is not a tenant id"),
        ('["acme", "acme"]', "'acme' is there twice"),
    ],
)
def test_the_setting_is_checked(tmp_path: Path, value: str, said: str) -> None:
    file = tmp_path / "lumi.toml"
    file.write_text(f"evidence_tenants = {value}\n")
    with pytest.raises(ConfigError, match=said):
        load_config(file, env={})
    file.write_text('evidence_tenants = ["acme", "a.b"]\n')
    assert load_config(file, env={}).evidence_tenants == ("acme", "a.b")
    file.write_text("")
    assert load_config(file, env={}).evidence_tenants == ()
