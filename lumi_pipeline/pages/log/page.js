// The public site of a log: what happens when, from opening the page on.

const DUE = readDue(document.documentElement.dataset.recordDue);
const PATIENCE_MS = 400; // after the last key that is pressed in the field for keys

class Page {
  constructor() {
    this.check = null;
    this.memory = null;
    this.days = null;
    this.shownEntry = null; // what #day shows, as far as that was known then
    this.calendar = new Calendar((number) => this.go(dayOfNumber(number)));
    this.dayView = new DayView((number) => this.calendar.choose(number));
    this.trust = new TrustPanel(() => this.keysChanged());
    if (this.trust.field.value === "") this.trust.remember.checked = true; // it is what a visitor comes back for
    this.timer = null;
    $("again").addEventListener("click", () => this.start(true));
    $("genesis").addEventListener("click", () => this.go("genesis"));
    $("key-help").addEventListener("click", () => $("trust-title").scrollIntoView());
    window.addEventListener("hashchange", () => this.followAddress());
    acceptFiles((bytes) => this.judge(bytes));
  }

  // Look at the log anew, with the keys that are in the field; null there means that they can't be read. What the
  // browser has cached is left out if that is asked for, or turns out not to be what the log commits to.
  async start(fresh = false) {
    const keys = this.trust.text;
    if (keys === null) return;
    $("alarm").replaceChildren();
    this.memory = recall();
    const onChange = () => this.check === check && this.draw();
    const check = new LogCheck({ trust: parseTrust(keys), remembered: this.memory, fresh, onChange });
    this.check = check;
    $("again").disabled = true;
    await check.run();
    if (this.check !== check) return; // started anew meanwhile
    if (check.failure?.reason === "tile" && !fresh) {
      await this.start(true);
      return;
    }
    $("again").disabled = false;
    if (check.verified) {
      remember(check, new Date());
      this.memory = recall();
      this.draw();
    }
    $("announcer").textContent = $("verdict-title").textContent;
  }

  // Who pastes keys wants them used; who types them is left alone until the line is whole.
  keysChanged() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.start(), PATIENCE_MS);
  }

  trustKey(vkey) {
    this.trust.field.value = `${this.trust.field.value.trim()}\n${vkey}`.trim();
    this.trust.changed();
  }

  judge(bytes) {
    const keys = this.trust.text;
    if (keys === null)
      report(
        "unknown",
        "The keys above can’t be read",
        null,
        make("p", {}, "Correct them first, then bring the file again."),
      );
    else judgeBrought(bytes, parseTrust(keys), this.check);
  }

  draw() {
    this.days = new Days(this.check, Date.now(), DUE);
    drawHead(this.check, this.days);
    drawOffer(this.check, (vkey) => this.trustKey(vkey));
    drawMemory(this.check, this.memory, () => this.forget());
    $("key-help").hidden = this.check.confirmed || this.check.signers.length === 0;
    $("days").hidden = this.days.first === null;
    if (this.days.first === null) return;
    drawSummary(this.days, (number) => this.calendar.choose(number));
    this.calendar.update(this.days);
    this.followAddress();
  }

  // The address names what is shown, so that a day can be linked to; without one it is the newest record.
  followAddress() {
    if (this.days === null || this.days.first === null) return;
    const wanted = window.location.hash.slice(1);
    let number = this.days.missing.at(-1) ?? this.days.lastRecorded;
    if (/^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(wanted)) number = dayNumber(wanted);
    const isDay = wanted !== "genesis" && number >= this.days.first && number <= this.days.last;
    this.showEntry(isDay ? dayOfNumber(number) : "genesis");
  }

  // Show an entry, and name it in the address.
  go(name) {
    if (window.location.hash.slice(1) === name) this.followAddress();
    else window.location.hash = name;
    if (window.matchMedia(NARROW).matches) requestAnimationFrame(() => $("day").scrollIntoView());
  }

  // Drawn anew only when there is more to show than before, so that nobody's place in the text is lost.
  async showEntry(name) {
    const number = name === "genesis" ? null : dayNumber(name);
    const known = `${name} ${number === null ? "" : this.days.state(number).kind} ${this.check.checkpoint.root}`;
    if (this.shownEntry === known || !this.check.entries.has(0)) return;
    this.shownEntry = known;
    try {
      if (number === null) await this.dayView.showGenesis(this.check);
      else await this.dayView.showDay(number, this.days);
    } catch (error) {
      replaceContent($("day"), make("p", {}, sentence(error.message)));
    }
  }

  forget() {
    writeMemory(null);
    this.start();
  }
}

// How many days there are of which kind, and the ones that need a look.
function drawSummary(days, onChoose) {
  const notable = [...days.notable()];
  const part = (name, number, text) =>
    number > 0 ? make("li", {}, sign(name), ` ${numbers.format(number)} ${text}`) : null;
  const having = (test) => notable.filter(({ state }) => test(state)).length;
  replaceContent(
    $("counts"),
    make(
      "li",
      {},
      make("span", { class: "day recorded sample" }),
      ` ${count(Math.max(0, days.check.size - 1), "day")} recorded`,
    ),
    part(
      "late",
      having((state) => state.late !== null),
      "late",
    ),
    part(
      "breaks",
      having((state) => state.breaks > 0n),
      "with declared breaks",
    ),
    part(
      "key",
      having((state) => state.announces),
      "announcing a key",
    ),
    part("missing", days.missing.length, "overdue"),
  );
  const line = ({ number, state }) =>
    make(
      "li",
      {},
      ...signsOf(state).map(sign),
      " ",
      button(dayOfNumber(number), () => onChoose(number), { class: "link" }),
      ` ${describeDay(state)}`,
    );
  const [few, more] = [notable.slice(0, 5), notable.slice(5)];
  const wasOpen = $("notable").querySelector("details")?.open ?? false;
  const rest =
    more.length > 0 ? details(`and ${numbers.format(more.length)} more`, make("ul", {}, ...more.map(line))) : null;
  if (rest !== null) rest.open = wasOpen;
  replaceContent($("notable"), few.length > 0 ? make("ul", {}, ...few.map(line)) : null, rest);
}

function say(tone, title, text) {
  $("verdict").className = `verdict ${tone}`;
  replaceContent($("verdict-mark"), mark(tone));
  $("verdict-title").textContent = title;
  $("verdict-text").textContent = text;
}

const page = new Page();

async function openPage() {
  if (window.location.protocol === "file:") {
    document.body.classList.add("from-disk");
    $("from-disk").hidden = false;
    say(
      "unknown",
      "This page needs a web server",
      "It was opened from a disk, and a browser lets no page read the files beside it there.",
    );
    return;
  }
  try {
    await selfCheck();
  } catch (error) {
    say("bad", "This browser can’t be relied on", error.message);
    return;
  }
  await page.start();
}

openPage();
