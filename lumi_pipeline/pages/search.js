// Looking into the rows of a bundle that was checked: the worker reads them again and returns those with a text.

const ROWS_SHOWN = 100;
const SEARCH_COLUMNS = ["seq", "recorded_at", "action", "entity_type", "entity_id", "outcome", "actor_id"];

class SearchPanel {
  // `ask(query, limit)` resolves to {total, rows}.
  constructor(ask) {
    this.ask = ask;
    this.field = make("input", { id: "query", type: "search", autocomplete: "off", spellcheck: "false" });
    this.results = make("div", { id: "rows" });
    this.status = make("p", { role: "status", class: "quiet" });
    const form = make("form", { class: "search" }, make("label", { for: "query" }, "Find events with this text in any column"), make("div", { class: "line" }, this.field, make("button", { type: "submit" }, "Search")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.search();
    });
    this.element = section("search-title", "Look into the events", form, this.status, this.results);
  }

  async search() {
    this.status.textContent = "Searching…";
    const found = await this.ask(this.field.value, ROWS_SHOWN).catch((error) => error);
    if (found instanceof Error) {
      this.status.textContent = "The search did not come to its end.";
      return;
    }
    const { total, rows } = found;
    const shown = total > rows.length ? `; the first ${rows.length} are shown` : "";
    this.status.textContent = total === 0 ? "No event has this text." : `${count(total, "event")} with this text${shown}.`;
    replaceContent(this.results, rows.length === 0 ? [] : scrollable("Events found", this.table(rows)));
  }

  table(rows) {
    const at = SEARCH_COLUMNS.map((name) => EVENT_COLUMNS.indexOf(name));
    const head = make("tr", {}, ...SEARCH_COLUMNS.map((name) => make("th", { scope: "col" }, name)), make("th", { scope: "col" }, "all columns"));
    const body = rows.map(({ cells }) => {
      const all = make("details", {}, make("summary", {}, "show"), columns(EVENT_COLUMNS.map((name, i) => [name, cells[i]])));
      return make("tr", {}, ...at.map((i) => make("td", {}, cells[i])), make("td", {}, all));
    });
    return make("table", { class: "rows" }, make("thead", {}, head), make("tbody", {}, ...body));
  }
}
