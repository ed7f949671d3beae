"""What is written replaces the file whole, or leaves it as it was."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nanovllm_edu.introspect.whole_file import write_whole

ROOT = Path(__file__).parents[2]
ON_A_FULL_DISK = """
import resource, sys
from nanovllm_edu.introspect import save, to_html, to_perfetto
from tests.introspect.workload import play

recording = play(2).recorder.recording
writer = {"save": save, "html": to_html, "trace": to_perfetto}
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # a file that gets longer cannot be written
try:
    writer[sys.argv[1]](recording, sys.argv[2])
except OSError:
    print("failed half-way")
"""


@pytest.mark.parametrize("writer", ["save", "html", "trace"])
def test_a_full_disk_leaves_the_good_file_as_it_was(writer, tmp_path):
    good = tmp_path / "run.json"
    good.write_text("the good one")
    run = subprocess.run(
        [sys.executable, "-c", ON_A_FULL_DISK, writer, str(good)],
        cwd=ROOT, capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert run.stdout.strip() == "failed half-way", run.stderr
    assert good.read_text() == "the good one"
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]  # and nothing is left behind


def test_mode_and_link_stay(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    assert write_whole(link, "new") == link
    assert link.is_symlink() and real.read_text() == "new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_new_file_has_the_usual_mode(tmp_path):
    (tmp_path / "usual").write_text("")
    write_whole(tmp_path / "new", b"\x00")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_device_is_written_and_not_replaced():
    write_whole("/dev/null", "gone")
    assert not Path("/dev/null").is_file()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_whole(tmp_path / "nowhere" / "x", "")
