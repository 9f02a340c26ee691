"""The tenant map against the published vectors and against a direct reading of docs/formats.md."""

import json
from base64 import b64decode
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transparency.errors import ProofFormatError, VerificationError
from transparency.merkle import EMPTY_ROOT
from transparency.patricia import MAX_PROOF_SIZE, TenantMap, verify_absence, verify_presence

VECTORS = Path(__file__).parents[1] / "vectors"
LUMI: dict[str, Any] = json.loads((VECTORS / "lumi_v1.json").read_text())
VALUE = bytes(range(32))


def near(key: bytes, bit: int) -> bytes:
    """The key with one bit flipped."""
    return (int.from_bytes(key) ^ 1 << (255 - bit)).to_bytes(32)


# Uniform keys hardly ever share more than a few bits, so half of the keys are made to share long prefixes.
keys = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.builds(near, st.sampled_from([bytes(32), b"\xff" * 32, VALUE]), st.integers(0, 255)),
)
maps = st.dictionaries(keys, st.binary(min_size=32, max_size=32), max_size=12)


def naive_root(items: dict[bytes, bytes], bit: int = 0) -> bytes:
    """formats.md §4, read literally: split at the first bit where the keys differ."""
    if not items:
        return sha256(b"").digest()
    if len(items) == 1:
        [(key, value)] = items.items()
        return sha256(b"\x00\x20" + key + b"\x20" + value).digest()
    halves: list[dict[bytes, bytes]] = [{}, {}]
    for key, value in items.items():
        halves[int.from_bytes(key) >> (255 - bit) & 1][key] = value
    if not halves[0] or not halves[1]:
        return naive_root(items, bit + 1)
    prefix = bytes([bit]) if bit < 128 else bytes([bit & 0x7F | 0x80, 1])
    return sha256(b"\x01" + prefix + naive_root(halves[0], bit + 1) + naive_root(halves[1], bit + 1)).digest()


@pytest.mark.parametrize("case", json.loads((VECTORS / "mpt_treehash.json").read_text()))
def test_roots_of_the_reference_implementation(case: dict[str, Any]) -> None:
    items = {bytes.fromhex(key): bytes.fromhex(value) for key, value in case["pairs"]}
    assert TenantMap.build(items).root.hex() == case["root"]


def test_tenant_maps_of_the_reference_vectors() -> None:
    for day in LUMI["days"]:
        assert lumi_map(day).root.hex() == day["map_root"]


def lumi_map(day: dict[str, Any]) -> TenantMap:
    records = day["tenant_day_records"]
    return TenantMap.build(
        {bytes.fromhex(LUMI["tenant_keys"][name]): sha256(record.encode()).digest() for name, record in records.items()}
    )


@pytest.mark.parametrize("name", ["event", "event_redacted", "tenant_day_idle", "absence"])
def test_tenant_proofs_of_the_reference_vectors(name: str) -> None:
    extra = json.loads(b64decode(LUMI["proofs"][name].split("\n")[1].removeprefix("extra ")))
    proof = b64decode(extra["tenant_proof"])
    map_line = next(line for line in extra["day_record"].split("\n") if line.startswith("map "))
    root = b64decode(map_line.removeprefix("map "))
    [tenant_map] = [made for made in map(lumi_map, LUMI["days"]) if made.root == root]
    if name == "absence":
        tenant = extra["tenant_id"]
        key = sha256(f"lumi/tenant-key/v1\n{len(tenant)}:{tenant},".encode()).digest()
        verify_absence(root, key, proof)
    else:
        record = extra["tenant_record"]
        key = bytes.fromhex(next(line for line in record.split("\n") if line.startswith("tenant "))[7:])
        verify_presence(root, key, sha256(record.encode()).digest(), proof)
    assert tenant_map.prove(key) == proof


@given(maps, keys)
def test_every_key_has_exactly_the_proof_that_is_true(items: dict[bytes, bytes], stranger: bytes) -> None:
    tenant_map = TenantMap.build(items)
    root = tenant_map.root
    assert root == naive_root(items)
    for key in {*items, stranger}:
        proof = tenant_map.prove(key)
        if key in items:
            verify_presence(root, key, items[key], proof)
            assert refuses_absence(root, key, proof)
            with pytest.raises(VerificationError):
                verify_presence(root, key, sha256(items[key]).digest(), proof)
        else:
            verify_absence(root, key, proof)
            with pytest.raises((VerificationError, ProofFormatError)):
                verify_presence(root, key, VALUE, proof)


def refuses_absence(root: bytes, key: bytes, proof: bytes) -> bool:
    with pytest.raises((VerificationError, ProofFormatError)):
        verify_absence(root, key, proof)
    return True


@given(maps.filter(lambda items: len(items) > 1), st.data())
def test_no_other_leaf_proves_absence_of_a_present_key(items: dict[bytes, bytes], data: st.DataObject) -> None:
    """The proof of one leaf, relabelled as an absence proof, must not do for another leaf's key."""
    present, other = data.draw(st.permutations(sorted(items)).map(lambda order: order[:2]))
    tenant_map = TenantMap.build(items)
    proof = b"\x20" + other + b"\x20" + items[other] + tenant_map.prove(other)
    with pytest.raises(VerificationError) as caught:
        verify_absence(tenant_map.root, present, proof)
    assert caught.value.reason == "tenant-map"


FEW_KEYS = [bytes([number << 5]) + bytes(31) for number in range(8)]
HostileTree: TypeAlias = "tuple[bytes, bytes] | tuple[int, HostileTree, HostileTree]"
hostile_leaves: st.SearchStrategy[HostileTree] = st.tuples(
    st.sampled_from(FEW_KEYS), st.sampled_from([VALUE, bytes(32)])
)
hostile_trees = st.recursive(hostile_leaves, lambda trees: st.tuples(st.integers(0, 2), trees, trees), max_leaves=10)


def hostile_paths(tree: HostileTree) -> tuple[bytes, list[tuple[bytes, bytes, bytes]]]:
    """The root of a tree of any shape, and each leaf's key and value with the hashes on its way up as a proof."""
    if len(tree) == 2:
        key, value = tree
        return sha256(b"\x00\x20" + key + b"\x20" + value).digest(), [(key, value, b"")]
    bit, left, right = tree
    (left_root, left_paths), (right_root, right_paths) = hostile_paths(left), hostile_paths(right)
    paths = [(key, value, path + bytes([bit]) + right_root) for key, value, path in left_paths]
    paths += [(key, value, path + bytes([bit]) + left_root) for key, value, path in right_paths]
    return sha256(b"\x01" + bytes([bit]) + left_root + right_root).digest(), paths


@given(hostile_trees)
def test_no_tree_however_made_proves_two_things_about_a_key(tree: HostileTree) -> None:
    """Leaves in the wrong place, a key with two values, bits in any order: the operator may build what it likes."""
    root, paths = hostile_paths(tree)
    for key in FEW_KEYS:
        proven = set()
        for other, value, path in paths:
            with suppress(VerificationError, ProofFormatError):
                verify_presence(root, key, value, path)
                proven.add(value)
            with suppress(VerificationError, ProofFormatError):
                verify_absence(root, key, b"\x20" + other + b"\x20" + value + path)
                proven.add(b"absent")
        assert len(proven) <= 1


@given(maps.filter(bool), keys, st.data())
def test_an_altered_proof_never_verifies(items: dict[bytes, bytes], key: bytes, data: st.DataObject) -> None:
    tenant_map = TenantMap.build(items)
    proof = tenant_map.prove(key)
    at = data.draw(st.integers(0, len(proof)))
    altered = data.draw(
        st.sampled_from(
            [proof[:at], proof[:at] + b"\x00" + proof[at:], proof + b"\x00", proof + proof, flip(proof, at)]
        )
    )
    if altered == proof:
        return
    if key in items:
        with pytest.raises((VerificationError, ProofFormatError)):
            verify_presence(tenant_map.root, key, items[key], altered)
    else:
        assert refuses_absence(tenant_map.root, key, altered)


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x04]) + data[at + 1 :] if at < len(data) else data


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_an_error_of_ours(data: bytes) -> None:
    tenant_map = TenantMap.build({VALUE: VALUE, bytes(32): VALUE})
    with pytest.raises((VerificationError, ProofFormatError)):
        verify_absence(tenant_map.root, b"\xff" * 32, data)
    with pytest.raises((VerificationError, ProofFormatError)):
        verify_presence(tenant_map.root, b"\xff" * 32, VALUE, data)


@pytest.mark.parametrize(
    ("proof", "message"),
    [
        (b"\x05" + VALUE + b"\x05" + VALUE, "where one below 5 must follow"),
        (b"\x05" + VALUE + b"\x06" + VALUE, "where one below 5 must follow"),
        (b"\x80\x02" + VALUE, "where one below 256 must follow"),
        (b"\x85\x00" + VALUE, "longer than necessary"),
        (b"\x05" + VALUE[:-1], "cut off"),
        (b"\x05" + VALUE + b"\x80", "cut short"),
        (bytes(MAX_PROOF_SIZE + 1), "at most"),
    ],
)
def test_malformed_paths_are_named(proof: bytes, message: str) -> None:
    with pytest.raises(ProofFormatError, match=message):
        verify_presence(EMPTY_ROOT, VALUE, VALUE, proof)


def test_malformed_leaf_of_an_absence_proof_is_named() -> None:
    with pytest.raises(ProofFormatError, match="31 bytes"):
        verify_absence(EMPTY_ROOT, VALUE, b"\x1f" + VALUE + b"\x20" + VALUE)


def test_the_empty_map_holds_nothing_and_only_it_has_the_empty_proof() -> None:
    empty = TenantMap.build({})
    assert empty.root == EMPTY_ROOT
    assert empty.prove(VALUE) == b""
    verify_absence(EMPTY_ROOT, VALUE, b"")
    with pytest.raises(VerificationError, match="the map is not"):
        verify_absence(TenantMap.build({bytes(32): VALUE}).root, VALUE, b"")


def test_a_tree_as_deep_as_a_key_is_built_and_proven() -> None:
    """257 keys, each sharing one more bit with zero: the longest path there can be."""
    items = {near(bytes(32), bit): VALUE for bit in range(256)} | {bytes(32): VALUE}
    tenant_map = TenantMap.build(items)
    proof = tenant_map.prove(bytes(32))
    assert len(proof) == sum(32 + (1 if bit < 128 else 2) for bit in range(256)) <= MAX_PROOF_SIZE
    verify_presence(tenant_map.root, bytes(32), VALUE, proof)


def test_keys_and_values_of_another_size_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="31"):
        TenantMap.build({VALUE[:-1]: VALUE})
    with pytest.raises(ValueError, match="33"):
        TenantMap.build({VALUE: VALUE + b"\x00"})
    with pytest.raises(ValueError, match="key"):
        TenantMap.build({}).prove(b"")
