// What this browser keeps between visits, for itself alone: the last checkpoint that was verified here, one for each
// address. (The keys that a visitor trusts are kept by trust.js.)

function memoryKey() {
  return `lumi-checkpoint ${logAddress(window.location)}`;
}

// Whether it could be kept; null forgets.
function writeMemory(text) {
  try {
    if (text === null) localStorage.removeItem(memoryKey());
    else localStorage.setItem(memoryKey(), text);
    return true;
  } catch {
    return false; // the visitor's settings forbid it
  }
}

// The checkpoint of an earlier visit: {checkpoint, bytes, seen, since, sinceSize}, times as ISO text; null if there is
// none that can be read.
function recall() {
  try {
    const kept = JSON.parse(localStorage.getItem(memoryKey()));
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
    JSON.stringify({
      checkpoint: decodeUtf8(check.checkpointBytes, "the checkpoint"),
      seen: now.toISOString(),
      since: before === null ? now.toISOString() : before.since,
      sinceSize: before === null ? String(check.checkpoint.size) : before.sinceSize,
    }),
  );
}
