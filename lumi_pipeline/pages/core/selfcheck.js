// Before anything is judged, this page judges its own arithmetic: against known answers, and against the browser's.

const SELF_CHECK = {
  // FIPS 180-4's example "abc", and RFC 8032, 7.1, test 2.
  abc256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  abc512:
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" +
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
  publicKey: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
  message: "72",
  signature:
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
};

let selfChecked = null;

// The check is made once, by whoever asks first. Resolves to {digest, ed25519}: what the browser has of its own ("browser" or "page"); throws if anything differs.
function selfCheck() {
  selfChecked ??= checkOwnArithmetic();
  return selfChecked;
}

async function checkOwnArithmetic() {
  const wrong = (what) => new Error(`This browser does not compute ${what} rightly; nothing it says can be relied on.`);
  const [key, message, signature] = [
    decodeHex(SELF_CHECK.publicKey, 32),
    decodeHex(SELF_CHECK.message, 1),
    decodeHex(SELF_CHECK.signature, 64),
  ];
  const other = Uint8Array.of(0x73);
  if (encodeHex(sha256(utf8("abc"))) !== SELF_CHECK.abc256) throw wrong("SHA-256");
  if (encodeHex(sha512(utf8("abc"))) !== SELF_CHECK.abc512) throw wrong("SHA-512");
  if (
    !isSafePublicKey(key) ||
    !verifyEd25519Slowly(key, message, signature) ||
    verifyEd25519Slowly(key, other, signature)
  ) {
    throw wrong("Ed25519");
  }
  const subtle = globalThis.crypto?.subtle;
  if (subtle === undefined) return { digest: "page", ed25519: "page" };
  const data = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7) & 0xff);
  for (const length of [0, 55, 56, 63, 64, 65, 119, 120, 1000]) {
    const bytes = data.subarray(0, length);
    if (!equalBytes(new Uint8Array(await subtle.digest("SHA-256", bytes)), sha256(bytes))) throw wrong("SHA-256");
  }
  try {
    hasNativeEd25519 =
      (await verifyEd25519Natively(key, message, signature)) && !(await verifyEd25519Natively(key, other, signature));
  } catch {
    hasNativeEd25519 = false; // the browser has none: the slow way serves
  }
  return { digest: "browser", ed25519: hasNativeEd25519 ? "browser" : "page" };
}
