// Files to read from, in pieces: {size, read(start, end)}, the latter a promise of those bytes.

const PIECE = 4194304; // how much of a file is read at a time

// A file that somebody chose. It is the page that reads it: some browsers let no worker of a page from disk do so.
class ChosenFile {
  constructor(file) {
    this.file = file;
    this.size = file.size;
  }

  async read(start, end) {
    // A slice costs a browser more than the bytes of a small file.
    const part = start === 0 && end >= this.size ? this.file : this.file.slice(start, end);
    return new Uint8Array(await part.arrayBuffer());
  }
}

// The same file in the worker, which asks the page for its bytes: `ask(start, end)`.
class DistantFile {
  constructor(size, ask) {
    this.size = size;
    this.ask = ask;
  }

  read(start, end) {
    return this.ask(start, end);
  }
}

async function* readPieces(file, start = 0, end = file.size) {
  for (let at = start; at < end; at += PIECE) yield file.read(at, Math.min(at + PIECE, end));
}

// The pieces of a deflated part of a file, inflated. A TypeError means that it is no such thing.
async function* inflatePieces(file, start, end) {
  const packed = readPieces(file, start, end);
  let failed = null; // what the file itself failed with, which the streams might pass on as something else
  const pull = async (controller) => {
    try {
      const { value, done } = await packed.next();
      if (done) controller.close();
      else controller.enqueue(value);
    } catch (error) {
      failed = error;
      controller.error(error);
    }
  };
  const source = new ReadableStream({ pull }, { highWaterMark: 0 });
  const reader = source.pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
  } catch (error) {
    throw failed ?? error;
  } finally {
    reader.cancel().catch(() => {}); // who stops early leaves nothing running
  }
}
