"""Publishing with witnesses: who is asked, what is published without them, and what is kept of their signatures."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from lumi_pipeline.cli.history import judge_published
from lumi_pipeline.errors import ConfigError, SealError, WitnessesMissing
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.proofs import verify_proof
from lumi_pipeline.proving import prove_event
from lumi_pipeline.verdict import Status
from lumi_pipeline.witnessing import Cosigner
from tests.lake.crashes import Act, crashes, kind, perform
from tests.lake.judging import judge
from tests.lake.witnesses import Witnesses, running
from tests.lake.world import ORIGIN, World, at, day
from tests.siem.fakes.http import ResetBefore, Slow, answer
from transparency.checkpoint import parse_signed_checkpoint
from transparency.errors import StoreError, WitnessConflict
from transparency.logview import LogView
from transparency.policy import evaluate
from transparency.verify import verify_log


@pytest.fixture
def recorded(world: World) -> World:
    """An event on each of days 0 to 2, and none on day 3; it is noon of day 4."""
    world.record("acme", at(0), at(1), at(2))
    return world


@pytest.fixture
def three(recorded: World) -> Iterator[Witnesses]:
    with running(recorded, "w1", "w2", "w3") as witnesses:
        yield witnesses


def cosigners(data: bytes) -> list[str]:
    return [line.name for line in parse_signed_checkpoint(data).note.signatures if line.name != ORIGIN]


def test_a_checkpoint_is_published_with_every_witnesss_signature(recorded: World, three: Witnesses) -> None:
    pipeline = recorded.pipeline(policy_file=three.policy_file("2"))
    report = pipeline.run(day(0)).publication
    assert report is not None
    assert report.cosigning is not None
    assert (report.cosigning.cosigned_by, report.cosigning.quorum_met) == (("w1", "w2", "w3"), True)
    assert three.sizes() == [2, 2, 2]

    report = recorded.pipeline(policy_file=three.policy_file("2")).run().publication
    assert report is not None
    assert report.size == 5
    assert three.asked() == [2, 2, 2], "the size that a witness knows is that of its last signature"
    view = LogView(recorded.store)
    verdict = verify_log(lambda path: recorded.store.get(f"log/{path}"), three.policy("2"))
    assert (verdict.policy.quorum_met, verdict.policy.split_view_excluded) == (True, True)
    assert view.first_checkpoint(4) == view.checkpoint()

    genesis = pipeline.genesis()
    assert genesis is not None
    [(event_id,)] = recorded.select("SELECT event_id FROM audit_outbox WHERE seq = 2")
    proof = verify_proof(prove_event(pipeline.lake, genesis, str(event_id)), three.policy("2"), "proof")
    assert proof.status is Status.VERIFIED
    assert "a split view" not in " ".join(proof.lines)


def test_closed_nothing_is_public_without_the_quorum_and_the_next_run_makes_up_for_it(
    recorded: World, three: Witnesses
) -> None:
    policy_file = three.policy_file("2")
    recorded.pipeline(policy_file=policy_file).run(day(0))
    before = recorded.store.get("log/checkpoint")
    for name in ("w2", "w3"):
        three.servers[name].script(answer(503), answer(503))
    with pytest.raises(WitnessesMissing, match=r"2 of the 3 members .* cosigned by w1\.\n  w2: .*503") as caught:
        recorded.pipeline(policy_file=policy_file).run()
    assert 'witness_fail = "open"' in str(caught.value)
    pipeline = recorded.pipeline(policy_file=policy_file)
    assert pipeline.sealed_days()[-1] == day(3), "sealing does not wait for witnesses"
    assert pipeline.unpublished_days() == [day(1), day(2), day(3)]
    assert recorded.store.get("log/checkpoint") == before
    with pytest.raises(WitnessesMissing):
        pipeline.run()
    report = recorded.pipeline(policy_file=policy_file).run().publication
    assert report is not None
    assert len(cosigners(recorded.store.get("log/checkpoint"))) == 3
    assert three.sizes() == [5, 5, 5]


def test_what_was_signed_without_a_quorum_counts_at_the_next_attempt(recorded: World, three: Witnesses) -> None:
    """One more witness signs at each attempt, and who has signed is not asked."""
    policy_file, began = three.policy_file("all"), int(recorded.clock.now.timestamp())
    for away in (("w2", "w3"), ("w3",)):
        for name in away:
            three.servers[name].script(answer(503))
        with pytest.raises(WitnessesMissing, match="asks those that have not signed"):
            recorded.pipeline(policy_file=policy_file).run()
        recorded.clock.now += timedelta(hours=1)
    assert len(cosigners(recorded.store.get("log-private/gathered/000000000005"))) == 2
    asked = three.asked()[:2]
    cosigning = recorded.pipeline(policy_file=policy_file).publish().cosigning
    assert cosigning is not None
    assert [reply.time for reply in cosigning.replies] == [began, began + 3600, began + 7200]
    assert three.asked()[:2] == asked
    assert len(cosigners(recorded.store.get("log/checkpoint"))) == 3
    assert all(verdict.status is Status.VERIFIED for verdict in judge(recorded))

    fresh = recorded.pipeline(policy_file=policy_file).submit()
    assert {reply.time for reply in fresh.replies} == {began + 7200}, "once it is public, everybody is asked anew"


@pytest.mark.parametrize("damage", [b"", b"\xff", b"no note", b"signature"])
def test_what_was_gathered_and_is_damaged_is_asked_for_again(recorded: World, three: Witnesses, damage: bytes) -> None:
    for name in ("w2", "w3"):
        three.servers[name].script(answer(503))
    with pytest.raises(WitnessesMissing):
        recorded.pipeline(policy_file=three.policy_file("all")).run()
    key, asked = "log-private/gathered/000000000005", three.asked()
    gathered = recorded.store.get(key)
    changed = gathered[:-10] + (b"A" if gathered[-10:-9] != b"A" else b"B") + gathered[-9:]
    recorded.overwrite(key, changed if damage == b"signature" else damage)
    recorded.pipeline(policy_file=three.policy_file("all")).publish()
    assert all(now > before for now, before in zip(three.asked(), asked, strict=True))
    assert len(cosigners(recorded.store.get("log/checkpoint"))) == 3


def test_open_it_is_published_all_the_same_and_submitting_fetches_what_was_missed(
    recorded: World, three: Witnesses
) -> None:
    settings = {"policy_file": three.policy_file("all"), "witness_fail": "open"}
    three.servers["w2"].script(ResetBefore())
    report = recorded.pipeline(**settings).run().publication
    assert report is not None
    assert report.cosigning is not None
    assert not report.cosigning.quorum_met
    first = recorded.store.get("log/checkpoint")
    assert cosigners(first) == ["witness.example.org/w1", "witness.example.org/w3"]

    recorded.clock.now += timedelta(hours=1)
    cosigning = recorded.pipeline(**settings).submit()
    assert (cosigning.fresh_quorum, cosigning.quorum_met, cosigning.size) == (True, True, 5)
    fresh = recorded.store.get("log/checkpoint")
    assert sorted(cosigners(fresh)) == [f"witness.example.org/w{number}" for number in (1, 2, 3)]
    times = evaluate(three.policy("all"), parse_signed_checkpoint(fresh)).cosigned_by
    assert {time for _, time in times} == {int(recorded.clock.now.timestamp())}
    assert recorded.store.get("log-private/cosigned/000000000005") == first, "since when it is cosigned, stays"
    assert LogView(recorded.store).first_checkpoint(4) == first
    assert all(verdict.status is Status.VERIFIED for verdict in judge(recorded))

    recorded.pipeline(**settings).publish()
    assert recorded.store.get("log/checkpoint") == fresh, "publishing does not take the fresher signatures back"


def test_a_witness_that_the_quorum_can_do_without_may_be_away(recorded: World, three: Witnesses) -> None:
    three.servers["w3"].script(answer(500))
    report = recorded.pipeline(policy_file=three.policy_file("w1")).run().publication
    assert report is not None
    assert report.cosigning is not None
    assert report.cosigning.cosigned_by == ("w1", "w2")
    assert report.cosigning.quorum_met


def test_without_a_quorum_witnesses_are_asked_and_nobody_waits_for_them(recorded: World, three: Witnesses) -> None:
    for server in three.servers.values():
        server.script(answer(404, b"who?"))
    report = recorded.pipeline(policy_file=three.policy_file("none")).run().publication
    assert report is not None
    assert report.cosigning is not None
    assert (report.cosigning.cosigned_by, report.cosigning.quorum_met) == ((), True)
    assert "who?" in str(report.cosigning.replies[0].problem)


def test_submitting_needs_something_to_submit_and_somebody_to_ask(world: World) -> None:
    with running(world, "w1") as witnesses:
        policy_file = witnesses.policy_file()
        with pytest.raises(SealError, match="nothing is sealed yet"):
            world.pipeline(policy_file=policy_file).submit()
        world.record("acme", at(0))
        world.pipeline().run()
        with pytest.raises(ConfigError, match="no witness is configured"):
            world.pipeline().submit()
        cosigning = world.pipeline(policy_file=witnesses.policy_file(without_url="w1")).submit()
        assert "add the URL" in str(cosigning.replies[0].problem)
        assert not cosigning.quorum_met


def test_a_second_history_is_refused_and_not_published(recorded: World, three: Witnesses, tmp_path: Path) -> None:
    """A split view: two logs with one key. What the first showed to the witnesses, the second can't contradict."""
    other = recorded.copy(tmp_path / "other")
    other.record("globex", at(3))
    for world in (recorded, other):
        world.pipeline().run(day(1))
    recorded.pipeline(policy_file=three.policy_file("2")).run()
    for fail in ("closed", "open"):
        with pytest.raises(WitnessConflict, match=r"witness w1: it has cosigned 5 entries .* another root") as caught:
            other.pipeline(policy_file=three.policy_file("2"), witness_fail=fail).run()
        assert "another history" in str(caught.value)
    assert parse_signed_checkpoint(other.store.get("log/checkpoint")).checkpoint.size == 3
    assert all(len(server.witness.suspicious) == 2 for server in three.servers.values())


def test_a_log_that_was_set_back_is_told_so(recorded: World, three: Witnesses, tmp_path: Path) -> None:
    earlier = recorded.copy(tmp_path / "earlier")
    recorded.pipeline(policy_file=three.policy_file()).run()
    with pytest.raises(WitnessConflict, match=r"cosigned 5 entries .* here are 2: .* set back to an earlier state"):
        earlier.pipeline(policy_file=three.policy_file()).run(day(0))


@pytest.mark.slow
def test_a_witness_that_dawdles_or_sends_elsewhere_is_not_waited_for(recorded: World, three: Witnesses) -> None:
    recorded.pipeline().run()
    view = LogView(recorded.store)
    cosigner = Cosigner(three.policy(), view, recorded.clock, required=False, timeout=3)
    three.servers["w1"].script(Slow(60))
    three.servers["w2"].script(answer(307, Location=three.servers["w3"].url))
    three.servers["w3"].script(answer(200, b"x" * 200_000))
    checkpoint = recorded.store.get("log/checkpoint")
    assert cosigner(checkpoint) == checkpoint
    assert cosigner.last is not None
    problems = [str(reply.problem) for reply in cosigner.last.replies]
    assert "no answer within 3 s" in problems[0]
    assert "is not followed" in problems[1]
    assert "no cosignature" in problems[2]
    assert three.asked() == [1, 1, 1]


def test_a_store_that_fails_is_no_witnesss_fault(recorded: World, three: Witnesses) -> None:
    recorded.pipeline().run()
    checkpoint = recorded.store.get("log/checkpoint")
    for key in [key for key in recorded.store.list("log/tile/") if "entries" not in key]:
        recorded.store.delete(key)
    cosigner = Cosigner(three.policy(), LogView(recorded.store), recorded.clock, required=True)
    for server in three.servers.values():
        server.script(answer(409, b"2\n", Content_Type="text/x.tlog.size"))
    with pytest.raises(StoreError, match="log/tile/0/"):
        cosigner(checkpoint)


def publishing(policy_file: Path) -> Act:
    def publish(pipeline: Pipeline) -> object:
        pipeline.config = replace(pipeline.config, policy_file=policy_file)
        return pipeline.publish()

    return publish


def submitting(policy_file: Path) -> Act:
    def submit(pipeline: Pipeline) -> object:
        pipeline.config = replace(pipeline.config, policy_file=policy_file)
        return pipeline.submit()

    return submit


def test_killed_at_any_write_the_next_run_publishes_what_the_witnesses_signed(
    recorded: World, three: Witnesses, tmp_path: Path
) -> None:
    """Their clocks stand still, so that what is signed twice has the same bytes."""
    publish = publishing(three.policy_file())
    list(recorded.pipeline().seal([day(0)]) if recorded.pipeline().land() else [])
    expected = recorded.copy(tmp_path / "expected")
    publish(expected.pipeline())
    assert len(cosigners(expected.store.get("log/checkpoint"))) == 3
    for crash in crashes(recorded, publish, tmp_path):
        publish(crash.world.pipeline())
        assert crash.world.contents("log") == expected.contents("log"), crash.moment


def test_killed_while_submitting_the_next_publishes_the_fresher_signatures(
    recorded: World, three: Witnesses, tmp_path: Path
) -> None:
    submit = submitting(three.policy_file())
    recorded.pipeline(policy_file=three.policy_file()).run()
    first = recorded.store.get("log/checkpoint")
    recorded.clock.now += timedelta(hours=1)
    writes = perform(recorded.copy(tmp_path / "counted"), submit)
    assert [kind(write) for write in writes] == ["put_new log-private/refreshed/N/N", "put log/checkpoint"]
    for crash in crashes(recorded, submit, tmp_path):
        refreshed = list(crash.world.store.list("log-private/refreshed/"))
        crash.world.pipeline().publish()
        public = crash.world.store.get("log/checkpoint")
        assert (public == first) is not bool(refreshed), crash.moment
        assert crash.world.store.get("log-private/cosigned/000000000005") == first
        assert judge_published(crash.world.pipeline(), crash.world.policy).status is Status.VERIFIED
