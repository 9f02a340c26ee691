// One entry of the log: a day's record, or the genesis, with its place and the proof that it is there.

const RECORD_LINES = {
  index: "the entry’s place: one more than the number of days since the log’s first day",
  map: "root over all tenants’ records of the day; it tells nobody who they are",
  manifest: "hash of the list of the day’s files, which the operator keeps",
  breaks: "how many breaks in tenants’ chains the operator found and declared",
  sealed: "when the record was made, by the operator’s clock",
};

// Shows an entry in #day. `onTurn(number)` is called for the day before or after.
class DayView {
  constructor(onTurn) {
    this.onTurn = onTurn;
    this.shown = 0; // counts what was asked for, so that a slow proof never overwrites a later day
  }

  async showDay(number, days) {
    const turn = ++this.shown;
    const state = days.state(number);
    const body =
      state.record === null
        ? [make("p", {}, this.absence(number, state, days))]
        : await this.entry(days.check, days.index(number));
    if (turn !== this.shown) return;
    const neighbour = (label, to) =>
      button(label, () => this.onTurn(to), { class: "small", disabled: to < days.first || to > days.last });
    const notable = state.late !== null || state.breaks > 0n ? " notable" : "";
    replaceContent(
      $("day"),
      make("h3", { id: "day-title" }, longDay(number)),
      make(
        "p",
        { class: `day-state ${state.kind}${notable}` },
        ...signsOf(state).map(sign),
        sentence(describeDay(state)),
      ),
      ...body,
      make("p", { class: "row" }, neighbour("← Day before", number - 1), neighbour("Day after →", number + 1)),
    );
  }

  async showGenesis(check) {
    const turn = ++this.shown;
    const body = await this.entry(check, 0);
    if (turn !== this.shown) return;
    const says = "The first entry says what the log is called, when it starts and with which keys.";
    replaceContent(
      $("day"),
      make("h3", { id: "day-title" }, "Genesis"),
      make("p", { class: "day-state" }, says),
      ...body,
    );
  }

  absence(number, state, days) {
    const due = clockTime((number + 1) * DAY_MS + days.due);
    const place = `Its only possible place is entry ${numbers.format(days.index(number))}, which the log does not have.`;
    if (state.kind === "missing") return `The log has no record of this day. It was expected by ${due}. ${place}`;
    if (state.kind === "unread") return "The log has a record of this day; this page has not read it yet.";
    return `The record of this day is expected by ${due}. ${place}`;
  }

  async entry(check, index) {
    const { text, leaf } = check.entries.get(index);
    const shown = verbatim("Text of the entry", text);
    const facts = definitions([
      ["Entry", `${numbers.format(index)}, of 0 to ${numbers.format(check.size - 1)} in the log`],
      ["Entry hash", make("span", { class: "hash" }, encodeBase64(leaf))],
      ["Inclusion", await this.inclusion(check, index, leaf)],
    ]);
    const meanings = Object.entries(RECORD_LINES).map(([name, meaning]) => [make("code", {}, name), meaning]);
    return [
      facts,
      shown,
      make("p", { class: "row" }, copyButton("Copy the record", text, shown)),
      index === 0 ? null : details("What the lines mean", definitions(meanings, "meanings")),
    ];
  }

  // The path from the entry to the signed root, made here and verified here.
  async inclusion(check, index, leaf) {
    const path = await check.tree.inclusionPath(index);
    const { size, root } = check.checkpoint;
    if (!provesInclusion(leaf, BigInt(index), size, path, root)) return "The path does not lead to the signed root.";
    const proved = [mark("good"), ` proved by ${count(path.length, "hash", "hashes")} up to the signed root`];
    return details(make("span", {}, ...proved), hashes(path));
  }
}
