// Proof files, one event, one tenant's day, or a tenant's absence (docs/formats.md §7).

const MAX_PROOF_SIZE = 67108864;
const MAX_PATH_LENGTH = 63;
const PROOF_HEADER = "c2sp.org/tlog-proof@v1";
const PROOF_COMMON = ["day_record", "genesis", "genesis_path", "tenant_proof", "type"];
const PROOF_FIELDS = {
  "lumi/event-proof/v1": [...PROOF_COMMON, "event", "tenant_record"],
  "lumi/tenant-day-proof/v1": [...PROOF_COMMON, "tenant_record"],
  "lumi/absence-proof/v1": [...PROOF_COMMON, "tenant_id"],
};

// Whether somebody meant this to be a proof file, damaged or not: two of the marks that every one carries.
function looksLikeProof(bytes) {
  const text = new TextDecoder("utf-8").decode(bytes);
  return ["c2sp.org/tlog-proof", "\nextra ", "\nindex ", "\n\u2014 "].filter((mark) => text.includes(mark)).length >= 2;
}

// Read the lines of a proof file: {index, path, checkpoint, extra}.
function parseProof(bytes) {
  if (bytes.length > MAX_PROOF_SIZE) throw new FormatError(`a proof of more than ${MAX_PROOF_SIZE} bytes`);
  let at = 0;
  const line = () => {
    const end = bytes.indexOf(0x0a, at);
    if (end < 0) throw new FormatError("the proof is cut off");
    const text = decodeUtf8(bytes.subarray(at, end), "a proof");
    if (text.length !== end - at) throw new FormatError("a line above the empty one is not ASCII");
    at = end + 1;
    return text;
  };
  const word = (name) => {
    const text = line();
    if (!text.startsWith(`${name} `)) throw new FormatError(`the line "${name}" expected, got ${excerpt(text)}`);
    return text.slice(name.length + 1);
  };
  if (line() !== PROOF_HEADER) throw new FormatError(`the first line is not ${PROOF_HEADER}`);
  const extra = decodeBase64(word("extra"));
  const index = parseDecimal(word("index"));
  const path = [];
  for (let text = line(); text !== ""; text = line()) path.push(decodeBase64(text, 32));
  if (path.length > MAX_PATH_LENGTH) throw new FormatError(`an inclusion proof of more than ${MAX_PATH_LENGTH} hashes`);
  const checkpoint = bytes.subarray(at);
  if (checkpoint.length === 0) throw new FormatError("a proof without a checkpoint");
  return { index, path, checkpoint, extra };
}

// Read what a proof says of itself, without verifying any of it.
function readProof(bytes) {
  const { extra, ...proof } = parseProof(bytes);
  const value = parseCanonicalJson(extra, MAX_PROOF_SIZE);
  const type = typeof value?.type === "string" ? value.type : "";
  if (!Object.hasOwn(PROOF_FIELDS, type)) throw new FormatError("a proof of a type that is not known");
  const said = jsonObject(value, PROOF_FIELDS[type], type);
  return {
    ...proof,
    said,
    genesisText: jsonText(said.genesis, "genesis"),
    genesis: parseGenesis(jsonText(said.genesis, "genesis")),
    genesisPath: jsonHashes(said.genesis_path, "genesis_path"),
    dayText: jsonText(said.day_record, "day_record"),
    tenantProof: decodeBase64(jsonText(said.tenant_proof, "tenant_proof")),
  };
}

// Check that a genesis begins the log of a verified checkpoint, with a key that the policy pins.
function checkGenesis(genesis, genesisText, genesisPath, checkpoint, policy) {
  if (!provesInclusion(leafHash(utf8(genesisText)), 0n, checkpoint.size, genesisPath, checkpoint.root)) {
    throw new VerificationError("genesis-inclusion", "the first entry of the log is not proved to be in it");
  }
  if (genesis.origin !== checkpoint.origin) {
    throw new VerificationError(
      "genesis-origin",
      `the first entry is of the log ${excerpt(genesis.origin)}, not of ${excerpt(checkpoint.origin)}`,
    );
  }
  const pinned = policy.logKeys.filter((key) => key.name === checkpoint.origin);
  if (!pinned.some((key) => key.vkey === genesis.key.vkey)) {
    throw new VerificationError(
      "genesis-key",
      "the log began with a key that you don't trust; if it has replaced its key since, trust the old one too",
    );
  }
}

// Read a signed checkpoint; what is not in form fails with its reason.
function readCheckpoint(bytes) {
  try {
    return parseCheckpoint(bytes);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new VerificationError("checkpoint-format", error.message);
  }
}

// Verify a proof file under what parseTrust() read; without a key of a log, the one that the genesis claims stands in.
// Throws the first failure, a FormatError for `malformed`. `report` gets what was found until then: {origin, size,
// confirmed, claimed, signed, proof: {type, day, tenantId, record, event}}.
async function verifyProof(bytes, trust, report) {
  const proof = readProof(bytes);
  const checkpoint = readCheckpoint(proof.checkpoint);
  const policy = policyFor(trust, checkpoint.origin, [proof.genesis.key]);
  Object.assign(report, { origin: checkpoint.origin, size: checkpoint.size, confirmed: policy.confirmed });
  report.claimed = policy.confirmed ? [] : policy.logKeys;
  report.signed = await verifyCheckpoint(checkpoint, policy);
  checkGenesis(proof.genesis, proof.genesisText, proof.genesisPath, checkpoint, policy);
  if (!provesInclusion(leafHash(utf8(proof.dayText)), proof.index, checkpoint.size, proof.path, checkpoint.root)) {
    throw new VerificationError("day-inclusion", "the day record is not proved to be in the log");
  }
  const day = readDayRecord(proof.dayText, proof.index, proof.genesis);
  report.proof = { type: proof.said.type, day, tenantId: null, record: null, event: null };
  verifyProofContent(proof.said, proof.tenantProof, report.proof);
}

// What is below the day record; `found` gets tenantId, record and event, as far as the proof has them.
function verifyProofContent(said, tenantProof, found) {
  const { day } = found;
  if (said.type === "lumi/absence-proof/v1") {
    const tenantId = jsonText(said.tenant_id, "tenant_id");
    if (!TENANT_ID_SYNTAX.test(tenantId)) throw new FormatError(`not a tenant: ${excerpt(tenantId)}`);
    if (!provesAbsence(day.mapRoot, tenantKey(tenantId), tenantProof)) {
      throw new VerificationError("tenant-map", `the absence of ${tenantId} is not proved`);
    }
    found.tenantId = tenantId;
    return;
  }
  const recordText = jsonText(said.tenant_record, "tenant_record");
  const record = parseTenantDay(recordText);
  const event = said.type === "lumi/event-proof/v1" ? parseProofEvent(said.event) : null;
  const key = event === null ? record.key : tenantKey(event.columns.tenant_id);
  if (record.day !== day.day || !equalBytes(record.key, key)) {
    throw new VerificationError("tenant-record", "the tenant's record is of another day or tenant");
  }
  if (!provesPresence(day.mapRoot, key, sha256(utf8(recordText)), tenantProof)) {
    throw new VerificationError("tenant-map", "the tenant's record is not proved to be in the day's map");
  }
  if (!agreesWithItself(record, day.breaks)) {
    throw new VerificationError("tenant-record", "the tenant's record contradicts itself or the day's");
  }
  if (event !== null) verifyProofEvent(event, record);
  Object.assign(found, { tenantId: event === null ? null : event.columns.tenant_id, record, event });
  if (record.breaks > 0n) {
    throw new VerificationError(
      "declared-break",
      `the day was sealed with ${record.breaks} declared breaks in this tenant's chain`,
    );
  }
}

function parseProofEvent(value) {
  const parts = jsonObject(value, ["fields", "index", "path", "payload"], "event");
  const fields = jsonObject(parts.fields, [...CORE_COLUMNS, ...HASH_COLUMNS], "event fields");
  const withheld = Object.fromEntries(PAYLOAD_COLUMNS.map((name) => [name, null]));
  const payload = parts.payload === null ? withheld : jsonObject(parts.payload, PAYLOAD_COLUMNS, "event payload");
  const columns = { ...fields, ...payload, erased_at: null };
  checkEvent(columns);
  if (parts.payload !== null) jsonText(payload.payload_salt, "payload_salt");
  return {
    columns,
    hasPayload: parts.payload !== null,
    index: parseDecimal(jsonText(parts.index, "index")),
    path: jsonHashes(parts.path, "path"),
  };
}

function verifyProofEvent(event, record) {
  const { columns, index, path } = event;
  const stored = decodeHex(columns.integrity_hash, 32);
  if (!provesInclusion(eventLeaf(stored), index, record.count, path, record.root)) {
    throw new VerificationError("inclusion", "the event is not proved to be among the tenant's events of that day");
  }
  if (!equalBytes(integrityHashOf(columns), stored)) {
    throw new VerificationError("integrity-hash", "the event was altered: its columns don't give its hash");
  }
  if (event.hasPayload && encodeHex(payloadHashOf(columns)) !== columns.payload_hash) {
    throw new VerificationError("payload-hash", "the payload of the event was altered");
  }
  if (record.breaks > 0n) return;
  const inPlace =
    BigInt(columns.seq) === record.first + index &&
    columns.recorded_at.slice(0, 10) === record.day &&
    (index > 0n || columns.prev_hash === encodeHex(record.headBefore)) &&
    (index < record.count - 1n || columns.integrity_hash === encodeHex(record.headAfter));
  if (!inPlace) {
    throw new VerificationError(
      "event-place",
      "the event has a number, time or link that its place in the day does not have",
    );
  }
}
