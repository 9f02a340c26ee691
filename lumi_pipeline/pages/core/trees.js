// The trees: RFC 6962 inclusion and consistency (docs/formats.md §2), and the tenant map (§4).

const EMPTY_ROOT = sha256();
const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

function leafHash(entry) {
  return sha256(LEAF, entry);
}

function nodeHash(left, right) {
  return sha256(NODE, left, right);
}

// Whether the path leads from a leaf hash at an index to the root of a tree of this size (RFC 9162, 2.1.3.2).
function provesInclusion(leaf, index, size, path, root) {
  if (index < 0n || index >= size || leaf.length !== 32 || root.length !== 32) return false;
  let [fn, sn, hash] = [index, size - 1n, leaf];
  for (const sibling of path) {
    if (sibling.length !== 32 || sn === 0n) return false;
    if (fn & 1n || fn === sn) {
      hash = nodeHash(sibling, hash);
      while (!(fn & 1n) && fn !== 0n) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  return sn === 0n && equalBytes(hash, root);
}

// Whether a tree of the new size is an extension of that of the old one (RFC 9162, 2.1.4.2). There is nothing to prove
// from an empty tree, so no proof of that is accepted.
function provesConsistency(oldSize, newSize, oldRoot, newRoot, path) {
  if (oldSize < 1n || oldSize > newSize || path.some((hash) => hash.length !== 32)) return false;
  if (oldSize === newSize) return path.length === 0 && equalBytes(oldRoot, newRoot);
  const isPower = (oldSize & (oldSize - 1n)) === 0n;
  const hashes = isPower ? [oldRoot, ...path] : path;
  if (path.length === 0) return false;
  let [fn, sn] = [oldSize - 1n, newSize - 1n];
  while (fn & 1n) [fn, sn] = [fn >> 1n, sn >> 1n];
  let [fr, sr] = [hashes[0], hashes[0]];
  for (const hash of hashes.slice(1)) {
    if (sn === 0n) return false;
    if (fn & 1n || fn === sn) {
      fr = nodeHash(hash, fr);
      sr = nodeHash(hash, sr);
      while (!(fn & 1n) && fn !== 0n) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else {
      sr = nodeHash(sr, hash);
    }
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  return sn === 0n && equalBytes(fr, oldRoot) && equalBytes(sr, newRoot);
}

const MAX_MAP_PROOF = 8770;
const KEY_BITS = 256;
const SIZE_PREFIX = encodeVarint(32);

function keyBit(key, bit) {
  return (key[bit >> 3] >> (7 - (bit & 7))) & 1;
}

// Read the path of a map proof: [{bit, sibling}] from the leaf up.
function parseMapPath(proof, start) {
  const steps = [];
  let below = KEY_BITS;
  for (let at = start; at < proof.length;) {
    const [bit, next] = parseVarint(proof, at);
    if (bit >= below) throw new FormatError("the bits of a tenant map proof do not decrease");
    if (next + 32 > proof.length) throw new FormatError("a tenant map proof is cut off");
    steps.push({ bit, sibling: proof.subarray(next, next + 32) });
    below = bit;
    at = next + 32;
  }
  return steps;
}

function checkMapProofSize(proof) {
  if (proof.length > MAX_MAP_PROOF) throw new FormatError(`a tenant map proof of more than ${MAX_MAP_PROOF} bytes`);
}

function mapPathRoot(key, value, steps) {
  let hash = sha256(LEAF, SIZE_PREFIX, key, SIZE_PREFIX, value);
  for (const { bit, sibling } of steps) {
    const [left, right] = keyBit(key, bit) ? [sibling, hash] : [hash, sibling];
    hash = sha256(NODE, encodeVarint(bit), left, right);
  }
  return hash;
}

// Whether the map with this root holds the value under the key; FormatError for bytes that are no proof.
function provesPresence(root, key, value, proof) {
  checkMapProofSize(proof);
  return equalBytes(mapPathRoot(key, value, parseMapPath(proof, 0)), root);
}

// Whether the map with this root lacks the key: the proof shows the leaf that looking the key up ends at.
function provesAbsence(root, key, proof) {
  checkMapProofSize(proof);
  if (proof.length === 0) return equalBytes(root, EMPTY_ROOT);
  if (proof.length < 66 || proof[0] !== 32 || proof[33] !== 32) throw new FormatError("an absence proof shows no leaf");
  const other = proof.subarray(1, 33);
  const steps = parseMapPath(proof, 66);
  if (equalBytes(other, key) || steps.some(({ bit }) => keyBit(other, bit) !== keyBit(key, bit))) return false;
  return equalBytes(mapPathRoot(other, proof.subarray(34, 66), steps), root);
}
