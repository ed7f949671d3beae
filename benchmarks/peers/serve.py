"""One engine in a process of its own, in whatever environment has it; asked by `cpu_peers.py`.

    python benchmarks/peers/serve.py NAME FOLDER --prepare    # the engine's own form of the model
    python benchmarks/peers/serve.py NAME FOLDER              # then a question a line

A question is `{"prompts": [[token, ...], ...], "lengths": [tokens to generate, ...]}`; the answer
is `{"seconds": ..., "outputs": [[token, ...], ...]}`, a line too. NAME is a file of this folder,
which has `prepare(folder)` and a class `Engine(folder)` with `generate(prompts, lengths)`: greedy,
whatever ends a text ignored.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from time import perf_counter


def main() -> None:
    """Answers until nothing more is asked."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an engine prints is no answer
    here = str(Path(__file__).parent)
    sys.path[:] = [path for path in sys.path if path != here]  # a file here has a library's name
    sys.path.append(str(Path(here).parent))
    peer = import_module(f"peers.{name}")
    if "--prepare" in sys.argv:
        peer.prepare(folder)
        return
    engine = peer.Engine(folder)
    for line in sys.stdin:
        question = json.loads(line)
        begin = perf_counter()
        outputs = engine.generate(question["prompts"], question["lengths"])
        seconds = perf_counter() - begin
        print(json.dumps({"seconds": seconds, "outputs": outputs}), file=answers, flush=True)


if __name__ == "__main__":
    main()
