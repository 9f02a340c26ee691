// From files and keys to a verdict: what verifyBundle() and verifyProof() found, as plain values that a page can show.
// Runs in a worker; a verdict is {exitCode, reason, message, kind, name, …}, with the exit codes of docs/formats.md §7.

const EXIT_CODES = { ok: 0, unrecognised: 2, missing: 2, unreachable: 3, "key-unconfirmed": 3 };

function exitCodeOf(reason) {
  return EXIT_CODES[reason] ?? 1;
}

// `input` is {name, files: [{path, file}]} for a folder or several files, or {name, file}; each file as in files.js. `notify` gets progress:
// {rows, bytes, of}. Throws only what is a fault of this page.
async function judge(input, trustText, notify = () => {}) {
  const report = { name: input.name, kind: "unknown", ignored: [] };
  const started = performance.now();
  let failure = { reason: "ok", message: "" };
  const trust = parseTrust(trustText); // the reader's own mistake is no verdict
  await selfCheck();
  try {
    await verifyInput(input, trust, report, notify);
    if (report.confirmed === false) failure = { reason: "key-unconfirmed", message: "" };
  } catch (error) {
    failure = describeFailure(error);
  }
  return {
    ...summarise(report, failure.reason),
    ...failure,
    exitCode: exitCodeOf(failure.reason),
    ended: Date.now(),
    seconds: (performance.now() - started) / 1000,
  };
}

function describeFailure(error) {
  if (error instanceof VerificationError) return { reason: error.reason, message: error.message };
  if (error instanceof FormatError) return { reason: "malformed", message: error.message };
  if (error instanceof DOMException)
    return { reason: "unreachable", message: `the browser could not read it: ${error.message}` };
  throw error;
}

async function verifyInput(input, trust, report, notify) {
  const isPart = input.file !== undefined && BUNDLE_FILES.includes(input.name);
  let source = null;
  if (input.files !== undefined) source = openFolder(input.files);
  else if (isPart) source = openFolder([{ path: input.name, file: input.file }]);
  else source = await openZip(input.file);
  if (source === null) return verifyProofFile(input.file, trust, report);
  report.ignored = source.ignored;
  if (!isBundle(source)) {
    const packed = source.kind === "zip" && source.names.some((name) => name.endsWith("/evidence.json"));
    const hint = packed ? "; it holds a folder with one: unpack it, and drop that folder" : "";
    throw new VerificationError("unrecognised", `it holds neither events.csv nor evidence.json${hint}`);
  }
  report.kind = "bundle";
  const of = source.files.find(({ name }) => name === "events.csv")?.size ?? 0;
  try {
    await verifyBundle(source, trust, report, (bytes, rows) => notify({ rows, bytes, of }));
  } catch (error) {
    if (!(error instanceof VerificationError) || error.reason === "unrecognised") throw error;
    if (source.problem === null) await source.readAll(); // a damaged ZIP file is the reason before all that it causes
    throw error;
  }
}

async function verifyProofFile(file, trust, report) {
  const bytes = await file.read(0, Math.min(file.size, MAX_PROOF_SIZE + 1));
  if (!looksLikeProof(bytes))
    throw new VerificationError("unrecognised", "it is neither an evidence bundle nor a proof file");
  report.kind = "proof";
  await verifyProof(bytes, trust, report);
}

// What a page shows: text and numbers only.
function summarise(report, reason) {
  const { signed } = report;
  return {
    name: report.name,
    kind: report.kind,
    ignored: report.ignored,
    tenantId: report.tenantId ?? null,
    from: report.from ?? null,
    to: report.to ?? null,
    origin: report.origin ?? null,
    size: report.size === undefined ? null : String(report.size),
    confirmed: report.confirmed ?? null,
    signers: (signed?.signers ?? []).map(({ vkey, fingerprint }) => ({ vkey, fingerprint })),
    claimed: (report.claimed ?? []).map(({ vkey, fingerprint }) => ({ vkey, fingerprint })),
    evidenceSigners: (report.evidenceSigners ?? []).map(({ vkey, fingerprint }) => ({ vkey, fingerprint })),
    cosignatures: (signed?.cosignatures ?? []).map(({ key, time }) => ({ name: key.name, time: formatSeconds(time) })),
    splitViewExcluded: signed?.splitViewExcluded ?? null,
    rows: report.rows ?? null,
    counts: Object.fromEntries([...(report.counts ?? [])].filter(([, count]) => count > 0)),
    findings: (report.findings ?? []).map((finding) => ({ ...finding, place: ROW_REASONS.indexOf(finding.reason) })),
    days: (report.days ?? []).map((day, i) => summariseDay(day, report, i, reason)),
    event: report.proof?.event?.columns ?? null,
    hasPayload: report.proof?.event?.hasPayload ?? null,
    proof: report.proof === undefined ? null : summariseProof(report.proof),
  };
}

function summariseProof({ type, day, tenantId, record }) {
  return {
    type,
    day: day.day,
    index: String(day.index),
    tenantId: tenantId ?? null,
    tenantKey: record ? encodeHex(record.key) : null,
    count: record ? String(record.count) : null,
    first: record ? String(record.first) : null,
    breaks: record ? String(record.breaks) : null,
  };
}

function summariseDay(day, report, i, reason) {
  const { record, cosigned } = day;
  const rows = report.rowDays?.[i];
  const known = record !== undefined;
  return {
    day: day.day,
    kind: !known ? "unknown" : record === null ? "none" : record.count === 0n ? "idle" : "events",
    count: known && record !== null ? String(record.count) : null,
    breaks: known && record !== null ? String(record.breaks) : null,
    delay: cosigned ? Number(cosigned.time) - (dayNumber(day.day) + 1) * 86400 : null,
    witness: cosigned ? cosigned.name : null,
    verdict: dayVerdict(day, rows, report, reason),
  };
}

// "holds", "problem", "breaks" (sealed with declared ones, and just as declared), or "unchecked".
function dayVerdict(day, rows, report, reason) {
  if (report.dayAtFault === day.day || rows?.findings > 0) return "problem";
  if (rows === undefined) return "unchecked";
  return rows.declaresBreaks ? "breaks" : reason === "unrecognised" ? "unchecked" : "holds";
}

// POSIX seconds as a time; what no calendar reaches stays a number.
function formatSeconds(seconds) {
  return seconds < 253402300800n
    ? new Date(Number(seconds) * 1000).toISOString().replace(".000Z", "Z")
    : `second ${seconds}`;
}

// The rows that hold a text, upper or lower case: {total, rows: [{record, cells}]}, as many as `limit` of them.
async function searchRows(input, query, limit) {
  const source = input.files !== undefined ? openFolder(input.files) : await openZip(input.file);
  const wanted = query.toLowerCase();
  const rows = [];
  let total = 0;
  const reader = new CsvReader(EVENT_COLUMNS.length, (csv) => {
    if (csv.record === 1) return;
    // The whole row first, as it lies there: most don't have it.
    const end = Math.max(...csv.ends);
    if (!csv.decoder.decode(csv.buffer.subarray(csv.starts[0], end)).toLowerCase().includes(wanted)) return;
    const cells = EVENT_COLUMNS.map((_, cell) => csv.text(cell));
    if (!cells.some((cell) => cell !== null && cell.toLowerCase().includes(wanted))) return;
    total++;
    if (rows.length < limit) rows.push({ record: csv.record, cells });
  });
  for await (const piece of source.read("events.csv")) reader.push(piece);
  return { total, rows };
}
