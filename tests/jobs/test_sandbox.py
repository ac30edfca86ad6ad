"""Untrusted files are read in a child process with limits."""

import socket
import subprocess
import sys

import pytest
import torch
from conftest import draw

from texsyn import FitOptions, TexsynError, status, write
from texsyn.jobs import sandbox
from texsyn.jobs.sandbox import _limit, origin, prepare

pytestmark = pytest.mark.usefixtures("own_queue")


@pytest.mark.parametrize("options", [["--seed", "4", "--crop", "64x64+8+0"], FitOptions(seed=4, crop=(8, 0, 64, 64))])
def test_an_upload_is_read_in_a_process_of_its_own(tmp_path, options):
    draw(tmp_path / "-waves.png", (96, 64))
    run = prepare([str(tmp_path / "-waves.png")], str(tmp_path / "draft"), options)
    assert run.recipe.seed == 4
    assert run.exemplars()[0].size == (64, 64)
    assert status(run).state == "new"
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 100)
    with pytest.raises(TexsynError, match="cannot be read as a PNG"):
        prepare([tmp_path / "broken.png"], tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_made_a_texture_is_read_the_same_way(tmp_path):
    texture = torch.zeros(3, 8, 8)
    write(texture, tmp_path / "--made.png", metadata={"seed": 7})
    assert origin(tmp_path / "--made.png") == {"seed": 7}
    draw(tmp_path / "waves.png")
    with pytest.raises(TexsynError, match="has no texsyn metadata"):
        origin(tmp_path / "waves.png")


def test_reading_has_limits(tmp_path, monkeypatch):
    draw(tmp_path / "waves.png")
    monkeypatch.setattr(sandbox, "_MEMORY", 100_000_000)
    with pytest.raises(TexsynError, match="memory"):
        prepare([tmp_path / "waves.png"], tmp_path / "draft")
    monkeypatch.undo()
    monkeypatch.setattr(sandbox, "_SECONDS", 0.01)
    monkeypatch.setattr(sandbox, "_limit", lambda: None)
    with pytest.raises(TexsynError, match=r"more than 0\.01 seconds"):
        prepare([tmp_path / "waves.png"], tmp_path / "draft")


def test_what_reads_uploads_has_no_network():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
        alone = subprocess.run([sys.executable, "-c", code], capture_output=True, preexec_fn=_limit, check=False)
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
    if alone.returncode == 0:
        pytest.skip("this system lets no process have a network of its own")
    assert b"unreachable" in alone.stderr.lower() or b"errno" in alone.stderr.lower()
