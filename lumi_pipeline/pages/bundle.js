// The checks of an evidence bundle, in the specification's order (docs/formats.md §9, "Checks"). The first that fails is
// thrown as a VerificationError; `report` holds what was found until then, for showing it.

const MAX_EVIDENCE = 67108864;
const MAX_SMALL_FILE = 1048576;
const SUMMED_FILES = ["README.txt", "events.csv", "evidence.json", "log.vkey", "verify.html", "verify.py"];
const BUNDLE_FILES = ["SHA256SUMS", "SHA256SUMS.sig", ...SUMMED_FILES];
const SIZE_LIMITS = {
  "evidence.json": MAX_EVIDENCE,
  SHA256SUMS: MAX_SMALL_FILE,
  "SHA256SUMS.sig": MAX_SMALL_FILE,
  "log.vkey": MAX_SMALL_FILE,
};
const EVIDENCE_FIELDS = [
  "type",
  "tenant_id",
  "chain_id",
  "from",
  "to",
  "origin",
  "checkpoint",
  "genesis",
  "genesis_path",
  "days",
];
const DAY_FIELDS = [
  "day",
  "day_record",
  "path",
  "first_checkpoint",
  "first_path",
  "tenant_record",
  "tenant_proof",
  "breaks",
];
const KINDS_OF_BREAK = Object.values(BREAK_KINDS);

// A check of form within which every FormatError becomes a failure with this reason.
function inForm(reason, check, what = "") {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new VerificationError(reason, what + error.message);
  }
}

async function readWhole(pieces) {
  const parts = [];
  for await (const piece of pieces) parts.push(piece);
  return concatBytes(...parts);
}

// Check what there is, before any of it is read: `source` is what openFolder() or openZip() made.
function checkFiles(source) {
  if (source.problem !== null) throw source.problem;
  for (const { name, size } of source.files) {
    if (size > (SIZE_LIMITS[name] ?? Infinity)) throw new VerificationError("bundle-format", `${name} is too large`);
  }
}

// Read evidence.json into values, and refuse whatever is not in form. What day records and checkpoints say comes later.
function parseEvidence(bytes) {
  if (bytes.at(-1) !== LF) throw new FormatError("it does not end in a line feed");
  const value = jsonObject(parseCanonicalJson(bytes.subarray(0, -1), MAX_EVIDENCE), EVIDENCE_FIELDS, "evidence.json");
  if (value.type !== "lumi/evidence/v1")
    throw new FormatError(`evidence of a type that this page does not know: ${excerpt(String(value.type))}`);
  const tenantId = jsonText(value.tenant_id, "tenant_id");
  if (!TENANT_ID_SYNTAX.test(tenantId)) throw new FormatError(`not a tenant: ${excerpt(tenantId)}`);
  decodeHex(jsonText(value.chain_id, "chain_id"), 16);
  return {
    tenantId,
    chainId: value.chain_id,
    from: parseDay(jsonText(value.from, "from")),
    to: parseDay(jsonText(value.to, "to")),
    origin: jsonText(value.origin, "origin"),
    checkpointText: jsonText(value.checkpoint, "checkpoint"),
    genesisText: jsonText(value.genesis, "genesis"),
    genesis: parseGenesis(jsonText(value.genesis, "genesis")),
    genesisPath: jsonHashes(value.genesis_path, "genesis_path"),
    days: jsonList(value.days, "days").map(parseEvidenceDay),
  };
}

function parseEvidenceDay(value) {
  const day = jsonObject(value, DAY_FIELDS, "a day");
  const breaks = jsonList(day.breaks, "breaks").map((item) => {
    const { kind, seq } = jsonObject(item, ["kind", "seq"], "a break");
    if (!KINDS_OF_BREAK.includes(kind)) throw new FormatError("a break of a kind that is not known");
    return { kind, seq: parseDecimal(jsonText(seq, "seq")) };
  });
  if (breaks.some((item, i) => i > 0 && compareBreaks(breaks[i - 1], item) >= 0))
    throw new FormatError("breaks are not in order");
  return {
    day: parseDay(jsonText(day.day, "day")),
    dayText: jsonText(day.day_record, "day_record"),
    path: jsonHashes(day.path, "path"),
    firstText: jsonText(day.first_checkpoint, "first_checkpoint"),
    firstPath: jsonHashes(day.first_path, "first_path"),
    tenantText: day.tenant_record === null ? null : jsonText(day.tenant_record, "tenant_record"),
    tenantProof: decodeBase64(jsonText(day.tenant_proof, "tenant_proof")),
    breaks,
  };
}

// The keys that a bundle claims for its log: those of the genesis, of log.vkey, and those announced in it. They stand in
// where the reader brought none.
function claimedKeys(evidence, vkeyFile) {
  const keys = new Map([[evidence.genesis.key.vkey, evidence.genesis.key]]);
  const take = (key) => {
    if (key !== null && key.type === TYPE_ED25519 && key.name === evidence.genesis.origin) keys.set(key.vkey, key);
  };
  const tried = (read) => {
    try {
      take(read());
    } catch (error) {
      if (!(error instanceof FormatError)) throw error; // what is no key stands in for none
    }
  };
  for (const line of new TextDecoder().decode(vkeyFile).split("\n")) tried(() => parseVkey(line));
  for (const { dayText } of evidence.days) tried(() => parseDayRecord(dayText).nextKey);
  return [...keys.values()];
}

function checkDayList({ from, to, days }) {
  if (from > to) throw new VerificationError("day-list", `the period ends on ${to}, before it begins on ${from}`);
  const first = dayNumber(from);
  const count = dayNumber(to) - first + 1;
  const wrong = days.findIndex(({ day }, i) => i >= count || dayNumber(day) !== first + i);
  if (wrong >= 0) throw new VerificationError("day-list", `the day ${days[wrong].day} is there out of turn`);
  if (days.length < count)
    throw new VerificationError("day-list", `the day ${dayOfNumber(first + days.length)} of the period is not there`);
}

// Checks one day after the other: its record in the log, and the tenant's in it.
class DayChecker {
  constructor(evidence, checkpoint, policy) {
    this.evidence = evidence;
    this.checkpoint = checkpoint;
    this.policy = policy;
    this.key = tenantKey(evidence.tenantId);
    this.sealed = "";
    this.last = undefined; // the tenant's record of the day before: null for none, undefined before the first day
    this.firstCheckpoints = new Map(); // by their text, since days that were published together share one
  }

  // Sets day.dayRecord, day.record (null if the tenant has none) and day.cosigned ({name, time} or null).
  async check(day) {
    const { genesis } = this.evidence;
    const index = dayIndex(genesis.firstDay, day.day);
    const leaf = leafHash(utf8(day.dayText));
    if (!provesInclusion(leaf, index, this.checkpoint.size, day.path, this.checkpoint.root)) {
      throw new VerificationError(
        "day-inclusion",
        `the record of ${day.day} is not proved to be in the log, at the place of that day`,
      );
    }
    day.dayRecord = readDayRecord(day.dayText, index, genesis);
    if (day.dayRecord.sealed < this.sealed) {
      throw new VerificationError("day-sealed", `the record of ${day.day} was sealed before that of the day before it`);
    }
    this.sealed = day.dayRecord.sealed;
    day.cosigned = await this.checkFirst(day, leaf, index);
    day.record = this.checkTenantRecord(day);
    this.checkChain(day);
    this.last = day.record;
  }

  async checkFirst(day, leaf, index) {
    const fail = (why) =>
      new VerificationError("first-checkpoint", `the first checkpoint with the record of ${day.day} ${why}`);
    if (!this.firstCheckpoints.has(day.firstText)) {
      const first = inForm(
        "first-checkpoint",
        () => parseCheckpoint(utf8(day.firstText)),
        "the first checkpoint of a day: ",
      );
      if (first.origin !== this.checkpoint.origin) throw fail("is of another log");
      const signers = await verifyNote(first.note, this.policy.logKeys);
      if (signers === null || !signers.some((key) => key.name === first.origin))
        throw fail("is not signed by a trusted key of the log");
      const witnesses = this.policy.witnesses.map(({ key }) => key);
      const cosignatures = await verifyCosignatures(first.note, witnesses);
      if (cosignatures === null) throw fail("has a cosignature of a trusted witness that is wrong");
      const earliest = cosignatures.reduce(
        (best, { key, time }) => (best === null || time < best.time ? { name: key.name, time } : best),
        null,
      );
      this.firstCheckpoints.set(day.firstText, { first, earliest });
    }
    const { first, earliest } = this.firstCheckpoints.get(day.firstText);
    if (first.size > this.checkpoint.size) throw fail("is larger than the latest one");
    if (first.size === this.checkpoint.size && !equalBytes(first.root, this.checkpoint.root))
      throw fail("contradicts the latest one");
    if (!provesInclusion(leaf, index, first.size, day.firstPath, first.root)) throw fail("does not hold it");
    return earliest;
  }

  checkTenantRecord(day) {
    const { mapRoot, breaks } = day.dayRecord;
    const fail = (why) => new VerificationError("tenant-map", `${day.day}: ${why}`);
    if (day.tenantText === null) {
      const absent = inForm("malformed", () => provesAbsence(mapRoot, this.key, day.tenantProof), `${day.day}: `);
      if (!absent) throw fail("it is not proved that there were no records of this tenant yet");
      return null;
    }
    const record = inForm("malformed", () => parseTenantDay(day.tenantText), `${day.day}: `);
    if (record.day !== day.day || !equalBytes(record.key, this.key)) {
      throw new VerificationError("tenant-record", `the tenant's record of ${day.day} is of another day or tenant`);
    }
    const value = sha256(utf8(day.tenantText));
    const present = inForm(
      "malformed",
      () => provesPresence(mapRoot, this.key, value, day.tenantProof),
      `${day.day}: `,
    );
    if (!present) throw fail("the tenant's record is not the one that the log committed to");
    if (!agreesWithItself(record, breaks) || record.next < record.first) {
      throw new VerificationError(
        "tenant-record",
        `the tenant's record of ${day.day} contradicts itself or that of the day`,
      );
    }
    return record;
  }

  // The tenant's records follow one another, from the first one on.
  checkChain({ day, record }) {
    const fail = (why) => new VerificationError("tenant-chain", `the tenant's record of ${day} ${why}`);
    const { last } = this;
    if (record === null) {
      if (last) throw fail("is missing, and there was one the day before");
      return;
    }
    if (last && (record.first !== last.next || !equalBytes(record.headBefore, last.headAfter))) {
      throw fail("does not continue that of the day before");
    }
    if (last === null && record.first !== 0n) throw fail("is the tenant's first, and does not begin with event 0");
    const { tenantId, chainId } = this.evidence;
    if (record.first === 0n && !equalBytes(record.headBefore, genesisHash(tenantId, chainId))) {
      throw fail("begins the chain, and not with the tenant's own genesis");
    }
  }
}

// Read events.csv: its hash, and the checked rows. `progress(bytes, rows)` is called as it goes on.
async function checkRows(source, evidence, progress) {
  const checker = new RowChecker(evidence.tenantId, evidence.days);
  const reader = new CsvReader(EVENT_COLUMNS.length, (csv) => checker.take(csv));
  const hash = new Sha256();
  let bytes = 0;
  for await (const piece of source.read("events.csv")) {
    hash.update(piece);
    reader.push(piece);
    bytes += piece.length;
    progress(bytes, checker.rows);
  }
  reader.end();
  checker.finish();
  return { checker, digest: encodeHex(hash.digest()) };
}

// The last checks on files: SHA256SUMS is right, and signed with an evidence key. Returns the keys that signed.
async function checkSums(source, digests, evidenceKeys) {
  const sums = await readWhole(source.read("SHA256SUMS"));
  const stated = /(?:^|\n)([0-9a-f]{64}) {2}events\.csv\n/.exec(new TextDecoder().decode(sums));
  if (stated !== null && stated[1] !== digests.get("events.csv")) {
    throw new VerificationError(
      "csv-resaved",
      "events.csv has other bytes than when it was made, though all its rows are right",
    );
  }
  for (const name of SUMMED_FILES.filter((file) => !digests.has(file))) {
    const hash = new Sha256();
    for await (const piece of source.read(name)) hash.update(piece);
    digests.set(name, encodeHex(hash.digest()));
  }
  const expected = SUMMED_FILES.map((name) => `${digests.get(name)}  ${name}\n`).join("");
  if (!equalBytes(utf8(expected), sums)) {
    const text = new TextDecoder().decode(sums);
    const changed = SUMMED_FILES.filter((name) => !text.includes(`${digests.get(name)}  ${name}\n`));
    throw new VerificationError(
      "checksums",
      changed.length > 0 ? `not what SHA256SUMS says: ${changed.join(", ")}` : "SHA256SUMS is not in form",
    );
  }
  const signature = await readWhole(source.read("SHA256SUMS.sig"));
  const note = inForm("bundle-signature", () => parseNote(signature), "SHA256SUMS.sig: ");
  if (note.text !== expected)
    throw new VerificationError("bundle-signature", "SHA256SUMS.sig is of another SHA256SUMS");
  const signers = await verifyNote(note, evidenceKeys);
  if (signers === null) throw new VerificationError("bundle-signature", "the signature of SHA256SUMS is wrong");
  if (signers.length === 0)
    throw new VerificationError("evidence-key", "SHA256SUMS is not signed by an evidence key of this log");
  return signers;
}

// Verify a bundle. Fills `report` as it goes; throws the first failure. That nothing is thrown means: it all holds, but
// `report.confirmed` tells whether under a key that the reader brought.
async function verifyBundle(source, trust, report, progress) {
  checkFiles(source);
  const names = source.files.map(({ name }) => name);
  const digests = new Map();
  let bytes = null;
  if (names.includes("evidence.json")) {
    bytes = await readWhole(source.read("evidence.json"));
    if (!new TextDecoder().decode(bytes).includes("lumi/evidence/")) {
      throw new VerificationError("unrecognised", "evidence.json is something else than evidence of ours");
    }
    digests.set("evidence.json", encodeHex(sha256(bytes)));
  }
  const missing = BUNDLE_FILES.filter((name) => !names.includes(name));
  if (missing.length > 0) throw new VerificationError("missing-file", `not there: ${missing.join(", ")}`);
  const evidence = inForm("malformed", () => parseEvidence(bytes), "evidence.json: ");
  Object.assign(report, { tenantId: evidence.tenantId, from: evidence.from, to: evidence.to, days: evidence.days });

  const checkpoint = readCheckpoint(utf8(evidence.checkpointText));
  const policy = policyFor(trust, checkpoint.origin, claimedKeys(evidence, await readWhole(source.read("log.vkey"))));
  Object.assign(report, {
    origin: checkpoint.origin,
    confirmed: policy.confirmed,
    claimed: policy.confirmed ? [] : policy.logKeys,
  });
  report.signed = await verifyCheckpoint(checkpoint, policy);
  report.size = checkpoint.size;
  checkGenesis(evidence.genesis, evidence.genesisText, evidence.genesisPath, checkpoint, policy);
  if (evidence.origin !== checkpoint.origin)
    throw new VerificationError("genesis-origin", "evidence.json is of another log than its checkpoint");
  checkDayList(evidence);

  const days = new DayChecker(evidence, checkpoint, policy);
  for (const day of evidence.days) {
    report.dayAtFault = day.day;
    await days.check(day);
  }
  report.dayAtFault = null;

  const { checker, digest } = await checkRows(source, evidence, progress);
  digests.set("events.csv", digest);
  Object.assign(report, {
    rows: checker.rows,
    rowDays: checker.days,
    findings: checker.findings,
    counts: checker.counts,
  });
  if (checker.reason !== null) throw new VerificationError(checker.reason, "");

  const announced = evidence.days.map(({ dayRecord }) => dayRecord.nextEvidenceKey).filter((key) => key !== null);
  report.evidenceSigners = await checkSums(source, digests, [
    evidence.genesis.evidenceKey,
    ...announced,
    ...policy.evidenceKeys,
  ]);
  const broken = evidence.days.filter(({ record }) => record !== null && record.breaks > 0n);
  if (broken.length > 0)
    throw new VerificationError(
      "declared-break",
      `sealed with declared breaks: ${broken.map(({ day }) => day).join(", ")}`,
    );
}
