"""Notes, keys, policies, records and proof files: the page takes what the package takes, and gives the same reasons."""

import base64
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from lumi_pipeline.errors import RecordError
from lumi_pipeline.proofs import verify_proof
from lumi_pipeline.records import TenantDay
from tests.pages.conftest import Verifier
from transparency.checkpoint import parse_signed_checkpoint
from transparency.encoding import canonical_json
from transparency.entries import DayRecord, Genesis
from transparency.errors import FormatError, VerificationError
from transparency.keys import VerifierKey
from transparency.policy import Policy, evaluate

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "lumi_v1.json").read_text())
LOG = VECTORS["log"]
LOG_VKEY, WITNESS_VKEY, OTHER_VKEY = LOG["vkey"], LOG["witness_vkey"], LOG["next_vkey"]
CHECKPOINT = LOG["checkpoints"][1]["cosigned"]


def _mutants(text: str, number: int, seed: int) -> list[bytes]:
    """Copies with a byte changed, dropped or doubled, cut off, or with lines moved."""
    chance = random.Random(seed)
    data = text.encode()
    lines = data.splitlines(keepends=True)
    mutants = [data, b"", data[:-1], data + b"\n", b"\xef\xbb\xbf" + data, data.replace(b"\n", b"\r\n")]
    for i in range(len(lines)):
        mutants += [b"".join(lines[:i] + lines[i + 1 :]), b"".join([*lines[: i + 1], *lines[i:]])]
    for _ in range(number):
        at = chance.randrange(len(data))
        flipped = bytes([data[at] ^ 1 << chance.randrange(8)])
        mutants += [
            data[:at] + flipped + data[at + 1 :],
            data[:at] + data[at + 1 :],
            data[:at] + data[at : at + 1] + data[at:],
        ]
    return mutants


RECORDS: list[tuple[str, Callable[[bytes], object], list[str]]] = [
    (
        "parseGenesis",
        Genesis.parse,
        [LOG["entries"][0], LOG["entries"][0] + f"previous old.example {2**63 - 1} {'A' * 43}=\n"],
    ),
    ("parseDayRecord", DayRecord.parse, LOG["entries"][1:]),
    ("parseTenantDay", TenantDay.parse, list(VECTORS["days"][1]["tenant_day_records"].values())),
]


@pytest.mark.parametrize(("script", "parse", "texts"), RECORDS, ids=[name for name, _, _ in RECORDS])
def test_records_are_taken_in_one_form_only(
    verifier: Verifier, script: str, parse: Callable[[bytes], object], texts: list[str]
) -> None:
    mutants = [mutant for text in texts for mutant in _mutants(text, 60, 4)]
    found = verifier.accepts(f'(data) => {script}(decodeUtf8(bytesOf(data), "it")) !== null', mutants)
    assert found == [_takes(parse, mutant) for mutant in mutants]
    assert found[0]


def test_signed_notes_and_checkpoints_are_taken_in_one_form_only(verifier: Verifier) -> None:
    mutants = _mutants(CHECKPOINT, 150, 5)
    many = "\u2014 a AAAAAAA=\n"
    mutants += [f"text\n\n{many * 2}".encode(), *(f"{CHECKPOINT}\u2014 {name} AAAAAAA=\n".encode() for name in NAMES)]
    lines = "".join(f"\u2014 w{i} AAAAAAA=\n" for i in range(101))
    text = CHECKPOINT.split("\n\n")[0]
    mutants += [f"{text}\n\n{lines}".encode(), f"{text}\n\n{lines.partition(chr(10))[2]}".encode()]
    found = verifier.accepts("(data) => parseCheckpoint(bytesOf(data)) !== null", mutants)
    assert found == [_takes(parse_signed_checkpoint, mutant) for mutant in mutants]


NAMES = [
    "a",
    "",
    "a+b",
    "a\u3000b",
    "a\ufeffb",
    "a\u0085b",
    "a\u00a0b",
    "ü",
    "a\u200bb",
    "x" * 1024,
    "x" * 1025,
    "\U0001f600" * 1024,
]


def test_vkeys_are_taken_in_one_form_only(verifier: Verifier) -> None:
    key = VerifierKey.parse(LOG_VKEY)
    texts = [
        *(
            VerifierKey.of(name, key.public).vkey
            for name in NAMES
            if _takes(lambda n: VerifierKey.of(n, key.public), name)
        )
    ]
    texts += [
        LOG_VKEY,
        WITNESS_VKEY,
        LOG["evidence_vkey"],
        OTHER_VKEY,
        LOG["secret_key"],
        f" {LOG_VKEY}",
        f"{LOG_VKEY}\n",
    ]
    texts += [mutant.decode("latin-1") for mutant in _mutants(LOG_VKEY, 100, 6)]
    found = verifier.accepts("(text) => parseVkey(text) !== null", texts)
    assert found == [_takes(VerifierKey.parse, text) for text in texts]
    fingerprint = verifier.ask("(text) => parseVkey(text).fingerprint", LOG_VKEY)
    assert fingerprint == key.fingerprint


def _witness(number: int) -> str:
    return VerifierKey.of(f"w{number}", bytes(SigningKey(bytes([number]) * 32).verify_key), 4).vkey


ONE, TWO, THREE = f"witness one {WITNESS_VKEY}\n", f"witness two {_witness(2)}\n", f"witness three {_witness(3)}\n"
TRUSTED = f"log {LOG_VKEY}\n"
POLICIES = [
    f"{TRUSTED}quorum none\n",
    (
        f"# whom I trust\n\tlog {LOG_VKEY} https://log.example \n\n"
        f"witness one {WITNESS_VKEY} https://w.example\nquorum one"
    ),
    f"{TRUSTED}{ONE}{TWO}group g any one two\nquorum g\n",
    f"{TRUSTED}{ONE}{TWO}group g all one two\nquorum g\n",
    f"{TRUSTED}{ONE}{TWO}{THREE}group g 1 two three\ngroup h 2 g one\nquorum h\n",
    f"{TRUSTED}{ONE}{TWO}quorum two\n",
    f"log {OTHER_VKEY}\nquorum none\n",
    f"log {LOG['evidence_vkey']}\nquorum none\n",
    TRUSTED,
    "quorum none\n",
    f"{TRUSTED}{TRUSTED}quorum none\n",
    f"log {WITNESS_VKEY}\nquorum none\n",
    f"witness one {LOG_VKEY}\nquorum one\n",
    f"{TRUSTED}quorum none\nquorum none\n",
    f"{TRUSTED}quorum nobody\n",
    f"{TRUSTED}witness none {WITNESS_VKEY}\nquorum none\n",
    f"{TRUSTED}{ONE}group g 2 one\nquorum g\n",
    f"{TRUSTED}{ONE}group g 0 one\nquorum g\n",
    f"{TRUSTED}{ONE}group g any one one\nquorum g\n",
    f"{TRUSTED}{ONE}group g any one\ngroup h any one\nquorum g\n",
    f"{TRUSTED}group g any\nquorum g\n",
    f"log {LOG_VKEY} a b\nquorum none\n",
    f"log {LOG_VKEY}\r\nquorum none\r\n",
    f"{TRUSTED}quorum none\x07\n",
    f"Log {LOG_VKEY}\nquorum none\n",
]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_judges_a_checkpoint_as_the_package_does(verifier: Verifier, policy: str) -> None:
    found = verifier.ask(
        """async (policy, checkpoint) => {
          try {
            const trust = policyFor(parseTrust(policy), "audit.example.com/lumi", []);
            const verdict = await verifyCheckpoint(parseCheckpoint(utf8(checkpoint)), trust);
            const cosigned = verdict.cosignatures.map(({ key, time }) => [key.name, Number(time)]);
            return [cosigned, verdict.splitViewExcluded];
          } catch (error) {
            if (error instanceof FormatError) return "policy";
            if (error instanceof VerificationError) return error.reason;
            throw error;
          }
        }""",
        policy,
        CHECKPOINT,
    )
    wanted: object
    try:
        verdict = evaluate(Policy.parse(policy.encode()), parse_signed_checkpoint(CHECKPOINT.encode()))
        wanted = [[list(item) for item in verdict.cosigned_by], verdict.split_view_excluded]
    except VerificationError as error:
        wanted = error.reason
    except FormatError:
        wanted = "policy"
    if policy == f"log {LOG['evidence_vkey']}\nquorum none\n":  # the page knows from its name what this key is for
        wanted = "checkpoint-origin"
    assert found == wanted


def test_one_of_the_witnesses_named_by_their_keys_has_to_cosign(verifier: Verifier) -> None:
    proof = VECTORS["proofs"]["event"].encode()
    assert verifier.judge(None, proof, [LOG_VKEY, WITNESS_VKEY])["splitViewExcluded"] is True
    both = verifier.judge(None, proof, [LOG_VKEY, WITNESS_VKEY, _witness(2)])
    assert (both["reason"], both["splitViewExcluded"]) == ("ok", False)
    assert both["cosignatures"] == [{"name": "witness.example.org/w1", "time": "2026-11-23T00:16:40Z"}]
    assert verifier.judge(None, proof, [LOG_VKEY, _witness(2)])["reason"] == "witness-quorum"


@pytest.mark.parametrize("name", VECTORS["proofs"])
def test_the_published_proofs_verify(verifier: Verifier, name: str) -> None:
    proof = VECTORS["proofs"][name].encode()
    verdict = verifier.judge(None, proof, [LOG_VKEY])
    assert (verdict["kind"], verdict["exitCode"], verdict["reason"]) == ("proof", 0, "ok")
    assert verdict["signers"][0]["fingerprint"] == VerifierKey.parse(LOG_VKEY).fingerprint
    unconfirmed = verifier.judge(None, proof)
    assert (unconfirmed["exitCode"], unconfirmed["reason"]) == (3, "key-unconfirmed")
    assert verifier.judge(None, proof, [OTHER_VKEY])["reason"] == "checkpoint-signature"


def test_a_redacted_event_is_shown_without_its_payload(verifier: Verifier) -> None:
    shown = [verifier.judge(None, VECTORS["proofs"][name].encode()) for name in ("event", "event_redacted")]
    assert [verdict["hasPayload"] for verdict in shown] == [True, False]
    assert shown[0]["event"]["entity_id"] == '=HYPERLINK("x"),\r\n"quoted"'


def test_altered_proofs_fail_for_the_same_reason_as_in_the_package(verifier: Verifier) -> None:
    policy = Policy.pinning(LOG_VKEY)
    mutants = [mutant for name, text in VECTORS["proofs"].items() for mutant in _mutants(text, 15, len(name))]
    mutants += [mutant for text in VECTORS["proofs"].values() for mutant in _changed_extra(text)]
    wanted = [verify_proof(mutant, policy, "it") for mutant in mutants]
    found = verifier.ask(
        """async (mutants, key) => {
          const verdicts = [];
          for (const mutant of mutants) verdicts.push(await judge({ name: "it", file: chosen(mutant) }, key));
          return verdicts.map(({ exitCode, reason }) => [exitCode, reason]);
        }""",
        mutants,
        LOG_VKEY,
    )
    both = zip(mutants, wanted, found, strict=True)
    differ = [(m, w.reason, w.lines, f) for m, w, f in both if f != [w.status.value, w.reason]]
    assert not differ, (len(differ), differ[0])


def _changed_extra(text: str) -> list[bytes]:
    """The proof with one field of what it says changed, dropped or added, and everything else as it was."""
    head, encoded = text.split("\n")[1].split(" ")
    extra = json.loads(base64.b64decode(encoded))
    chance = random.Random(len(text))
    mutants = []

    def keep(value: object) -> None:
        line = f"{head} {base64.b64encode(canonical_json(value).encode()).decode()}"  # type: ignore[arg-type]
        mutants.append(text.replace(f"{head} {encoded}", line).encode())

    def walk(value: dict[str, object]) -> None:
        for name, item in list(value.items()):
            values: list[object] = [None, chance.choice([1, "", [], {}])]
            if isinstance(item, str) and item:
                at = chance.randrange(len(item))
                values += [item[:at] + chance.choice("0aZ\n ") + item[at + 1 :], chance.choice([item + "0", item[1:]])]
            if isinstance(item, list):
                values += [item[:-1], [*item, item[0]] if item else ["AAAA"]]
            if isinstance(item, dict):
                walk(item)
            for other in values:
                value[name] = other
                keep(extra)
            del value[name]
            keep(extra)
            value[name] = item
        value["more"] = ""
        keep(extra)
        del value["more"]

    walk(extra)
    return mutants


def _takes(parse: Callable[..., object], value: object) -> bool:
    try:
        parse(value)
    except (FormatError, RecordError):
        return False
    return True
