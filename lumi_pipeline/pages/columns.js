// The columns of a row, where they lie in a CsvReader: whether each is in form, and what is hashed of them. What
// event.js does with text, this does with bytes in place, a hundred thousand rows a second.

const [TENANT_ID, SEQ, EVENT_ID, RECORDED_AT, OCCURRED_AT, ACTION] = [0, 1, 2, 3, 4, 5];
const [OUTCOME, ACTOR_TYPE] = ["outcome", "actor_type"].map((name) => EVENT_COLUMNS.indexOf(name));
const [AUTH_METHOD, FIRST_PAYLOAD, SALT] = ["auth_method", "actor_name", "payload_salt"].map((name) =>
  EVENT_COLUMNS.indexOf(name),
);
const [PAYLOAD_HASH, PREV_HASH, INTEGRITY_HASH, ERASED_AT] = [...HASH_COLUMNS, "erased_at"].map((name) =>
  EVENT_COLUMNS.indexOf(name),
);
const NEVER_NULL = [...CORE_COLUMNS.slice(0, -1), ...HASH_COLUMNS].map((name) => EVENT_COLUMNS.indexOf(name));
const TEXT_CELLS = TEXT_COLUMNS.map((name) => EVENT_COLUMNS.indexOf(name));
const TIME_CELLS = [RECORDED_AT, OCCURRED_AT, ERASED_AT];
const HASH_CELLS = [PAYLOAD_HASH, PREV_HASH, INTEGRITY_HASH];
const CHOICES = [
  [OUTCOME, ["success", "failure", "unknown"]],
  [ACTOR_TYPE, ["user", "service", "system", "support"]],
].map(([cell, words]) => [cell, words.map(utf8)]);

function isDigit(byte) {
  return byte >= 0x30 && byte <= 0x39;
}

function isLowerHex(byte) {
  return isDigit(byte) || (byte >= 0x61 && byte <= 0x66);
}

function isHexCell(reader, cell, digits) {
  const { buffer } = reader;
  const [start, end] = [reader.starts[cell], reader.ends[cell]];
  if (end - start !== digits) return false;
  for (let i = start; i < end; i++) if (!isLowerHex(buffer[i])) return false;
  return true;
}

function twoDigits(buffer, at) {
  return (buffer[at] - 0x30) * 10 + buffer[at + 1] - 0x30;
}

const TIME_PATTERN = utf8("0000-00-00T00:00:00.000000Z");

function isTimeCell(reader, cell) {
  const { buffer } = reader;
  const start = reader.starts[cell];
  if (reader.ends[cell] - start !== 27) return false;
  for (let i = 0; i < 27; i++) {
    const wanted = TIME_PATTERN[i];
    if (wanted === 0x30 ? !isDigit(buffer[start + i]) : buffer[start + i] !== wanted) return false;
  }
  const year = twoDigits(buffer, start) * 100 + twoDigits(buffer, start + 2);
  const [month, day] = [twoDigits(buffer, start + 5), twoDigits(buffer, start + 8)];
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return false;
  return twoDigits(buffer, start + 11) < 24 && twoDigits(buffer, start + 14) < 60 && twoDigits(buffer, start + 17) < 60;
}

// The seq as a BigInt, or -1 if it is none.
function readSeq(reader) {
  const { buffer } = reader;
  const [start, end] = [reader.starts[SEQ], reader.ends[SEQ]];
  if (end === start || end - start > 19 || (buffer[start] === 0x30 && end - start > 1)) return -1n;
  let value = 0;
  for (let i = start; i < end; i++) {
    if (!isDigit(buffer[i])) return -1n;
    value = value * 10 + buffer[i] - 0x30;
  }
  const exact = end - start < 16 ? BigInt(value) : BigInt(reader.text(SEQ));
  return exact > MAX_INT64 ? -1n : exact;
}

function isEventIdCell(reader) {
  const start = reader.starts[EVENT_ID];
  if (reader.ends[EVENT_ID] - start !== 36) return false;
  for (let i = 0; i < 36; i++) {
    const byte = reader.buffer[start + i];
    if (i === 8 || i === 13 || i === 18 || i === 23 ? byte !== 0x2d : !isLowerHex(byte)) return false;
  }
  return true;
}

function isActionCell(reader) {
  const [start, end] = [reader.starts[ACTION], reader.ends[ACTION]];
  if (end - start < 1 || end - start > 128) return false;
  for (let i = start; i < end; i++) {
    const byte = reader.buffer[i];
    const isLetter = byte >= 0x41 && byte <= 0x5a;
    if (!isLetter && (i === start || !(isDigit(byte) || byte === 0x5f))) return false;
  }
  return true;
}

// Whether bytes of a buffer, from a place on, are these.
function bytesAre(buffer, at, wanted) {
  for (let i = 0; i < wanted.length; i++) if (buffer[at + i] !== wanted[i]) return false;
  return true;
}

function cellIs(reader, cell, wanted) {
  return (
    reader.ends[cell] - reader.starts[cell] === wanted.length && bytesAre(reader.buffer, reader.starts[cell], wanted)
  );
}

// Check that every column is in form; return the seq. First the marks that programs leave which save a file again.
function checkColumns(reader, tenantId) {
  const number = reader.record;
  const name = (cell) => EVENT_COLUMNS[cell];
  for (const cell of NEVER_NULL) {
    if (reader.starts[cell] < 0) throw resaved(number, `${name(cell)} is empty`);
  }
  const seq = readSeq(reader);
  if (seq < 0n) throw resaved(number, "seq is not a number as we write it");
  for (const cell of TIME_CELLS) {
    if (reader.starts[cell] >= 0 && !isTimeCell(reader, cell))
      throw resaved(number, `${name(cell)} is not a time as we write it`);
  }
  if (reader.starts[SALT] >= 0 && !isHexCell(reader, SALT, 32))
    throw resaved(number, "payload_salt is not as we write it");
  for (const cell of HASH_CELLS) {
    if (!isHexCell(reader, cell, 64)) throw resaved(number, `${name(cell)} is not a hash as we write it`);
  }
  if (!cellIs(reader, TENANT_ID, tenantId) && !TENANT_ID_SYNTAX.test(reader.text(TENANT_ID)))
    throw notCsv(number, "tenant_id is none");
  if (!isEventIdCell(reader)) throw notCsv(number, "event_id is none");
  if (!isActionCell(reader)) throw notCsv(number, "action is none");
  for (const [cell, words] of CHOICES) {
    if (!words.some((word) => cellIs(reader, cell, word)))
      throw notCsv(number, `${name(cell)} is none of the known ones`);
  }
  let size = 0;
  for (const cell of TEXT_CELLS) {
    const bytes = reader.starts[cell] < 0 ? 0 : reader.ends[cell] - reader.starts[cell];
    size += bytes;
    if (bytes > MAX_TEXT_BYTES || size > MAX_EVENT_BYTES) throw notCsv(number, `${name(cell)} is too long`);
  }
  return seq;
}

// Builds the messages that are hashed for a row, in one buffer that is used again and again.
class RowHasher {
  constructor() {
    this.buffer = new Uint8Array(1 << 16);
    this.size = 0;
    this.digest = new Uint8Array(32);
  }

  start(tag) {
    this.buffer.set(tag);
    this.size = tag.length;
  }

  // Append the netstring of a cell.
  add(reader, cell) {
    const [start, end] = [reader.starts[cell], reader.ends[cell]];
    const length = end - start;
    if (this.size + length + 32 + SHA256_SPARE > this.buffer.length) {
      const larger = new Uint8Array(2 * this.buffer.length + length);
      larger.set(this.buffer.subarray(0, this.size));
      this.buffer = larger;
    }
    const { buffer } = this;
    if (start < 0) {
      buffer[this.size++] = 0x2d;
      buffer[this.size++] = COMMA;
      return;
    }
    let power = 1;
    while (power * 10 <= length) power *= 10;
    for (; power >= 1; power = Math.floor(power / 10)) buffer[this.size++] = 0x30 + (Math.floor(length / power) % 10);
    buffer[this.size++] = 0x3a;
    for (let i = start; i < end; i++) buffer[this.size++] = reader.buffer[i];
    buffer[this.size++] = COMMA;
  }

  // Whether the hash of the message is the one that a cell holds in hexadecimal.
  isIn(reader, cell) {
    sha256Padded(this.buffer, this.size, this.digest, 0);
    const { digest } = this;
    let at = reader.starts[cell];
    for (let i = 0; i < 32; i++, at += 2) {
      if (((hexValue(reader.buffer[at]) << 4) | hexValue(reader.buffer[at + 1])) !== digest[i]) return false;
    }
    return true;
  }
}

function hexValue(byte) {
  return byte < 0x3a ? byte - 0x30 : byte - 0x57;
}

const EVENT_TAG = utf8("lumi/event/v1\n");
const PAYLOAD_TAG = utf8("lumi/payload/v1\n");

function hasIntegrity(hasher, reader) {
  hasher.start(EVENT_TAG);
  hasher.add(reader, PREV_HASH);
  for (let cell = 0; cell <= AUTH_METHOD; cell++) hasher.add(reader, cell);
  hasher.add(reader, PAYLOAD_HASH);
  return hasher.isIn(reader, INTEGRITY_HASH);
}

// Whether the payload is whole and gives its hash, or is erased as a whole.
function hasPayload(hasher, reader) {
  const isErased = reader.starts[ERASED_AT] >= 0;
  if (isErased) {
    for (let cell = FIRST_PAYLOAD; cell <= SALT; cell++) if (reader.starts[cell] >= 0) return false;
    return true;
  }
  if (reader.starts[SALT] < 0) return false;
  hasher.start(PAYLOAD_TAG);
  hasher.add(reader, SALT);
  for (let cell = FIRST_PAYLOAD; cell < SALT; cell++) hasher.add(reader, cell);
  return hasher.isIn(reader, PAYLOAD_HASH);
}

// The event tree of one day, grown leaf by leaf: the roots of its complete subtrees, the largest first.
class EventTree {
  constructor() {
    this.roots = []; // those of the left subtrees, in order of their size
    this.count = 0;
  }

  // Take the next integrity_hash, which a cell holds.
  add(reader, cell) {
    const { message } = EventTree;
    message[0] = 0;
    message.set(EVENT_LEAF_TAG, 1);
    let at = reader.starts[cell];
    const start = 1 + EVENT_LEAF_TAG.length;
    for (let i = 0; i < 32; i++, at += 2) {
      message[start + i] = (hexValue(reader.buffer[at]) << 4) | hexValue(reader.buffer[at + 1]);
    }
    let hash = new Uint8Array(32);
    sha256Padded(message, start + 32, hash, 0);
    for (let n = this.count; n % 2 === 1; n = (n - 1) / 2) hash = this.join(this.roots.pop(), hash);
    this.roots.push(hash);
    this.count++;
  }

  join(left, right) {
    const { message } = EventTree;
    message[0] = 1;
    message.set(left, 1);
    message.set(right, 33);
    sha256Padded(message, 65, right, 0);
    return right;
  }

  root() {
    if (this.count === 0) return EMPTY_ROOT;
    return this.roots.slice(0, -1).reduceRight((hash, left) => this.join(left, hash), this.roots.at(-1).slice());
  }
}
EventTree.message = new Uint8Array(65 + 63 + SHA256_SPARE);
