"""How a fit shows its progress: lines for a person, JSON Lines for a program."""

import json

import torch
from conftest import SMALL

from texsyn.cli.console import FitDisplay, with_progress


def test_fit_prints_json_lines(tmp_path, picture, run):
    code, out, _ = run("fit", picture, "--out", tmp_path / "run", "--steps", 3, *SMALL, "--json")
    assert code == 0
    events = [json.loads(line) for line in out]
    assert [e["step"] for e in events] == [1, 2, 3, 3]
    assert set(events[0]["terms"]) == {"reconstruction", "prior", "energy_data", "energy_generated", "latent"}
    assert events[-1]["event"] == "finished"


def test_fit_shows_its_progress(tmp_path, picture, run):
    _, out, err = run("fit", picture, "--out", tmp_path / "run", "--steps", 2, *SMALL)
    assert "64 x 64" in err
    assert "2 steps: about" in err
    assert "reconstruction" in err
    assert "textures/s" in err
    assert out == [str(tmp_path / "run")]


def test_warnings_are_shown_even_by_a_quiet_fit(capsys):
    for json_lines, quiet in ((False, True), (True, False)):
        display = FitDisplay(json_lines, quiet)
        display.say("not shown")
        display.warn("no space left")
    out, err = capsys.readouterr()
    assert json.loads(out) == {"event": "warning", "message": "no space left"}
    assert err == "texsyn: warning: no space left\n"


def test_without_a_terminal_bands_come_as_they_are(capsys):
    bands = [torch.zeros(3, 2, 4), torch.ones(3, 2, 4)]
    assert all(a is b for a, b in zip(with_progress(bands, 4, "seed 0"), bands, strict=True))
    assert capsys.readouterr() == ("", "")
