// The keys that the reader trusts: shown, edited, told what they are, and remembered only if the reader says so.

const STORED_KEYS = "lumi-trusted-keys";

class TrustPanel {
  constructor(onChange) {
    this.field = $("keys");
    this.remember = $("remember");
    this.list = $("key-list");
    this.onChange = onChange;
    const stored = this.load();
    this.field.value = stored ?? "";
    this.remember.checked = stored !== null;
    this.field.addEventListener("input", () => this.changed());
    this.remember.addEventListener("change", () => this.save());
    this.show();
  }

  // The text, if it can be read as keys or a policy; null otherwise, and the field says why.
  get text() {
    return this.show() === null ? null : this.field.value;
  }

  changed() {
    this.show();
    this.save();
    this.onChange();
  }

  // Show what was read; null if it can't be read.
  show() {
    let trust = null;
    let problem = "";
    try {
      trust = parseTrust(this.field.value);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      problem = error.message;
    }
    this.field.setAttribute("aria-invalid", String(trust === null));
    $("keys-problem").textContent = problem === "" ? "" : `This can’t be read: ${problem}.`;
    replaceContent(this.list, trust === null ? [] : describeTrust(trust));
    return trust;
  }

  // A browser may refuse pages from disk any memory; then there is none.
  load() {
    try {
      return localStorage.getItem(STORED_KEYS);
    } catch {
      return null;
    }
  }

  save() {
    try {
      if (this.remember.checked) localStorage.setItem(STORED_KEYS, this.field.value);
      else localStorage.removeItem(STORED_KEYS);
    } catch {
      this.remember.checked = false;
      this.remember.disabled = true;
    }
  }
}

function describeTrust({ keys, witnesses, quorum }) {
  const item = (role, key) =>
    make(
      "li",
      {},
      make("span", { class: "role" }, role),
      " ",
      make("span", { class: "name" }, key.name),
      fingerprint(key.fingerprint),
    );
  const items = [
    ...keys.map((key) => item(key.name.endsWith("/evidence") ? "Evidence key" : "Log key", key)),
    ...witnesses.map(({ key }) => item("Witness", key)),
  ];
  if (items.length === 0) {
    return [
      make("li", { class: "none" }, "No key yet. Without one the best verdict is “consistent, key unconfirmed”."),
    ];
  }
  if (witnesses.length > 0) items.push(make("li", { class: "none" }, describeQuorum(quorum, witnesses.length)));
  return items;
}

function describeQuorum(quorum, witnesses) {
  if (quorum === null) return "None of these witnesses has to have confirmed the log.";
  if (quorum.key !== undefined || (witnesses === 1 && quorum.threshold === 1))
    return "This witness must have confirmed the log.";
  return `At least ${quorum.threshold} of ${quorum.members.length} must have confirmed the log.`;
}
