// Canonical JSON (docs/formats.md, "Conventions"): read, written again, compared.

const MAX_JSON_DEPTH = 8;
const MAX_JSON_TOKENS = 2000000;

function compareCodePoints(a, b) {
  const [x, y] = [Array.from(a), Array.from(b)];
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    if (x[i] !== y[i]) return x[i].codePointAt(0) - y[i].codePointAt(0);
  }
  return x.length - y.length;
}

function isWellFormedText(text) {
  return !/[\ud800-\udfff]/u.test(text);
}

// Write a value in its one form. JSON.stringify() escapes strings just so, but for lone surrogates, which have no form.
function canonicalJson(value) {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") {
    if (!isWellFormedText(value)) throw new FormatError("JSON text holds a lone surrogate");
    return JSON.stringify(value);
  }
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value)) throw new FormatError("a JSON number is not an integer below 2^53");
    return String(value); // "-0" was read as −0, is written "0", and so is refused
  }
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const names = Object.keys(value).sort(compareCodePoints);
  return `{${names.map((name) => `${canonicalJson(name)}:${canonicalJson(value[name])}`).join(",")}}`;
}

// Bound nesting and the number of strings, commas and brackets before anything is built.
function checkJsonShape(bytes) {
  let depth = 0;
  let tokens = 0;
  for (let i = 0; i < bytes.length; i++) {
    switch (bytes[i]) {
      case 0x22: // "
        for (i++; i < bytes.length && bytes[i] !== 0x22; i++) if (bytes[i] === 0x5c) i++;
        break;
      case 0x5b: // [
      case 0x7b: // {
        depth++;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
        break;
      case 0x2c: // ,
        break;
      default:
        continue;
    }
    if (++tokens > MAX_JSON_TOKENS) throw new FormatError(`JSON with more than ${MAX_JSON_TOKENS} parts`);
    if (depth > MAX_JSON_DEPTH) throw new FormatError(`JSON is nested more than ${MAX_JSON_DEPTH} deep`);
  }
}

// Parse JSON that is in canonical form, without a line feed at its end.
function parseCanonicalJson(bytes, maxBytes) {
  if (bytes.length > maxBytes) throw new FormatError(`JSON of ${bytes.length} bytes; at most ${maxBytes} are accepted`);
  const text = decodeUtf8(bytes, "JSON");
  checkJsonShape(bytes);
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new FormatError("not JSON");
  }
  if (canonicalJson(value) !== text)
    throw new FormatError("JSON is not in canonical form (keys, spaces, escapes or numbers)");
  return value;
}

// The object itself, if it has exactly these fields.
function jsonObject(value, names, what) {
  const object = typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
  if (
    object === null ||
    Object.keys(object).length !== names.length ||
    !names.every((name) => Object.hasOwn(object, name))
  ) {
    throw new FormatError(`${what}: an object with exactly the fields ${names.join(", ")} expected`);
  }
  return object;
}

function jsonText(value, what) {
  if (typeof value !== "string") throw new FormatError(`${what}: text expected`);
  return value;
}

function jsonList(value, what) {
  if (!Array.isArray(value)) throw new FormatError(`${what}: a list expected`);
  return value;
}

// A list of base64 hashes: an inclusion proof.
function jsonHashes(value, what) {
  return jsonList(value, what).map((item) => decodeBase64(jsonText(item, what), 32));
}
