/* Compiles Python's library and our package with the very Python that will run them: Pyodide, here in
   Node.js.

       node compile.mjs path/to/live path/for/results

   Read next: compile.py, which does it. */

import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, results] = process.argv.slice(2).map((path) => resolve(path));
const { loadPyodide } = await import(pathToFileURL(`${folder}/pyodide/pyodide.mjs`));
const pyodide = await loadPyodide({ indexURL: `${folder}/pyodide` });
const read = (name) => new Uint8Array(readFileSync(`${folder}/${name}`)); // it knows no Buffer

const extractDir = pyodide.runPython("import site; site.getsitepackages()[0]");
for (const name of ["xxhash.whl", "nanovllm_edu.zip"])
  pyodide.unpackArchive(read(name), "zip", { extractDir });
pyodide.FS.writeFile("/nanovllm_edu.zip", read("nanovllm_edu.zip"));
pyodide.FS.writeFile("/python_stdlib.zip", read("pyodide/python_stdlib.zip"));
pyodide.runPython(readFileSync(new URL("compile.py", import.meta.url), "utf-8"));
for (const name of ["library.zip", "package.zip"])
  writeFileSync(`${results}/${name}`, pyodide.FS.readFile(`/${name}`));
