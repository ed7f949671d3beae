"""Save and load a recording as one JSON file, gzip-compressed if its name ends in `.gz`.

JSON and nothing else: a file from somewhere else can be wrong, but it cannot run code. Floats are
written so that they read back equal.

Read next: docs/reference/recording_format.md.
"""

import gzip
import json
import zlib
from pathlib import Path

from nanovllm_edu.errors import RecordingError
from nanovllm_edu.introspect.codec import encode
from nanovllm_edu.introspect.decoder import decode
from nanovllm_edu.introspect.recording import Recording
from nanovllm_edu.introspect.whole_file import write_whole


def to_json(recording: Recording) -> str:
    """The document as compact JSON, the same for equal recordings with equal timings."""
    return json.dumps(encode(recording), separators=(",", ":"), ensure_ascii=False)


def save(recording: Recording, path: str | Path) -> Path:
    """Writes the file and returns its path."""
    data = to_json(recording).encode()
    # mtime=0: equal recordings give equal files.
    return write_whole(path, gzip.compress(data, mtime=0) if Path(path).suffix == ".gz" else data)


def load(path: str | Path) -> Recording:
    """Reads a recording.

    Raises:
        RecordingError: The file is truncated, of another schema, or not a recording.
    """
    data = Path(path).read_bytes()
    try:
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
        document = json.loads(text)
    except (EOFError, OSError, zlib.error, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RecordingError(
            f"{path} is not a whole JSON file ({error}): it is truncated, or no recording; "
            "give a file that save() wrote."
        ) from error
    try:
        return decode(document)
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from error
