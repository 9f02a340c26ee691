// Small parts that the site is made of, beside those of dom.js.

// One of the signs that are drawn once at the top of the page.
function sign(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "sign");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#sign-${name}`);
  svg.append(use);
  return svg;
}

function button(label, onClick, attributes = {}) {
  const made = make("button", { type: "button", ...attributes }, label);
  made.addEventListener("click", onClick);
  return made;
}

// A list of names and values.
function definitions(pairs, kind = "facts") {
  return make(
    "dl",
    { class: kind },
    ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
  );
}

function hashes(path) {
  return make("ol", { class: "path" }, ...path.map((hash) => make("li", { class: "hash" }, encodeBase64(hash))));
}

function details(summary, ...children) {
  return make("details", {}, make("summary", {}, summary), ...children);
}

function verbatim(label, text) {
  return make("pre", { tabindex: "0", "aria-label": label }, text);
}

// A button that copies a text; where the browser gives no clipboard, it marks what is shown of it.
function copyButton(label, text, shown = null) {
  const copy = button(
    label,
    async () => {
      try {
        await navigator.clipboard.writeText(text);
        copy.textContent = "Copied";
      } catch {
        if (shown !== null) window.getSelection().selectAllChildren(shown);
        copy.textContent = shown === null ? "Not copied: no clipboard here" : "Marked: copy it with Ctrl-C";
      }
      setTimeout(() => (copy.textContent = label), 3000);
    },
    { class: "small" },
  );
  return copy;
}

// Two signed checkpoints beside each other, to be copied, with the hashes between them if that is what shows a fork.
function bothCheckpoints(sides, path = []) {
  const texts = sides.map(({ title, bytes }) => ({ title, text: decodeUtf8(bytes, "a checkpoint") }));
  const sections = texts.map(({ title, text }) => {
    const shown = verbatim(title, text);
    return make(
      "section",
      {},
      make("h3", {}, title),
      shown,
      make("p", { class: "row" }, copyButton("Copy", text, shown)),
    );
  });
  const both = make("div", { class: "both" }, ...sections);
  const between =
    path.length > 0 ? `\nHashes between them (RFC 6962, 2.1.2):\n\n${path.map(encodeBase64).join("\n")}\n` : "";
  const all = texts.map(({ title, text }) => `${title}:\n\n${text}`).join("\n") + between;
  return [both, make("p", { class: "row" }, copyButton("Copy both", all, both))];
}

// A message as a sentence. An address or a path that it begins with stays as it is.
function sentence(text) {
  return `${text.replace(/^[a-z](?=[a-z]*[ ;,])/, (letter) => letter.toUpperCase())}.`;
}
