// Ed25519 (RFC 8032): whether a key is safe to trust, and whether a signature verifies. The browser's own code does the
// latter where it can; what follows on BigInts is for those that can't, and for judging keys, which no browser does.

const ED_P = 2n ** 255n - 19n; // the field's prime
const ED_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n; // of the base point
const ED_D = edMod(-121665n * edPower(121666n, ED_P - 2n));
const ED_SQRT_MINUS_1 = edPower(2n, (ED_P - 1n) / 4n);
const ED_IDENTITY = [0n, 1n, 1n, 0n]; // extended coordinates X, Y, Z, T (RFC 8032, 5.1.4)
const ED_BASE = edDecode(edBytes(edMod(4n * edPower(5n, ED_P - 2n))));

function edMod(x) {
  const r = x % ED_P;
  return r < 0n ? r + ED_P : r;
}

function edPower(x, exponent) {
  let result = 1n;
  for (let base = edMod(x), e = exponent; e > 0n; e >>= 1n) {
    if (e & 1n) result = edMod(result * base);
    base = edMod(base * base);
  }
  return result;
}

function edNumber(bytes) {
  let number = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) number = (number << 8n) | BigInt(bytes[i]);
  return number;
}

function edBytes(number) {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((number >> BigInt(8 * i)) & 0xffn));
}

// The point of an encoding (RFC 8032, 5.1.3), or null for one that is not canonical or not on the curve.
function edDecode(bytes) {
  const number = edNumber(bytes);
  const sign = number >> 255n;
  const y = number & (2n ** 255n - 1n);
  if (bytes.length !== 32 || y >= ED_P) return null;
  const u = edMod(y * y - 1n);
  const v = edMod(ED_D * y * y + 1n);
  let x = edMod(u * edPower(v, 3n) * edPower(u * edPower(v, 7n), (ED_P - 5n) / 8n));
  const check = edMod(v * x * x);
  if (check !== u) {
    if (check !== edMod(-u)) return null;
    x = edMod(x * ED_SQRT_MINUS_1);
  }
  if (x === 0n && sign === 1n) return null;
  if ((x & 1n) !== sign) x = ED_P - x;
  return [x, y, 1n, edMod(x * y)];
}

function edEncode([x, y, z]) {
  const inverse = edPower(z, ED_P - 2n);
  return edBytes(edMod(y * inverse) | ((edMod(x * inverse) & 1n) << 255n));
}

// The sum of any two points, equal ones too (RFC 8032, 5.1.4).
function edAdd([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = edMod((y1 - x1) * (y2 - x2));
  const b = edMod((y1 + x1) * (y2 + x2));
  const c = edMod(2n * ED_D * t1 * t2);
  const d = edMod(2n * z1 * z2);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [edMod(e * f), edMod(g * h), edMod(f * g), edMod(e * h)];
}

function edMultiply(scalar, point) {
  let result = ED_IDENTITY;
  for (let sum = point, k = scalar; k > 0n; k >>= 1n) {
    if (k & 1n) result = edAdd(result, sum);
    sum = edAdd(sum, sum);
  }
  return result;
}

function edIsIdentity([x, y, z]) {
  return x === 0n && y === z;
}

// Whether a signature under this key proves anything: a canonical encoding of a point of the prime-order subgroup, and
// not its neutral element. So points of small order are refused, under which one signature fits many messages.
function isSafePublicKey(bytes) {
  const point = bytes.length === 32 ? edDecode(bytes) : null;
  return point !== null && !edIsIdentity(point) && edIsIdentity(edMultiply(ED_ORDER, point));
}

// A signature has one form: S is below the order, and R is no neutral element, which no honest signer draws.
function isCanonicalSignature(signature) {
  if (signature.length !== 64 || edNumber(signature.subarray(32)) >= ED_ORDER) return false;
  return signature[0] !== 1 || signature.subarray(1, 32).some((byte) => byte !== 0);
}

// The verification without the browser's help, of a key that isSafePublicKey() has passed.
function verifyEd25519Slowly(publicKey, message, signature) {
  const key = edDecode(publicKey);
  if (key === null || !isCanonicalSignature(signature)) return false;
  const r = signature.subarray(0, 32);
  const h = edNumber(sha512(concatBytes(r, publicKey, message))) % ED_ORDER;
  const minusKey = [ED_P - key[0], key[1], key[2], ED_P - key[3]];
  const sum = edAdd(edMultiply(edNumber(signature.subarray(32)), ED_BASE), edMultiply(h, minusKey));
  return equalBytes(edEncode(sum), r);
}

async function verifyEd25519Natively(publicKey, message, signature) {
  const key = await crypto.subtle.importKey("raw", publicKey, { name: "Ed25519" }, false, ["verify"]);
  return crypto.subtle.verify({ name: "Ed25519" }, key, signature, message);
}

// Set by selfCheck(): whether the browser has an Ed25519, and one that tells right from wrong.
let hasNativeEd25519 = false;

async function verifyEd25519(publicKey, message, signature) {
  if (!isCanonicalSignature(signature)) return false;
  if (!hasNativeEd25519) return verifyEd25519Slowly(publicKey, message, signature);
  return verifyEd25519Natively(publicKey, message, signature);
}
