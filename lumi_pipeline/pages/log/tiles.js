// The log's tree as its files hold it (docs/formats.md §6, "Tiles"), read without trusting them: nothing is returned
// that does not lead to the root of the checkpoint. Numbers are JavaScript's: a log of days has a few million entries.

const TILE_WIDTH = 256;

// Where a tile of hashes, or with level "entries" a bundle, lies below the log's address.
function tilePath(level, index, width) {
  const digits = String(index);
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, "0");
  const groups = padded.match(/.{3}/g);
  const number = groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join("/");
  return `tile/${level}/${number}${width < TILE_WIDTH ? `.p/${width}` : ""}`;
}

// How many hashes of a level a tree of this size has: one for each complete subtree of 256^level entries.
function hashesAtLevel(size, level) {
  return Math.floor(size / TILE_WIDTH ** level);
}

// The fewest complete subtrees that cover the leaves [begin, end), from left to right, as [level, index].
function rangeNodes(begin, end) {
  const nodes = [];
  for (let at = begin; at < end;) {
    let level = Math.floor(Math.log2(end - at));
    while (at % 2 ** level !== 0) level--;
    nodes.push([level, at / 2 ** level]);
    at += 2 ** level;
  }
  return nodes;
}

// The root over subtrees that shrink from left to right (RFC 6962, 2.1): the largest is the left child of all others.
function foldHashes(hashes) {
  return hashes.length === 0 ? EMPTY_ROOT : hashes.reduceRight((right, left) => nodeHash(left, right));
}

// The roots of the complete subtrees that cover these hashes, the largest first.
function completeSubtrees(hashes) {
  return rangeNodes(0, hashes.length).map(([level, index]) => {
    let row = hashes.slice(index * 2 ** level, (index + 1) * 2 ** level);
    while (row.length > 1) row = Array.from({ length: row.length / 2 }, (_, i) => nodeHash(row[2 * i], row[2 * i + 1]));
    return row[0];
  });
}

// MTH of leaves that are given by their hashes (RFC 6962, 2.1).
function treeRoot(hashes) {
  return foldHashes(completeSubtrees(hashes));
}

// Reads the tree of a verified checkpoint through `fetchFile(path)`, which resolves to the bytes of a file of the log.
// What does not lead to the root is a VerificationError `tile`. What was checked is kept.
class LogTree {
  constructor(fetchFile, size, root) {
    this.fetchFile = fetchFile;
    this.size = size;
    this.root = root;
    this.edge = null;
    this.tiles = new Map();
    this.bundles = new Map();
  }

  get bundleCount() {
    return Math.ceil(this.size / TILE_WIDTH);
  }

  // The entries of a bundle, as bytes.
  bundle(index) {
    return this.once(this.bundles, index, async () => {
      const width = Math.min(this.size - index * TILE_WIDTH, TILE_WIDTH);
      const path = tilePath("entries", index, width);
      const [expected, data] = await Promise.all([this.hashes(0, index), this.fetchFile(path)]);
      const entries = readBundle(data, width);
      if (entries === null || !entries.every((entry, i) => equalBytes(leafHash(entry), expected[i])))
        throw this.altered(path);
      return entries;
    });
  }

  // The hash of a complete subtree.
  async node(level, index) {
    const inTile = level % 8;
    const first = index * 2 ** inTile;
    const hashes = await this.hashes((level - inTile) / 8, Math.floor(first / TILE_WIDTH));
    return treeRoot(hashes.slice(first % TILE_WIDTH, (first % TILE_WIDTH) + 2 ** inTile));
  }

  // The hash over a range of leaves that is itself a left or right part of the tree.
  async range(begin, end) {
    return foldHashes(await Promise.all(rangeNodes(begin, end).map(([level, index]) => this.node(level, index))));
  }

  // PATH(index, D[size]) of RFC 6962, 2.1.1: the lowest hash first.
  async inclusionPath(index) {
    const siblings = [];
    for (let [begin, end] = [0, this.size]; end - begin > 1;) {
      const middle = begin + 2 ** Math.floor(Math.log2(end - begin - 1));
      siblings.push(index < middle ? [middle, end] : [begin, middle]);
      [begin, end] = index < middle ? [begin, middle] : [middle, end];
    }
    return Promise.all(siblings.reverse().map(([begin, end]) => this.range(begin, end)));
  }

  // PROOF(old, D[size]) of RFC 6962, 2.1.2.
  async consistencyPath(old) {
    const parts = [];
    let [begin, end] = [0, this.size];
    while (old !== end) {
      const middle = begin + 2 ** Math.floor(Math.log2(end - begin - 1));
      parts.push(old <= middle ? [middle, end] : [begin, middle]);
      [begin, end] = old <= middle ? [begin, middle] : [middle, end];
    }
    if (begin > 0) parts.push([begin, end]);
    return Promise.all(parts.reverse().map(([from, to]) => this.range(from, to)));
  }

  // The checked hashes of a tile. The partial ones are the tree's right edge, and the root vouches for all of them at
  // once; a full one has its root in the tile above it.
  async hashes(level, index) {
    if (index === Math.floor(hashesAtLevel(this.size, level) / TILE_WIDTH)) return (await this.rightEdge()).get(level);
    return this.once(this.tiles, `${level}/${index}`, async () => {
      const path = tilePath(level, index, TILE_WIDTH);
      const [above, data] = await Promise.all([
        this.hashes(level + 1, Math.floor(index / TILE_WIDTH)),
        this.fetchFile(path),
      ]);
      const hashes = readHashes(data, TILE_WIDTH);
      if (hashes === null || !equalBytes(treeRoot(hashes), above[index % TILE_WIDTH])) throw this.altered(path);
      return hashes;
    });
  }

  rightEdge() {
    this.edge ??= this.readEdge();
    return this.edge;
  }

  async readEdge() {
    const tiles = [];
    for (let level = 0; hashesAtLevel(this.size, level) > 0; level++) {
      const count = hashesAtLevel(this.size, level);
      const width = count % TILE_WIDTH;
      if (width > 0) tiles.push({ level, width, path: tilePath(level, Math.floor(count / TILE_WIDTH), width) });
    }
    const contents = await Promise.all(tiles.map((tile) => this.fetchFile(tile.path)));
    const edge = new Map();
    const subtrees = [];
    tiles.forEach((tile, i) => {
      const hashes = readHashes(contents[i], tile.width);
      if (hashes === null) throw this.altered(tile.path);
      edge.set(tile.level, hashes);
      subtrees.unshift(...completeSubtrees(hashes));
    });
    if (!equalBytes(foldHashes(subtrees), this.root)) throw this.altered(tiles.map((tile) => tile.path).join(", "));
    return edge;
  }

  altered(path) {
    return new VerificationError("tile", `${path} is not what the root of the checkpoint commits to`);
  }

  // Remember what is asked for while it is under way too, and forget it if that fails, so that it can be tried again.
  once(cache, key, make) {
    if (!cache.has(key)) {
      const made = make();
      cache.set(key, made);
      made.catch(() => cache.delete(key));
    }
    return cache.get(key);
  }
}

function readHashes(data, width) {
  if (data.length !== width * 32) return null;
  return Array.from({ length: width }, (_, i) => data.subarray(32 * i, 32 * i + 32));
}

// The entries of a bundle, each behind its length in two bytes; null for bytes that are no bundle of this many.
function readBundle(data, width) {
  const entries = [];
  let at = 0;
  for (let i = 0; i < width; i++) {
    if (at + 2 > data.length) return null;
    const end = at + 2 + data[at] * 256 + data[at + 1];
    if (end > data.length) return null;
    entries.push(data.subarray(at + 2, end));
    at = end;
  }
  return at === data.length ? entries : null;
}
