// A verdict as the reader sees it.

const DAY_WORDS = {
  holds: ["good", "Holds"],
  problem: ["bad", "Problem"],
  breaks: ["finding", "Breaks, as declared"],
  unchecked: ["unknown", "Not checked"],
};
const DAY_KINDS = { events: "Events", idle: "No events", none: "No records yet", unknown: "–" };

function showVerdict(verdict, searchPanel) {
  const isBundle = verdict.kind === "bundle";
  return [
    verdictCard(verdict),
    findings(verdict),
    facts(verdict),
    isBundle ? checkList(verdict) : null,
    isBundle && verdict.days.length > 0 ? dayTable(verdict) : null,
    verdict.event === null ? null : eventSection(verdict),
    isBundle && verdict.rows > 0 ? searchPanel : null,
  ];
}

function section(id, title, ...content) {
  return make("section", { "aria-labelledby": id, class: "part" }, make("h3", { id }, title), ...content);
}

function verdictCard(verdict) {
  const tone = toneOf(verdict);
  const [title, explained] = REASONS[verdict.reason] ?? ["Does not verify", "A check failed."];
  const said = verdict.kind === "proof" && verdict.reason === "ok" ? PROOF_WORDS[verdict.proof.type] : explained;
  return make(
    "div",
    { class: `verdict ${tone}` },
    mark(tone),
    make(
      "div",
      {},
      TONE_WORDS[tone] === title ? null : make("p", { class: "tone" }, TONE_WORDS[tone]),
      make("h2", { id: "verdict", tabindex: "-1" }, title),
      verdict.rows === null ? null : make("p", { class: "summary" }, summary(verdict)),
      make("p", { class: "said" }, said),
      verdict.message === "" ? null : make("p", { class: "detail" }, `In detail: ${verdict.message}.`),
      make(
        "p",
        { class: "codes" },
        "Reason ",
        make("code", {}, verdict.reason),
        " · exit code ",
        make("code", {}, verdict.exitCode),
      ),
    ),
  );
}

function summary({ rows, tenantId, from, to, days }) {
  return [`${count(rows, "event")} of ${tenantId} on ${count(days.length, "day")}, `, ...period(from, to)];
}

function period(from, to) {
  return from === to ? [whole(from)] : [whole(from), " to ", whole(to)];
}

function facts(verdict) {
  const rows = [["Checked", make("span", { class: "name" }, verdict.name)]];
  if (verdict.kind === "bundle") rows.push(...bundleFacts(verdict));
  if (verdict.proof !== null) rows.push(...proofFacts(verdict));
  if (verdict.origin !== null) rows.push(...logFacts(verdict));
  if (verdict.ignored.length > 0) {
    const shown = verdict.ignored.slice(0, 10).join(", ");
    const more = verdict.ignored.length > 10 ? ` and ${count(verdict.ignored.length - 10, "other")}` : "";
    rows.push(["Passed over", make("span", {}, `${shown}${more}: no part of the bundle`)]);
  }
  const ended = `${new Date(verdict.ended).toISOString().slice(0, 16).replace("T", " ")} UTC`;
  const took = `${numbers.format(Math.ceil(verdict.seconds * 10) / 10)} s`;
  rows.push(["When", [whole(ended), ` by this computer’s clock; it took ${took}, on this computer alone`]]);
  return section(
    "facts",
    "What was checked",
    make(
      "dl",
      { class: "facts" },
      ...rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
    ),
  );
}

function bundleFacts({ tenantId, from, to, days, rows }) {
  if (tenantId === null) return [];
  const of = (kind) => days.filter((day) => day.kind === kind).length;
  const parts = [
    [of("events"), "with events"],
    [of("idle"), "without events"],
    [of("none"), "before the tenant had records"],
  ];
  const told = parts.filter(([number]) => number > 0).map(([number, what]) => `${numbers.format(number)} ${what}`);
  return [
    ["Tenant", make("span", { class: "name" }, tenantId)],
    [
      "Period",
      [
        ...period(from, to),
        from === to ? null : `, ${count(days.length, "day")}${told.length > 0 ? ` (${told.join(", ")})` : ""}`,
      ].filter((part) => part !== null),
    ],
    ["Events", rows === null ? "not reached" : count(rows, "event")],
    ["Longest delay", longestDelay(days)],
  ];
}

// From the end of a day to the first time a witness confirmed its record: how long it could have been rewritten.
function longestDelay(days) {
  const known = days.filter(({ delay }) => delay !== null);
  if (known.length === 0)
    return "not known: no witness that you trust has confirmed a time, so the times are the operator’s word";
  const longest = known.reduce((a, b) => (b.delay > a.delay ? b : a));
  const unknown = days.length - known.length;
  return [
    `${duration(longest.delay)} from the end of `,
    whole(longest.day),
    ` to its confirmation by a witness${unknown > 0 ? `; not known for ${count(unknown, "day")}` : ""}`,
  ];
}

function proofFacts({ proof }) {
  const rows = [["Day", `${proof.day}, entry ${proof.index} of the log`]];
  if (proof.tenantId !== null) rows.push(["Tenant", make("span", { class: "name" }, proof.tenantId)]);
  else if (proof.tenantKey !== null) rows.push(["Tenant’s key", fingerprint(proof.tenantKey)]);
  if (proof.count !== null) rows.push(["Events of that day", count(proof.count, "event")]);
  return rows;
}

function logFacts(verdict) {
  const { origin, size, signers, claimed, cosignatures, splitViewExcluded, evidenceSigners, confirmed } = verdict;
  const key = (title, list) =>
    list.map((item) => [title, [fingerprint(item.fingerprint), make("code", { class: "vkey" }, item.vkey)]]);
  const rows = [
    ["Log", [make("span", { class: "name" }, origin), size === null ? "" : `, ${count(size, "entry", "entries")}`]],
  ];
  rows.push(...key(confirmed ? "Signed with your key" : "Signed with a key that you have not confirmed", signers));
  if (signers.length === 0) rows.push(...key("Keys that it claims", claimed));
  rows.push(...key("List of files signed with", evidenceSigners));
  const who = cosignatures.map(({ name, time }) => make("li", {}, make("span", { class: "name" }, name), ", ", whole(time)));
  rows.push([
    "Confirmed by witnesses",
    who.length > 0 ? make("ul", { class: "plain" }, ...who) : "none that you named",
  ]);
  if (splitViewExcluded !== null) {
    const excluded = "excluded, as long as these witnesses are honest";
    rows.push([
      "Another history shown to others",
      splitViewExcluded ? excluded : "not excluded: that takes witnesses that you trust",
    ]);
  }
  return rows;
}

function checkList(verdict) {
  const words = {
    done: ["good", "holds"],
    failed: [toneOf(verdict) === "bad" ? "bad" : toneOf(verdict), "fails"],
    open: ["unknown", "not reached"],
  };
  const states = checkStates(verdict);
  const noWitness = states[2] === "done" && verdict.splitViewExcluded !== null && verdict.cosignatures.length === 0;
  const items = BUNDLE_CHECKS.map(([what], i) => {
    const skipped = i === 2 && noWitness;
    const [tone, word] = skipped ? ["unknown", "you named none"] : words[states[i]];
    return make("li", {}, mark(tone), make("span", {}, what, make("span", { class: "state" }, ` – ${word}`)));
  });
  return section("checks-title", "The checks, in order", make("ol", { class: "checks" }, ...items));
}

function dayTable({ days }) {
  const head = ["Day", "Verdict", "Record", "Events", "Breaks", "First confirmed after"];
  const numeric = [3, 4];
  const cell = (tag, content, i) =>
    make(tag, { class: numeric.includes(i) ? "number" : null, scope: tag === "th" ? "col" : null }, content);
  const body = days.map((day) => {
    const [tone, word] = DAY_WORDS[day.verdict];
    return make(
      "tr",
      { class: `day-${day.verdict}` },
      make("th", { scope: "row" }, day.day),
      cell("td", make("span", { class: "day-verdict" }, mark(tone), word), 1),
      cell("td", DAY_KINDS[day.kind], 2),
      cell("td", day.count === null ? "–" : numbers.format(BigInt(day.count)), 3),
      cell("td", day.breaks === null ? "–" : numbers.format(BigInt(day.breaks)), 4),
      cell("td", day.delay === null ? "not known" : `${duration(day.delay)}, by ${day.witness}`, 5),
    );
  });
  const table = make(
    "table",
    {},
    make("thead", {}, make("tr", {}, ...head.map((title, i) => cell("th", title, i)))),
    make("tbody", {}, ...body),
  );
  return section("days-title", "Day by day", scrollable("Table of the days", table));
}

// Wide tables scroll in a box of their own, which the keyboard can reach.
function scrollable(label, table) {
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);
}

// The rows that the verdict is about, by reason; what was kept of them.
function findings({ findings: found, counts }) {
  if (found.length === 0) return null;
  const reasons = ROW_REASONS.filter((reason) => counts[reason] > 0);
  return section(
    "findings-title",
    "Where",
    ...reasons.map((reason) => {
      const items = found.filter((item) => item.reason === reason);
      const total = counts[reason];
      const title = `${REASONS[reason][0]} (${count(total, "time")}${total > items.length ? `, the first ${items.length} shown` : ""})`;
      return make(
        "div",
        { class: "findings" },
        make("h4", {}, title, " ", make("code", {}, reason)),
        make("ul", {}, ...items.map(finding)),
      );
    }),
  );
}

function finding({ day, seq, lastSeq, record, cells }) {
  const where = [
    seq === null ? null : lastSeq !== null && lastSeq !== seq ? `Events ${seq} to ${lastSeq}` : `Event ${seq}`,
    record === null ? null : `record ${numbers.format(record)} of events.csv`,
    day === null ? null : day,
  ].filter((part) => part !== null);
  return make(
    "li",
    { class: cells === null ? null : "unfolds" },
    cells === null
      ? where.join(", ")
      : make(
          "details",
          {},
          make("summary", {}, where.join(", ")),
          columns(EVENT_COLUMNS.map((name, i) => [name, cells[i]])),
        ),
  );
}

// The columns of an event. A null and an empty text look different, as they are.
function columns(pairs) {
  const value = (text) =>
    text === null
      ? make("span", { class: "null" }, "nothing")
      : text === ""
        ? make("span", { class: "null" }, "empty text")
        : text;
  return make(
    "dl",
    { class: "columns" },
    ...pairs.map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, value(text)))),
  );
}

function eventSection({ event, hasPayload }) {
  const names = hasPayload ? EVENT_COLUMNS.slice(0, -1) : [...CORE_COLUMNS, ...HASH_COLUMNS];
  return section(
    "event-title",
    "The event",
    hasPayload
      ? null
      : make("p", {}, "Its details are withheld or erased; the proof does not say which, and needs neither."),
    columns(names.map((name) => [name, event[name]])),
  );
}
