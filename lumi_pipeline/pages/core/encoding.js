// The primitive encodings (docs/formats.md, "Conventions"). Each value has one accepted spelling; every reader here
// throws a FormatError for any other, and looks at sizes before it makes anything.

class FormatError extends Error {}

// What was read and does not hold. The reason is one of the codes of docs/formats.md.
class VerificationError extends Error {
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}

const MAX_INT64 = 2n ** 63n - 1n;
const textEncoder = new TextEncoder();

function utf8(text) {
  return textEncoder.encode(text);
}

// Text of UTF-8 bytes. A byte order mark stays where it is, for the reader to refuse.
function decodeUtf8(bytes, what) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new FormatError(`${what} is not valid UTF-8`);
  }
}

// Foreign text for a message: cut to a length, and quoted so that it can't pass for ours.
function excerpt(text, limit = 60) {
  const characters = Array.from(text.slice(0, 2 * limit));
  const cut = characters.length > limit || text.length > 2 * limit;
  return JSON.stringify(characters.slice(0, limit).join("")) + (cut ? `… (${text.length} characters)` : "");
}

function concatBytes(...parts) {
  const all = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function equalBytes(a, b) {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function encodeHex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function decodeHex(text, size) {
  if (text.length !== 2 * size || !/^[0-9a-f]*$/.test(text)) {
    throw new FormatError(`${2 * size} lower-case hexadecimal digits expected, got ${excerpt(text)}`);
  }
  return Uint8Array.from({ length: size }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

function encodeBase64(bytes) {
  const parts = [];
  for (let i = 0; i < bytes.length; i += 3) {
    const triple = (bytes[i] << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    const left = bytes.length - i;
    parts.push(
      BASE64[triple >> 18],
      BASE64[(triple >> 12) & 63],
      left > 1 ? BASE64[(triple >> 6) & 63] : "=",
      left > 2 ? BASE64[triple & 63] : "=",
    );
  }
  return parts.join("");
}

const BASE64_VALUES = new Int8Array(128).fill(-1);
Array.from(BASE64, (character, value) => (BASE64_VALUES[character.charCodeAt(0)] = value));

// RFC 4648 section 4: the standard alphabet, padded, no white space, no bits set after the last whole byte.
function decodeBase64(text, size = null) {
  const wrong = () =>
    new FormatError(`canonical base64${size === null ? "" : ` of ${size} bytes`} expected, got ${excerpt(text)}`);
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const length = (text.length / 4) * 3 - padding;
  if (text.length % 4 !== 0 || (size !== null && length !== size)) throw wrong();
  const bytes = new Uint8Array(length);
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let i = 0; i < text.length - padding; i++) {
    const code = text.charCodeAt(i);
    const value = code < 128 ? BASE64_VALUES[code] : -1;
    if (value < 0) throw wrong();
    bits = ((bits << 6) | value) & 0xffff;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes[at++] = bits >> held;
    }
  }
  if (held > 0 && (bits & ((1 << held) - 1)) !== 0) throw wrong();
  return bytes;
}

// A number of 0 to 2^63 − 1, as a BigInt.
function parseDecimal(text) {
  if (!/^(?:0|[1-9][0-9]{0,18})$/.test(text) || BigInt(text) > MAX_INT64) {
    throw new FormatError(`a decimal number of 0 to 2^63-1 expected, got ${excerpt(text)}`);
  }
  return BigInt(text);
}

// Read the varint at an offset: [value, offset after it]. Values here are below 2^14; longer ones are as wrong.
function parseVarint(bytes, at) {
  const low = bytes[at];
  if (low === undefined) throw new FormatError("a number is cut off");
  if (low < 0x80) return [low, at + 1];
  const high = bytes[at + 1];
  if (high === undefined || high === 0 || high >= 0x80)
    throw new FormatError("a number is cut off, too long or too large");
  return [(low & 0x7f) | (high << 7), at + 2];
}

function encodeVarint(value) {
  return value < 0x80 ? Uint8Array.of(value) : Uint8Array.of((value & 0x7f) | 0x80, value >> 7);
}

// The netstring of a text, or of null (docs/formats.md, "Conventions").
function netstring(text) {
  return text === null ? "-," : `${utf8(text).length}:${text},`;
}

function daysInMonth(year, month) {
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  return month === 2 ? (leap ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31;
}

// A real day of the years 0001 to 9999, which is returned as it is: days compare as text.
function parseDay(text) {
  const match = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/.exec(text);
  const [year, month, day] = match ? match.slice(1).map(Number) : [0, 0, 0];
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) {
    throw new FormatError(`a day as YYYY-MM-DD expected, got ${excerpt(text)}`);
  }
  return text;
}

// How many days a day is after 1970-01-01.
function dayNumber(day) {
  const date = new Date(0);
  date.setUTCFullYear(Number(day.slice(0, 4)), Number(day.slice(5, 7)) - 1, Number(day.slice(8, 10)));
  return Math.round(date.getTime() / 86400000);
}

function dayOfNumber(number) {
  const date = new Date(number * 86400000);
  const pad = (value, width) => String(value).padStart(width, "0");
  return `${pad(date.getUTCFullYear(), 4)}-${pad(date.getUTCMonth() + 1, 2)}-${pad(date.getUTCDate(), 2)}`;
}

// A time in UTC with six digits of fraction, returned as it is: times compare as text.
function parseTimestamp(text) {
  const match = /^([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.[0-9]{6}Z$/.exec(text);
  if (match === null || Number(match[2]) > 23 || Number(match[3]) > 59 || Number(match[4]) > 59) {
    throw new FormatError(`a time as YYYY-MM-DDTHH:MM:SS.ffffffZ expected, got ${excerpt(text)}`);
  }
  parseDay(match[1]);
  return text;
}
