// Days of the calendar: which are recorded, which came late, which are missing by now.

const DAY_MS = 86400000;
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
const WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

// Milliseconds after midnight UTC by which the record of the day before is expected; "HH:MM" stands in the page.
function readDue(text) {
  const match = /^([01][0-9]|2[0-3]):([0-5][0-9])$/.exec(text);
  if (match === null) throw new FormatError(`a time of day as HH:MM expected, got ${excerpt(text)}`);
  return (Number(match[1]) * 60 + Number(match[2])) * 60000;
}

function timeOf(timestamp) {
  return Date.parse(`${timestamp.slice(0, 23)}Z`);
}

// The number of the last day whose record should be there at a time.
function lastDueDay(now, due) {
  return Math.floor((now - due) / DAY_MS) - 1;
}

// 0 for Monday; 1970-01-01 was a Thursday.
function weekday(number) {
  return (((number + 3) % 7) + 7) % 7;
}

function longDay(number) {
  const [year, month, day] = dayOfNumber(number).split("-").map(Number);
  return `${WEEKDAYS[weekday(number)]}, ${day} ${MONTHS[month - 1]} ${year}`;
}

function monthName(month) {
  const [year, number] = month.split("-").map(Number);
  return `${MONTHS[number - 1]} ${year}`;
}

// "2026-11-22 00:15:03", from milliseconds.
function clockTime(ms) {
  return `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

// All that the calendar says of a log at a time.
class Days {
  constructor(check, now, due) {
    this.check = check;
    this.now = now;
    this.due = due;
    this.first = check.genesis === null ? null : dayNumber(check.genesis.firstDay);
    this.lastRecorded = check.genesis === null ? null : this.first + check.size - 2;
    this.today = Math.floor(now / DAY_MS);
    // The calendar ends with today, or with a record that is from a day that this browser's clock has not reached.
    this.last = this.first === null ? null : Math.max(this.lastRecorded, this.today, this.first);
  }

  index(number) {
    return number - this.first + 1;
  }

  // What there is to say of a day: {kind, record, late, breaks, announces}. The kinds: "recorded"; "unread" (the log has
  // it, this page has not come to it yet); "missing" (it is due and not there); "awaited" (it is not due yet).
  state(number) {
    if (number < this.first || number > this.last)
      return { kind: "outside", record: null, late: null, breaks: 0n, announces: false };
    if (number > this.lastRecorded) {
      const kind = number <= lastDueDay(this.now, this.due) ? "missing" : "awaited";
      return { kind, record: null, late: null, breaks: 0n, announces: false };
    }
    const record = this.check.record(this.index(number));
    if (record === null) return { kind: "unread", record, late: null, breaks: 0n, announces: false };
    const after = timeOf(record.sealed) - (number + 1) * DAY_MS;
    return {
      kind: "recorded",
      record,
      after,
      late: after > this.due ? after : null,
      breaks: record.breaks,
      announces: record.nextKey !== null || record.nextEvidenceKey !== null,
    };
  }

  // The numbers of the days for which something has to be said, the newest first, each with its state.
  *notable() {
    for (let number = this.last; this.first !== null && number >= this.first; number--) {
      const state = this.state(number);
      if (state.kind === "missing" || state.late !== null || state.breaks > 0n || state.announces)
        yield { number, state };
    }
  }

  get missing() {
    if (this.first === null) return [];
    const count = lastDueDay(this.now, this.due) - this.lastRecorded;
    return Array.from({ length: Math.max(0, count) }, (_, i) => this.lastRecorded + 1 + i);
  }
}

// One sentence on a day, for its button's label and its heading.
function describeDay(state) {
  if (state.kind === "missing") return "no record, and it is overdue";
  if (state.kind === "awaited") return "no record yet; it is not due";
  if (state.kind === "unread") return "recorded; not checked yet";
  if (state.kind === "outside") return "outside the log";
  const parts = [
    state.late === null ? "recorded" : `recorded late, ${duration(state.after / 1000)} after the day’s end`,
  ];
  if (state.breaks > 0n) parts.push(count(state.breaks, "declared break"));
  if (state.announces) parts.push("announces a key");
  return parts.join("; ");
}
