// All rows of a bundle against the records of its days (docs/formats.md §9, "Then the rows"). Rows may come in any
// order and from anywhere; what is found is counted by reason, and the first of each kind are kept to be shown.

const ROW_REASONS = [
  "row-tenant",
  "integrity-hash",
  "payload-hash",
  "row-duplicate",
  "row-order",
  "row-added",
  "row-missing",
  "row-link",
  "row-time",
  "row-head",
  "event-tree",
  "breaks",
];
const FINDINGS_KEPT = 50; // of each reason
// The kind of break that a finding is on a day whose record declares breaks; the other reasons are findings there too.
const BREAK_KINDS = {
  "integrity-hash": "integrity-hash",
  "payload-hash": "payload-hash",
  "row-missing": "missing",
  "row-link": "link",
  "row-time": "time",
  "row-head": "head",
};

function hexCell(bytes) {
  return utf8(encodeHex(bytes));
}

class DayRows {
  constructor(day) {
    this.day = day;
    this.record = day.record;
    this.dayText = utf8(day.day);
    this.tree = new EventTree();
    this.lastHash = day.record === null ? null : hexCell(day.record.headBefore); // as it stands in a cell
    this.lastTime = new Uint8Array(27); // before any time
    this.reached = -1n; // the highest seq
    this.breaks = []; // found, as far as declared
    this.breakCount = 0;
    this.findings = 0;
  }

  get declaresBreaks() {
    return this.record !== null && this.record.breaks > 0n;
  }
}

class RowChecker {
  // `days` are those of the bundle: {day, record, breaks}, the record null where the tenant has none.
  constructor(tenantId, days) {
    this.tenantId = utf8(tenantId);
    this.days = days.map((day) => new DayRows(day));
    this.filledDays = this.days.filter(({ record }) => record !== null && record.next > record.first);
    this.current = 0;
    this.highest = -1n;
    this.lastSeq = null;
    this.holes = []; // seqs that were passed over, in order: {from, to, filled}
    this.rows = 0;
    this.counts = new Map(ROW_REASONS.map((reason) => [reason, 0]));
    this.findings = [];
    this.hasher = new RowHasher();
  }

  // Take a record of the file: the header, or the next row.
  take(reader) {
    if (reader.record === 1) return this.checkHeader(reader);
    const seq = checkColumns(reader, this.tenantId);
    this.rows++;
    if (!cellIs(reader, TENANT_ID, this.tenantId)) this.find("row-tenant", null, seq, reader);
    const day = this.dayOf(seq);
    if (!hasIntegrity(this.hasher, reader)) this.find("integrity-hash", day, seq, reader);
    if (!hasPayload(this.hasher, reader)) this.find("payload-hash", day, seq, reader);
    this.checkOrder(seq, day, reader);
    if (day === null) this.find("row-added", null, seq, reader);
    else this.checkPlace(day, seq, reader);
  }

  checkHeader(reader) {
    EVENT_COLUMNS.forEach((name, cell) => {
      if (reader.starts[cell] < 0 || reader.text(cell) !== name)
        throw notCsv(1, `the column ${name} is not where it has to be`);
    });
  }

  // The day to which a seq belongs, or null. Rows mostly come in order, so the day of the one before is tried first.
  dayOf(seq) {
    const days = this.filledDays;
    const holds = (day) => day !== undefined && day.record.first <= seq && seq < day.record.next;
    if (holds(days[this.current])) return days[this.current];
    let [low, high] = [0, days.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (days[middle].record.next <= seq) low = middle + 1;
      else high = middle;
    }
    if (!holds(days[low])) return null;
    this.current = low;
    return days[low];
  }

  checkOrder(seq, day, reader) {
    if (seq > this.highest) {
      if (seq > this.highest + 1n) this.holes.push({ from: this.highest + 1n, to: seq, filled: null });
      this.highest = seq;
    } else if (seq === this.lastSeq || !this.fillHole(seq)) {
      this.find("row-duplicate", day, seq, reader);
    } else {
      this.find("row-order", day, seq, reader);
    }
    this.lastSeq = seq;
  }

  // Whether the seq was missing so far.
  fillHole(seq) {
    let [low, high] = [0, this.holes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.holes[middle].to <= seq) low = middle + 1;
      else high = middle;
    }
    const hole = this.holes[low];
    if (hole === undefined || seq < hole.from) return false;
    hole.filled ??= new Set();
    if (hole.filled.has(seq)) return false;
    hole.filled.add(seq);
    return true;
  }

  // Link, time and leaf of a row on its day. The row before it is the one of the same day.
  checkPlace(day, seq, reader) {
    const { buffer, starts } = reader;
    const isLater = seq > day.reached;
    if (!bytesAre(buffer, starts[PREV_HASH], day.lastHash) || !isLater) this.find("row-link", day, seq, reader);
    const time = starts[RECORDED_AT];
    if (!bytesAre(buffer, time, day.dayText) || compareAt(buffer, time, day.lastTime) < 0)
      this.find("row-time", day, seq, reader);
    day.lastHash.set(reader.bytes(INTEGRITY_HASH));
    day.lastTime.set(reader.bytes(RECORDED_AT));
    day.tree.add(reader, INTEGRITY_HASH);
    if (isLater) day.reached = seq;
  }

  // The file has ended: look for what is not there, and at each day as a whole.
  finish() {
    const missing = this.missingRuns();
    for (const day of this.days) {
      if (day.record !== null) {
        this.findMissing(day, missing);
        this.checkEnd(day);
      }
      this.checkBreaks(day);
    }
  }

  // The runs of seqs without rows, in order: [first, first one behind].
  *missingRuns() {
    for (const { from, to, filled } of this.holes) {
      let start = from;
      for (const seq of filled === null ? [] : [...filled].sort((a, b) => (a < b ? -1 : 1))) {
        if (seq > start) yield [start, seq];
        start = seq + 1n;
      }
      if (start < to) yield [start, to];
    }
    yield [this.highest + 1n, MAX_INT64 + 1n];
  }

  // Days and runs are both in order, and are walked together; a run over several days is one on each.
  findMissing(day, runs) {
    const { first, next } = day.record;
    this.run ??= runs.next().value;
    while (this.run !== undefined && this.run[0] < next) {
      const [from, to] = [this.run[0] > first ? this.run[0] : first, this.run[1] < next ? this.run[1] : next];
      if (from < to) this.find("row-missing", day, from, null, to - 1n);
      if (this.run[1] > next) break;
      this.run = runs.next().value;
    }
  }

  checkEnd(day) {
    const { record, tree } = day;
    const isComplete = day.reached === record.next - 1n || record.first === record.next;
    if (isComplete && !equalBytes(day.lastHash, hexCell(record.headAfter)))
      this.find("row-head", day, record.next - 1n, null);
    if (BigInt(tree.count) !== record.count || !equalBytes(tree.root(), record.root))
      this.find("event-tree", day, null, null);
  }

  checkBreaks(day) {
    const declared = day.day.breaks;
    day.breaks.sort(compareBreaks);
    const isTold =
      declared.length === day.breakCount && declared.every((item, i) => compareBreaks(item, day.breaks[i]) === 0);
    const isCounted = BigInt(declared.length) === (day.record === null ? 0n : day.record.breaks);
    if (!isTold || !isCounted) this.find("breaks", day, null, null);
  }

  // Count what was found, or note it as a break where the day's record declares some.
  find(reason, day, seq, reader, lastSeq = null) {
    const kind = BREAK_KINDS[reason];
    if (day !== null && day.declaresBreaks && kind !== undefined) {
      day.breakCount++;
      if (day.breaks.length < day.day.breaks.length) day.breaks.push({ kind, seq });
      return;
    }
    const count = this.counts.get(reason) + 1;
    this.counts.set(reason, count);
    if (day !== null) day.findings++;
    if (count > FINDINGS_KEPT) return;
    this.findings.push({
      reason,
      day: day === null ? null : day.day.day,
      seq: seq === null ? null : String(seq),
      lastSeq: lastSeq === null ? null : String(lastSeq),
      record: reader === null ? null : reader.record,
      cells: reader === null ? null : EVENT_COLUMNS.map((_, cell) => reader.text(cell)),
    });
  }

  // The reason that comes first in the specification's order, or null if nothing was found.
  get reason() {
    return ROW_REASONS.find((reason) => this.counts.get(reason) > 0) ?? null;
  }
}

function compareAt(buffer, at, other) {
  for (let i = 0; i < other.length; i++) if (buffer[at + i] !== other[i]) return buffer[at + i] - other[i];
  return 0;
}

// By seq, then by kind.
function compareBreaks(a, b) {
  if (a.seq !== b.seq) return a.seq < b.seq ? -1 : 1;
  return a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : 0;
}
