// Making elements. Whatever comes from the log gets into the page as text, never as markup.

function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null));
  return element;
}

// One of the signs that are drawn once at the top of the page.
function sign(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "sign");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "use"));
  svg.firstChild.setAttribute("href", `#sign-${name}`);
  return svg;
}

function byId(id) {
  return document.getElementById(id);
}

function fill(id, ...children) {
  byId(id).replaceChildren(...children.flat(Infinity).filter((child) => child !== null));
}

function count(number, singular, plural = `${singular}s`) {
  return `${Number(number).toLocaleString("en")} ${Number(number) === 1 ? singular : plural}`;
}

// Hexadecimal in groups of eight, to be compared by eye or read out.
function inGroups(hex) {
  return el("span", { class: "groups" }, hex.match(/.{8}/g).map((group) => el("span", {}, group)));
}

// A button that copies a text; where the browser gives no clipboard, it shows the text marked.
function copyButton(label, text, shown = null) {
  const button = el("button", { type: "button", class: "small" }, label);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      if (shown !== null) window.getSelection().selectAllChildren(shown);
      button.textContent = shown === null ? "Not copied: no clipboard here" : "Marked: copy it with Ctrl-C";
    }
    setTimeout(() => (button.textContent = label), 3000);
  });
  return button;
}
