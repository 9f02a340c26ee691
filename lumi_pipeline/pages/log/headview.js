// The state of the log, in the order of what matters: the verdict, an alarm if there is one, then the checkpoint.

// What the page says of the log as a whole: {tone, title, text, reason}. The tones are those of marks, and "busy".
function headline(check, days) {
  if (check === null || check.checkpointBytes === null) {
    if (check?.finished)
      return {
        tone: "unknown",
        title: "The log can’t be read",
        text: sentence(check.unreachable ?? check.failure.message),
        reason: null,
      };
    return { tone: "busy", title: "Fetching the log…", text: "", reason: null };
  }
  if (check.contradicted) {
    const reason =
      check.past.kind === "fork" ? "split-view" : check.past.kind === "other-log" ? "checkpoint-origin" : "rollback";
    return {
      tone: "bad",
      title: alarmTitle(check.past.kind),
      text: "Both checkpoints are shown below. Keep them before you do anything else.",
      reason,
    };
  }
  if (check.failure !== null)
    return {
      tone: "bad",
      title: "This log does not verify",
      text: sentence(check.failure.message),
      reason: check.failure.reason,
    };
  if (check.unreachable !== null)
    return {
      tone: "unknown",
      title: "The log could not be checked to its end",
      text: sentence(check.unreachable),
      reason: "unreachable",
    };
  if (!check.finished)
    return {
      tone: "busy",
      title: "Checking the log…",
      text: "Every entry is fetched, and recomputed in your browser.",
      reason: null,
    };
  return judged(check, days);
}

// Everything is there and leads to the signed root; what remains is who vouches for it, and what the records say.
function judged(check, days) {
  const all = `All ${count(check.size, "entry", "entries")} were recomputed in your browser, and give the signed root.`;
  if (check.quorumMissing)
    return { tone: "bad", title: "Too few of your witnesses have cosigned", text: all, reason: "witness-quorum" };
  const broken = [...days.notable()].filter(({ state }) => state.breaks > 0n).length;
  const findings = [
    broken > 0 ? `${count(broken, "day")} with declared breaks` : null,
    days.missing.length > 0 ? `${count(days.missing.length, "record")} overdue` : null,
  ].filter((finding) => finding !== null);
  if (!check.confirmed) {
    const unconfirmed =
      "Nobody has vouched for the key yet, so anybody could have made this. Compare its fingerprint, or paste the key that you were given.";
    return {
      tone: "unsure",
      title: "Consistent, key unconfirmed",
      text: `${all} ${unconfirmed}`,
      reason: "key-unconfirmed",
    };
  }
  const text = `${all} It is signed with a key that you trust.`;
  if (findings.length === 0) return { tone: "good", title: "Verified", text, reason: "ok" };
  return {
    tone: "finding",
    title: `Verified, with a finding: ${findings.join(", ")}`,
    text,
    reason: broken > 0 ? "declared-break" : "overdue",
  };
}

function alarmTitle(kind) {
  if (kind === "fork") return "Alarm: this log shows two histories";
  if (kind === "other-log") return "Alarm: this address now serves another log";
  return "Alarm: this log is shorter than it was";
}

function alarmText(check) {
  const [was, is] = [check.remembered.checkpoint, check.checkpoint];
  if (check.past.kind === "fork") {
    return "No honest log does this: one that only grows can’t have signed both of these checkpoints. Each is signed, so the operator can’t deny either. Whoever holds both holds the proof.";
  }
  if (check.past.kind === "other-log")
    return `Your browser knew ${was.origin} at this address. Ask the operator why, by another way than this page.`;
  const sizes = `It had ${count(was.size, "entry", "entries")} when you looked before, and shows ${numbers.format(is.size)} now.`;
  if (check.past.kind === "older") {
    return `${sizes} What it shows is an older state of the same history: a copy that lags behind, or records taken back. Look again in an hour; then ask.`;
  }
  return `${sizes} Whether the two agree can’t be found out any more, because the files of the longer one are gone.`;
}

function drawHead(check, days) {
  const { tone, title, text, reason } = headline(check, days);
  $("verdict-title").textContent = title;
  $("verdict-text").textContent = text;
  replaceContent($("verdict-reason"), ...(reason === null ? [] : ["Reason ", make("code", {}, reason)]));
  replaceContent($("verdict-mark"), tone === "busy" ? sign("busy") : mark(tone));
  $("verdict").className = `verdict ${tone}`;
  document.title = `${title} – ${check?.checkpoint?.origin ?? "transparency log"}`;
  $("head").hidden = check.finished && check.checkpoint === null; // nothing is known of it
  drawProgress(check);
  drawAlarm(check);
  drawCheckpoint(check, days);
  drawSigners(check);
}

function drawProgress(check) {
  const running = !check.finished && check.size > TILE_WIDTH;
  const bar = $("progress");
  bar.hidden = !running;
  if (!running) return;
  bar.max = check.size;
  bar.value = check.entries.size;
  bar.textContent = `${check.entries.size} of ${check.size} entries`;
}

function drawAlarm(check) {
  const alarm = $("alarm");
  if (!check.contradicted) alarm.replaceChildren();
  if (!check.contradicted || alarm.childElementCount > 0) return;
  const before = {
    title: `Seen before, ${clockTime(Date.parse(check.remembered.seen))}`,
    bytes: check.remembered.bytes,
  };
  alarm.append(
    make("p", {}, alarmText(check)),
    ...bothCheckpoints(
      [before, { title: "Shown now", bytes: check.checkpointBytes }],
      check.past.kind === "fork" ? check.past.path : [],
    ),
    make(
      "p",
      {},
      "Send both to whoever relies on this log: your auditor, its witnesses, other readers. Your browser keeps the checkpoint that it saw before until you make it forget it, below.",
    ),
  );
}

function drawCheckpoint(check, days) {
  const { checkpoint } = check;
  if (checkpoint === null) return;
  $("origin").textContent = checkpoint.origin;
  const facts = [
    ["Entries", `${numbers.format(checkpoint.size)}: the genesis and ${count(checkpoint.size - 1n, "day record")}`],
  ];
  if (check.genesis !== null && check.lastDay !== null)
    facts.push(["Days", `${check.genesis.firstDay} to ${check.lastDay}`]);
  const last = check.record(check.size - 1);
  if (last !== null) {
    const { after } = days.state(days.lastRecorded);
    facts.push([
      "Last sealed",
      [
        clockTime(timeOf(last.sealed)),
        make("br"),
        make("span", { class: "quiet" }, `${duration(after / 1000)} after the day’s end`),
      ],
    ]);
  }
  facts.push(["Root", make("span", { class: "hash" }, encodeBase64(checkpoint.root))]);
  replaceContent($("checkpoint"), definitions(facts));
  if ($("checkpoint-text").dataset.shown === encodeBase64(checkpoint.root)) return; // it may be open, or marked to be copied
  $("checkpoint-text").dataset.shown = encodeBase64(checkpoint.root);
  const text = decodeUtf8(check.checkpointBytes, "the checkpoint");
  const shown = verbatim("Signed checkpoint", text);
  replaceContent(
    $("checkpoint-text"),
    details("The signed checkpoint", shown, make("p", { class: "row" }, copyButton("Copy", text, shown))),
  );
}

function drawSigners(check) {
  if (check.signers.length === 0) {
    replaceContent($("signers"), make("p", {}, "No signature was verified yet."));
    return;
  }
  const keys = check.signers.map((key) =>
    make(
      "div",
      { class: "signer" },
      make(
        "p",
        {},
        mark(check.confirmed ? "good" : "unsure"),
        " ",
        make("span", { class: "name" }, key.name),
        check.confirmed ? ", with a key that you trust" : ", key unconfirmed",
      ),
      make("p", { class: "label" }, "Fingerprint of the key"),
      make("p", {}, fingerprint(key.fingerprint)),
    ),
  );
  const rows = cosignatureRows(check);
  const split = check.splitViewExcluded
    ? "That others are shown another history is excluded, as long as these witnesses are honest."
    : "That others are shown another history is not excluded: it takes witnesses whom you trust.";
  replaceContent(
    $("signers"),
    ...keys,
    rows.length > 0
      ? make("ul", { class: "witnesses", "aria-label": "Witnesses" }, ...rows)
      : make("p", {}, "Nobody has cosigned."),
    make("p", { class: "quiet" }, split),
  );
}

// Who cosigned, and when by their own clocks. Those whom the visitor did not name may be anybody.
function cosignatureRows(check) {
  const idOf = ({ name, id }) => `${name}+${id}`;
  const known = new Set([...check.cosignatures.map(({ key }) => idOf(key)), ...check.signers.map(idOf)]);
  const when = (time) => (time < 253402300800n ? clockTime(Number(time) * 1000) : `${time} s`);
  const row = (name, time, word, tone) =>
    make(
      "li",
      {},
      make("span", {}, mark(tone), " ", make("span", { class: "name" }, name)),
      make("span", { class: "quiet" }, `cosigned ${when(time)}, ${word}`),
    );
  const claimed = check.checkpoint.note.signatures.filter(
    (line) => line.signature.length === 72 && !known.has(idOf(line)),
  );
  return [
    ...check.cosignatures.map(({ key, time }) => row(key.name, time, "verified", "good")),
    ...claimed.map((line) =>
      row(
        line.name,
        new DataView(line.signature.buffer, line.signature.byteOffset).getBigUint64(0),
        "not checked: you have not given its key",
        "unknown",
      ),
    ),
  ];
}
