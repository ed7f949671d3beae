// The engine in its worker, asked by name: `call("step")` is a promise of the answer.
//
// A question may have a limit: so long the worker may be silent. Then it is ended, and a new one starts;
// the questions that were open are rejected with `Ended`, so the page knows that it has to begin anew.

export class Ended extends Error {}

export class Engine {
  constructor(url) {
    this.url = url;
    this.nextId = 0;
    this.start();
  }

  start() {
    this.open = new Map();
    this.worker = new Worker(this.url, { type: "module" });
    this.worker.addEventListener("message", ({ data }) => data.beat ? this.beat() : this.settle(data));
    this.worker.addEventListener("error", (event) => {
      this.rejectAll(new Error(event.message || "the worker could not be loaded; reload the page to try again"));
    });
  }

  call(name, args = {}, limit = null) {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.open.set(id, { resolve, reject, limit, timer: this.timer(limit) });
      this.worker.postMessage({ id, name, args });
    });
  }

  timer(limit) {
    return limit && setTimeout(() => this.restart(`It did not answer for ${limit / 1000} seconds and was ended.`), limit);
  }

  beat() {
    for (const question of this.open.values()) {
      clearTimeout(question.timer);
      question.timer = this.timer(question.limit);
    }
  }

  settle({ id, value, error }) {
    const { resolve, reject, timer } = this.open.get(id);
    this.open.delete(id);
    clearTimeout(timer);
    if (error === undefined) resolve(value);
    else reject(new Error(error));
  }

  restart(why) {
    this.worker.terminate();
    const before = this.open;
    this.start();
    for (const { reject, timer } of before.values()) {
      clearTimeout(timer);
      reject(new Ended(why));
    }
  }

  rejectAll(error) {
    for (const { reject, timer } of this.open.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.open.clear();
  }
}
