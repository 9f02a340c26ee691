// Getting the log's files from where this page lies. They come from the party that is being checked, so their sizes are
// limited, and whoever asked checks what is in them.

const MAX_LOG_FILE = 256 * (65535 + 2); // the largest file there can be: a bundle of the longest entries
const FETCH_SECONDS = 30;

// The file is not there; for a file that the checkpoint needs that is a failure of the log.
class MissingFile extends Error {}

// Nothing is known: the network, the server, or the browser did not let us look.
class Unreachable extends Error {}

// The address that paths of the log start from. A page that is shown at ".../log" itself lies in "log/".
function logAddress(location) {
  const path = location.pathname;
  const last = path.slice(path.lastIndexOf("/") + 1);
  const folder = last === "" || last.includes(".") ? path.slice(0, path.length - last.length) : `${path}/`;
  return `${location.origin}${folder}`;
}

// The bytes of a file of the log. Only the checkpoint is ever replaced, so all others may come from the browser's cache,
// unless that is to be left out: `fresh`.
async function fetchLogFile(path, fresh = false) {
  const url = `${logAddress(window.location)}${path}`;
  const cache = path === "checkpoint" ? "no-store" : fresh ? "reload" : "default";
  let response;
  try {
    response = await fetch(url, { cache, signal: AbortSignal.timeout(FETCH_SECONDS * 1000) });
  } catch (error) {
    throw new Unreachable(`${url} can't be fetched (${error.name === "TimeoutError" ? "no answer" : error.message})`);
  }
  if (response.status === 404 || response.status === 410) throw new MissingFile(`${url} is not there`);
  if (!response.ok) throw new Unreachable(`${url} answered with HTTP ${response.status}`);
  return readCapped(response, url);
}

async function readCapped(response, url) {
  const parts = [];
  let size = 0;
  const reader = response.body.getReader();
  for (;;) {
    let step;
    try {
      step = await reader.read();
    } catch {
      throw new Unreachable(`${url} broke off`);
    }
    if (step.done) return concatBytes(...parts);
    size += step.value.length;
    if (size > MAX_LOG_FILE) {
      reader.cancel();
      throw new FormatError(`${url} is larger than anything in a log`);
    }
    parts.push(step.value);
  }
}

// A file that the checkpoint's size needs.
async function fetchTreeFile(path, fresh) {
  try {
    return await fetchLogFile(path, fresh);
  } catch (error) {
    if (error instanceof MissingFile)
      throw new VerificationError("tile", `${path} is missing, and the checkpoint's size needs it`);
    throw error;
  }
}
