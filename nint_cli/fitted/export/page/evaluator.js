"use strict";
// The threads that evaluate the page's field: one that drives the GPU, or several with typed
// arrays, whichever is faster. `#gpu` or `#arrays` behind the page's address asks for one.

const MOST_THREADS = 8;

function textOf(id) {
  return document.getElementById(id).textContent;
}

class Evaluator {
  // `check` is a lattice on which GPU and typed arrays are compared.
  constructor(described, buffer, check) {
    const source = new Blob([textOf("worker")], { type: "text/javascript" });
    this.url = URL.createObjectURL(source);
    this.wanted = { "#arrays": "arrays", "#gpu": "gpu" }[location.hash] || "any";
    this.begin = { described, buffer, check, shaders: {
      "layer.vert": textOf("layer.vert").trim(), "layer.frag": textOf("layer.frag").trim(),
    } };
    this.idle = [];
    this.waiting = new Map();
    this.on = null;
    this.next = () => null; // returns the most urgent { lattice, done }, or null
    this.ready = this.#open();
  }

  async #open() {
    const first = await this.#thread(this.wanted);
    this.on = first.ready;
    if (first.ready.on === "arrays") {
      const cores = Math.min(MOST_THREADS, navigator.hardwareConcurrency || 2);
      for (let i = 1; i < cores; i++) this.#thread("arrays").then(() => this.work());
    }
    this.work();
    return this.on;
  }

  #thread(wanted) {
    const worker = new Worker(this.url);
    return new Promise((resolve, reject) => {
      worker.onerror = (event) => reject(new Error(event.message));
      worker.onmessage = ({ data }) => {
        if (data.ready) {
          this.idle.push(worker);
          resolve(data);
          return;
        }
        const { done } = this.waiting.get(data.id);
        this.waiting.delete(data.id);
        this.idle.push(worker);
        done(data.values);
        this.work();
      };
      worker.postMessage({ ...this.begin, wanted });
    });
  }

  get busy() {
    return this.waiting.size;
  }

  // Hands out what is most urgent now; what nobody wants any more is never begun.
  work() {
    while (this.on && this.idle.length) {
      const job = this.next();
      if (!job) return;
      const worker = this.idle.pop();
      this.count = (this.count || 0) + 1;
      this.waiting.set(this.count, job);
      worker.postMessage({ id: this.count, lattice: job.lattice });
    }
  }

  get describes() {
    if (!this.on) return "starting";
    return this.on.on === "gpu" ? "WebGL 2" : "typed arrays";
  }
}
