// Keys (docs/formats.md §6, "Keys"): vkeys are name+key id+base64(type ‖ public key).

const TYPE_ED25519 = 0x01;
const TYPE_COSIGNATURE = 0x04;
const MAX_NAME_LENGTH = 1024;

// White space in the Unicode sense, the separator "+", control characters, and halves of surrogate pairs.
const NOT_IN_NAMES = /[\s\u0085+\u0000-\u001f\u007f-\u009f\ud800-\udfff]/u;

function isKeyName(name) {
  // For JavaScript U+FEFF is white space; for Unicode it is not.
  return name !== "" && Array.from(name).length <= MAX_NAME_LENGTH && !NOT_IN_NAMES.test(name.replaceAll("\ufeff", ""));
}

function parseKeyName(name, what) {
  if (!isKeyName(name)) throw new FormatError(`${what} is no name: ${excerpt(name)}`);
  return name;
}

const safeKeys = new Map(); // by hexadecimal key: the judgement costs some milliseconds, and keys come again and again

function checkPublicKey(publicKey) {
  const name = encodeHex(publicKey);
  if (!safeKeys.has(name)) safeKeys.set(name, isSafePublicKey(publicKey));
  return safeKeys.get(name);
}

function keyId(name, type, publicKey) {
  return encodeHex(sha256(utf8(`${name}\n`), Uint8Array.of(type), publicKey).subarray(0, 4));
}

// Read a vkey. Keys are frozen objects; two of them are the same signer if `vkey` is the same.
function parseVkey(text) {
  if (text.startsWith("PRIVATE+KEY+"))
    throw new FormatError("this is a secret key; it belongs nowhere but to its owner");
  const parts = text.split("+");
  if (parts.length < 3) throw new FormatError(`a key as name+key id+base64 expected, got ${excerpt(text)}`);
  const name = parseKeyName(parts[0], "the first part of a key");
  const id = encodeHex(decodeHex(parts[1], 4));
  const material = decodeBase64(parts.slice(2).join("+")); // base64 has a "+" of its own
  const type = material[0];
  const publicKey = material.subarray(1);
  if (type !== TYPE_ED25519 && type !== TYPE_COSIGNATURE) {
    throw new FormatError(`the key ${excerpt(name)} is of a type that is not supported`);
  }
  if (publicKey.length !== 32 || !checkPublicKey(publicKey)) {
    throw new FormatError(`the key ${excerpt(name)} is not a safe Ed25519 public key`);
  }
  if (keyId(name, type, publicKey) !== id) {
    throw new FormatError(
      `the key ${excerpt(name)} does not match its own check digits ${id}; part of it was lost or mistyped`,
    );
  }
  return Object.freeze({ vkey: text, name, id, type, publicKey, fingerprint: encodeHex(sha256(utf8(text))) });
}
