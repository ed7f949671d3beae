/* Python in a worker: Pyodide, xxhash and nanovllm_edu, all from the folder of this file.

   Read next: build.py, which makes the folder. */

import { loadPyodide } from "./pyodide/pyodide.mjs";

const here = new URL(".", import.meta.url);

async function fetched(name) {
  const response = await fetch(new URL(name, here));
  if (!response.ok) throw new Error(`${name} cannot be loaded: ${response.status}`);
  return response.arrayBuffer();
}

function unpack(pyodide, archive) {
  const folder = pyodide.runPython("import site; site.getsitepackages()[0]");
  pyodide.unpackArchive(archive, "zip", { extractDir: folder });
}

/** Starts Python with our package in it; the downloads run side by side. */
export async function startPython() {
  const names = ["xxhash.whl", "nanovllm_edu.zip"];
  const [pyodide, ...archives] = await Promise.all([
    loadPyodide({ indexURL: new URL("pyodide/", here).href }),
    ...names.map(fetched),
  ]);
  for (const archive of archives) unpack(pyodide, archive);
  return pyodide;
}

/** Puts the model's weights where `make_engine("model")` looks for them. */
export async function loadWeights(pyodide) {
  unpack(pyodide, await fetched("weights.zip"));
  pyodide.runPython(`
    from nanovllm_edu.live.halves import join
    from nanovllm_edu.models.folder import TINY_MODEL_FOLDER
    join(TINY_MODEL_FOLDER / "model.safetensors")
  `);
}
