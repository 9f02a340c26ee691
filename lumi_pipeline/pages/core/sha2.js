// SHA-256 and SHA-512 (FIPS 180-4), synchronous, because a browser's own digest takes whole messages only, and one
// promise a row would cost more than the hash itself. selfCheck() compares both with known answers and the browser's.

// The constants of both are the fractions of square and cube roots of the first primes (FIPS 180-4, 4.2.2 to 5.3.5):
// computed here, to 64 bits, there is no table to mistype. SHA-256 takes the upper half of each.
function firstPrimes(count) {
  const primes = [];
  for (let n = 2; primes.length < count; n++) {
    if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  }
  return primes;
}

// The first 64 bits after the point of n's root of this degree: Newton's method on integers, from above.
function rootFraction(n, degree) {
  const k = BigInt(degree);
  const scaled = BigInt(n) << (64n * k);
  let root = 1n << 70n;
  for (;;) {
    const next = ((k - 1n) * root + scaled / root ** (k - 1n)) / k;
    if (next >= root) return BigInt.asUintN(64, root);
    root = next;
  }
}

const SHA512_K = firstPrimes(80).map((prime) => rootFraction(prime, 3));
const SHA512_START = firstPrimes(8).map((prime) => rootFraction(prime, 2));
const SHA256_K = Int32Array.from(SHA512_K.slice(0, 64), (k) => Number(BigInt.asIntN(32, k >> 32n)));
const SHA256_START = Int32Array.from(SHA512_START, (h) => Number(BigInt.asIntN(32, h >> 32n)));
const SHA256_W = new Int32Array(64);

// Take whole blocks, data[start] to data[end - 1], into the state. All time goes by here. Of several ways to write it,
// this one, with the schedule in the same loop as the rounds, was twice as fast as eight rounds a turn.
function sha256Blocks(state, data, start, end) {
  const w = SHA256_W;
  const k = SHA256_K;
  let h0 = state[0],
    h1 = state[1],
    h2 = state[2],
    h3 = state[3];
  let h4 = state[4],
    h5 = state[5],
    h6 = state[6],
    h7 = state[7];
  for (let at = start; at < end; at += 64) {
    let a = h0,
      b = h1,
      c = h2,
      d = h3,
      e = h4,
      f = h5,
      g = h6,
      h = h7;
    for (let i = 0, j = at; i < 64; i++, j += 4) {
      let word;
      if (i < 16) {
        word = (data[j] << 24) | (data[j + 1] << 16) | (data[j + 2] << 8) | data[j + 3];
      } else {
        const x = w[i - 15];
        const y = w[i - 2];
        const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
        const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
        word = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
      }
      w[i] = word;
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + (g ^ (e & (f ^ g))) + k[i] + word) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (c & (a ^ b)))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + t1) | 0;
      d = c;
      c = b;
      b = a;
      a = (t1 + t2) | 0;
    }
    h0 = (h0 + a) | 0;
    h1 = (h1 + b) | 0;
    h2 = (h2 + c) | 0;
    h3 = (h3 + d) | 0;
    h4 = (h4 + e) | 0;
    h5 = (h5 + f) | 0;
    h6 = (h6 + g) | 0;
    h7 = (h7 + h) | 0;
  }
  state[0] = h0;
  state[1] = h1;
  state[2] = h2;
  state[3] = h3;
  state[4] = h4;
  state[5] = h5;
  state[6] = h6;
  state[7] = h7;
}

const SHA256_STATE = new Int32Array(8);

// The hash of the first `length` bytes of a buffer, written to out[at] and on. The padding goes into the buffer, behind
// the message: SHA256_SPARE bytes must be free there. This is the fast way, for millions of short messages.
const SHA256_SPARE = 72;
function sha256Padded(buffer, length, out, at) {
  const state = SHA256_STATE;
  state.set(SHA256_START);
  const end = (length + SHA256_SPARE) & ~63;
  buffer[length] = 0x80;
  buffer.fill(0, length + 1, end - 8);
  writeUint32(buffer, end - 8, Math.floor(length / 0x20000000));
  writeUint32(buffer, end - 4, length << 3);
  sha256Blocks(state, buffer, 0, end);
  for (let i = 0; i < 8; i++) writeUint32(out, at + 4 * i, state[i]);
}

function writeUint32(out, at, value) {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
}

// The hash of a message that comes in pieces of any size.
class Sha256 {
  constructor() {
    this.state = SHA256_START.slice();
    this.rest = new Uint8Array(64 + SHA256_SPARE);
    this.filled = 0;
    this.size = 0; // in bytes; exact up to 2^53
  }

  update(data) {
    let at = 0;
    this.size += data.length;
    if (this.filled > 0) {
      at = Math.min(64 - this.filled, data.length);
      this.rest.set(data.subarray(0, at), this.filled);
      this.filled += at;
      if (this.filled < 64) return this;
      sha256Blocks(this.state, this.rest, 0, 64);
    }
    const end = data.length - ((data.length - at) % 64);
    sha256Blocks(this.state, data, at, end);
    this.rest.set(data.subarray(end));
    this.filled = data.length - end;
    return this;
  }

  digest() {
    const end = (this.filled + SHA256_SPARE) & ~63;
    this.rest[this.filled] = 0x80;
    this.rest.fill(0, this.filled + 1, end - 8);
    writeUint32(this.rest, end - 8, Math.floor(this.size / 0x20000000));
    writeUint32(this.rest, end - 4, (this.size % 0x20000000) * 8);
    sha256Blocks(this.state, this.rest, 0, end);
    const out = new Uint8Array(32);
    for (let i = 0; i < 8; i++) writeUint32(out, 4 * i, this.state[i]);
    return out;
  }
}

// The hash of these byte strings, one after the other.
function sha256(...parts) {
  const hash = new Sha256();
  for (const part of parts) hash.update(part);
  return hash.digest();
}

// SHA-512 on BigInts: slow, and only for the few short messages of the Ed25519 that a browser may lack.
function sha512(message) {
  const rotate = (x, n) => BigInt.asUintN(64, (x >> n) | (x << (64n - n)));
  const padded = new Uint8Array(Math.ceil((message.length + 17) / 128) * 128);
  padded.set(message);
  padded[message.length] = 0x80;
  const words = new DataView(padded.buffer);
  words.setBigUint64(padded.length - 8, BigInt(message.length) * 8n);
  let state = SHA512_START.slice();
  for (let at = 0; at < padded.length; at += 128) {
    const w = [];
    for (let i = 0; i < 80; i++) {
      if (i < 16) {
        w.push(words.getBigUint64(at + 8 * i));
        continue;
      }
      const s0 = rotate(w[i - 15], 1n) ^ rotate(w[i - 15], 8n) ^ (w[i - 15] >> 7n);
      const s1 = rotate(w[i - 2], 19n) ^ rotate(w[i - 2], 61n) ^ (w[i - 2] >> 6n);
      w.push(BigInt.asUintN(64, w[i - 16] + s0 + w[i - 7] + s1));
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 80; i++) {
      const s1 = rotate(e, 14n) ^ rotate(e, 18n) ^ rotate(e, 41n);
      const t1 = h + s1 + (g ^ (e & (f ^ g))) + SHA512_K[i] + w[i];
      const s0 = rotate(a, 28n) ^ rotate(a, 34n) ^ rotate(a, 39n);
      const t2 = s0 + ((a & b) | (c & (a | b)));
      [h, g, f, e, d, c, b, a] = [g, f, e, BigInt.asUintN(64, d + t1), c, b, a, BigInt.asUintN(64, t1 + t2)];
    }
    state = [a, b, c, d, e, f, g, h].map((x, i) => BigInt.asUintN(64, x + state[i]));
  }
  const out = new DataView(new ArrayBuffer(64));
  state.forEach((x, i) => out.setBigUint64(8 * i, x));
  return new Uint8Array(out.buffer);
}
