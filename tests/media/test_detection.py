"""What a file is, only its first bytes say; what is not a regular file is never opened."""

import os
import signal
import socket
from pathlib import Path

import pytest
from conftest import draw

from texsyn import TexsynError
from texsyn.cli.entry import main
from texsyn.core.errors import Exit
from texsyn.core.files import digest
from texsyn.media import detection
from texsyn.media.collection import read_collection
from texsyn.media.decoding import read_clip, read_still, sniff
from texsyn.media.detection import format_of
from texsyn.media.masks import read_mask
from texsyn.media.metadata import read_metadata
from texsyn.media.reader import read, read_all, read_like


def test_the_name_does_not_matter_but_the_content_does(tmp_path):
    path = tmp_path / "picture.mp4"
    draw(tmp_path / "picture.png")
    (tmp_path / "picture.png").rename(path)
    assert read(path).modality.name == "still"


@pytest.mark.parametrize(
    ("blob", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"II*\0", "tiff"),
        (b"MM\0*", "tiff"),
        (b"RIFF....WEBP", "webp"),
        (b"RIFF....AVI ", "video"),
        (b"GIF87a", "gif"),
        (b"GIF89a", "gif"),
        (b"\0\0\0\x18ftypmp42", "video"),
        (b"\x1aE\xdf\xa3", "video"),
    ],
)
def test_formats_are_told_by_their_first_bytes(tmp_path, blob, expected):
    (tmp_path / "file.txt").write_bytes(blob)
    assert format_of(tmp_path / "file.txt") == expected


def test_large_files_are_refused_unread(tmp_path):
    with (tmp_path / "large.png").open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(detection.MAX_BYTES + 1)
    with pytest.raises(TexsynError, match="is 200 MB, more than the 200 MB allowed"):
        format_of(tmp_path / "large.png")


# ------------------------------------------------------------ pipes, sockets, devices


@pytest.fixture
def patience():
    """Whatever waits for the other end of a pipe fails instead."""

    def give_up(*_):
        raise AssertionError("still waiting after ten seconds")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "x.png")
    return folder / "x.png"


@pytest.mark.parametrize(
    "reading",
    [
        read,
        lambda path: read(path, kind="clip"),
        lambda path: read_all([path, path]),
        read_collection,
        read_still,
        read_clip,
        sniff,
        read_metadata,
        lambda path: read_mask(path, (1, 64, 64), "image"),
        lambda path: digest([path]),
    ],
)
def test_a_named_pipe_is_refused_at_once(tmp_path, patience, reading):
    with pytest.raises(TexsynError, match=r"x\.png is a named pipe: only regular files and folders are read") as caught:
        reading(pipe(tmp_path))
    assert caught.value.exit is Exit.BAD_INPUT


def test_a_named_pipe_as_mask_or_second_image_is_refused(tmp_path, patience):
    draw(tmp_path / "image.png")
    with pytest.raises(TexsynError, match="is a named pipe"):
        read(tmp_path / "image.png", mask=pipe(tmp_path))
    with pytest.raises(TexsynError, match="is a named pipe"):
        read_like(read(tmp_path / "image.png"), tmp_path / "x.png")


def test_a_link_to_a_pipe_a_socket_and_a_device_are_refused(tmp_path, patience):
    (tmp_path / "link.png").symlink_to(pipe(tmp_path))
    (tmp_path / "device.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.png"))
        for name, kind in (("link", "a named pipe"), ("device", "a device"), ("socket", "a socket")):
            with pytest.raises(TexsynError, match=f"{name}.png is {kind}: only regular files"):
                read(tmp_path / f"{name}.png")


def test_pipes_in_folders_are_refused_or_left_out(tmp_path, patience):
    for number in range(24):
        draw(tmp_path / f"{number}.png")
    whole = digest([tmp_path])
    pipe(tmp_path)
    assert digest([tmp_path]) == whole
    with pytest.raises(TexsynError, match=r"x\.png is a named pipe"):
        read(tmp_path)
    assert read_collection(tmp_path).facts["skipped"] == [
        "x.png is a named pipe: only regular files and folders are read"
    ]


def test_the_command_line_says_it_in_one_line(tmp_path, patience, capsys):
    assert main(["fit", str(pipe(tmp_path)), "--out", str(tmp_path / "run")]) == 3
    out, err = capsys.readouterr()
    assert (out, err) == ("", "texsyn: x.png is a named pipe: only regular files and folders are read\n")
    assert not (tmp_path / "run").exists()
