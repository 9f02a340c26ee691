// Where the files of a bundle come from: a folder, or a ZIP file. Both are {kind, names, ignored, problem, files, read}:
// `files` are the bundle's, {name, size}; `ignored` names the others of a folder; `problem` is what is wrong with the
// container itself; `read(name)` gives the pieces of a file.

// Of a folder, {path, file} for each file in it. Only those right in it count, not in folders below.
function openFolder(list) {
  const byName = new Map();
  const ignored = [];
  for (const { path, file } of list) {
    if (BUNDLE_FILES.includes(path)) byName.set(path, file);
    else ignored.push(path);
  }
  return {
    kind: "folder",
    names: [...byName.keys()],
    ignored,
    problem: null,
    files: [...byName].map(([name, file]) => ({ name, size: file.size })),
    read: (name) => readPieces(byName.get(name)),
    readAll: async () => {},
  };
}

// Of a ZIP file; null if it is none.
async function openZip(file) {
  const zip = await readZip(file);
  if (zip === null) return null;
  const names = zip.entries.map(({ name }) => name);
  const strange = names.find((name) => !BUNDLE_FILES.includes(name));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  let { problem } = zip;
  if (strange !== undefined) problem = damagedZip(`holds ${excerpt(strange)}, which is no file of a bundle`);
  else if (twice !== undefined) problem = damagedZip(`holds ${excerpt(twice)} twice`);
  const entry = (name) => zip.entries.find((item) => item.name === name);
  return {
    kind: "zip",
    names,
    ignored: [],
    problem,
    files: zip.entries,
    read: (name) => readZipEntry(file, entry(name)),
    // Take every file to its end, so that damage shows wherever it is.
    readAll: async () => {
      for (const item of zip.entries) for await (const piece of readZipEntry(file, item)) void piece;
    },
  };
}

function isBundle(source) {
  return source.names.includes("events.csv") || source.names.includes("evidence.json");
}
