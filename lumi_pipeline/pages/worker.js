// The worker's side of the page. It is asked one question at a time, and asks back for the bytes of files.

function startWorker() {
  const awaited = new Map(); // the reads that the page has not answered yet, by their number
  let reads = 0;
  const fileOf = ({ size }, place) =>
    new DistantFile(
      size,
      (start, end) =>
        new Promise((resolve, reject) => {
          awaited.set(++reads, { resolve, reject });
          postMessage({ read: { number: reads, place, start, end } });
        }),
    );
  onmessage = ({ data }) => {
    if (data.piece === undefined) {
      answer(data.question, fileOf);
      return;
    }
    const { number, bytes, problem } = data.piece;
    const { resolve, reject } = awaited.get(number);
    awaited.delete(number);
    if (bytes !== undefined) resolve(bytes);
    else reject(new DOMException(problem, "NotReadableError"));
  };
}

// `question` is {name, isFolder, files: [{path, size}]} with {trust}, for a verdict, or with {query, limit}, for rows.
async function answer(question, fileOf) {
  const { name, isFolder, trust, query, limit } = question;
  const files = question.files.map((file, place) => ({ path: file.path, file: fileOf(file, place) }));
  const input = isFolder ? { name, files } : { name, file: files[0].file };
  let last = 0;
  const notify = (progress) => {
    const now = performance.now();
    if (now - last < 100) return;
    last = now;
    postMessage({ progress });
  };
  try {
    if (query === undefined) postMessage({ answer: await judge(input, trust, notify) });
    else postMessage({ answer: await searchRows(input, query, limit) });
  } catch (error) {
    postMessage({ fault: String(error?.message ?? error) });
  }
}
