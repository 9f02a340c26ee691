// Signed notes, checkpoints and cosignatures (docs/formats.md §6; C2SP signed-note, tlog-checkpoint, tlog-cosignature).

const MAX_NOTE_SIZE = 1024 * 1024;
const MAX_SIGNATURES = 100;

// Read a signed note from its bytes. Nothing is verified: {text, signatures: [{name, id, signature}]}.
function parseNote(bytes) {
  if (bytes.length > MAX_NOTE_SIZE) throw new FormatError(`a signed note of more than ${MAX_NOTE_SIZE} bytes`);
  const content = decodeUtf8(bytes, "a signed note");
  const split = content.lastIndexOf("\n\n");
  if (split < 0) throw new FormatError("a signed note needs an empty line between its text and its signatures");
  const text = content.slice(0, split + 1);
  if (/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/.test(text) || text.startsWith("\ufeff")) {
    throw new FormatError("the text of a signed note holds a control character or a byte order mark");
  }
  const lines = content.slice(split + 2).split("\n");
  if (lines.pop() !== "" || lines.length === 0) throw new FormatError("a signed note ends with lines of signatures");
  if (lines.length > MAX_SIGNATURES) throw new FormatError(`more than ${MAX_SIGNATURES} signatures`);
  const signatures = lines.map(parseSignatureLine);
  if (new Set(signatures.map((line) => `${line.name}+${line.id}`)).size !== signatures.length) {
    throw new FormatError("two signatures by the same key");
  }
  return { text, signatures };
}

function parseSignatureLine(line) {
  const words = line.split(" ");
  if (words.length !== 3 || words[0] !== "\u2014") throw new FormatError(`not a line of a signature: ${excerpt(line)}`);
  const name = parseKeyName(words[1], "the signer of a line");
  const bytes = decodeBase64(words[2]);
  if (bytes.length <= 4) throw new FormatError(`the signature by ${excerpt(name)} is too short`);
  return { name, id: encodeHex(bytes.subarray(0, 4)), signature: bytes.subarray(4) };
}

// The lines that claim to be by one of these keys: [{key, signature}], in the note's order.
function linesBy(note, keys) {
  const known = new Map(keys.map((key) => [`${key.name}+${key.id}`, key]));
  return note.signatures.flatMap(({ name, id, signature }) => {
    const key = known.get(`${name}+${id}`);
    return key === undefined ? [] : [{ key, signature }];
  });
}

// The keys that signed the note's text; null if a line of one of them fails.
async function verifyNote(note, keys) {
  const signers = [];
  for (const { key, signature } of linesBy(note, keys)) {
    if (key.type !== TYPE_ED25519 || !(await verifyEd25519(key.publicKey, utf8(note.text), signature))) return null;
    signers.push(key);
  }
  return signers;
}

// Read a signed checkpoint, unverified: {origin, size, root, note}.
function parseCheckpoint(bytes) {
  const note = parseNote(bytes);
  const lines = note.text.split("\n");
  if (lines.length !== 4) throw new FormatError("a checkpoint has exactly three lines: origin, size and root");
  return {
    origin: parseKeyName(lines[0], "the origin of a checkpoint"),
    size: parseDecimal(lines[1]),
    root: decodeBase64(lines[2], 32),
    note,
  };
}

// The cosignatures by these witnesses: [{key, time}], time in POSIX seconds as a BigInt; null if one of them fails.
async function verifyCosignatures(note, witnesses) {
  const cosignatures = [];
  for (const { key, signature } of linesBy(note, witnesses)) {
    if (key.type !== TYPE_COSIGNATURE || signature.length !== 72) return null;
    const time = new DataView(signature.buffer, signature.byteOffset).getBigUint64(0);
    if (time > MAX_INT64) return null;
    const message = utf8(`cosignature/v1\ntime ${time}\n${note.text}`);
    if (!(await verifyEd25519(key.publicKey, message, signature.subarray(8)))) return null;
    cosignatures.push({ key, time });
  }
  return cosignatures;
}
