"""Publishing signs nothing that could not have been sealed here, and notices what the log has and the lake lost."""

from datetime import timedelta

import pytest

from lumi_pipeline.errors import ConfigError, LakeError
from lumi_pipeline.lake import seal_prefix
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.site import PAGE_KEY, site_page
from tests.lake.crashes import perform
from tests.lake.world import ORIGIN, World, at, day
from transparency.keys import SigningKey

pytestmark = pytest.mark.everywhere


def publish(pipeline: Pipeline) -> object:
    return pipeline.publish()


def sealed_only(world: World) -> None:
    world.record("acme", at(0), at(1))
    list(world.pipeline().seal([day(0), day(1)]) if world.pipeline().land().number is not None else [])


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"lumi/day/v1", b"garbage"), (b"index 2", b"index 3"), (b"/test\n", b"/else\n"), (b"breaks 0", b"breaks 1")],
)
def test_an_altered_record_is_never_signed(world: World, old: bytes, new: bytes) -> None:
    sealed_only(world)
    key = f"{seal_prefix(day(1))}day.txt"
    data = world.store.get(key)
    altered = data.replace(old, new)
    assert altered != data
    world.overwrite(key, altered)
    with pytest.raises(Exception, match=r"day|record|manifest") as caught:
        world.pipeline().publish()
    assert type(caught.value).__module__.startswith(("lumi_pipeline", "transparency"))
    assert list(world.store.list("log-private/commits/")) == []
    world.overwrite(key, data)
    assert world.pipeline().publish().days == (day(0), day(1))


def test_a_log_begins_with_the_key_of_its_genesis(world: World) -> None:
    sealed_only(world)
    other = world.directory / "other.key"
    SigningKey.generate(ORIGIN).save_new(other)
    with pytest.raises(ConfigError, match="use that key"):
        world.pipeline(log_key_file=other).publish()
    assert list(world.store.list("log/")) == []
    assert world.pipeline().publish().size == 3


def test_a_day_that_the_log_holds_is_not_sealed_anew(sealed: World) -> None:
    key = f"{seal_prefix(day(2))}day.txt"
    record = sealed.store.get(key)
    sealed.store.delete(key)
    with pytest.raises(LakeError, match=r"2024-03-01/day\.txt is missing.*entry 3"):
        sealed.pipeline().run()
    sealed.store.put_new(key, record)
    assert sealed.pipeline().run().seals == ()


def test_a_committed_append_that_is_not_public_is_still_to_publish(sealed: World) -> None:
    published = sealed.store.get("log/checkpoint")
    sealed.store.delete("log/checkpoint")
    assert sealed.pipeline().unpublished_days() == [day(0), day(1), day(2)]
    sealed.pipeline().publish()
    assert sealed.store.get("log/checkpoint") == published


def test_the_site_is_written_with_the_log_and_again_only_when_it_changes(sealed: World) -> None:
    assert sealed.store.get(PAGE_KEY) == site_page(timedelta(hours=2))
    assert [write for write in perform(sealed, publish) if write.key == PAGE_KEY] == []
    sealed.overwrite(PAGE_KEY, sealed.store.get(PAGE_KEY) + b"\n")
    assert [write for write in perform(sealed, publish) if write.key == PAGE_KEY] != []
    assert sealed.store.get(PAGE_KEY) == site_page(timedelta(hours=2))
