"""A file is replaced whole or not at all: a full disk must not destroy the good one that was there.

The new content is written beside the target and takes its name only when all of it is on the disk.
"""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory


def write_whole(path: str | Path, content: str | bytes) -> Path:
    """Writes a file (text as UTF-8) and returns its path.

    Raises:
        OSError: It cannot be written; whatever was there is as it was.
    """
    path = Path(path)
    target = path.resolve()  # behind a link: the link stays
    data = content.encode() if isinstance(content, str) else content
    if target.exists() and not target.is_file():  # a pipe or a device is written, never replaced
        target.write_bytes(data)
        return path
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        made = Path(folder) / target.name
        with made.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, made)
        made.replace(target)
    return path
