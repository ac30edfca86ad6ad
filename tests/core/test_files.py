"""Files are written whole or not at all, and only regular ones are read."""

import hashlib
import os
import stat
import subprocess
import sys

import pytest

from texsyn import TexsynError
from texsyn.core.errors import Exit
from texsyn.core.files import PART, digest, existing, replace_text, replacing


@pytest.mark.parametrize("replace", [replace_text, lambda path, text: _replaced(path, text)])
def test_a_file_is_replaced_with_the_rights_that_the_user_wants(tmp_path, replace):
    path = tmp_path / "file.txt"
    before = os.umask(0o027)
    try:
        replace(path, "one")
        replace(path, "two, ü")
    finally:
        os.umask(before)
    assert path.read_text() == "two, ü"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def _replaced(path, text):
    with replacing(path) as temporary:
        temporary.write_text(text)


def _failing(path, error):
    with replacing(path) as temporary:
        temporary.write_text("new")
        raise error


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    said = r"^no$|file\.txt cannot be written: No space left"
    for error in (RuntimeError("no"), OSError(28, "No space left on device")):
        with pytest.raises((RuntimeError, TexsynError), match=said):
            _failing(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_made_for_a_texture_but_not_for_a_runs_file(tmp_path):
    _replaced(tmp_path / "a" / "b" / "file.txt", "text")
    assert (tmp_path / "a" / "b" / "file.txt").read_text() == "text"
    with pytest.raises(TexsynError, match=r"file\.txt cannot be written: No such file") as caught:
        replace_text(tmp_path / "removed" / "file.txt", "text")
    assert caught.value.exit is Exit.DISK
    assert not (tmp_path / "removed").exists()


def test_a_process_that_is_killed_leaves_the_old_file(tmp_path):
    (tmp_path / "file.txt").write_text("old")
    code = "import sys, pathlib; from texsyn.core.files import replacing\n"
    code += "with replacing(pathlib.Path(sys.argv[1])) as temporary: temporary.write_text('new')"
    command = [sys.executable, "-c", code, str(tmp_path / "file.txt")]
    done = subprocess.run(command, env={**os.environ, "TEXSYN_KILL_AT": "written"}, check=False)
    assert done.returncode == -9
    assert (tmp_path / "file.txt").read_text() == "old"
    assert [path.name[: len(PART)] for path in tmp_path.iterdir() if path.name != "file.txt"] == [PART]


def test_a_digest_is_of_the_bytes_of_files_and_of_files_in_folders(tmp_path):
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    for name, blob in (("a", b"1" * 3_000_000), ("folder/c", b"3"), ("folder/b", b"2"), ("folder/inner/d", b"4")):
        (tmp_path / name).write_bytes(blob)
    expected = hashlib.sha256(b"1" * 3_000_000 + b"23").hexdigest()
    assert digest([tmp_path / "a", tmp_path / "folder"]) == expected
    with pytest.raises(TexsynError, match="no such file"):
        digest([tmp_path / "nowhere"])


def test_what_exists_is_a_regular_file_or_a_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    assert existing(tmp_path / "link") == tmp_path / "link"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    for name, said in (
        ("nowhere", "nowhere: no such file or folder"),
        ("loop", "loop: Too many levels"),
        ("pipe", "pipe is a named pipe: only regular files and folders are read"),
        ("x" * 300, "File name too long"),
        ("nul\0", "embedded null"),
    ):
        with pytest.raises(TexsynError, match=said) as caught:
            existing(tmp_path / name)
        assert caught.value.exit is Exit.BAD_INPUT
