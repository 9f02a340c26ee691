// Looking into the rows of a bundle that was checked: the worker reads them again and returns those with a text.

const ROWS_SHOWN = 100;
const ROW_SUMMARY = ["recorded_at", "action", "entity_type", "entity_id", "outcome", "actor_id"];

class SearchPanel {
  // `ask(query, limit)` resolves to {total, rows}.
  constructor(ask) {
    this.ask = ask;
    this.field = make("input", { id: "query", type: "search", autocomplete: "off", spellcheck: "false" });
    this.list = make("ul", { id: "rows", class: "rows" });
    this.status = make("p", { role: "status", class: "quiet", id: "query-status" });
    const line = make("div", { class: "line" }, this.field, make("button", { type: "submit" }, "Search"));
    const form = make(
      "form",
      { class: "search" },
      make("label", { for: "query" }, "Find events with this text in any column"),
      line,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.search();
    });
    this.element = section("search-title", "Look into the events", form, this.status, this.list);
  }

  async search() {
    this.status.textContent = "Searching…";
    const found = await this.ask(this.field.value, ROWS_SHOWN).catch((error) => error);
    if (found instanceof Error) {
      this.status.textContent = "The search did not come to its end.";
      return;
    }
    const shown = found.total > found.rows.length ? `; the first ${found.rows.length} are shown` : "";
    this.status.textContent =
      found.total === 0 ? "No event has this text." : `${count(found.total, "event")} with this text${shown}.`;
    replaceContent(
      this.list,
      found.rows.map(({ cells }) => this.row(cells)),
    );
  }

  row(cells) {
    const named = EVENT_COLUMNS.map((name, i) => [name, cells[i]]);
    const values = new Map(named);
    const words = ROW_SUMMARY.map((name) => values.get(name)).filter((text) => text !== null && text !== "");
    const told = words.flatMap((word, i) => [" · ", i === 0 ? whole(word) : word]); // the first is the time
    return make(
      "li",
      {},
      make(
        "details",
        {},
        make("summary", {}, make("strong", {}, `Event ${values.get("seq")}`), ...told),
        columns(named),
      ),
    );
  }
}
