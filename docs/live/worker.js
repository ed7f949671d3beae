/* The engine of a page, in a worker, so that the page never freezes. A question is {id, name, args};
   its answer is {id, value}, or {id, error} with a sentence. What does not come to an end is ended by
   the page: it ends this worker, starts another one, and begins the scenario again. While a learner's
   policy is at work, {beat: true} says that it still answers.

   Read next: nanovllm_edu/live/answers.py, which answers. */

import { loadWeights, startPython } from "./python.js";

let beaten = 0;

function beat() {
  if (performance.now() - beaten < 200) return;
  beaten = performance.now();
  postMessage({ beat: true });
}

const started = startPython().then((pyodide) => {
  const session = pyodide.pyimport("nanovllm_edu.live.session").Session(beat);
  const { answer } = pyodide.pyimport("nanovllm_edu.live.answers");
  return { pyodide, ask: (name, args) => JSON.parse(answer(session, name, JSON.stringify(args))) };
});

async function answered(name, args) {
  const { pyodide, ask } = await started;
  if (name !== "load_weights") return ask(name, args);
  await loadWeights(pyodide);
  return { value: true };
}

addEventListener("message", async ({ data: { id, name, args } }) => {
  const answer = await answered(name, args).catch((error) => ({ error: error.message }));
  postMessage({ id, ...answer });
});
