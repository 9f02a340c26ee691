"""The page's hashes, signatures and encodings: known answers, and the same judgement as the package's."""

import hashlib
import random

import pytest
from nacl.bindings import crypto_core_ed25519_add, crypto_core_ed25519_is_valid_point
from nacl.signing import SigningKey

from tests.pages.conftest import Verifier
from transparency import encoding
from transparency.errors import EncodingError

ORDER = 2**252 + 27742317777372353535851937790883648493
# The eight points of small order, and the other encodings of some of them (y + p, or a sign for x = 0).
SMALL_ORDER = [
    bytes.fromhex(text)
    for text in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
]


def test_sha256_and_sha512_of_every_length_around_a_block(verifier: Verifier) -> None:
    data = random.Random(1).randbytes(700)
    lengths = [*range(260), 511, 512, 513, 639, 640, 700]
    pieces = verifier.ask(
        """(data, lengths) => lengths.map((length) => {
          const bytes = bytesOf(data).subarray(0, length);
          const third = Math.floor(length / 3);
          const out = new Uint8Array(40);
          const padded = concatBytes(bytes, new Uint8Array(SHA256_SPARE));
          sha256Padded(padded, length, out, 5);
          const pieces = sha256(bytes.subarray(0, third), bytes.subarray(third));
          return [sha256(bytes), pieces, out.subarray(5, 37), sha512(bytes)].map(encodeHex);
        })""",
        data,
        lengths,
    )
    for length, found in zip(lengths, pieces, strict=True):
        digest = hashlib.sha256(data[:length]).hexdigest()
        assert found == [digest, digest, digest, hashlib.sha512(data[:length]).hexdigest()], length


def test_the_browser_and_the_page_verify_the_same_signatures(verifier: Verifier) -> None:
    chance = random.Random(2)
    cases: list[tuple[bytes, bytes, bytes]] = []
    expected = []
    for size in (0, 1, 64, 200):
        key = SigningKey(chance.randbytes(32))
        message = chance.randbytes(size)
        public, good = bytes(key.verify_key), key.sign(message).signature
        s = int.from_bytes(good[32:], "little")
        altered = bytearray(good)
        altered[chance.randrange(64)] ^= 1 << chance.randrange(8)
        for signature, fits in (
            (good, True),
            (bytes(altered), False),
            (good[:32] + (s + ORDER).to_bytes(32, "little"), False),  # the same S in another form
            (SMALL_ORDER[0] + good[32:], False),
            (good[:63], False),
            (good + b"\0", False),
        ):
            cases.append((public, message, signature))
            expected.append(fits)
        cases.append((public, message + b"!", good))
        expected.append(False)
    found = verifier.ask(
        """async (cases) => {
          const results = [];
          for (const [key, message, signature] of cases.map((parts) => parts.map(bytesOf))) {
            results.push([await verifyEd25519(key, message, signature), verifyEd25519Slowly(key, message, signature)]);
          }
          return results;
        }""",
        cases,
    )
    assert found == [[fits, fits] for fits in expected]


def test_a_browser_without_ed25519_gets_the_pages_own(verifier: Verifier) -> None:
    key = SigningKey(bytes(32))
    signed = key.sign(b"text")
    found = verifier.ask(
        """async (key, message, signature) => {
          const before = hasNativeEd25519;
          hasNativeEd25519 = false;
          const answers = [await verifyEd25519(bytesOf(key), bytesOf(message), bytesOf(signature)), before];
          hasNativeEd25519 = before;
          return answers;
        }""",
        bytes(key.verify_key),
        b"text",
        signed.signature,
    )
    assert found[0] is True


def test_keys_that_prove_nothing_are_refused(verifier: Verifier) -> None:
    chance = random.Random(3)
    honest = [bytes(SigningKey(chance.randbytes(32)).verify_key) for _ in range(5)]
    mixed = [crypto_core_ed25519_add(key, SMALL_ORDER[4]) for key in honest[:2]]  # outside the prime-order subgroup
    strangers = [chance.randbytes(32) for _ in range(20)] + [b"\xff" * 32, honest[0][:31], honest[0] + b"\0"]
    keys = [*honest, *mixed, *SMALL_ORDER, *strangers]
    found = verifier.ask("(keys) => keys.map((key) => isSafePublicKey(bytesOf(key)))", keys)
    assert found == [len(key) == 32 and crypto_core_ed25519_is_valid_point(key) for key in keys]
    assert found[: len(honest)] == [True] * len(honest)
    assert not any(found[len(honest) : len(honest) + len(mixed) + len(SMALL_ORDER)])


SPELLINGS: dict[str, str] = {
    "base64": "|AA==|AAA=|AAAA|AB==|AAB=|AA|AA=|A===|====|AA==\n| AA==|A-_=|AAAA====|é===",
    "decimal": "0|1|00|01|+1|-1| 1|1 ||9223372036854775807|9223372036854775808|\uff11|1e3|0x1|1\n",
    "hex": "00ff|00FF|00f|00fff|0x00|zzzz||\uff10\uff10ff|00ff\n",
    "day": (
        "2026-11-21|2024-02-29|2026-02-29|1900-02-29|2000-02-29|0001-01-01|0000-01-01|9999-12-31|2026-13-01|"
        "2026-00-10|2026-04-31|2026-1-01|\uff12026-11-21|2026-11-21\n"
    ),
    "timestamp": (
        "2026-11-21T09:00:00.000001Z|2026-11-21T24:00:00.000000Z|2026-11-21T23:59:60.000000Z|"
        "2026-11-21T09:60:00.000000Z|2026-11-21 09:00:00.000001Z|2026-11-21T09:00:00.00001Z|"
        "2026-11-21T09:00:00.000001+00:00|2026-11-31T09:00:00.000001Z|2026-11-21T09:00:00.000001Z\n"
    ),
}
READERS = {
    "base64": ("(text) => decodeBase64(text)", encoding.b64decode),
    "decimal": ("parseDecimal", encoding.parse_decimal),
    "hex": ("(text) => decodeHex(text, 2)", lambda text: encoding.hex_decode(text, 2)),
    "day": ("parseDay", encoding.parse_day),
    "timestamp": ("parseTimestamp", encoding.parse_timestamp),
}


@pytest.mark.parametrize("kind", SPELLINGS)
def test_each_value_has_one_spelling(verifier: Verifier, kind: str) -> None:
    script, read = READERS[kind]
    texts = SPELLINGS[kind].split("|")
    assert verifier.accepts(script, texts) == [_reads(read, text) for text in texts]


def test_base64_and_hexadecimal_come_back_as_they_went(verifier: Verifier) -> None:
    data = [random.Random(size).randbytes(size) for size in range(40)]
    script = "(items) => items.map((item) => [encodeBase64(bytesOf(item)), encodeHex(bytesOf(item))])"
    assert verifier.ask(script, data) == [[encoding.b64encode(item), item.hex()] for item in data]


def test_days_are_counted_as_the_calendar_does(verifier: Verifier) -> None:
    days = ["0001-01-01", "0004-02-29", "0099-12-31", "1899-12-31", "1970-01-01", "2026-11-21", "9999-12-31"]
    ordinals = [encoding.parse_day(day).toordinal() - 719163 for day in days]
    assert verifier.ask("(days) => days.map(dayNumber)", days) == ordinals
    assert verifier.ask("(numbers) => numbers.map(dayOfNumber)", ordinals) == days


DEEP = b"[" * 9 + b"]" * 9
JSON = (
    b"{}", b"[]", b'""', b"null", b"0", b"-1", b"-0", b"1.0", b"1e3", b"9007199254740991", b"9007199254740992",
    b'{"a":1,"b":2}', b'{"b":1,"a":2}', b'{"a":1,"a":1}', b'{"a": 1}', b" {}", b"{}\n", b'{"a":1,}', b"[1,]", b"[01]",
    b'"\\u0041"', b'"\\/"', b'"\\n"', b'"\\u000a"', b'"\\u001f"', b'"\\u001F"', b'"\x7f"', b'"\xe2\x80\xa8"',
    b'"\\ud800"', b'"\\ud83d\\ude00"', "\"\U0001f600\"".encode(), b'"\xed\xa0\x80"', b'"\xff"', b'"\x01"',
    '{"\uffee":1,"\U0001f600":2}'.encode(), '{"\U0001f600":2,"\uffee":1}'.encode(), b'{"__proto__":1}',
    b'{"10":1,"9":2}', b'{"9":2,"10":1}', DEEP, DEEP[1:-1], b"[[]", b"]", b"", b"nul", b"NaN", b"'a'",
    b"\xef\xbb\xbf{}",
    b'{"constructor":{"prototype":[]}}',
)  # fmt: skip


def test_json_is_taken_in_one_form_only(verifier: Verifier) -> None:
    wanted = [_reads(lambda text: encoding.parse_canonical_json(text, 1000), text) for text in JSON]
    script = "(text) => parseCanonicalJson(bytesOf(text), 1000) !== undefined"
    assert verifier.accepts(script, list(JSON)) == wanted


def test_json_of_too_many_parts_is_refused_before_it_is_built(verifier: Verifier) -> None:
    script = "(size) => checkJsonShape(new Uint8Array(size).fill(0x2c)) !== null"
    assert verifier.accepts(script, [encoding.MAX_JSON_TOKENS, encoding.MAX_JSON_TOKENS + 1]) == [True, False]


def _reads(read: object, text: object) -> bool:
    assert callable(read)
    try:
        read(text)
    except EncodingError:
        return False
    return True
