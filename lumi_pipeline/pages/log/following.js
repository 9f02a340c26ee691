// What a browser can find out about a log by itself: that its checkpoint is signed, that every entry leads to the signed
// root and follows the rules (docs/formats.md §6, "Verifying a whole log"), and that it extends what was seen before.

const MAX_LOG_SIZE = 3652060; // the genesis, and a record of every day of the years 0001 to 9999
const BUNDLES_AT_A_TIME = 4;

// One look at the log. `run()` fills the fields in and calls `onChange` whenever there is more to show; it never throws.
class LogCheck {
  constructor({ trust, remembered, fresh, onChange }) {
    this.fetchFile = (path) => fetchTreeFile(path, fresh); // not from the browser's cache, if `fresh`
    this.trust = trust; // of parseTrust(): whom the visitor trusts, perhaps nobody
    this.policy = null; // of policyFor(): the same, for this log
    this.remembered = remembered; // of recall(), or null
    this.onChange = onChange;
    this.checkpoint = null;
    this.checkpointBytes = null;
    this.signers = [];
    this.cosignatures = [];
    this.splitViewExcluded = false;
    this.quorumMissing = false;
    this.tree = null;
    this.genesis = null;
    this.entries = new Map(); // index → {text, leaf, record}; record is null for the genesis
    this.past = null; // how the log stands to what is remembered: {kind, path}
    this.failure = null; // {reason, message}
    this.unreachable = null; // why nothing more could be found out
    this.finished = false;
  }

  // Whether the key is one that the visitor trusts.
  get confirmed() {
    return this.policy !== null && this.policy.confirmed;
  }

  get size() {
    return this.tree === null ? 0 : this.tree.size;
  }

  get lastDay() {
    return this.genesis === null || this.size < 2
      ? null
      : dayOfNumber(dayNumber(this.genesis.firstDay) + this.size - 2);
  }

  get contradicted() {
    return this.past !== null && ["fork", "older", "shrunk", "other-log"].includes(this.past.kind);
  }

  get verified() {
    return this.finished && this.failure === null && this.unreachable === null && !this.contradicted;
  }

  record(index) {
    return this.entries.get(index)?.record ?? null;
  }

  async run() {
    try {
      await this.readCheckpoint();
      this.onChange();
      await this.comparePast();
      this.onChange();
      await this.readEntries();
      this.checkRules();
    } catch (error) {
      if (error instanceof Unreachable || error instanceof MissingFile) this.unreachable = error.message;
      else if (error instanceof VerificationError) this.failure = { reason: error.reason, message: error.message };
      else if (error instanceof FormatError) this.failure = { reason: "malformed", message: error.message };
      else {
        this.unreachable = `this page made a mistake: ${error.message}`;
        console.error(error);
      }
    }
    this.finished = true;
    this.onChange();
  }

  async readCheckpoint() {
    this.checkpointBytes = await fetchLogFile("checkpoint").catch((error) => {
      if (!(error instanceof MissingFile)) throw error;
      const why = "nothing was published yet, or this page does not lie beside the log’s files";
      throw new MissingFile(`there is no signed checkpoint at ${logAddress(window.location)}checkpoint: ${why}`);
    });
    this.checkpoint = readCheckpoint(this.checkpointBytes);
    this.policy = policyFor(this.trust, this.checkpoint.origin, []);
    if (!this.policy.confirmed) this.policy = policyFor(this.trust, this.checkpoint.origin, [await readClaimedKey()]);
    const signed = await verifyCheckpoint(this.checkpoint, { ...this.policy, quorum: null });
    this.signers = signed.signers;
    this.cosignatures = signed.cosignatures;
    const cosigners = new Set(signed.cosignatures.map((cosignature) => cosignature.key));
    const { quorum, witnesses } = this.policy;
    this.quorumMissing = !hasWitnessed(quorum, cosigners);
    const others = new Set(witnesses.map((witness) => witness.key).filter((key) => !cosigners.has(key)));
    this.splitViewExcluded = quorum !== null && !this.quorumMissing && !hasWitnessed(quorum, others);
    if (this.checkpoint.size < 1n) throw new VerificationError("genesis", "the log is empty: it has no genesis");
    if (this.checkpoint.size > MAX_LOG_SIZE)
      throw new VerificationError("day-index", "the log has more entries than there are days");
    this.tree = new LogTree(this.fetchFile, Number(this.checkpoint.size), this.checkpoint.root);
  }

  async comparePast() {
    if (this.remembered === null) this.past = { kind: "first" };
    else if (this.remembered.checkpoint.origin !== this.checkpoint.origin) this.past = { kind: "other-log" };
    else this.past = await compareCheckpoints(this.remembered.checkpoint, this.checkpoint, this.tree);
  }

  // The genesis and the newest entries first, then the others backwards: a visitor sees the last days at once.
  async readEntries() {
    const last = this.tree.bundleCount - 1;
    await this.readBundle(0);
    if (last > 0) await this.readBundle(last);
    this.onChange();
    for (let next = last - 1; next > 0; next -= BUNDLES_AT_A_TIME) {
      const first = Math.max(1, next - BUNDLES_AT_A_TIME + 1);
      await Promise.all(Array.from({ length: next - first + 1 }, (_, i) => this.readBundle(first + i)));
      this.onChange();
    }
  }

  async readBundle(index) {
    const entries = await this.tree.bundle(index);
    entries.forEach((bytes, i) => this.takeEntry(index * TILE_WIDTH + i, bytes));
  }

  takeEntry(index, bytes) {
    let text;
    try {
      text = decodeUtf8(bytes, `entry ${index}`);
      if (index === 0) this.genesis = parseGenesis(text);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      throw new VerificationError(index === 0 ? "genesis" : "day-record", error.message);
    }
    if (index === 0 && this.genesis.origin !== this.checkpoint.origin) {
      throw new VerificationError("genesis-origin", `the genesis is of the log ${excerpt(this.genesis.origin)}`);
    }
    const record = index === 0 ? null : readDayRecord(text, BigInt(index), this.genesis);
    this.entries.set(index, { text, leaf: leafHash(bytes), record });
  }

  // What holds between the entries, now that all of them are here.
  checkRules() {
    const keys = [this.genesis.key];
    const leaves = [this.entries.get(0).leaf];
    for (let index = 1; index < this.size; index++) {
      const { leaf, record } = this.entries.get(index);
      leaves.push(leaf);
      const before = this.record(index - 1);
      if (before !== null && record.sealed < before.sealed) {
        throw new VerificationError(
          "day-sealed",
          `the record of ${record.day} was sealed before that of the day before`,
        );
      }
      if (record.nextKey !== null && index < this.size - 1) keys.push(record.nextKey);
    }
    if (!equalBytes(treeRoot(leaves), this.checkpoint.root)) {
      throw new VerificationError("tile", "the entries do not give the root that was signed");
    }
    if (!this.signers.some((signer) => keys.some((key) => key.vkey === signer.vkey))) {
      throw new VerificationError(
        "log-key",
        "the checkpoint is signed by a key that the log neither began with nor announced",
      );
    }
  }
}

// The key that the log says is its own: good for finding contradictions, not for trust.
async function readClaimedKey() {
  const text = decodeUtf8(await fetchLogFile("log.vkey"), "log.vkey");
  const key = parseVkey(text.endsWith("\n") ? text.slice(0, -1) : text);
  if (key.type !== TYPE_ED25519) throw new FormatError("log.vkey holds the key of a witness");
  return key;
}

// How a log whose newest checkpoint is `now` stands to one that was seen `before`: {kind, path}. The kinds:
// "same"; "extends" (a consistency path proves it); "older" (it is the beginning of what was seen); "fork" (both can't
// be beginnings of one log); "shrunk" (it is shorter, and nobody can tell whether it agrees).
async function compareCheckpoints(before, now, tree) {
  if (before.size === now.size) return { kind: equalBytes(before.root, now.root) ? "same" : "fork", path: [] };
  if (before.size < now.size) {
    if (before.size < 1n) return { kind: "first" };
    const path = await tree.consistencyPath(Number(before.size));
    return { kind: provesConsistency(before.size, now.size, before.root, now.root, path) ? "extends" : "fork", path };
  }
  if (before.size > MAX_LOG_SIZE) return { kind: "shrunk", path: [] };
  try {
    const longer = new LogTree(tree.fetchFile, Number(before.size), before.root);
    const path = await longer.consistencyPath(Number(now.size));
    return { kind: provesConsistency(now.size, before.size, now.root, before.root, path) ? "older" : "fork", path };
  } catch (error) {
    if (error instanceof VerificationError || error instanceof FormatError || error instanceof Unreachable)
      return { kind: "shrunk", path: [] };
    throw error;
  }
}
