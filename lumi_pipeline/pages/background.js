// The page's side of its worker, which is made of the page's own text, since there are no other files.

const STOPPED = new Error("stopped");

class Background {
  constructor() {
    this.worker = null;
    this.refuse = null; // rejects the question that the worker is at
  }

  // Ask one question about what was chosen; one that the worker is still at is dropped, and ends with STOPPED.
  ask(input, question, onProgress = () => {}) {
    if (this.refuse !== null) this.stop();
    if (this.worker === null) {
      const text = `${$("checks").textContent}\nstartWorker();`;
      this.worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
    }
    const { worker } = this;
    const chosen = input.files ?? [{ path: input.name, file: input.file }];
    const answer = new Promise((resolve, reject) => {
      this.refuse = reject;
      worker.onmessage = ({ data }) => {
        if (data.read !== undefined) provide(worker, chosen[data.read.place].file, data.read);
        else if (data.progress !== undefined) onProgress(data.progress);
        else if (data.fault !== undefined) reject(new Error(data.fault));
        else resolve(data.answer);
      };
      worker.onerror = (event) =>
        reject(new Error(event.message || "the browser does not let it work in the background"));
      const files = chosen.map(({ path, file }) => ({ path, size: file.size }));
      worker.postMessage({ question: { name: input.name, isFolder: input.files !== undefined, files, ...question } });
    });
    const done = () => {
      if (this.worker === worker) this.refuse = null;
    };
    answer.then(done, done);
    return answer;
  }

  stop() {
    this.worker?.terminate();
    this.worker = null;
    this.refuse?.(STOPPED);
    this.refuse = null;
  }
}

// Give the worker the bytes that it wants, or why they can't be read.
async function provide(worker, file, { number, start, end }) {
  try {
    const bytes = await file.read(start, end);
    worker.postMessage({ piece: { number, bytes } }, [bytes.buffer]);
  } catch (error) {
    worker.postMessage({ piece: { number, problem: error.message } });
  }
}
