"""The page's trees: inclusion, consistency, and what is in a tenant map or not."""

import json
from pathlib import Path
from typing import Any

from tests.pages.conftest import Verifier
from transparency.patricia import TenantMap

VECTORS = Path(__file__).parents[1] / "vectors"


def _cases(name: str) -> list[dict[str, Any]]:
    """The cases, with sizes as text: some are beyond what a number of JavaScript holds."""
    cases = json.loads((VECTORS / name).read_text())
    return [{key: str(value) if type(value) is int else value for key, value in case.items()} for case in cases]


def test_inclusion_proofs_of_the_published_vectors(verifier: Verifier) -> None:
    cases = _cases("rfc6962_inclusion.json")
    found = verifier.ask(
        """(cases) => cases.map(({ leafIdx, treeSize, root, leafHash, proof }) => {
          const bytes = (text) => (text === null ? new Uint8Array(0) : bytesOf(text));
          const path = (proof ?? []).map(bytes);
          return provesInclusion(bytes(leafHash), BigInt(leafIdx), BigInt(treeSize), path, bytes(root));
        })""",
        cases,
    )
    assert found == [not case["wantErr"] for case in cases]


def test_consistency_proofs_of_the_published_vectors(verifier: Verifier) -> None:
    cases = _cases("rfc6962_consistency.json")
    found = verifier.ask(
        """(cases) => cases.map(({ size1, size2, root1, root2, proof }) => {
          const bytes = (text) => (text === null ? new Uint8Array(0) : bytesOf(text));
          return provesConsistency(BigInt(size1), BigInt(size2), bytes(root1), bytes(root2), (proof ?? []).map(bytes));
        })""",
        cases,
    )
    assert found == [not case["wantErr"] for case in cases]


MAP_CHECKS = """(root, key, value, proof) => {
  const check = (prove) => {
    try {
      return prove();
    } catch (error) {
      if (error instanceof FormatError) return "malformed";
      throw error;
    }
  };
  const [r, k, v, p] = [root, key, value, proof].map(bytesOf);
  return [check(() => provesPresence(r, k, v, p)), check(() => provesAbsence(r, k, p))];
}"""


def test_a_tenant_map_proves_presence_and_absence_of_every_key(verifier: Verifier) -> None:
    for case in _cases("mpt_treehash.json"):
        items = {bytes.fromhex(key): bytes.fromhex(value) for key, value in case["pairs"]}
        tree = TenantMap.build(items)
        for key, value in [*items.items(), (bytes(31) + b"\x07", bytes(32)), (b"\xa5" * 32, bytes(32))]:
            proof = tree.prove(key)
            present, absent = verifier.ask(MAP_CHECKS, tree.root, key, value, proof)
            if key in items:
                assert (present, absent) in {(True, False), (True, "malformed")}
                assert verifier.ask(MAP_CHECKS, tree.root, key, bytes(32), proof)[0] is (value == bytes(32))
            else:
                assert (present, absent) in {(False, True), ("malformed", True)}
            if proof:
                assert verifier.ask(MAP_CHECKS, tree.root, key, value, proof[:-1]) == ["malformed", "malformed"]


def test_an_event_tree_grows_leaf_by_leaf_to_the_root_of_any_size(verifier: Verifier) -> None:
    vectors = json.loads((VECTORS / "lumi_v1.json").read_text())
    found = verifier.ask(
        """(hashes) => {
          const tree = new EventTree();
          const reader = { buffer: utf8(hashes.join("")), starts: [0] };
          const slowly = (leaves) => {
            if (leaves.length < 2) return leaves[0] ?? EMPTY_ROOT;
            let k = 1;
            while (2 * k < leaves.length) k *= 2;
            return nodeHash(slowly(leaves.slice(0, k)), slowly(leaves.slice(k)));
          };
          const leaves = [];
          return Array.from({ length: 40 }, (_, i) => {
            reader.starts[0] = 64 * (i % hashes.length);
            tree.add(reader, 0);
            leaves.push(eventLeaf(decodeHex(hashes[i % hashes.length], 32)));
            return equalBytes(tree.root(), slowly(leaves)) && equalBytes(tree.root(), tree.root());
          });
        }""",
        [event["integrity_hash"] for event in vectors["events"]],
    )
    assert found == [True] * 40
