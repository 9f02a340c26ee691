"""Proof files: made for any event, verified from their bytes alone, and failing whatever is changed in them."""

import base64
import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.errors import LakeError, LumiError, ProofNotFound
from lumi_pipeline.events import CORE_COLUMNS, HASH_COLUMNS, PAYLOAD_COLUMNS, uuid7
from lumi_pipeline.proofindex import index_key
from lumi_pipeline.proofs import looks_like_proof, verify_proof
from lumi_pipeline.proving import prove_event
from lumi_pipeline.verdict import Status
from tests.lake.world import EVIDENCE_KEY, LOG_KEY, ORIGIN, World, at, day
from transparency.encoding import canonical_json
from transparency.entries import Genesis
from transparency.errors import VerificationError
from transparency.keys import SigningKey
from transparency.policy import Policy
from transparency.proof import TlogProof

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "lumi_v1.json").read_text(encoding="utf-8"))
PROOFS = {name: text.encode() for name, text in VECTORS["proofs"].items()}
POLICY = Policy.pinning(VECTORS["log"]["vkey"])

Path_ = tuple[str | int, ...]


def _prove(world: World, event_id: str, *, redact: bool = False) -> bytes:
    pipeline = world.pipeline()
    genesis = pipeline.genesis()
    assert genesis is not None
    return prove_event(pipeline.lake, genesis, event_id, redact=redact)


def _event_ids(world: World) -> list[tuple[str, str]]:
    return [
        (str(event_id), f"{tenant_id}/{seq}")
        for event_id, tenant_id, seq in world.select("SELECT event_id, tenant_id, seq FROM audit_outbox")
    ]


def _extra(data: bytes) -> dict[str, object]:
    extra = TlogProof.parse(data).extra
    assert extra is not None
    value: dict[str, object] = json.loads(extra)
    return value


def _with_extra(data: bytes, extra: object) -> bytes:
    """The proof with other extra data, canonical again: a forger knows how."""
    proof = TlogProof.parse(data)
    return TlogProof(proof.index, proof.path, proof.checkpoint, canonical_json(extra).encode()).format()  # type: ignore[arg-type]


# Making proofs.


def test_every_event_can_be_proved_and_verifies_from_the_bytes_alone(sealed: World, tmp_path: Path) -> None:
    proofs = {place: _prove(sealed, event_id) for event_id, place in _event_ids(sealed)}
    assert len(proofs) == 9
    sealed.directory.rename(tmp_path / "elsewhere")
    for place, data in proofs.items():
        verdict = verify_proof(data, sealed.policy, place)
        assert (verdict.status, verdict.reason, verdict.subject) == (Status.VERIFIED, "ok", place)
        assert f"{verdict.facts['tenant']}/{verdict.facts['seq']}" == place
        assert verdict.facts["origin"] == ORIGIN
        assert verdict.facts["key"] == LOG_KEY.verifier.vkey
        assert verify_proof(data, None, place).status is Status.INCOMPLETE
        other = Policy.pinning(SigningKey(ORIGIN, bytes(32)).verifier.vkey)
        assert verify_proof(data, other, place).status is Status.FAILED


def test_a_proof_holds_the_row_as_it_was_recorded(sealed: World) -> None:
    ((event_id,),) = sealed.select("SELECT event_id FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 4")
    extra = _extra(_prove(sealed, str(event_id)))
    event = extra["event"]
    assert isinstance(event, dict)
    assert set(event["fields"]) == {*CORE_COLUMNS, *HASH_COLUMNS}
    assert set(event["payload"]) == set(PAYLOAD_COLUMNS)
    assert event["fields"]["recorded_at"] == "2024-02-29T23:59:59.999999Z"
    assert (event["fields"]["seq"], event["index"]) == ("4", "1")
    assert event["payload"]["actor_name"] == "Zoë Ångström"
    assert event["payload"]["before_state"] is None


def test_redacting_withholds_the_payload_and_nothing_else(sealed: World) -> None:
    for event_id, place in _event_ids(sealed):
        whole, redacted = _prove(sealed, event_id), _prove(sealed, event_id, redact=True)
        for name in ("Zoë", "203.0.113.7", "status"):
            assert name not in json.dumps(_extra(redacted), ensure_ascii=False)
        expected = _extra(whole)
        assert isinstance(expected["event"], dict)
        expected["event"]["payload"] = None
        assert _extra(redacted) == expected
        verdict = verify_proof(redacted, sealed.policy, place)
        assert verdict.status is Status.VERIFIED
        assert "withheld or erased" in verdict.lines[0]


def test_proofs_stay_valid_when_the_log_grows(sealed: World) -> None:
    ((event_id,),) = sealed.select("SELECT event_id FROM audit_outbox WHERE tenant_id = 'globex' AND seq = 0")
    before = _prove(sealed, str(event_id))
    sealed.record("acme", at(3))
    sealed.clock.now = at(4, "01:00:00")
    sealed.pipeline().run()
    after = _prove(sealed, str(event_id))
    assert before != after
    assert verify_proof(before, sealed.policy, "before").status is Status.VERIFIED
    assert verify_proof(after, sealed.policy, "after").status is Status.VERIFIED


def test_proving_what_is_not_there_says_so(sealed: World) -> None:
    sealed.record("acme", at(3))
    ((unsealed,),) = sealed.select("SELECT event_id FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 5")
    for event_id in (uuid7(), str(unsealed)):
        with pytest.raises(ProofNotFound, match=f"no sealed day holds event {event_id}"):
            _prove(sealed, event_id)
    for nonsense in ("", "x", uuid7().upper(), "../../etc/passwd", "' OR 1=1 --"):
        with pytest.raises(ProofNotFound, match="is not an event id"):
            _prove(sealed, nonsense)


def test_a_day_that_is_sealed_and_not_published_cannot_be_proved_yet(sealed: World) -> None:
    (event,) = sealed.record("acme", at(3))
    sealed.clock.now = at(4, "01:00:00")
    assert [report.day for report in sealed.pipeline().seal([day(3)])] == [day(3)]
    with pytest.raises(ProofNotFound, match="2024-03-02 is sealed but not published yet"):
        _prove(sealed, event.event_id)
    sealed.pipeline().publish()
    assert verify_proof(_prove(sealed, event.event_id), sealed.policy, "it").status is Status.VERIFIED


def test_before_anything_is_sealed_there_is_nothing_to_prove(world: World) -> None:
    (event,) = world.record("acme", at(0))
    world.pipeline().land()
    genesis = Genesis(ORIGIN, day(0), LOG_KEY.verifier, EVIDENCE_KEY.verifier)
    with pytest.raises(ProofNotFound, match="no sealed day holds event"):
        prove_event(world.pipeline().lake, genesis, event.event_id)


def test_damaged_files_stop_a_proof_with_an_error_of_ours(sealed: World) -> None:
    ((event_id,),) = sealed.select("SELECT event_id FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 1")
    part = next(iter(sealed.store.list(f"events/day={day(0)}/")))
    intact = sealed.store.get(part)
    for data in (b"", b"PAR1", intact[:-1], intact[: len(intact) // 2], b"\0" * len(intact), intact[::-1]):
        sealed.overwrite(part, data)
        with pytest.raises(LumiError):
            _prove(sealed, str(event_id))
    sealed.store.delete(part)
    with pytest.raises(ProofNotFound):
        _prove(sealed, str(event_id))


def test_damage_on_another_day_is_in_nobodys_way_and_named_where_the_event_is_searched(sealed: World) -> None:
    ((event_id,),) = sealed.select("SELECT event_id FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 1")
    (part,) = sealed.store.list(f"events/day={day(1)}/")
    sealed.overwrite(part, b"not Parquet")
    assert verify_proof(_prove(sealed, str(event_id)), sealed.policy, "proof").status is Status.VERIFIED
    sealed.store.delete(index_key(day(0)))
    with pytest.raises(LakeError, match=f"'lumi verify --all' names what is damaged.*{part}"):
        _prove(sealed, str(event_id))


def test_rows_that_do_not_give_the_sealed_root_are_not_proved(sealed: World) -> None:
    ((event_id,),) = sealed.select("SELECT event_id FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 1")
    record = f"seals/day={day(0)}/day.txt"
    other = sealed.store.get(f"seals/day={day(1)}/day.txt")
    sealed.overwrite(record, other)
    with pytest.raises(LumiError):
        _prove(sealed, str(event_id))


def test_an_erasure_that_nobody_ordered_is_not_sealed(world: World) -> None:
    world.record("acme", at(0, "10:00:00"), at(0, "11:00:00"))
    nulls = ", ".join(f"{name} = NULL" for name in PAYLOAD_COLUMNS)
    world.tamper(f"UPDATE audit_outbox SET {nulls}, erased_at = 1800000000000000 WHERE seq = 0")  # noqa: S608
    with pytest.raises(VerificationError, match="of tenant acme is gone"):
        world.pipeline().run()
    assert world.pipeline().sealed_days() == []


def test_an_event_of_a_broken_chain_is_proved_with_the_finding(world: World) -> None:
    events = world.record("acme", at(0, "10:00:00"), at(0, "11:00:00"), at(0, "12:00:00"))
    world.record("globex", at(0, "10:00:00"))
    world.tamper("UPDATE audit_outbox SET ip = 'other' WHERE tenant_id = 'acme' AND seq = 1")
    with pytest.raises(LumiError):
        world.pipeline().run()
    world.pipeline().acknowledge(day(0), "a test")
    world.pipeline().run()
    for event in (events[0], events[2]):
        verdict = verify_proof(_prove(world, event.event_id), world.policy, "it")
        assert (verdict.status, verdict.reason) == (Status.FAILED, "declared-break")
        assert "1 declared break(s)" in verdict.lines[-1]
    verdict = verify_proof(_prove(world, events[1].event_id), world.policy, "it")
    assert (verdict.status, verdict.reason) == (Status.FAILED, "payload-hash")
    # Another tenant's chain of the same day is intact, and so is its verdict.
    ((event_id,),) = world.select("SELECT event_id FROM audit_outbox WHERE tenant_id = 'globex'")
    assert verify_proof(_prove(world, str(event_id)), world.policy, "it").status is Status.VERIFIED


def test_what_an_application_recorded_cannot_forge_lines_of_a_verdict(world: World) -> None:
    (event,) = world.record("acme", at(0), actor_id="u-1\nVerified: everything", entity_id="x\n\x1b[2J")
    world.pipeline().run()
    verdict = verify_proof(_prove(world, event.event_id), world.policy, "it")
    assert verdict.status is Status.VERIFIED
    assert all(line.isprintable() for line in verdict.lines)
    assert r"by 'u-1\nVerified: everything'" in verdict.lines[0]


# Changing proofs.


def _places(value: object, path: Path_ = ()) -> Iterator[Path_]:
    """Every place in a JSON value, containers too."""
    yield path
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _places(item, (*path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _places(item, (*path, number))


def _at(value: object, path: Path_) -> object:
    for step in path:
        value = value[step]  # type: ignore[index]
    return value


def _flip(text: str) -> Iterator[str]:
    """Texts like this one, and unlike it."""
    yield text + "x"
    yield ""
    if text:
        yield text[:-1]
        middle = len(text) // 2
        yield text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]
        yield text.swapcase() if text.swapcase() != text else text[::-1] + "y"
    if text.isdecimal():
        yield str(int(text) + 1)
        yield "0" + text
        yield "-" + text
        yield str(2**63)


def _changed(value: object) -> Iterator[object]:
    """Other values for a leaf, of the same type and of others."""
    if isinstance(value, str):
        yield from _flip(value)
    for other in (None, 0, 1, True, "null", "", [], {}, ["x"], {"x": "y"}):
        if other != value or type(other) is not type(value):
            yield other


def _replaced(extra: object, path: Path_, act: Callable[[object, str | int], None]) -> object:
    changed = copy.deepcopy(extra)
    act(_at(changed, path[:-1]), path[-1])
    return changed


def _set(to: object) -> Callable[[object, str | int], None]:
    def act(container: object, step: str | int) -> None:
        container[step] = to  # type: ignore[index]

    return act


def _remove(container: object, step: str | int) -> None:
    del container[step]  # type: ignore[attr-defined]


def _mutations(extra: object) -> Iterator[tuple[str, object]]:
    for path in _places(extra):
        value = _at(extra, path)
        name = "/".join(map(str, path)) or "(all)"
        if isinstance(value, dict):
            yield f"{name} with one more field", _grown(extra, path, lambda item: item | {"more": "x"})
        if isinstance(value, list):
            yield f"{name} with one more item", _grown(extra, path, lambda item: [*item, "x"])
            yield (
                f"{name} with a hash more",
                _grown(extra, path, lambda item: [*item, base64.b64encode(bytes(32)).decode()]),
            )
            yield f"{name} reversed", _grown(extra, path, lambda item: [*item[::-1], item[0]] if item else [0])
        if not path:
            continue
        yield f"{name} removed", _replaced(extra, path, _remove)
        for other in _changed(value):
            yield f"{name} = {other!r}", _replaced(extra, path, _set(other))


def _grown(extra: object, path: Path_, grow: Callable[[object], object]) -> object:
    if not path:
        return grow(copy.deepcopy(extra))
    return _replaced(extra, path, _set(grow(copy.deepcopy(_at(extra, path)))))


# The tenant map lacks these as well, and the same path shows it: another statement, and as true as the first.
STILL_TRUE: dict[str, set[str]] = {
    "event": set(),
    "event_redacted": set(),
    "tenant_day_idle": set(),
    "absence": {"tenant_id = 'INITECH'", "tenant_id = 'null'"},
}


@pytest.mark.parametrize("name", PROOFS)
def test_no_change_of_the_extra_data_verifies(name: str) -> None:
    data = PROOFS[name]
    assert verify_proof(data, POLICY, name).status is Status.VERIFIED
    extra = _extra(data)
    tried = 0
    for what, changed in _mutations(extra):
        if changed == extra and repr(changed) == repr(extra):
            continue
        if what == "event/payload = None" and name == "event":
            continue  # which is how a payload is withheld
        tried += 1
        forged = _with_extra(data, changed)
        for policy in (POLICY, None):
            verdict = verify_proof(forged, policy, name)
            if what in STILL_TRUE[name]:
                assert verdict.status is (Status.VERIFIED if policy else Status.INCOMPLETE)
                assert what.endswith(f"{verdict.facts.get('tenant')!r}")
            else:
                assert verdict.status is Status.FAILED, (what, verdict)
            assert verdict.lines, what
    assert tried > 100


@pytest.mark.parametrize("name", PROOFS)
def test_no_change_of_a_line_verifies(name: str) -> None:
    data = PROOFS[name]
    lines = data.split(b"\n")
    assert lines[-2].startswith("\u2014 witness.example.org/w1 ".encode())
    forgeries = []
    for number, line in enumerate(lines[:-2]):  # whether a witness's line has to be there is the policy's business
        before, after = lines[:number], lines[number + 1 :]
        middle = len(line) // 2
        changed = (
            [line + b"x", line[:-1], b"", line[:middle] + bytes([line[middle] ^ 1]) + line[middle + 1 :]]
            if line
            else [b"x"]
        )
        forgeries += [[*before, other, *after] for other in changed if other != line]
        forgeries += [[*before, *after], [*before, line, line, *after], [*before, line + b"\r", *after]]
    forgeries += [lines[::-1], [*lines, b"more"], [b"", *lines]]
    for forged in forgeries:
        joined = b"\n".join(forged)
        if joined == data:
            continue
        for policy in (POLICY, None):
            verdict = verify_proof(joined, policy, name)
            assert verdict.status in {Status.FAILED, Status.UNRECOGNISED}, (joined, verdict)
            assert verdict.status is Status.FAILED or not looks_like_proof(joined)


@pytest.mark.parametrize("name", PROOFS)
def test_the_extra_data_of_one_proof_does_not_fit_another(name: str) -> None:
    for other, data in PROOFS.items():
        verdict = verify_proof(_with_extra(PROOFS[name], _extra(data)), POLICY, "mixed")
        same_day = TlogProof.parse(data).index == TlogProof.parse(PROOFS[name]).index
        same_size = TlogProof.parse(data).checkpoint == TlogProof.parse(PROOFS[name]).checkpoint
        assert (verdict.status is Status.VERIFIED) is (same_day and same_size), (other, verdict)


def test_declared_types_do_not_excuse_missing_parts() -> None:
    extra = _extra(PROOFS["event"])
    kinds = ["lumi/event-proof/v1", "lumi/tenant-day-proof/v1", "lumi/absence-proof/v1", "lumi/event-proof/v2", ""]
    for kind in kinds[1:]:
        verdict = verify_proof(_with_extra(PROOFS["event"], {**extra, "type": kind}), POLICY, "typed")
        assert (verdict.status, verdict.reason) == (Status.FAILED, "malformed")


def test_an_event_proof_cut_down_to_its_tenants_day_is_a_proof_of_that() -> None:
    extra = _extra(PROOFS["event"])
    del extra["event"]
    extra["type"] = "lumi/tenant-day-proof/v1"
    verdict = verify_proof(_with_extra(PROOFS["event"], extra), POLICY, "cut down")
    assert verdict.status is Status.VERIFIED
    assert "event(s) from seq" in verdict.lines[0]


def test_an_absence_proof_for_somebody_who_is_present_fails() -> None:
    extra = _extra(PROOFS["absence"])
    for tenant_id in ("acme", "globex"):
        forged = _with_extra(PROOFS["absence"], {**extra, "tenant_id": tenant_id})
        assert verify_proof(forged, POLICY, "absence").status is Status.FAILED


def test_extra_data_that_is_not_canonical_is_refused() -> None:
    proof = TlogProof.parse(PROOFS["event"])
    extra = _extra(PROOFS["event"])
    for text in (
        json.dumps(extra, ensure_ascii=False),
        json.dumps(extra, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n",
        json.dumps(dict(reversed(extra.items())), separators=(",", ":"), ensure_ascii=False),
        "[" * 100_000,
        "null",
        '"' + "x" * 1_000_000 + '"',
        "\ufeff{}",
    ):
        forged = TlogProof(proof.index, proof.path, proof.checkpoint, text.encode()).format()
        verdict = verify_proof(forged, POLICY, "it")
        assert (verdict.status, verdict.reason) == (Status.FAILED, "malformed")


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"hello\n", b"c2sp.org/tlog-proof@v1", b"PK\x03\x04", b"tenant_id,seq\r\n", b"\xff" * 64, b"{}"],
)
def test_garbage_is_not_recognised(data: bytes) -> None:
    for policy in (POLICY, None):
        verdict = verify_proof(data, policy, "garbage.bin")
        assert (verdict.status, verdict.reason) == (Status.UNRECOGNISED, "unrecognised")
        assert verdict.lines == ("garbage.bin is not a proof file.",)


@settings(max_examples=100)
@given(st.sampled_from(sorted(PROOFS)), st.data())
def test_random_damage_never_verifies(name: str, data: st.DataObject) -> None:
    proof = bytearray(PROOFS[name])
    witnesses = proof.rindex("\u2014 witness".encode())  # whose line counts for nothing under this policy
    place = data.draw(st.integers(0, witnesses - 1))
    match data.draw(st.sampled_from(["flip", "cut", "insert", "delete"])):
        case "flip":
            proof[place] ^= data.draw(st.integers(1, 255))
        case "cut":
            del proof[place:]
        case "insert":
            proof[place:place] = data.draw(st.binary(min_size=1, max_size=40))
        case _:
            del proof[place : min(place + data.draw(st.integers(1, 200)), witnesses)]
    if bytes(proof) != PROOFS[name]:
        assert verify_proof(bytes(proof), POLICY, name).status in {Status.FAILED, Status.UNRECOGNISED}


@given(st.binary(max_size=300))
def test_any_bytes_get_a_verdict(data: bytes) -> None:
    assert verify_proof(data, POLICY, "bytes").status is not Status.VERIFIED
    dressed = b"c2sp.org/tlog-proof@v1\nextra " + base64.b64encode(data) + b"\nindex 1\n\n"
    assert verify_proof(dressed, POLICY, "bytes").status in {Status.FAILED, Status.UNRECOGNISED}
