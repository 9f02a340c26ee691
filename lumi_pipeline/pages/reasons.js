// What each reason means, for somebody who is not a programmer: the headline, and a sentence or two. The codes are those
// of docs/formats.md.

const REASONS = {
  ok: [
    "Verified",
    "These are all events that the log committed to for this tenant and period, and none of them was altered.",
  ],
  "key-unconfirmed": [
    "Consistent, key unconfirmed",
    "Everything fits together, but you gave no key that you trust, so anybody could have made this. Get the log’s key by another route than this evidence, paste it under “Keys you trust”, and check again; or compare the fingerprint below over the telephone.",
  ],
  unrecognised: [
    "Not recognised",
    "There is nothing in it that could be checked. Choose the folder or the ZIP file of the evidence, or a .tlog-proof file, as it was delivered.",
  ],
  unreachable: [
    "Not completed",
    "Your browser could not read a file to its end. It may have been moved or changed meanwhile; choose it again.",
  ],

  "bundle-format": [
    "Not in form",
    "The folder or ZIP file is damaged, or holds things that a bundle does not hold. Ask for it again, or use the folder as it was delivered.",
  ],
  "missing-file": [
    "A file is missing",
    "A bundle has eight files, and not all of them are here. Choose the whole folder or the ZIP file, as it was delivered.",
  ],
  malformed: [
    "Damaged",
    "A proof was changed or cut off: it is not written in the one way in which it may be written.",
  ],
  "checkpoint-format": ["Damaged", "The log’s signed statement was changed or cut off."],
  "checkpoint-origin": [
    "Of another log",
    "This is signed for another log than those whose keys you trust. Is it the right evidence, and are they the right keys?",
  ],
  "checkpoint-signature": [
    "Not signed with your key",
    "The log’s statement does not carry a good signature by the key that you trust. It was forged or altered, or you were given another key than the log’s.",
  ],
  "witness-signature": [
    "A witness’s signature is wrong",
    "The statement names a witness that you trust, and the signature is not that witness’s.",
  ],
  "witness-quorum": [
    "Not enough witnesses",
    "Too few of the witnesses that you trust have confirmed the log’s statement. Without them you might be shown another history than others.",
  ],
  "genesis-inclusion": [
    "The log’s beginning is not proved",
    "The first entry of the log, which says whose log it is, is not proved to be part of it.",
  ],
  "genesis-origin": [
    "Of another log",
    "The first entry, or the evidence, belongs to another log than the signed statement.",
  ],
  "genesis-key": [
    "The log began with another key",
    "You don’t trust the key that this log began with. If the log has replaced its key since, add the old key to those you trust.",
  ],
  "day-list": [
    "Days are missing or out of turn",
    "The bundle does not hold each day of its period exactly once, in order.",
  ],
  "day-inclusion": [
    "A day’s record is not in the log",
    "A day’s record is not proved to stand in the public log at the place that belongs to that day.",
  ],
  "day-record": ["A day’s record is damaged", "What the log holds for a day is not a day’s record in form."],
  "day-origin": ["A day’s record is of another log", "The log holds the record of another log at the place of a day."],
  "day-index": [
    "A day’s record is in the wrong place",
    "The log holds the record of one day at the place that belongs to another.",
  ],
  "day-sealed": [
    "A day was sealed before its turn",
    "A day’s record says that it was made before that of the day before.",
  ],
  "first-checkpoint": [
    "The time of a day is not proved",
    "The statement with which a day’s record is said to have been published first does not hold.",
  ],
  "tenant-record": [
    "A day’s record is not this tenant’s",
    "A tenant’s record is of another day or tenant, or contradicts itself.",
  ],
  "tenant-map": [
    "A tenant’s record is not what was committed to",
    "What the bundle says of this tenant on a day is not what the public log committed to.",
  ],
  "tenant-chain": [
    "A tenant’s days don’t follow one another",
    "The record of a day does not continue where the day before ended.",
  ],
  "csv-resaved": [
    "Saved again by a program",
    "events.csv carries marks of a program, such as a spreadsheet, that opened it and saved it again. Its content may still be right, but it can’t be checked any more. Ask for the file as it was made, and work on a copy.",
  ],
  "csv-format": ["events.csv is not in form", "The table can’t be read as it was written. It was cut off or edited."],
  "row-tenant": ["Rows of another tenant", "The table holds events that belong to somebody else."],
  "integrity-hash": [
    "Events were altered",
    "At least one event is not what was recorded: its columns don’t give the fingerprint that it was recorded with.",
  ],
  "payload-hash": [
    "Details of events were altered",
    "The details of at least one event (names, addresses, states before and after) are not those that were recorded.",
  ],
  "row-duplicate": ["Events are there twice", "At least one event number comes more than once."],
  "row-order": ["Events are out of order", "The events don’t stand in the order of their numbers."],
  "row-added": ["Events were added", "The table holds events that belong to no day of this bundle."],
  "row-missing": ["Events are missing", "The public log committed to events that are not in the table."],
  "row-link": [
    "The chain of events is broken",
    "At least one event does not link to the one before it: something was replaced or removed.",
  ],
  "row-time": [
    "A time does not fit",
    "At least one event was recorded outside its day, or before the one that precedes it.",
  ],
  "row-head": ["A day ends with another event", "The last event of a day is not the one that the day’s record names."],
  "event-tree": [
    "Events are not those that were committed to",
    "The events of a day don’t give the value that the public log committed to.",
  ],
  breaks: [
    "Breaks are not as declared",
    "The breaks in the chain of events are not those that the bundle lists, or not as many as its records declare.",
  ],
  checksums: ["A file was changed", "The files are not those that SHA256SUMS lists."],
  "bundle-signature": [
    "The bundle’s signature is wrong",
    "SHA256SUMS, which lists the files, does not carry a good signature.",
  ],
  "evidence-key": [
    "Not signed by the producer",
    "The bundle’s list of files is not signed with a key of this log’s evidence. The events themselves hold; who put the bundle together is not proved.",
  ],
  "declared-break": [
    "A finding: declared breaks",
    "Everything is as it was sealed, and nothing was changed since. But on the days marked below the chain of events was broken already when it was sealed, and the log says so. Ask the producer what happened.",
  ],
  inclusion: [
    "The event is not among the day’s",
    "The event is not proved to be among the tenant’s events of that day.",
  ],
  "event-place": [
    "The event is in the wrong place",
    "The event has a number, a time or a link that its place in the day does not have.",
  ],
};

// The proof file's own words for success.
const PROOF_WORDS = {
  "lumi/event-proof/v1": "This event is in the public log, as it is shown here, and was not altered.",
  "lumi/tenant-day-proof/v1": "What is shown here of the tenant’s day is what the public log committed to.",
  "lumi/absence-proof/v1": "On that day the tenant had no records in the log yet.",
};

// The kinds of verdict, as a page shows them: a mark, and a word for who can't see it.
function toneOf({ exitCode, reason }) {
  if (exitCode === 0) return "good";
  if (reason === "key-unconfirmed") return "unsure";
  if (reason === "declared-break") return "finding";
  return exitCode === 1 ? "bad" : "unknown";
}

const TONE_WORDS = {
  good: "Verified",
  unsure: "Not confirmed",
  finding: "Sealed with breaks",
  bad: "Does not verify",
  unknown: "No verdict",
};

// What is checked, in order, and the reasons that each check can fail with.
const BUNDLE_CHECKS = [
  ["All files are there and in form", ["bundle-format", "missing-file", "malformed"]],
  ["The log’s latest statement is signed", ["checkpoint-format", "checkpoint-origin", "checkpoint-signature"]],
  ["Witnesses that you trust have confirmed it", ["witness-signature", "witness-quorum"]],
  ["The log’s beginning names its key", ["genesis-inclusion", "genesis-origin", "genesis-key"]],
  [
    "Every day of the period is there, at its place in the log",
    ["day-list", "day-inclusion", "day-record", "day-origin", "day-index", "day-sealed"],
  ],
  ["When each day was published first is proved", ["first-checkpoint"]],
  [
    "The tenant’s record of each day is the one committed to, and they follow one another",
    ["tenant-record", "tenant-map", "tenant-chain"],
  ],
  ["The table is as it was written", ["csv-resaved", "csv-format"]],
  ["Every event is this tenant’s, and unaltered", ["row-tenant", "integrity-hash", "payload-hash"]],
  [
    "No event is missing, added, doubled or moved",
    ["row-duplicate", "row-order", "row-added", "row-missing", "row-link", "row-time", "row-head"],
  ],
  ["The events of each day are those that the log committed to", ["event-tree", "breaks"]],
  ["The files are as listed, and the list is signed", ["checksums", "bundle-signature", "evidence-key"]],
  ["No day was sealed with a broken chain", ["declared-break"]],
  ["The key is one that you trust", ["key-unconfirmed"]],
];

// For each check: "done", "failed", or "open" (not reached).
function checkStates({ reason, counts }) {
  const at =
    reason === "ok" ? BUNDLE_CHECKS.length : BUNDLE_CHECKS.findIndex(([, reasons]) => reasons.includes(reason));
  const isRows = ([, reasons]) => reasons.some((code) => ROW_REASONS.includes(code));
  return BUNDLE_CHECKS.map((check, i) => {
    if (i === at || check[1].some((code) => counts[code] > 0)) return "failed";
    if (i < at) return "done";
    return isRows(check) && at >= 0 && isRows(BUNDLE_CHECKS[at]) ? "done" : "open";
  });
}
