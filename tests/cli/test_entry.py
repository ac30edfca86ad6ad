"""The command itself: help, version, exit codes, signals, pipes."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

import texsyn
from texsyn.cli.entry import main


def test_help_and_version_import_nothing_heavy():
    heavy = "{'torch', 'numpy', 'av', 'PIL', 'rich'}"
    code = f"import sys, texsyn.cli; texsyn.cli.entry._parser(); print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"texsyn {texsyn.__version__}"


def test_every_command_has_help(capsys):
    commands = ("fit", "batch", "sample", "morph", "export", "reconstruct", "complete", "rank", "heatmap", "landscape")
    for command in (*commands, "info", "score"):
        with pytest.raises(SystemExit, match="0"):
            main([command, "--help"])
        assert "exit codes: 0 ok, 1 bug, 2 usage, 3 bad input" in capsys.readouterr().out


def test_a_closed_pipe_is_no_error(still):
    command = f"{sys.executable} -m texsyn info {still} | head -c 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, env=os.environ)
    assert done.stderr == ""


@pytest.mark.parametrize(("sent", "code", "message"), [("SIGTERM", 143, "terminated"), ("SIGINT", 130, "interrupted")])
def test_a_sample_that_is_ended_leaves_nothing_half_written(tmp_path, still, sent, code, message):
    command = [sys.executable, "-m", "texsyn", "sample", str(still), "--size", "4000x200000", "-o", "large.png"]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # which a shell's background jobs ignore
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, preexec_fn=heed) as child:
        try:
            deadline = time.monotonic() + 120
            while not any(each.stat().st_size > 100_000 for each in tmp_path.iterdir()):
                assert time.monotonic() < deadline, "nothing was written"
                time.sleep(0.05)
            child.send_signal(getattr(signal, sent))
            _, err = child.communicate(timeout=120)
        finally:
            child.kill()
    assert child.returncode == code
    assert err.splitlines()[-1] == f"texsyn: {message}"
    assert list(tmp_path.iterdir()) == []
