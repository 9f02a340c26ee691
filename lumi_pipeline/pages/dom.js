// Building the page's own elements. Whatever came with the evidence gets in as text, never as markup.

const $ = (id) => document.getElementById(id);

// make("p", {class: "note"}, "text", child, …): children that are null are left out.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

function replaceContent(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null));
}

// A date or a time: it stays on one line.
function whole(text) {
  return make("span", { class: "whole" }, text);
}

const numbers = new Intl.NumberFormat("en");

function count(number, one, many = `${one}s`) {
  return `${numbers.format(number)} ${BigInt(number) === 1n ? one : many}`;
}

// Seconds in words, to the two largest units: "1 day 4 hours".
function duration(seconds) {
  if (seconds < 0) return `${duration(-seconds)} before the day’s end`;
  const units = [
    [86400, "day"],
    [3600, "hour"],
    [60, "minute"],
    [1, "second"],
  ];
  const parts = [];
  let rest = Math.round(seconds);
  for (const [size, name] of units) {
    if (parts.length < 2 && (rest >= size || (size === 1 && parts.length === 0))) {
      parts.push(count(Math.floor(rest / size), name));
      rest %= size;
    } else if (parts.length === 1) {
      break;
    }
  }
  return parts.join(" ");
}

function fileSize(bytes) {
  const power = bytes < 1e6 ? [1e3, "kB"] : bytes < 1e9 ? [1e6, "MB"] : [1e9, "GB"];
  return `${numbers.format(Math.round((bytes / power[0]) * 10) / 10)} ${power[1]}`;
}

// A fingerprint in groups of eight, easy to read out and to compare.
function fingerprint(hex) {
  return make("code", { class: "fingerprint" }, ...hex.match(/.{8}/g).map((group) => make("span", {}, group)));
}

// A mark that says with its shape what it says with its colour. The word beside it is for everybody.
const SHAPES = {
  good: ["M4.5 12.5l5 5 10-11"],
  bad: ["M6 6l12 12", "M18 6L6 18"],
  unsure: ["M8.5 9a3.5 3.5 0 1 1 5 3.2c-1 .6-1.5 1.2-1.5 2.3", "M12 18.2v.1"],
  finding: ["M12 6v7.5", "M12 17.6v.1"],
  unknown: ["M6 12h12"],
};

function mark(tone) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of Object.entries({ viewBox: "0 0 24 24", class: `mark ${tone}`, "aria-hidden": "true" })) {
    svg.setAttribute(name, value);
  }
  for (const d of SHAPES[tone]) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}
