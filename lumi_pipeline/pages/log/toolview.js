// What a visitor can bring: keys to trust, and proof files or checkpoints to hold against the log.

const CHECKPOINT_MARK = "\n\u2014 ";

function report(id, tone, signName, title, ...lines) {
  fill(id, el("div", { class: `result ${tone}` }, el("p", { class: "result-title" }, sign(signName), ` ${title}`), lines));
}

// The key that the log is read with, and the way to another. `onTrust(text)` is called with what is to be trusted now.
class TrustView {
  constructor(onTrust) {
    this.onTrust = onTrust;
    byId("trust-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.apply(byId("trust").value);
    });
    byId("trust-forget").addEventListener("click", () => this.apply(""));
  }

  apply(text) {
    try {
      parseTrust(text);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      report("trust-said", "bad", "missing", "Not taken", el("p", {}, sentence(error.message)));
      return;
    }
    const kept = writeMemory("trust", text.trim() === "" ? null : text);
    fill("trust-said", kept ? null : el("p", { class: "quiet" }, "This browser keeps nothing: it holds for this visit alone."));
    byId("trust").value = text;
    this.onTrust(text);
  }

  // Offer the key that the log claims, once a visitor has compared it.
  draw(check) {
    byId("trust-forget").hidden = byId("trust").value.trim() === "";
    const [key] = check?.signers ?? [];
    const offer = key !== undefined && !check.confirmed && check.failure === null;
    fill(
      "trust-offer",
      offer
        ? el(
            "div",
            {},
            el("p", {}, "The log says that this is its key:"),
            el("p", { class: "hash" }, key.vkey),
            el("p", {}, "Compare its fingerprint with one from the operator’s contract, a signed mail, or a telephone call; not with one from this site."),
            el("p", { class: "row" }, el("button", { type: "button", onclick: () => this.apply(key.vkey) }, "The fingerprint is right: trust this key")),
          )
        : null,
    );
  }
}

// What this browser saw before. `onForget()` is called when that is to be forgotten.
function drawMemory(check, memory, onForget) {
  if (check === null || check.past === null) return;
  const forget = el("button", { type: "button", class: "small", onclick: onForget }, "Forget it");
  if (memory === null) {
    const why = check.finished && check.verified ? "This browser keeps nothing between visits, so there is nothing to compare with." : "Once the log is verified, this browser will remember its checkpoint and hold every later one against it.";
    return fill("memory", el("p", {}, why));
  }
  const { size } = memory.checkpoint;
  const since = memory.checkpoint.size.toString() === memory.sinceSize ? null : `It has followed the log since ${clockTime(Date.parse(memory.since))}, from ${count(memory.sinceSize, "entry", "entries")} on.`;
  const says = {
    first: "This is the first visit from this browser. It will hold every later checkpoint against this one.",
    same: "The checkpoint is the one that this browser remembers: nothing was added since.",
    extends: check.verified
      ? `What is shown now is what this browser saw before, and ${count(check.checkpoint.size - (check.remembered?.checkpoint.size ?? size), "entry", "entries")} more: nothing old was changed.`
      : "What is shown now extends what this browser saw before.",
    fork: "What is shown now contradicts what this browser saw before.",
    older: "This browser has seen a longer state of this log.",
    shrunk: "This browser has seen a longer state of this log.",
    "other-log": "This browser knows another log at this address.",
  };
  fill(
    "memory",
    el("p", {}, sign(check.contradicted ? "missing" : "yes"), ` ${says[check.past.kind]}`),
    check.past.kind === "extends" ? el("details", {}, el("summary", {}, `Proved by ${count(check.past.path.length, "hash", "hashes")}`), el("ol", { class: "path" }, check.past.path.map((hash) => el("li", { class: "hash" }, encodeBase64(hash))))) : null,
    el("p", { class: "quiet" }, `Remembered: ${count(size, "entry", "entries")}, seen ${clockTime(Date.parse(memory.seen))}. `, since),
    el("p", { class: "row" }, copyButton("Copy the remembered checkpoint", decodeUtf8(memory.bytes, "the checkpoint")), forget),
  );
}

// Judge what a visitor brought: a proof file, or a signed checkpoint.
async function judgeBrought(bytes, trust, check) {
  try {
    if (looksLikeProof(bytes)) return await judgeProof(bytes, trust, check);
    if (new TextDecoder().decode(bytes.subarray(0, MAX_NOTE_SIZE)).includes(CHECKPOINT_MARK)) return await judgeCheckpoint(bytes, trust, check);
    report("file-said", "notice", "flag", "Neither a proof file nor a checkpoint", el("p", {}, "A proof file begins with the line “c2sp.org/tlog-proof@v1”; a checkpoint ends with lines of signatures. Reason: unrecognised."));
  } catch (error) {
    if (error instanceof Unreachable) return report("file-said", "notice", "flag", "Could not be checked to its end", el("p", {}, sentence(error.message)));
    if (!(error instanceof VerificationError || error instanceof FormatError)) throw error;
    const reason = error instanceof VerificationError ? error.reason : "malformed";
    report("file-said", "bad", "missing", reason === "declared-break" ? "Verified, with declared breaks" : "Does not verify", el("p", {}, `${sentence(error.message)} Reason: ${reason}.`));
  }
}

async function judgeProof(bytes, trust, check) {
  const found = await verifyProof(bytes, trust);
  const agreed = await agreement(found.checkpoint, check);
  const facts = [["Day", `${longDay(dayNumber(found.day.day))}, entry ${found.day.index.toLocaleString("en")}`], ...proofFacts(found), ["Log", `${found.checkpoint.origin}, ${count(found.checkpoint.size, "entry", "entries")}`]];
  const list = el("dl", { class: "facts" }, facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  const unconfirmed = el("p", {}, "Consistent, but you have confirmed no key, so anybody could have made this. Reason: key-unconfirmed.");
  if (agreed.kind === "fork") return reportFork("The proof is of another history than this log shows", parseProof(bytes).checkpoint, check);
  if (found.confirmed) report("file-said", "good", "yes", "The proof verifies", list, el("p", {}, agreed.text));
  else report("file-said", "notice", "flag", "The proof is consistent, but the key is not confirmed", unconfirmed, list, el("p", {}, agreed.text));
}

function proofFacts({ type, tenantId, record, event }) {
  if (type === "lumi/absence-proof/v1") return [["Absent", `${tenantId} was no tenant on that day`]];
  const day = `${count(record.count, "event")}, from number ${record.first.toLocaleString("en")} on`;
  if (event === null) return [["Tenant key", el("span", { class: "hash" }, encodeHex(record.key))], ["The tenant’s day", day]];
  const { columns } = event;
  return [
    ["Event", el("span", { class: "hash" }, columns.event_id)],
    ["Tenant", `${tenantId}, event number ${BigInt(columns.seq).toLocaleString("en")}`],
    ["Action", `${columns.action}: ${columns.entity_type} ${columns.entity_id}, ${columns.outcome}`],
    ["Actor", `${columns.actor_type} ${columns.actor_id}`],
    ["Recorded", columns.recorded_at],
    ["Payload", event.hasPayload ? "there, and unaltered" : "withheld or erased; all else verifies without it"],
  ];
}

async function judgeCheckpoint(bytes, trust, check) {
  const checkpoint = parseCheckpoint(bytes);
  const confirmed = trust.logKeys.length > 0;
  const policy = confirmed ? trust : { ...trust, logKeys: check?.signers ?? [] };
  await verifyCheckpoint(checkpoint, { ...policy, quorum: null });
  const agreed = await agreement(checkpoint, check);
  if (agreed.kind === "fork") return reportFork("The checkpoint is of another history than this log shows", bytes, check);
  const text = el("p", {}, `${checkpoint.origin}, ${count(checkpoint.size, "entry", "entries")}. ${agreed.text}`);
  if (agreed.kind === null || !confirmed) report("file-said", "notice", "flag", confirmed ? "The checkpoint is signed, and was not compared" : "Consistent, but the key is not confirmed", text);
  else report("file-said", "good", "yes", "The checkpoint is signed, and belongs to this log", text);
}

// How a checkpoint from elsewhere stands to the log that is shown here: {kind, text}; null where nobody can tell.
async function agreement(checkpoint, check) {
  const here = check?.checkpoint ?? null;
  if (here === null || check.tree === null || here.origin !== checkpoint.origin) return { kind: null, text: "It was not compared with the log of this site." };
  const { kind } = await compareCheckpoints(checkpoint, here, check.tree);
  const texts = {
    same: "Its checkpoint is the one that this site shows.",
    extends: "The log that this site shows extends its checkpoint: nothing that it commits to was changed.",
    older: "Its checkpoint is newer than what this site shows, and agrees with it.",
  };
  if (kind === "fork") return { kind, text: "" };
  return kind in texts ? { kind, text: texts[kind] } : { kind: null, text: "Its checkpoint is of a longer log than this site shows, and could not be compared." };
}

function reportFork(title, bytes, check) {
  const sides = bothCheckpoints({ title: "Yours", bytes }, { title: "Shown here", bytes: check.checkpointBytes });
  report("file-said", "bad", "missing", `Alarm: ${title[0].toLowerCase()}${title.slice(1)}`, el("p", {}, "Both are signed, and no honest log signs both. Keep them, and send them to whoever relies on this log. Reason: split-view."), ...sides);
}

// Let files be dropped, chosen or pasted. `onBytes(bytes)` gets what was brought.
function acceptFiles(onBytes) {
  const zone = byId("drop");
  const take = async (files) => {
    const [file] = files;
    if (file === undefined) return;
    if (file.size > MAX_PROOF_SIZE) report("file-said", "notice", "flag", "Too large for a proof file or a checkpoint");
    else onBytes(new Uint8Array(await file.arrayBuffer()));
  };
  byId("file").addEventListener("change", (event) => {
    take(event.target.files);
    event.target.value = ""; // so that the same file can be chosen again
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      zone.classList.toggle("over", name === "dragover");
      if (name === "drop") take(event.dataTransfer.files);
    });
  }
  byId("paste-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = byId("paste").value;
    if (text.trim() !== "") onBytes(utf8(text.endsWith("\n") ? text : `${text}\n`));
  });
}
