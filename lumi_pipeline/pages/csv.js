// The CSV of a bundle (docs/formats.md §9, "events.csv"), split into cells where it lies, byte for byte: a cell is a
// place in the buffer, so that rows are hashed without making text of them. Null (an empty cell without quotes) and the
// empty text ("") are told apart. Files of any size: what is kept is one piece of the file and the record in progress.

const MAX_RECORD = 16777216;
const [TAB, LF, CR, QUOTE, APOSTROPHE, COMMA, SEMICOLON] = [0x09, 0x0a, 0x0d, 0x22, 0x27, 0x2c, 0x3b];
// What a spreadsheet takes for a formula's beginning: ' = + - @ TAB CR LF, and their full-width forms, EF BC and these.
const FORMULA_STARTS = new Uint8Array(256);
for (const byte of [APOSTROPHE, 0x3d, 0x2b, 0x2d, 0x40, TAB, CR, LF]) FORMULA_STARTS[byte] = 1;
const WIDE_FORMULA_STARTS = new Set([0x87, 0x9d, 0x8b, 0x8d, 0xa0]);

// The reasons, as errors that name the record (1 is the header).
function resaved(record, what) {
  return new VerificationError("csv-resaved", `record ${record} of events.csv: ${what}`);
}

function notCsv(record, what) {
  return new VerificationError("csv-format", `record ${record} of events.csv: ${what}`);
}

class CsvReader {
  // `onRecord(reader)` is called for each record; its cells are at starts[i] to ends[i] of `buffer`, a null has -1.
  constructor(columns, onRecord) {
    this.columns = columns;
    this.onRecord = onRecord;
    this.buffer = new Uint8Array(1 << 20);
    this.filled = 0;
    this.record = 0; // the number of records so far
    this.starts = new Int32Array(columns);
    this.ends = new Int32Array(columns);
    this.escaped = new Uint8Array(columns);
    this.decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    this.begun = false;
  }

  // Take the next piece of the file.
  push(piece) {
    this.reserve(piece.length);
    this.buffer.set(piece, this.filled);
    this.filled += piece.length;
    if (!this.begun && this.filled >= 3) this.checkBeginning();
    this.takeRecords();
  }

  // The file has ended.
  end() {
    if (!this.begun) this.checkBeginning();
    if (this.filled > 0) throw notCsv(this.record + 1, "the file ends in the middle of it");
    if (this.record === 0) throw notCsv(1, "the file is empty");
  }

  reserve(size) {
    if (this.filled + size <= this.buffer.length) return;
    const larger = new Uint8Array(Math.max(2 * this.buffer.length, this.filled + size));
    larger.set(this.buffer.subarray(0, this.filled));
    this.buffer = larger;
  }

  checkBeginning() {
    this.begun = true;
    const [a, b, c] = this.buffer;
    const marked = this.filled >= 2 && ((a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff));
    if (marked || (this.filled >= 3 && a === 0xef && b === 0xbb && c === 0xbf)) {
      throw resaved(1, "a byte order mark, which programs put there that save a file again");
    }
  }

  takeRecords() {
    let at = 0;
    for (;;) {
      const end = this.split(at);
      if (end < 0) break;
      this.record++;
      this.onRecord(this);
      at = end;
    }
    this.buffer.copyWithin(0, at, this.filled);
    this.filled -= at;
    if (this.filled > MAX_RECORD) throw notCsv(this.record + 1, "it is too long");
  }

  // Find the cells of the record that starts here; return where the next one does, or -1 if the rest is yet to come.
  split(start) {
    if (this.record === 0 && !this.checkSeparator()) return -1;
    const { buffer, filled, starts, ends, escaped, columns } = this;
    const number = this.record + 1;
    let column = 0;
    let seen = 0; // all bytes or-ed: whether any is beyond ASCII
    let hasZero = false;
    for (let at = start; ; at++) {
      if (at >= filled) return -1;
      const isQuoted = buffer[at] === QUOTE;
      const begin = isQuoted ? ++at : at;
      let hasQuotes = 0;
      for (; at < filled; at++) {
        const byte = buffer[at];
        if (byte === QUOTE) {
          if (!isQuoted || at + 1 >= filled || buffer[at + 1] !== QUOTE) break;
          hasQuotes = 1;
          at++;
        } else if (!isQuoted && (byte === COMMA || byte === CR || byte === LF)) {
          break;
        }
        seen |= byte;
        if (byte === 0) hasZero = true;
      }
      const end = at;
      if (isQuoted) at++; // the closing quote, or one that the next piece of the file may double
      if (at >= filled || (buffer[at] === CR && at + 1 >= filled)) return -1;
      if (column < columns) {
        starts[column] = isQuoted || end > begin ? begin : -1;
        ends[column] = end;
        escaped[column] = hasQuotes;
      }
      column++;
      if (buffer[at] === COMMA) continue;
      if (buffer[at] === LF) throw resaved(number, "its line end lacks the carriage return that every one of ours has");
      if (buffer[at] !== CR || buffer[at + 1] !== LF) throw notCsv(number, "quotes or line ends where none may be");
      if (at + 2 - start > MAX_RECORD) throw notCsv(number, "it is too long");
      if (hasZero) throw notCsv(number, "it holds the character U+0000");
      if (seen & 0x80) this.checkUtf8(number, start, at);
      if (column !== columns) throw notCsv(number, `it has ${column} cells, not ${columns}`);
      this.unwrapCells(number);
      return at + 2;
    }
  }

  // A header with other separators than commas is the work of a program that knows better. False if it is not all here.
  checkSeparator() {
    const end = this.buffer.subarray(0, this.filled).indexOf(LF);
    if (end < 0) return false;
    const line = this.buffer.subarray(0, end);
    if (!line.includes(COMMA) && (line.includes(SEMICOLON) || line.includes(TAB))) {
      throw resaved(1, "semicolons or tabs in place of the commas");
    }
    return true;
  }

  checkUtf8(number, start, end) {
    try {
      this.decoder.decode(this.buffer.subarray(start, end));
    } catch {
      throw notCsv(number, "it is not valid UTF-8");
    }
  }

  // Turn "" back into " where it lies, and strip the ' in front of what a spreadsheet would take for a formula.
  unwrapCells(number) {
    const { buffer, starts, ends, escaped } = this;
    for (let i = 0; i < this.columns; i++) {
      if (starts[i] < 0 || starts[i] === ends[i]) continue;
      if (escaped[i] !== 0) {
        let to = starts[i];
        for (let from = to; from < ends[i]; from++, to++) {
          buffer[to] = buffer[from];
          if (buffer[from] === QUOTE) from++;
        }
        ends[i] = to;
      }
      const first = buffer[starts[i]];
      if (first === APOSTROPHE) {
        starts[i]++;
        if (!this.startsLikeFormula(i)) throw notCsv(number, "a ' stands in front of something that needs none");
      } else if (this.startsLikeFormula(i)) {
        throw notCsv(number, "a cell begins like a formula, without the ' in front that every such cell of ours has");
      }
    }
  }

  startsLikeFormula(i) {
    const at = this.starts[i];
    if (at >= this.ends[i]) return false;
    const { buffer } = this;
    if (buffer[at] !== 0xef) return FORMULA_STARTS[buffer[at]] === 1;
    return at + 2 < this.ends[i] && buffer[at + 1] === 0xbc && WIDE_FORMULA_STARTS.has(buffer[at + 2]);
  }

  // A cell as text or null, for showing it.
  text(i) {
    return this.starts[i] < 0 ? null : this.decoder.decode(this.bytes(i));
  }

  bytes(i) {
    return this.buffer.subarray(this.starts[i], this.ends[i]);
  }
}
