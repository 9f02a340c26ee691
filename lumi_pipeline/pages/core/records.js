// The records: genesis and day records, the log's entries (docs/formats.md §5), and tenant-day records (§3). All are
// lines "<name> <value>" under a tag; unknown, repeated and misplaced lines are refused.

const MAX_ENTRY_SIZE = 65535;
const MAX_TENANT_RECORD = 2048;
const TENANT_ID_SYNTAX = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

// The values by name. Optional names come last, in their order.
function parseLines(text, maxBytes, tag, required, optional = []) {
  if (utf8(text).length > maxBytes) throw new FormatError(`a ${tag} record of more than ${maxBytes} bytes`);
  const lines = text.split("\n");
  if (lines.pop() !== "" || lines.shift() !== tag)
    throw new FormatError(`not a ${tag} record that ends in a line feed`);
  const values = {};
  let due = [...required, ...optional];
  for (const line of lines) {
    const space = line.indexOf(" ");
    const name = line.slice(0, space);
    while (due.length > 0 && due[0] !== name && optional.includes(due[0])) due.shift();
    if (space < 0 || due.shift() !== name)
      throw new FormatError(`unknown, repeated or misplaced line ${excerpt(line)}`);
    values[name] = line.slice(space + 1);
  }
  const missing = required.find((name) => !Object.hasOwn(values, name));
  if (missing !== undefined) throw new FormatError(`a ${tag} record without the line "${missing}"`);
  return values;
}

// A key of the log or of its evidence, by its name.
function parseNamedKey(text, name) {
  const key = parseVkey(text);
  if (key.name !== name || key.type !== TYPE_ED25519)
    throw new FormatError(`a key of ${excerpt(name)}, type 0x01, expected`);
  return key;
}

function checkDistinctKeys(key, evidenceKey) {
  if (key !== null && evidenceKey !== null && equalBytes(key.publicKey, evidenceKey.publicKey)) {
    throw new FormatError("the log key and the evidence key are the same key");
  }
}

function parseGenesis(text) {
  const lines = parseLines(
    text,
    MAX_ENTRY_SIZE,
    "lumi/log/v1",
    ["origin", "first-day", "key", "evidence-key"],
    ["previous"],
  );
  const origin = parseKeyName(lines.origin, "the origin");
  const genesis = {
    origin,
    firstDay: parseDay(lines["first-day"]),
    key: parseNamedKey(lines.key, origin),
    evidenceKey: parseNamedKey(lines["evidence-key"], `${origin}/evidence`),
    previous: lines.previous === undefined ? null : parsePrevious(lines.previous),
  };
  checkDistinctKeys(genesis.key, genesis.evidenceKey);
  return genesis;
}

function parsePrevious(text) {
  const words = text.split(" ");
  if (words.length !== 3) throw new FormatError("previous: origin, size and root expected");
  const size = parseDecimal(words[1]);
  if (size < 1n) throw new FormatError("previous: a log with a successor has at least one entry");
  return { origin: parseKeyName(words[0], "the previous origin"), size, root: decodeBase64(words[2], 32) };
}

function parseDayRecord(text) {
  const lines = parseLines(
    text,
    MAX_ENTRY_SIZE,
    "lumi/day/v1",
    ["origin", "day", "index", "map", "manifest", "breaks", "sealed"],
    ["next-key", "next-evidence-key"],
  );
  const origin = parseKeyName(lines.origin, "the origin");
  const announced = (name, of) => (lines[name] === undefined ? null : parseNamedKey(lines[name], of));
  const record = {
    origin,
    day: parseDay(lines.day),
    index: parseDecimal(lines.index),
    mapRoot: decodeBase64(lines.map, 32),
    manifest: decodeBase64(lines.manifest, 32),
    breaks: parseDecimal(lines.breaks),
    sealed: parseTimestamp(lines.sealed),
    nextKey: announced("next-key", origin),
    nextEvidenceKey: announced("next-evidence-key", `${origin}/evidence`),
  };
  checkDistinctKeys(record.nextKey, record.nextEvidenceKey);
  if (record.index < 1n) throw new FormatError("the index of a day record is 1 or more");
  if (record.sealed.slice(0, 10) <= record.day) throw new FormatError("sealed before the day had ended");
  return record;
}

// The only index at which the record of a day may be; negative or 0 for a day before the log's first.
function dayIndex(firstDay, day) {
  return BigInt(1 + dayNumber(day) - dayNumber(firstDay));
}

// Read entry `index` of the log that this genesis begins: the record of the one day that belongs there.
function readDayRecord(text, index, genesis) {
  let record;
  try {
    record = parseDayRecord(text);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new VerificationError("day-record", error.message);
  }
  if (record.origin !== genesis.origin) {
    throw new VerificationError(
      "day-origin",
      `the record of ${record.day} is of the log ${excerpt(record.origin)}, not of ${excerpt(genesis.origin)}`,
    );
  }
  if (record.index !== index || index !== dayIndex(genesis.firstDay, record.day)) {
    throw new VerificationError(
      "day-index",
      `the record of ${record.day} is at place ${index} of the log, where that of another day belongs`,
    );
  }
  return record;
}

function parseTenantDay(text) {
  const names = ["day", "tenant", "first", "count", "next", "root", "head-before", "head-after", "breaks"];
  const lines = parseLines(text, MAX_TENANT_RECORD, "lumi/tenant-day/v1", names);
  return {
    day: parseDay(lines.day),
    key: decodeHex(lines.tenant, 32),
    first: parseDecimal(lines.first),
    count: parseDecimal(lines.count),
    next: parseDecimal(lines.next),
    root: decodeBase64(lines.root, 32),
    headBefore: decodeHex(lines["head-before"], 32),
    headAfter: decodeHex(lines["head-after"], 32),
    breaks: parseDecimal(lines.breaks),
  };
}

// What a tenant-day record has to say of itself, whatever the rows are.
function agreesWithItself(record, dayBreaks) {
  if (record.breaks > dayBreaks) return false;
  if (record.breaks === 0n && record.next !== record.first + record.count) return false;
  if (record.count > 0n) return true;
  return equalBytes(record.root, EMPTY_ROOT) && (record.breaks > 0n || equalBytes(record.headBefore, record.headAfter));
}

function tenantKey(tenantId) {
  return sha256(utf8(`lumi/tenant-key/v1\n${netstring(tenantId)}`));
}

// What the tenant's first event links to.
function genesisHash(tenantId, chainId) {
  return sha256(utf8(`lumi/genesis/v1\n${netstring(tenantId)}${netstring(chainId)}`));
}
