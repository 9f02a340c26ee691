// Whom the reader trusts (docs/formats.md §6, "Policies" and "Verifying a checkpoint"): vkeys, one a line, or a policy
// file. Nothing in it may come from the party being checked.

const MAX_POLICY_SIZE = 1024 * 1024;
const MAX_OF_A_KIND = 256;

// Read what a reader wrote: {keys, witnesses: [{name, key}], quorum}. `keys` are those of logs and of their evidence;
// which is which depends on the log (policyFor). The quorum is null (nobody has to cosign), {name, key} for a witness,
// or {name, threshold, members} for a group. Lines of one word are vkeys; of witnesses named so, any one has to cosign.
// Beside the lines of a policy they can only be of evidence. A FormatError names the line.
function parseTrust(text) {
  const reader = new TrustReader();
  if (utf8(text).length > MAX_POLICY_SIZE) throw new FormatError("a policy of more than 1 MiB");
  const lines = text.split("\n").map((line) => line.replace(/^[ \t]+|[ \t]+$/g, "").split(/[ \t]+/));
  const isPolicy = lines.some((words) => words.length > 1 && /^(?:log|witness|group|quorum)$/.test(words[0]));
  lines.forEach((words, index) => {
    if (words[0] === "" || words[0].startsWith("#")) return;
    try {
      if (/[\u0000-\u001f\u007f]/.test(words.join(" "))) throw new FormatError("a control character");
      if (words.length > 1) reader.readLine(words);
      else reader.readVkey(words[0], isPolicy);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      throw new FormatError(`line ${index + 1}: ${error.message}`);
    }
  });
  return reader.finish(isPolicy);
}

class TrustReader {
  constructor() {
    this.keys = [];
    this.witnesses = [];
    this.defined = new Map();
    this.grouped = new Set();
    this.groups = 0;
    this.quorum = undefined;
    this.publicKeys = new Set();
  }

  readVkey(word, isPolicy) {
    const key = parseVkey(word);
    if (isPolicy && !(key.type === TYPE_ED25519 && key.name.endsWith("/evidence"))) {
      throw new FormatError("beside a policy, write: log <vkey>, or: witness <name> <vkey>");
    }
    this.takeKey(key);
    if (key.type === TYPE_ED25519) this.keys.push(key);
    else this.witnesses.push({ name: key.name, key });
  }

  readLine(words) {
    const [kind, ...rest] = words;
    if (kind === "log" && rest.length <= 2) {
      this.keys.push(this.parseKey(rest[0], TYPE_ED25519));
    } else if (kind === "witness" && (rest.length === 2 || rest.length === 3)) {
      const witness = { name: rest[0], key: this.parseKey(rest[1], TYPE_COSIGNATURE) };
      this.define(witness);
      this.witnesses.push(witness);
    } else if (kind === "group" && rest.length >= 3) {
      const members = rest.slice(2).map((name) => this.takeMember(name));
      this.define({ name: rest[0], threshold: parseThreshold(rest[1], members.length), members });
      this.groups++;
    } else if (kind === "quorum" && rest.length === 1) {
      if (this.quorum !== undefined) throw new FormatError("a second quorum line");
      this.quorum = rest[0] === "none" ? null : this.lookUp(rest[0]);
    } else {
      throw new FormatError(`not a log, witness, group or quorum line: ${excerpt(words.join(" "))}`);
    }
    if (Math.max(this.keys.length, this.witnesses.length, this.groups) > MAX_OF_A_KIND) {
      throw new FormatError(`more than ${MAX_OF_A_KIND} of a kind`);
    }
  }

  finish(isPolicy) {
    if (isPolicy && this.quorum === undefined) {
      throw new FormatError("the policy has no quorum line; 'quorum none' asks for no witnesses");
    }
    const anyWitness = { name: "any", threshold: 1, members: this.witnesses };
    const quorum = isPolicy ? this.quorum : this.witnesses.length > 0 ? anyWitness : null;
    return { keys: this.keys, witnesses: this.witnesses, quorum };
  }

  parseKey(text, type) {
    const key = parseVkey(text);
    if (key.type !== type)
      throw new FormatError(`${excerpt(key.name)} is the key of ${type === TYPE_ED25519 ? "a witness" : "a log"}`);
    this.takeKey(key);
    return key;
  }

  // Were a public key there twice, a log could be its own witness, or one witness count as two.
  takeKey(key) {
    const name = encodeHex(key.publicKey);
    if (this.publicKeys.has(name)) throw new FormatError(`the key ${excerpt(key.name)} is there twice`);
    this.publicKeys.add(name);
  }

  define(item) {
    if (item.name === "none" || this.defined.has(item.name)) {
      throw new FormatError(`the name ${excerpt(item.name)} is taken`);
    }
    this.defined.set(item.name, item);
  }

  lookUp(name) {
    if (!this.defined.has(name)) throw new FormatError(`no witness or group ${excerpt(name)} is defined above`);
    return this.defined.get(name);
  }

  // A name is a member of one group at most: in two, one witness could count twice.
  takeMember(name) {
    const member = this.lookUp(name);
    if (this.grouped.has(name)) throw new FormatError(`${excerpt(name)} is in a group already`);
    this.grouped.add(name);
    return member;
  }
}

function parseThreshold(text, members) {
  if (text === "any") return 1;
  if (text === "all") return members;
  const threshold = parseDecimal(text);
  if (threshold < 1n || threshold > BigInt(members)) throw new FormatError(`a threshold of 1 to ${members} expected`);
  return Number(threshold);
}

// The trust as it applies to one log: {logKeys, evidenceKeys, witnesses, quorum, confirmed}. The keys named
// <origin>/evidence are of its evidence, all others of logs. Where the reader brought none of a log, the `claimed` ones
// stand in; what holds under them anybody could have made, so `confirmed` is false.
function policyFor(trust, origin, claimed) {
  const isEvidence = (key) => key.name === `${origin}/evidence`;
  const logKeys = trust.keys.filter((key) => !isEvidence(key));
  const confirmed = logKeys.length > 0;
  return {
    logKeys: confirmed ? logKeys : claimed,
    evidenceKeys: trust.keys.filter(isEvidence),
    witnesses: trust.witnesses,
    quorum: trust.quorum,
    confirmed,
  };
}

function hasWitnessed(quorum, cosigners) {
  if (quorum === null) return true;
  if (quorum.key !== undefined) return cosigners.has(quorum.key);
  return quorum.members.filter((member) => hasWitnessed(member, cosigners)).length >= quorum.threshold;
}

// Verify a parsed checkpoint under a policy: {signers, cosignatures, splitViewExcluded}; VerificationError otherwise.
async function verifyCheckpoint(checkpoint, policy) {
  const { origin, note } = checkpoint;
  if (!policy.logKeys.some((key) => key.name === origin)) {
    throw new VerificationError(
      "checkpoint-origin",
      `it is signed for the log ${excerpt(origin)}, and none of your keys is of that log`,
    );
  }
  const signers = await verifyNote(note, policy.logKeys);
  if (signers === null) throw new VerificationError("checkpoint-signature", "a signature by a key of the log is wrong");
  const ofThisLog = signers.filter((key) => key.name === origin);
  if (ofThisLog.length === 0) {
    throw new VerificationError("checkpoint-signature", `no trusted key of ${excerpt(origin)} has signed`);
  }
  const witnesses = policy.witnesses.map((witness) => witness.key);
  const cosignatures = await verifyCosignatures(note, witnesses);
  if (cosignatures === null) throw new VerificationError("witness-signature", "the cosignature of a witness is wrong");
  const cosigners = new Set(cosignatures.map((cosignature) => cosignature.key));
  if (!hasWitnessed(policy.quorum, cosigners)) {
    throw new VerificationError("witness-quorum", "too few of the witnesses that you trust have cosigned");
  }
  const others = new Set(witnesses.filter((key) => !cosigners.has(key)));
  const splitViewExcluded = policy.quorum !== null && !hasWitnessed(policy.quorum, others);
  return { signers: ofThisLog, cosignatures, splitViewExcluded };
}
