"""Look inside: record an engine, go to any step, compare, export.

Everything here reads what the engine returns; nothing here is called by it. Read in this order:
`fold`, `journal`, `recording`, `recorder`, `codec`, then any of the outputs (`html_export`,
`perfetto`, `text`, `figures`) and `probe`.
"""

from nanovllm_edu.introspect.recorder import Recorder
from nanovllm_edu.introspect.recording import Recording

__all__ = ["Recorder", "Recording"]
