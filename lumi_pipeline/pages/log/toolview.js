// What a visitor can bring: keys to trust (trust.js), and proof files or checkpoints to hold against the log.

const CHECKPOINT_MARK = "\n\u2014 ";

// Say in #file-said what was found of something brought.
function report(tone, title, reason, ...lines) {
  const code = reason === null ? null : make("p", { class: "codes" }, "Reason ", make("code", {}, reason));
  replaceContent(
    $("file-said"),
    make("div", { class: `result ${tone}` }, make("h4", {}, mark(tone), ` ${title}`), ...lines, code),
  );
}

// Offer the key that the log claims, for a visitor who has compared it. `onTrust(vkey)` is called with it.
function drawOffer(check, onTrust) {
  const [key] = check.signers;
  const offered = key !== undefined && !check.confirmed && check.failure === null;
  $("trust-offer").hidden = !offered;
  if (!offered) return;
  replaceContent(
    $("trust-offer"),
    make("p", {}, "The log says that this is its key:"),
    make("p", { class: "hash" }, key.vkey),
    make("p", {}, fingerprint(key.fingerprint)),
    make(
      "p",
      { class: "quiet" },
      "Compare this fingerprint with one from a contract, a signed mail or a telephone call; not with one from this site.",
    ),
    make(
      "p",
      { class: "row" },
      button("The fingerprint is right: trust this key", () => onTrust(key.vkey)),
    ),
  );
}

// What this browser saw before. `onForget()` is called when that is to be forgotten.
function drawMemory(check, memory, onForget) {
  if (memory === null) {
    const why = check.verified
      ? "This browser keeps nothing between visits, so there is nothing to compare with."
      : "Once the log is verified, this browser will remember its checkpoint and hold every later one against it.";
    replaceContent($("memory"), make("p", {}, why));
    return;
  }
  if (check.past === null) return;
  const { size } = memory.checkpoint;
  const grown = check.checkpoint.size - (check.remembered?.checkpoint.size ?? check.checkpoint.size);
  const says = {
    first: "This is the first visit from this browser. It will hold every later checkpoint against this one.",
    same: "The checkpoint is the one that this browser remembers: nothing was added since.",
    extends: `It is what this browser saw before, and ${count(grown, "entry", "entries")} more: nothing old was changed.`,
    fork: "What is shown now contradicts what this browser saw before.",
    older: "This browser has seen a longer state of this log.",
    shrunk: "This browser has seen a longer state of this log.",
    "other-log": "This browser knows another log at this address.",
  };
  const since = `It has followed the log since ${clockTime(Date.parse(memory.since))}, from ${count(memory.sinceSize, "entry", "entries")} on.`;
  const copy = copyButton("Copy the remembered checkpoint", decodeUtf8(memory.bytes, "the checkpoint"));
  replaceContent(
    $("memory"),
    make("p", {}, mark(check.contradicted ? "bad" : "good"), ` ${says[check.past.kind]}`),
    check.past.kind === "extends"
      ? details(`Proved by ${count(check.past.path.length, "hash", "hashes")}`, hashes(check.past.path))
      : null,
    make(
      "p",
      { class: "quiet" },
      `Remembered: ${count(size, "entry", "entries")}, seen ${clockTime(Date.parse(memory.seen))}. `,
      String(size) === memory.sinceSize ? "" : since,
    ),
    make("p", { class: "row" }, copy, button("Forget it", onForget, { class: "small" })),
  );
}

// Judge what a visitor brought: a proof file, or a signed checkpoint.
async function judgeBrought(bytes, trust, check) {
  const found = {};
  try {
    if (looksLikeProof(bytes)) return await judgeProof(bytes, trust, check, found);
    if (new TextDecoder().decode(bytes.subarray(0, MAX_NOTE_SIZE)).includes(CHECKPOINT_MARK))
      return await judgeCheckpoint(bytes, trust, check);
    const what =
      "A proof file begins with the line “c2sp.org/tlog-proof@v1”; a checkpoint ends with lines of signatures.";
    return report("unknown", "Neither a proof file nor a checkpoint", "unrecognised", make("p", {}, what));
  } catch (error) {
    if (error instanceof Unreachable)
      return report(
        "unknown",
        "Could not be compared with the log",
        "unreachable",
        make("p", {}, sentence(error.message)),
      );
    if (!(error instanceof VerificationError || error instanceof FormatError)) throw error;
    const reason = error instanceof VerificationError ? error.reason : "malformed";
    const [title, explained] = REASONS[reason] ?? ["Does not verify", "A check failed."];
    const facts = found.proof === undefined ? null : definitions(factsOfProof(found));
    return report(
      reason === "declared-break" ? "finding" : "bad",
      title,
      reason,
      make("p", {}, explained),
      make("p", {}, `In detail: ${error.message}.`),
      facts,
    );
  }
}

async function judgeProof(bytes, trust, check, found) {
  await verifyProof(bytes, trust, found);
  const { checkpoint } = parseProof(bytes);
  const agreed = await agreement(parseCheckpoint(checkpoint), check);
  if (agreed.kind === "fork")
    return reportFork("your proof is of another history than this log shows", checkpoint, check, agreed.path);
  const lines = [definitions(factsOfProof(found)), make("p", {}, agreed.text)];
  if (found.confirmed) return report("good", "Verified", "ok", make("p", {}, PROOF_WORDS[found.proof.type]), ...lines);
  return report(
    "unsure",
    REASONS["key-unconfirmed"][0],
    "key-unconfirmed",
    make("p", {}, "You have given no key that you trust, so anybody could have made this."),
    ...lines,
  );
}

function factsOfProof({ origin, size, proof: { type, day, tenantId, record, event } }) {
  const facts = [
    ["Log", `${origin}, ${count(size, "entry", "entries")}`],
    ["Day", `${longDay(dayNumber(day.day))}, entry ${numbers.format(day.index)}`],
  ];
  if (type === "lumi/absence-proof/v1") return [...facts, ["Absent", `${tenantId} was no tenant on that day`]];
  if (record === null) return facts;
  if (event === null)
    return [
      ...facts,
      ["Tenant’s key", make("span", { class: "hash" }, encodeHex(record.key))],
      ["Its events that day", numbers.format(record.count)],
    ];
  const { columns } = event;
  return [
    ...facts,
    ["Event", make("span", { class: "hash" }, columns.event_id)],
    ["Tenant", `${tenantId}, event number ${numbers.format(BigInt(columns.seq))}`],
    ["Action", `${columns.action}: ${columns.entity_type} ${columns.entity_id}, ${columns.outcome}`],
    ["Actor", `${columns.actor_type} ${columns.actor_id}`],
    ["Recorded", columns.recorded_at],
    ["Payload", event.hasPayload ? "there, and unaltered" : "withheld or erased; all else verifies without it"],
  ];
}

async function judgeCheckpoint(bytes, trust, check) {
  const checkpoint = readCheckpoint(bytes);
  const policy = policyFor(trust, checkpoint.origin, check.signers);
  await verifyCheckpoint(checkpoint, { ...policy, quorum: null });
  const agreed = await agreement(checkpoint, check);
  if (agreed.kind === "fork")
    return reportFork("your checkpoint is of another history than this log shows", bytes, check, agreed.path);
  const text = make("p", {}, `${checkpoint.origin}, ${count(checkpoint.size, "entry", "entries")}. ${agreed.text}`);
  if (!policy.confirmed) return report("unsure", REASONS["key-unconfirmed"][0], "key-unconfirmed", text);
  if (agreed.kind === null) return report("unknown", "Signed, and not compared", null, text);
  return report("good", "Signed, and of this log", "ok", text);
}

// How a checkpoint from elsewhere stands to the log that is shown here: {kind, text, path}; null where nobody can tell.
async function agreement(checkpoint, check) {
  const here = check.checkpoint;
  if (here === null || check.tree === null || here.origin !== checkpoint.origin)
    return { kind: null, text: "It was not compared with the log of this site." };
  const { kind, path } = await compareCheckpoints(checkpoint, here, check.tree);
  const texts = {
    same: "Its checkpoint is the one that this site shows.",
    extends: "The log that this site shows extends its checkpoint: nothing that it commits to was changed.",
    older: "Its checkpoint is newer than what this site shows, and agrees with it.",
    fork: "",
  };
  return kind in texts
    ? { kind, text: texts[kind], path }
    : { kind: null, text: "Its checkpoint is of a longer log than this site shows, and could not be compared." };
}

function reportFork(what, bytes, check, path) {
  const text = "Both are signed, and no honest log signs both. Keep them, and send them to whoever relies on this log.";
  const sides = bothCheckpoints(
    [
      { title: "Yours", bytes },
      { title: "Shown here", bytes: check.checkpointBytes },
    ],
    path,
  );
  return report("bad", `Alarm: ${what}`, "split-view", make("p", {}, text), ...sides);
}

// Let files be dropped, chosen or pasted. `onBytes(bytes)` gets what was brought.
function acceptFiles(onBytes) {
  const take = async (files) => {
    const [file] = files;
    if (file === undefined) return;
    if (file.size > MAX_PROOF_SIZE) report("unknown", "Too large for a proof file or a checkpoint", "unrecognised");
    else onBytes(new Uint8Array(await file.arrayBuffer()));
  };
  $("file").addEventListener("change", async (event) => {
    await take(event.target.files);
    event.target.value = ""; // so that the same file can be chosen again
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      $("drop").classList.toggle("over", name === "dragover");
      if (name === "drop") take(event.dataTransfer.files);
    });
  }
  $("paste-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("paste").value;
    if (text.trim() !== "") onBytes(utf8(text.endsWith("\n") ? text : `${text}\n`));
  });
}
