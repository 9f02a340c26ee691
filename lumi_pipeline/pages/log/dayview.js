// One entry of the log: a day's record, or the genesis, with its place and the proof that it is there.

// Shows an entry in #day. `days` is of the calendar; `onTurn(number)` is called for the day before or after.
class DayView {
  constructor(onTurn) {
    this.onTurn = onTurn;
    this.shown = 0; // counts what was asked for, so that a slow proof never overwrites a later day
  }

  async showDay(number, days) {
    const turn = ++this.shown;
    const state = days.state(number);
    const body = state.record === null ? el("p", {}, this.absence(number, state, days)) : await this.entry(days.check, days.index(number));
    if (turn !== this.shown) return;
    const button = (label, to) =>
      el("button", { type: "button", class: "small", onclick: () => this.onTurn(to), disabled: to < days.first || to > days.last }, label);
    fill(
      "day",
      el("h3", { id: "day-title", tabindex: "-1" }, longDay(number)),
      el("p", { class: `day-state ${state.kind}${state.late === null && state.breaks === 0n ? "" : " notable"}` }, signsOf(state).map(sign), sentence(describeDay(state))),
      body,
      el("p", { class: "row" }, button("← Day before", number - 1), button("Day after →", number + 1)),
    );
  }

  async showGenesis(check) {
    const turn = ++this.shown;
    const body = await this.entry(check, 0);
    if (turn !== this.shown) return;
    fill(
      "day",
      el("h3", { id: "day-title", tabindex: "-1" }, "Genesis"),
      el("p", { class: "day-state" }, "The first entry says what the log is called, when it starts and with which keys."),
      body,
    );
  }

  absence(number, state, days) {
    const due = clockTime((number + 1) * DAY_MS + days.due);
    const place = `Its only possible place is entry ${days.index(number).toLocaleString("en")}, which the log does not have.`;
    if (state.kind === "missing") return `The log has no record of this day. It was expected by ${due}. ${place}`;
    if (state.kind === "unread") return "The log has a record of this day; this page has not read it yet.";
    return `The record of this day is expected by ${due}. ${place}`;
  }

  async entry(check, index) {
    const { text, leaf } = check.entries.get(index);
    const shown = el("pre", { tabindex: "0", "aria-label": "Text of the entry" }, text);
    return [
      el(
        "dl",
        { class: "facts" },
        el("dt", {}, "Entry"),
        el("dd", {}, `${index.toLocaleString("en")}, of 0 to ${(check.size - 1).toLocaleString("en")} in the log`),
        el("dt", {}, "Entry hash"),
        el("dd", { class: "hash" }, encodeBase64(leaf)),
        el("dt", {}, "Inclusion"),
        el("dd", {}, await this.inclusion(check, index, leaf)),
      ),
      shown,
      el("p", { class: "row" }, copyButton("Copy the record", text, shown)),
      index === 0 ? null : meanings(),
    ];
  }

  // The path from the entry to the signed root, made here and verified here.
  async inclusion(check, index, leaf) {
    const path = await check.tree.inclusionPath(index);
    const size = check.checkpoint.size;
    if (!provesInclusion(leaf, BigInt(index), size, path, check.checkpoint.root)) return "The path does not lead to the signed root.";
    return el(
      "details",
      {},
      el("summary", {}, sign("yes"), ` Proved by ${count(path.length, "hash", "hashes")} up to the signed root`),
      el("ol", { class: "path" }, path.map((hash) => el("li", { class: "hash" }, encodeBase64(hash)))),
    );
  }
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

function meanings() {
  const lines = {
    index: "the entry’s place: one more than the number of days since the log’s first day",
    map: "root over all tenants’ records of the day; it tells nobody who they are",
    manifest: "hash of the list of the day’s files, which the operator keeps",
    breaks: "how many breaks of tenants’ chains the operator found and declared",
    sealed: "when the record was made, by the operator’s clock",
  };
  return el(
    "details",
    {},
    el("summary", {}, "What the lines mean"),
    el("dl", { class: "meanings" }, Object.entries(lines).map(([name, meaning]) => [el("dt", {}, el("code", {}, name)), el("dd", {}, meaning)])),
  );
}
