"""Look inside: record an engine, go to any step, compare, export.

    recorder = Recorder(engine)           step it through this one
    recording = recorder.recording        everything so far, frozen
    save(recording, "run.json.gz")        load("run.json.gz") is equal to it
    to_html(recording, "run.html")        to_perfetto, to_text; `widgets.show` in a notebook

Everything here reads what the engine returns; nothing here is called by it. Each file imports only
from those before it: `history`, `fold`, `frame` and `journal`, `recording`, `recorder` and `codec`,
`decoder` and `spans`, then the outputs (`storage`, `html_page`, `perfetto`, `text`, `figures`).
"""

from nanovllm_edu.introspect.html_page import to_html
from nanovllm_edu.introspect.perfetto import to_perfetto
from nanovllm_edu.introspect.recorder import Recorder
from nanovllm_edu.introspect.recording import Recording
from nanovllm_edu.introspect.storage import load, save
from nanovllm_edu.introspect.text import to_text

__all__ = ["Recorder", "Recording", "load", "save", "to_html", "to_perfetto", "to_text"]
