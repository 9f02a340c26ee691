// A ZIP file (PKWARE APPNOTE 6.3) of at most a few files, read in pieces. Only what a bundle needs: stored or
// deflated, not encrypted, regular files, one disk. Anything that two programs could read differently is refused.

const MAX_ZIP_ENTRIES = 16;
const ZIP_END = 0x06054b50;
const ZIP64_LOCATOR = 0x07064b50;
const ZIP64_END = 0x06064b50;
const ZIP_CENTRAL = 0x02014b50;
const ZIP_LOCAL = 0x04034b50;
const MAX_ZIP_LIST = 4194304; // more than the list of 16 entries can take

function damagedZip(what) {
  return new VerificationError("bundle-format", `the ZIP file ${what}`);
}

function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

// The entries of a ZIP file, or null if it is none: [{name, method, crc, compressed, size, at, isRegular}].
async function readZip(file) {
  const end = await findZipEnd(file);
  if (end === null) return null;
  const listStart = end.at - end.size;
  const shift = listStart - end.start; // places are counted from where the ZIP file begins: other bytes may be in front
  const entries = [];
  let problem = null;
  try {
    if (end.size > MAX_ZIP_LIST || shift < 0) throw damagedZip("has no list of contents where it should be");
    const list = await file.read(listStart, end.at);
    let at = 0;
    for (let i = 0; i < end.count; i++) at = readCentralEntry(list, at, entries);
    if (at !== list.length) throw damagedZip("has more in its list of contents than it counts");
    if (end.count > MAX_ZIP_ENTRIES) throw damagedZip(`has ${end.count} entries; a bundle has 8`);
    for (const entry of entries) entry.at += shift;
    for (const entry of entries) await checkLocalEntry(file, entry);
    checkOverlap(entries, listStart);
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    problem = error; // the names found so far still tell whether this is a bundle at all
  }
  return { entries, problem };
}

// The end of central directory: {at, count, size, start}: the list of `count` entries takes the `size` bytes before `at`,
// and `start` is where the ZIP file itself says that it begins. It is the last bytes of the file, or else the last that
// look like one; a comment behind it, or something else, is passed over.
async function findZipEnd(file) {
  const tailStart = Math.max(0, file.size - 22 - 65536);
  const tail = await file.read(tailStart, file.size);
  const view = viewOf(tail);
  const isEnd = (at) => view.getUint32(at, true) === ZIP_END;
  let at = tail.length - 22;
  if (at < 0) return null;
  if (!isEnd(at) || view.getUint16(at + 20, true) !== 0) {
    at = tail.length - 4;
    while (at >= 0 && !isEnd(at)) at--;
    if (at < 0 || at + 22 > tail.length) return null;
  }
  const end = {
    at: tailStart + at,
    count: view.getUint16(at + 10, true),
    size: view.getUint32(at + 12, true),
    start: view.getUint32(at + 16, true),
  };
  return (await findZip64End(file, end)) ?? end;
}

// The same with 64 bits: a record of 56 bytes and a locator of 20, right before the other end.
async function findZip64End(file, { at }) {
  if (at < 76) return null;
  const record = viewOf(await file.read(at - 76, at));
  if (record.getUint32(0, true) !== ZIP64_END || record.getUint32(56, true) !== ZIP64_LOCATOR) return null;
  return {
    at: at - 76,
    count: Number(record.getBigUint64(32, true)),
    size: Number(record.getBigUint64(40, true)),
    start: Number(record.getBigUint64(48, true)),
  };
}

function readCentralEntry(list, at, entries) {
  const view = viewOf(list);
  if (at + 46 > list.length || view.getUint32(at, true) !== ZIP_CENTRAL)
    throw damagedZip("has a damaged list of contents");
  const [nameSize, extraSize, commentSize] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
  const next = at + 46 + nameSize + extraSize + commentSize;
  if (next > list.length) throw damagedZip("has a damaged list of contents");
  const entry = {
    rawName: list.slice(at + 46, at + 46 + nameSize),
    name: new TextDecoder("utf-8").decode(list.subarray(at + 46, at + 46 + nameSize)),
    flags: view.getUint16(at + 8, true),
    method: view.getUint16(at + 10, true),
    crc: view.getUint32(at + 16, true),
    compressed: view.getUint32(at + 20, true),
    size: view.getUint32(at + 24, true),
    at: view.getUint32(at + 42, true),
  };
  readZip64Sizes(list.subarray(at + 46 + nameSize, at + 46 + nameSize + extraSize), entry);
  const [madeBy, attributes] = [view.getUint8(at + 5), view.getUint32(at + 38, true)];
  const kind = madeBy === 3 ? attributes >>> 28 : 0; // a Unix mode's type of file: 8 is a regular one
  entry.isRegular = (kind === 0 || kind === 8) && !(attributes & 0x10) && !entry.name.endsWith("/");
  entries.push(entry);
  return next;
}

// Sizes and places that don't fit in 32 bits stand in extra field 1, in this order, those that are needed.
function readZip64Sizes(extra, entry) {
  const view = viewOf(extra);
  for (let at = 0; at + 4 <= extra.length;) {
    const [id, size] = [view.getUint16(at, true), view.getUint16(at + 2, true)];
    let field = at + 4;
    at = field + size;
    if (id !== 1) continue;
    for (const name of ["size", "compressed", "at"]) {
      if (entry[name] !== 0xffffffff) continue;
      if (field + 8 > Math.min(at, extra.length)) throw damagedZip("has a damaged list of contents");
      entry[name] = Number(view.getBigUint64(field, true));
      field += 8;
    }
  }
}

// The header in front of a file's bytes has to say the same as the list does. Sets entry.start, where the bytes are.
async function checkLocalEntry(file, entry) {
  const header = await file.read(entry.at, entry.at + 30 + entry.rawName.length);
  const view = viewOf(header);
  const agrees =
    header.length === 30 + entry.rawName.length &&
    view.getUint32(0, true) === ZIP_LOCAL &&
    view.getUint16(6, true) === entry.flags &&
    view.getUint16(8, true) === entry.method &&
    view.getUint16(26, true) === entry.rawName.length &&
    equalBytes(header.subarray(30), entry.rawName);
  if (!agrees) throw damagedZip(`contradicts itself about ${excerpt(entry.name)}`);
  if (entry.flags & 0x2041) throw damagedZip(`holds ${excerpt(entry.name)} encrypted`);
  if (entry.method !== 0 && entry.method !== 8)
    throw damagedZip(`holds ${excerpt(entry.name)} compressed in a way that is not usual`);
  if (!entry.isRegular) throw damagedZip(`holds ${excerpt(entry.name)}, which is a folder or a link`);
  entry.start = entry.at + 30 + entry.rawName.length + view.getUint16(28, true);
}

// No byte may belong to two files.
function checkOverlap(entries, end) {
  const inOrder = [...entries].sort((a, b) => a.at - b.at);
  inOrder.forEach((entry, i) => {
    const next = i + 1 < inOrder.length ? inOrder[i + 1].at : end;
    if (entry.start + entry.compressed > next) throw damagedZip(`holds ${excerpt(entry.name)} where other things are`);
  });
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, n) => {
  for (let i = 0; i < 8; i++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

function crc32(crc, bytes) {
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ bytes[i]) & 0xff];
  return crc;
}

// The pieces of a file in the ZIP file. Whoever takes all of them knows that size and CRC are right.
async function* readZipEntry(file, entry) {
  const { start, method, name } = entry;
  const end = start + entry.compressed;
  let crc = -1;
  let size = 0;
  try {
    for await (const piece of method === 0 ? readPieces(file, start, end) : inflatePieces(file, start, end)) {
      crc = crc32(crc, piece);
      size += piece.length;
      if (size > entry.size) break;
      yield piece;
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw damagedZip(`is damaged within ${name}`);
  }
  if (size !== entry.size || ~crc >>> 0 !== entry.crc) throw damagedZip(`is damaged within ${name}`);
}
