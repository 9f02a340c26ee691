// The calendar of day records: months of one year, or the latest few, the newest month first. One tab stop; arrow
// keys move by days and weeks, Page Up and Down by months, Home and End to the ends of a month.

const LATEST = "latest";
const NARROW = "(max-width: 62rem)"; // as in page.css: the day's record has no place beside the calendar

// Shows a Days object in #calendar and #years. `onSelect(number)` is called when a day is chosen.
class Calendar {
  constructor(onSelect) {
    this.onSelect = onSelect;
    this.days = null;
    this.view = LATEST;
    this.focused = null; // the one day that the tab key reaches
    this.selected = null;
    this.buttons = new Map(); // by day number, of the view
    $("calendar").addEventListener("keydown", (event) => this.onKey(event));
    $("calendar").addEventListener("click", (event) => {
      const day = event.target.closest("button[data-day]");
      if (day !== null) this.choose(Number(day.dataset.day));
    });
  }

  // Take a new state of the log.
  update(days) {
    this.days = days;
    if (days.first === null) return;
    if (this.focused === null) this.focused = Math.max(days.first, days.lastRecorded);
    this.draw();
  }

  choose(number) {
    this.show(number);
    this.selected = number;
    this.draw();
    this.onSelect(number);
  }

  // Bring a day into view and let the tab key reach it.
  show(number) {
    this.focused = number;
    const month = dayOfNumber(number).slice(0, 7);
    if (!this.months().includes(month)) {
      this.view = month.slice(0, 4);
      this.draw();
    }
  }

  years() {
    const [first, last] = [this.days.first, this.days.last].map((number) => Number(dayOfNumber(number).slice(0, 4)));
    return Array.from({ length: last - first + 1 }, (_, i) => String(last - i).padStart(4, "0"));
  }

  // The months of the view as "YYYY-MM", the newest first.
  months() {
    const months = [];
    let number = this.days.last;
    if (this.view !== LATEST) number = Math.min(number, dayNumber(`${this.view}-12-31`));
    const most = this.view === LATEST && window.matchMedia(NARROW).matches ? 4 : 12;
    while (number >= this.days.first && months.length < most) {
      const month = dayOfNumber(number).slice(0, 7);
      if (this.view !== LATEST && month.slice(0, 4) !== this.view) break;
      months.push(month);
      number = dayNumber(`${month}-01`) - 1;
    }
    return months;
  }

  draw() {
    const hadFocus = $("calendar").contains(document.activeElement);
    this.drawYears();
    this.buttons.clear();
    const months = this.months();
    if (!months.includes(dayOfNumber(this.focused).slice(0, 7))) {
      const end = dayNumber(`${months[0]}-01`) + daysInMonth(...months[0].split("-").map(Number)) - 1;
      this.focused = Math.max(this.days.first, Math.min(end, this.days.last));
    }
    replaceContent(
      $("calendar"),
      months.map((month) => this.drawMonth(month)),
    );
    if (hadFocus) this.buttons.get(this.focused)?.focus();
  }

  drawYears() {
    const years = this.years();
    const views = years.length > 1 ? [LATEST, ...years] : [];
    const notable = new Set();
    for (const { number, state } of this.days.notable()) {
      if (state.kind === "missing" || state.breaks > 0n || state.late !== null)
        notable.add(dayOfNumber(number).slice(0, 4));
    }
    const year = (view) =>
      button(this.yearLabel(view, notable), () => this.turnTo(view), { "aria-pressed": String(view === this.view) });
    replaceContent($("years"), ...views.map(year));
  }

  yearLabel(view, notable) {
    const flag = [
      make("span", { class: "flag" }, sign("flag")),
      make("span", { class: "unseen" }, " (with days that need a look)"),
    ];
    return make("span", {}, view === LATEST ? "Latest months" : view, ...(notable.has(view) ? flag : []));
  }

  turnTo(view) {
    this.view = view;
    this.draw();
    $("years").querySelector("[aria-pressed=true]")?.focus();
  }

  drawMonth(month) {
    const [year, number] = month.split("-").map(Number);
    const start = dayNumber(`${month}-01`);
    const cells = Array.from({ length: weekday(start) }, () => make("td"));
    for (let day = start; day < start + daysInMonth(year, number); day++) cells.push(make("td", {}, this.drawDay(day)));
    const rows = [];
    for (let at = 0; at < cells.length; at += 7) rows.push(make("tr", {}, cells.slice(at, at + 7)));
    return make(
      "table",
      { class: "month" },
      make("caption", {}, monthName(month)),
      make(
        "thead",
        {},
        make("tr", {}, ...WEEKDAYS.map((name) => make("th", { scope: "col", abbr: name }, name.slice(0, 2)))),
      ),
      make("tbody", {}, rows),
    );
  }

  drawDay(number) {
    const state = this.days.state(number);
    const dayOfMonth = String(Number(dayOfNumber(number).slice(8)));
    if (state.kind === "outside") return make("span", { class: "day outside" }, dayOfMonth);
    const made = make(
      "button",
      {
        type: "button",
        class: `day ${state.kind}${state.late !== null || state.breaks > 0n ? " notable" : ""}${state.announces ? " announces" : ""}`,
        "data-day": number,
        tabindex: number === this.focused ? "0" : "-1",
        "aria-label": `${longDay(number)}: ${describeDay(state)}`,
        "aria-current": number === this.selected ? "true" : null,
      },
      dayOfMonth,
      signsOf(state).length > 0 ? make("span", { class: "signs" }, signsOf(state).map(sign)) : null,
    );
    this.buttons.set(number, made);
    return made;
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.focused === null) return;
    const target = this.keyTarget(event.key);
    if (target === null) return;
    event.preventDefault();
    this.show(Math.max(this.days.first, Math.min(target, this.days.last)));
    for (const [number, day] of this.buttons) day.tabIndex = number === this.focused ? 0 : -1;
    this.buttons.get(this.focused).focus();
  }

  keyTarget(key) {
    const from = this.focused;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 };
    if (key in steps) return from + steps[key];
    const [year, month, day] = dayOfNumber(from).split("-").map(Number);
    if (key === "Home") return from - day + 1;
    if (key === "End") return from - day + daysInMonth(year, month);
    if (key !== "PageUp" && key !== "PageDown") return null;
    const months = year * 12 + month - 1 + (key === "PageUp" ? -1 : 1);
    const [toYear, toMonth] = [Math.floor(months / 12), (months % 12) + 1];
    if (toYear < 1 || toYear > 9999) return null;
    const pad = (value, width) => String(value).padStart(width, "0");
    return dayNumber(`${pad(toYear, 4)}-${pad(toMonth, 2)}-${pad(Math.min(day, daysInMonth(toYear, toMonth)), 2)}`);
  }
}

// What is drawn in a day's corner, so that no colour has to be told from another.
function signsOf(state) {
  const signs = [];
  if (state.kind === "missing") signs.push("missing");
  if (state.late !== null) signs.push("late");
  if (state.breaks > 0n) signs.push("breaks");
  if (state.announces) signs.push("key");
  return signs;
}
