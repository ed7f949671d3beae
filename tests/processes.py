"""What tests ask about processes that they did not start themselves."""

from pathlib import Path


def is_there(pid: int) -> bool:
    """Whether such a process runs."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
