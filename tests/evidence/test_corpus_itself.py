"""The corpus is what it claims to be: complete, the same in every run, and in the format of the published vectors."""

import json
import re
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.evidence.corpus import Case, cases, made
from tests.evidence.corpus.events import event_leaf, genesis_hash, integrity_hash, payload_hash, tenant_key
from tests.evidence.corpus.primitives import b64, map_proof, map_root, sha, tree_path, tree_root
from tests.evidence.corpus.signing import COSIGNATURE, Key, checkpoint_text, note

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((REPOSITORY / "tests" / "vectors" / "lumi_v1.json").read_text(encoding="utf-8"))
    return loaded


def digest(case: Case) -> str:
    content = case.archive if case.archive is not None else repr(sorted((case.files or {}).items())).encode()
    return sha256(repr((case.name, case.keys, case.exit_code, case.reason)).encode() + content).hexdigest()


def test_every_case_has_a_name_and_a_bundle_of_its_own() -> None:
    names = [case.name for case in cases()]
    assert len(set(names)) == len(names)
    assert all((case.files is None) != (case.archive is None) for case in cases())
    by_content: dict[str, list[str]] = {}
    for case in cases():
        content = sha256(repr((case.keys, sorted((case.files or {}).items()), case.archive)).encode()).hexdigest()
        by_content.setdefault(content, []).append(case.name)
    assert [names for names in by_content.values() if len(names) > 1] == []


def test_two_runs_make_the_same_bytes() -> None:
    assert [digest(case) for case in made()] == [digest(case) for case in cases()]


def test_reasons_and_exit_codes_fit() -> None:
    special = {"ok": 0, "unrecognised": 2, "key-unconfirmed": 3}
    assert [case.name for case in cases() if case.exit_code != special.get(case.reason, 1)] == []


def test_every_reason_of_the_specification_has_a_case() -> None:
    text = (REPOSITORY / "docs" / "formats.md").read_text(encoding="utf-8")
    bundles = text.partition("\n### Checking a bundle\n")[2].partition("\n### ")[0]
    checkpoints = text.partition("\n### Verifying a checkpoint\n")[2].partition("\n### ")[0]
    rows = [line for line in f"{bundles}\n{checkpoints}".splitlines() if line.startswith("|")]
    stated = {code for row in rows for code in re.findall(r"`([a-z-]+)`", row.rsplit("|", 2)[1])}
    stated |= {"genesis-inclusion", "genesis-origin", "genesis-key", "unrecognised", "ok"}
    assert len(stated) > 40
    assert stated - {case.reason for case in cases()} == set()


def test_hashes_are_those_of_the_vectors(vectors: dict[str, Any]) -> None:
    for tenant, chain_id in vectors["chain_ids"].items():
        assert genesis_hash(tenant, chain_id) == vectors["genesis_hashes"][tenant]
        assert tenant_key(tenant).hex() == vectors["tenant_keys"][tenant]
    for event in vectors["events"]:
        row = {name: str(value) if name == "seq" else value for name, value in event.items()}
        assert payload_hash(row) == row["payload_hash"]
        assert integrity_hash(row) == row["integrity_hash"]


def test_trees_are_those_of_the_vectors(vectors: dict[str, Any]) -> None:
    rows: dict[tuple[str, str], list[Any]] = {}
    for event in vectors["events"]:
        rows.setdefault((event["tenant_id"], event["recorded_at"][:10]), []).append(event)
    for day in vectors["days"]:
        records = {tenant_key(tenant): sha(text.encode()) for tenant, text in day["tenant_day_records"].items()}
        assert map_root(records).hex() == day["map_root"]
        for tenant, text in day["tenant_day_records"].items():
            leaves = [event_leaf(row) for row in rows.get((tenant, day["day"]), [])]
            assert f"\nroot {b64(tree_root(leaves))}\n" in text
    proof = vectors["proofs"]
    extras = [json.loads(_decoded(text)) for text in proof.values()]
    absent = next(extra for extra in extras if extra["type"] == "lumi/absence-proof/v1")
    days = {day["day_record"]: day for day in vectors["days"]}
    records = days[absent["day_record"]]["tenant_day_records"]
    pairs = {tenant_key(tenant): sha(text.encode()) for tenant, text in records.items()}
    assert b64(map_proof(pairs, tenant_key(absent["tenant_id"]))) == absent["tenant_proof"]


def _decoded(proof: str) -> bytes:
    return b64decode(proof.split("\n")[1].removeprefix("extra "))


def test_the_log_is_that_of_the_vectors(vectors: dict[str, Any]) -> None:
    log = vectors["log"]
    entries = [entry.encode() for entry in log["entries"]]
    origin = log["vkey"].partition("+")[0]
    key = Key(origin, secret=bytes(range(32)))
    witness = Key("witness.example.org/w1", COSIGNATURE, secret=bytes.fromhex(log["witness_seed"]))
    assert (key.vkey, witness.vkey) == (log["vkey"], log["witness_vkey"])
    for checkpoint in log["checkpoints"]:
        size = checkpoint["size"]
        assert tree_root(entries[:size]).hex() == checkpoint["root"]
        text = checkpoint_text(origin, size, tree_root(entries[:size]))
        lines = [key.line(text), witness.line(text, checkpoint["witness_time"])]
        assert note(text, lines[:1]).decode() == checkpoint["signed"]
        assert note(text, lines).decode() == checkpoint["cosigned"]
    assert [h.hex() for h in tree_path(entries[:2], 0)] == [log["leaf_hashes"][1]]
