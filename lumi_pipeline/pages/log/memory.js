// What this browser keeps between visits, for itself alone: whom the visitor trusts, and the last checkpoint that was
// verified here. One memory for each address.

function memoryKey(kind) {
  return `lumi log ${kind} ${logAddress(window.location)}`;
}

function readMemory(kind) {
  try {
    return window.localStorage.getItem(memoryKey(kind));
  } catch {
    return null; // the visitor's settings forbid it
  }
}

// Whether it could be kept.
function writeMemory(kind, text) {
  try {
    if (text === null) window.localStorage.removeItem(memoryKey(kind));
    else window.localStorage.setItem(memoryKey(kind), text);
    return true;
  } catch {
    return false;
  }
}

// The checkpoint of an earlier visit: {checkpoint, bytes, seen, since, sinceSize}, times as ISO text; null if there is
// none that can be read.
function recall() {
  const text = readMemory("checkpoint");
  if (text === null) return null;
  try {
    const kept = JSON.parse(text);
    const bytes = utf8(kept.checkpoint);
    const checkpoint = parseCheckpoint(bytes);
    if (checkpoint.size < 1n || checkpoint.size > MAX_LOG_SIZE) return null;
    return { checkpoint, bytes, seen: String(kept.seen), since: String(kept.since), sinceSize: String(kept.sinceSize) };
  } catch {
    return null;
  }
}

// Keep a checkpoint once everything in its log was verified; never a shorter one than another tab kept meanwhile.
function remember(check, now) {
  const before = recall();
  if (before !== null && before.checkpoint.size > check.checkpoint.size) return false;
  return writeMemory(
    "checkpoint",
    JSON.stringify({
      checkpoint: decodeUtf8(check.checkpointBytes, "the checkpoint"),
      seen: now.toISOString(),
      since: before === null ? now.toISOString() : before.since,
      sinceSize: before === null ? String(check.checkpoint.size) : before.sinceSize,
    }),
  );
}
