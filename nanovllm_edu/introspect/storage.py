"""Save and load a recording as one JSON file, gzip-compressed if its name ends in `.gz`.

JSON and nothing else: a file from somewhere else can be wrong, but it cannot run code. Floats are
written so that they read back equal.

Read next: docs/reference/recording_format.md.
"""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from nanovllm_edu.errors import RecordingError
from nanovllm_edu.introspect.codec import encode, to_text
from nanovllm_edu.introspect.decoder import decode
from nanovllm_edu.introspect.recording import Recording
from nanovllm_edu.introspect.whole_file import write_whole

MOST_BYTES = 256 * 2**20
"""A file may not be longer than this, unpacked: some 20 000 steps of 64 sequences are."""


def to_json(recording: Recording) -> str:
    """The document as compact JSON, the same for equal recordings with equal timings."""
    return to_text(encode(recording))


def save(recording: Recording, path: str | Path) -> Path:
    """Writes the file and returns its path."""
    data = to_json(recording).encode()
    # mtime=0: equal recordings give equal files.
    return write_whole(path, gzip.compress(data, mtime=0) if Path(path).suffix == ".gz" else data)


def load(path: str | Path, max_bytes: int = MOST_BYTES) -> Recording:
    """Reads a recording.

    Args:
        path: A file that `save` wrote.
        max_bytes: Its longest length, unpacked. A file of a few kilobytes can unpack to more than
            the memory holds.

    Raises:
        RecordingError: The file cannot be read, is truncated, too long, of another schema, or not a
            recording.
    """
    document = _parse(path, _unpacked(path, max_bytes))
    try:
        return decode(document)
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from error


def _unpacked(path: str | Path, max_bytes: int) -> bytes:
    """The file's content, and never more than one byte beyond the limit."""
    try:
        with Path(path).open("rb") as file:
            is_packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            data = (gzip.GzipFile(fileobj=file) if is_packed else file).read(max_bytes + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _not_whole(path, error) from error
    except OSError as error:
        raise RecordingError(
            f"{path} cannot be read ({error.strerror or error}); give a file that save() wrote."
        ) from error
    if len(data) > max_bytes:
        raise RecordingError(
            f"{path} is longer than {max_bytes} bytes when it is unpacked; if you trust it, give "
            "load() a larger max_bytes."
        )
    return data


def _parse(path: str | Path, data: bytes) -> Any:
    try:
        return json.loads(data.decode())
    except RecursionError as error:
        raise RecordingError(
            f"{path} is no recording: its lists are nested too deep; give a file that save() wrote."
        ) from error
    except ValueError as error:
        raise _not_whole(path, error) from error


def _not_whole(path: str | Path, error: Exception) -> RecordingError:
    return RecordingError(
        f"{path} is not a whole JSON file ({error}): it is truncated, or no recording; "
        "give a file that save() wrote."
    )
