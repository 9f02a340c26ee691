// The public site of a log: what happens when, from opening the page on.

const DUE = readDue(document.documentElement.dataset.recordDue);

class Page {
  constructor() {
    this.check = null;
    this.memory = null;
    this.days = null;
    this.trust = parseTrust("");
    this.calendar = new Calendar((number) => this.go(dayOfNumber(number)));
    this.dayView = new DayView((number) => this.calendar.choose(number));
    this.trustView = new TrustView(() => this.start());
    this.shownEntry = null; // what #day shows: a day's text, "genesis", or null before the first
    byId("again").addEventListener("click", () => this.start());
    byId("genesis").addEventListener("click", () => this.go("genesis"));
    byId("key-help").addEventListener("click", () => byId("trust").focus());
    window.addEventListener("hashchange", () => this.followAddress());
    acceptFiles((bytes) => judgeBrought(bytes, this.trust, this.check));
  }

  async start() {
    const text = readMemory("trust") ?? byId("trust").value;
    byId("trust").value = text;
    try {
      this.trust = parseTrust(text);
    } catch (error) {
      this.trust = parseTrust("");
      report("trust-said", "bad", "missing", "What this browser remembers can’t be read", el("p", {}, sentence(error.message)));
    }
    fill("alarm");
    this.memory = recall();
    const check = new LogCheck({ trust: this.trust, remembered: this.memory, onChange: () => this.check === check && this.draw() });
    this.check = check;
    byId("again").disabled = true;
    await check.run();
    if (this.check !== check) return; // started anew meanwhile
    byId("again").disabled = false;
    if (check.verified) {
      remember(check, new Date());
      this.memory = recall();
      this.draw();
    }
    announce(byId("verdict-title").textContent);
  }

  draw() {
    this.days = new Days(this.check, Date.now(), DUE);
    drawHead(this.check, this.days);
    this.trustView.draw(this.check);
    drawMemory(this.check, this.memory, () => this.forget());
    byId("key-help").hidden = this.check.confirmed || this.check.signers.length === 0;
    byId("days").hidden = this.days.first === null;
    if (this.days.first === null) return;
    drawSummary(this.days, (number) => this.calendar.choose(number));
    this.calendar.update(this.days);
    this.followAddress();
  }

  // The address names what is shown, so that a day can be linked to; without one it is the newest record.
  followAddress() {
    if (this.days === null || this.days.first === null) return;
    const wanted = window.location.hash.slice(1);
    if (wanted === "genesis") return this.showEntry("genesis");
    let number = this.days.missing.at(-1) ?? this.days.lastRecorded;
    if (/^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(wanted)) number = dayNumber(wanted);
    if (number >= this.days.first && number <= this.days.last) this.showEntry(dayOfNumber(number));
    else if (this.check.entries.has(0)) this.showEntry("genesis");
  }

  // Show an entry, and name it in the address.
  go(name) {
    if (window.location.hash.slice(1) === name) this.followAddress();
    else window.location.hash = name;
    if (window.matchMedia(NARROW).matches) requestAnimationFrame(() => byId("day").scrollIntoView({ block: "start" }));
  }

  // Drawn anew only when there is more to show than before, so that nobody's place in the text is lost.
  async showEntry(name) {
    const number = name === "genesis" ? null : dayNumber(name);
    const state = number === null ? "genesis" : this.days.state(number).kind;
    if (this.shownEntry === `${name} ${state} ${this.check.size}`) return;
    this.shownEntry = `${name} ${state} ${this.check.size}`;
    try {
      if (number === null) await this.dayView.showGenesis(this.check);
      else await this.dayView.showDay(number, this.days);
    } catch (error) {
      fill("day", el("p", {}, sentence(error.message)));
    }
  }

  forget() {
    writeMemory("checkpoint", null);
    this.start();
  }
}

// How many days there are of which kind, and the ones that need a look.
function drawSummary(days, onChoose) {
  const notable = [...days.notable()];
  const late = notable.filter(({ state }) => state.late !== null).length;
  const broken = notable.filter(({ state }) => state.breaks > 0n).length;
  const keys = notable.filter(({ state }) => state.announces).length;
  const part = (name, number, text) => (number > 0 ? el("li", {}, sign(name), ` ${text}`) : null);
  fill(
    "counts",
    el("li", {}, el("span", { class: "day recorded sample" }), ` ${count(Math.max(0, days.check.size - 1), "day")} recorded`),
    part("late", late, `${late} late`),
    part("breaks", broken, `${broken} with declared breaks`),
    part("key", keys, `${keys} announcing a key`),
    part("missing", days.missing.length, `${days.missing.length} overdue`),
  );
  const button = ({ number, state }) =>
    el("li", {}, signsOf(state).map(sign), " ", el("button", { type: "button", class: "link", onclick: () => onChoose(number) }, dayOfNumber(number)), ` ${describeDay(state)}`);
  const [few, more] = [notable.slice(0, 5), notable.slice(5)];
  const open = byId("notable").querySelector("details")?.open ?? false;
  fill(
    "notable",
    few.length > 0 ? el("ul", {}, few.map(button)) : null,
    more.length > 0 ? el("details", { open }, el("summary", {}, `and ${more.length} more`), el("ul", {}, more.map(button))) : null,
  );
}

function announce(text) {
  byId("announcer").textContent = text;
}

async function openPage() {
  if (window.location.protocol === "file:") {
    document.body.classList.add("from-disk");
    byId("verdict").className = "verdict notice";
    fill("verdict-sign", sign("flag"));
    fill("verdict-title", "This page needs a web server");
    fill("verdict-text", "It was opened from a disk, and a browser lets no page read the files beside it there.");
    byId("from-disk").hidden = false;
    return;
  }
  try {
    await selfCheck();
  } catch (error) {
    byId("verdict").className = "verdict bad";
    fill("verdict-sign", sign("missing"));
    fill("verdict-title", "This browser can’t be relied on");
    fill("verdict-text", error.message);
    return;
  }
  await new Page().start();
}

openPage();
