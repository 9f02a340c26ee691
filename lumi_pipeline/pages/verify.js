// The page: it takes keys and evidence, lets a worker judge them, and shows progress and verdict.

class Page {
  constructor() {
    this.input = null;
    this.background = new Background();
    this.trust = new TrustPanel(() => this.keysChanged());
    new Intake(
      (input) => this.check(input),
      (problem) => this.say(problem),
    );
    $("cancel").addEventListener("click", () => this.cancel());
    $("again").addEventListener("click", () => this.check(this.input));
  }

  say(text) {
    $("notice").textContent = text;
  }

  async check(input) {
    const trust = this.trust.text;
    if (trust === null) {
      this.say("The keys above can’t be read. Correct them first, then choose the evidence again.");
      $("keys").focus();
      return;
    }
    this.background.stop();
    this.input = input;
    this.say("");
    $("result").hidden = true;
    const progress = new Progress(input.name);
    try {
      const verdict = await this.background.ask(input, { trust }, (step) => progress.show(step));
      progress.hide();
      this.show(verdict);
    } catch (error) {
      if (error === STOPPED) return; // whoever stopped it goes on from there
      progress.hide();
      this.say(`This page could not go on: ${error.message}`);
    }
  }

  cancel() {
    this.background.stop();
    $("progress").hidden = true;
    this.say("Stopped; nothing was decided.");
    $("folder").focus();
  }

  show(verdict) {
    const { input } = this;
    const search = new SearchPanel((query, limit) => this.background.ask(input, { query, limit }));
    replaceContent($("verdict-parts"), showVerdict(verdict, search.element));
    $("stale").hidden = true;
    $("result").hidden = false;
    document.title = `${TONE_WORDS[toneOf(verdict)]}: ${verdict.name}`;
    $("verdict").focus({ preventScroll: true });
    scrollToElement($("result"), "start");
  }

  // A verdict was reached under the keys of its time.
  keysChanged() {
    $("stale").hidden = $("result").hidden;
  }
}

function scrollToElement(element, block) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.scrollIntoView({ behavior: calm ? "auto" : "smooth", block });
}

class Progress {
  constructor(name) {
    this.started = performance.now();
    this.told = 0;
    $("progress-name").textContent = name;
    $("progress").hidden = false;
    $("progress-bar").removeAttribute("value"); // how long it takes is not known yet
    $("progress-text").textContent = "Reading the proofs…";
    $("progress-told").textContent = `Checking ${name}`;
    scrollToElement($("progress"), "nearest");
  }

  show({ rows, bytes, of }) {
    const seconds = (performance.now() - this.started) / 1000;
    const part = of > 0 ? Math.min(bytes / of, 1) : 0;
    $("progress-bar").value = part;
    const left = part > 0 ? (seconds / part) * (1 - part) : 0;
    $("progress-text").textContent =
      `${count(rows, "event")} · ${fileSize(bytes)} of ${fileSize(of)} · ` +
      `${numbers.format(Math.round(rows / seconds))} a second · about ${duration(Math.max(1, left))} left`;
    const quarter = Math.floor(part * 4); // who listens is told now and then, not ten times a second
    if (quarter > this.told) $("progress-told").textContent = `${quarter * 25} percent checked`;
    this.told = quarter;
  }

  hide() {
    $("progress").hidden = true;
    $("progress-told").textContent = "";
  }
}

const page = new Page();
