// The state of the log, in the order of what matters: the verdict, an alarm if there is one, then the checkpoint.

// What the page says of the log as a whole: {tone, sign, title, text}. The tones: "good", "notice", "bad", "busy".
function headline(check, days) {
  if (check === null) return { tone: "busy", sign: "busy", title: "Fetching the log…", text: "" };
  const origin = check.checkpoint?.origin ?? "This log";
  if (check.contradicted) return { tone: "bad", sign: "missing", title: alarmTitle(check.past.kind), text: "Both checkpoints are shown below. Keep them before you do anything else." };
  if (check.failure !== null) return { tone: "bad", sign: "missing", title: "This log does not verify", text: `${sentence(check.failure.message)} Reason: ${check.failure.reason}.` };
  if (check.unreachable !== null) return { tone: "notice", sign: "flag", title: "The log could not be checked to its end", text: sentence(check.unreachable) };
  if (!check.finished) return { tone: "busy", sign: "busy", title: "Checking the log…", text: "Every entry is fetched and recomputed in your browser." };
  const all = `${origin}: all ${count(check.size, "entry", "entries")} were recomputed in your browser and give the signed root.`;
  if (check.quorumMissing) return { tone: "bad", sign: "missing", title: "Too few of your witnesses have cosigned", text: `${all} Reason: witness-quorum.` };
  const broken = [...days.notable()].filter(({ state }) => state.breaks > 0n).length;
  const findings = [
    broken > 0 ? `${count(broken, "day")} with declared breaks` : null,
    days.missing.length > 0 ? `${count(days.missing.length, "record")} overdue` : null,
  ].filter((finding) => finding !== null);
  if (!check.confirmed) {
    return { tone: "notice", sign: "flag", title: "Consistent, but the key is not confirmed", text: `${all} Nobody has vouched for the key yet, so anybody could have made this. Compare its fingerprint, or paste the key that you were given.` };
  }
  if (findings.length > 0) return { tone: "notice", sign: "flag", title: `Verified, with a finding: ${findings.join(", ")}`, text: `${all} Signed by the key that you trust.` };
  return { tone: "good", sign: "yes", title: "Verified", text: `${all} Signed by the key that you trust.` };
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
  if (check.past.kind === "other-log") return `Your browser knew ${was.origin} at this address. Ask the operator why, by another way than this page.`;
  const sizes = `It had ${count(was.size, "entry", "entries")} when you looked before, and shows ${is.size.toLocaleString("en")} now.`;
  if (check.past.kind === "older") {
    return `${sizes} What it shows is an older state of the same history: a copy that lags behind, or records taken back. Look again in an hour; then ask.`;
  }
  return `${sizes} Whether the two agree can’t be found out any more, because the files of the longer one are gone.`;
}

function drawHead(check, days) {
  const said = headline(check, days);
  fill("verdict-title", said.title);
  fill("verdict-text", said.text);
  fill("verdict-sign", sign(said.sign));
  byId("verdict").className = `verdict ${said.tone}`;
  document.title = `${said.title} – ${check?.checkpoint?.origin ?? "transparency log"}`;
  drawProgress(check);
  drawAlarm(check);
  drawCheckpoint(check, days);
  drawSigners(check);
}

function drawProgress(check) {
  const running = check !== null && !check.finished && check.size > 0;
  const bar = byId("progress");
  bar.hidden = !running || check.size <= TILE_WIDTH;
  if (!running) return;
  bar.max = check.size;
  bar.value = check.entries.size;
  bar.textContent = `${check.entries.size} of ${check.size} entries`;
}

function drawAlarm(check) {
  const alarm = byId("alarm");
  const alarmed = check !== null && check.contradicted;
  if (!alarmed) alarm.replaceChildren();
  if (!alarmed || alarm.childElementCount > 0) return;
  const before = { title: `Seen before, ${clockTime(Date.parse(check.remembered.seen))}`, bytes: check.remembered.bytes };
  alarm.append(
    el("p", {}, alarmText(check)),
    ...bothCheckpoints(before, { title: "Shown now", bytes: check.checkpointBytes }),
    el("p", {}, "Send both to whoever relies on this log: your auditor, its witnesses, other readers. Your browser keeps the checkpoint that it saw before until you make it forget it, below."),
  );
}

// Two signed checkpoints beside each other, to be copied.
function bothCheckpoints(...sides) {
  const texts = sides.map(({ title, bytes }) => ({ title, text: decodeUtf8(bytes, "a checkpoint") }));
  const sections = texts.map(({ title, text }) => {
    const shown = el("pre", { tabindex: "0", "aria-label": title }, text);
    return el("section", {}, el("h3", {}, title), shown, el("p", { class: "row" }, copyButton("Copy", text, shown)));
  });
  const both = el("div", { class: "both" }, sections);
  const all = texts.map(({ title, text }) => `${title}:\n\n${text}`).join("\n");
  return [both, el("p", { class: "row" }, copyButton("Copy both", all, both))];
}

function drawCheckpoint(check, days) {
  const checkpoint = check?.checkpoint ?? null;
  fill("origin", checkpoint === null ? "Transparency log" : checkpoint.origin);
  if (checkpoint === null) return;
  const last = check.record(check.size - 1);
  const facts = [["Entries", `${checkpoint.size.toLocaleString("en")}: the genesis and ${count(checkpoint.size - 1n, "day record")}`]];
  if (check.genesis !== null && check.lastDay !== null) facts.push(["Days", `${check.genesis.firstDay} to ${check.lastDay}`]);
  if (last !== null) {
    const state = days.state(days.lastRecorded);
    facts.push(["Last sealed", `${clockTime(timeOf(last.sealed))}, ${duration(state.after)} after the day’s end`]);
  }
  facts.push(["Root", el("span", { class: "hash" }, encodeBase64(checkpoint.root))]);
  fill("checkpoint", facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  const text = decodeUtf8(check.checkpointBytes, "the checkpoint");
  const shown = el("pre", { tabindex: "0", "aria-label": "Signed checkpoint" }, text);
  const open = byId("checkpoint-text").querySelector("details")?.open ?? false;
  fill("checkpoint-text", el("details", { open }, el("summary", {}, "The signed checkpoint"), shown, el("p", { class: "row" }, copyButton("Copy", text, shown))));
}

function drawSigners(check) {
  if (check === null || check.signers.length === 0) return fill("signers", el("p", {}, "No signature was verified yet."));
  const keys = check.signers.map((key) =>
    el(
      "div",
      { class: "signer" },
      el("p", {}, sign(check.confirmed ? "yes" : "flag"), ` ${key.name}, `, el("strong", {}, check.confirmed ? "the key that you trust" : "key not confirmed")),
      el("p", { class: "label" }, "Fingerprint of the key, SHA-256"),
      el("p", { class: "hash" }, inGroups(key.fingerprint)),
    ),
  );
  const rows = cosignatureRows(check);
  const split = check.splitViewExcluded ? "A split view is excluded as long as these witnesses are honest." : "A split view is not excluded: nobody whom you trust has vouched that others see the same log.";
  fill("signers", keys, rows.length > 0 ? el("ul", { class: "witnesses", "aria-label": "Witnesses" }, rows) : el("p", {}, "Nobody has cosigned."), el("p", { class: "quiet" }, split));
}

// Who cosigned, and when by their own clocks. Those whom the visitor did not name may be anybody.
function cosignatureRows(check) {
  const known = new Set(check.cosignatures.map(({ key }) => `${key.name}+${key.id}`));
  const signers = new Set(check.signers.map((key) => `${key.name}+${key.id}`));
  const row = (name, time, word, mark) =>
    el("li", {}, el("span", { class: "name" }, sign(mark), ` ${name}`), el("span", { class: "quiet" }, `cosigned ${time}, ${word}`));
  const seconds = (time) => (time < 253402300800n ? clockTime(Number(time) * 1000) : `${time} s`);
  const verified = check.cosignatures.map(({ key, time }) => row(key.name, seconds(time), "verified", "yes"));
  const claimed = check.checkpoint.note.signatures
    .filter((line) => line.signature.length === 72 && !known.has(`${line.name}+${line.id}`) && !signers.has(`${line.name}+${line.id}`))
    .map((line) => row(line.name, seconds(new DataView(line.signature.buffer, line.signature.byteOffset).getBigUint64(0)), "not checked: no key", "flag"));
  return [...verified, ...claimed];
}
