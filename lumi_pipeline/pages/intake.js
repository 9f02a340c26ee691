// What the reader chose or dropped, as {name, files: [{path, file}]} for a folder or several files, or {name, file}.
//
// A page that was opened from disk can't walk through a dropped folder itself in every browser, but a field for folders
// can, in all of them. So that field lies under whatever is dragged over the window: a folder falls into it, and files
// are taken from the drop.

class Intake {
  constructor(onInput, onProblem) {
    this.onInput = onInput;
    this.onProblem = onProblem;
    this.folder = $("folder");
    this.file = $("file");
    this.folder.addEventListener("change", () => this.take(this.folder, fromFolder));
    this.file.addEventListener("change", () => this.take(this.file, fromFiles));
    let depth = 0; // dragenter and dragleave come for every element on the way
    const over = (change) => {
      depth = Math.max(0, depth + change);
      document.body.classList.toggle("dragging", depth > 0);
    };
    document.addEventListener("dragenter", (event) => hasFiles(event) && over(1));
    document.addEventListener("dragleave", (event) => hasFiles(event) && over(-1));
    document.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
    document.addEventListener("drop", (event) => {
      over(-depth);
      if (hasFiles(event)) this.drop(event);
    });
  }

  take(field, read) {
    const files = [...field.files];
    field.value = ""; // so that the same choice counts again
    if (files.length > 0) this.onInput(read(files));
  }

  drop(event) {
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
    const folders = entries.filter((entry) => entry?.isDirectory).length;
    if (folders === 1 && entries.length === 1 && event.target === this.folder) return; // the field takes it
    event.preventDefault();
    if (folders > 0) this.onProblem("Drop one folder at a time, or the files that are in it.");
    else this.onInput(fromFiles([...event.dataTransfer.files]));
  }
}

function hasFiles(event) {
  return event.dataTransfer !== null && event.dataTransfer.types.includes("Files");
}

// The files of a folder have paths that begin with its name.
function fromFolder(files) {
  const [name] = files[0].webkitRelativePath.split("/");
  return {
    name,
    files: files.map((file) => ({ path: file.webkitRelativePath.slice(name.length + 1), file: new ChosenFile(file) })),
  };
}

// One file is a ZIP file, a proof, or part of a bundle; several are what somebody marked in the bundle's folder.
function fromFiles(files) {
  if (files.length === 1) return { name: files[0].name, file: new ChosenFile(files[0]) };
  return {
    name: `${files.length} files`,
    files: files.map((file) => ({ path: file.name, file: new ChosenFile(file) })),
  };
}
