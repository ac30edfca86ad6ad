"""The energy of whole textures, Langevin steps on it, and the commands that use it."""

import json

import pytest
import torch
from conftest import KINDS, SMALL, draw, lively
from PIL import Image

import texsyn
from texsyn import TexsynError
from texsyn.cli.entry import main
from texsyn.models.triangle import Triangle
from texsyn.synthesis.energy import energy, langevin


@pytest.fixture
def still() -> Triangle:
    return lively(Triangle(KINDS["still"], KINDS["still"].designs["local"]))


def test_the_energy_is_given_for_each_value(triangle, exemplar):
    x = exemplar.pixels
    with torch.no_grad():
        scaled = triangle.scaled(x)
        whole = float(triangle.eval().energy(scaled[None])[0])
    assert texsyn.energy(triangle, x) == pytest.approx(whole / scaled.numel(), rel=1e-5)


def test_langevin_raises_the_energy(triangle, exemplar):
    x = exemplar.pixels * 0.5
    better = texsyn.langevin(triangle, x, steps=5, size=0.01)
    assert texsyn.energy(triangle, better) > texsyn.energy(triangle, x)
    assert torch.equal(texsyn.langevin(triangle, x, steps=0), x)
    warm = [texsyn.langevin(triangle, x, steps=2, temperature=1.0, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(warm[0], warm[1])
    assert not torch.equal(warm[0], warm[2])


def test_langevin_keeps_a_torus(still):
    """A texture rolled by a multiple of the energy's stride is rolled afterwards: borders are like the inside."""
    x = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5
    rolled = texsyn.langevin(still, x.roll((8, 8), (1, 2)), steps=3)
    torch.testing.assert_close(rolled.roll((-8, -8), (1, 2)), texsyn.langevin(still, x, steps=3), atol=1e-5, rtol=0)
    apart = texsyn.langevin(still, x.roll((8, 8), (1, 2)), steps=3, wrapped=(False, False)).roll((-8, -8), (1, 2))
    assert not torch.allclose(apart, texsyn.langevin(still, x, steps=3, wrapped=(False, False)), atol=1e-5, rtol=0)


def test_textures_that_the_energy_cannot_take_are_refused(still):
    for call in (energy, lambda t, x: langevin(t, x, steps=1)):
        with pytest.raises(TexsynError, match="channel"):
            call(still, torch.zeros(1, 32, 32))
        with pytest.raises(TexsynError, match="too small for the filters of the energy"):
            call(still, torch.zeros(3, 4, 4))
    with pytest.raises(TexsynError, match="steps must lie"):
        langevin(still, torch.zeros(3, 32, 32), steps=-1)


def test_commands_rank_map_and_select(tmp_path, capsys):
    pictures = [tmp_path / "waves.png", tmp_path / "noise.png"]
    draw(pictures[0])
    Image.effect_noise((64, 64), 90).convert("RGB").save(pictures[1])
    small = [*SMALL, "--quiet"]
    run = str(tmp_path / "run")
    assert main(["fit", str(pictures[0]), "--out", run, "--steps", "3", *small]) == 0
    capsys.readouterr()

    assert main(["rank", run, *map(str, pictures), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["file"] for line in lines} == set(map(str, pictures))
    assert lines[0]["energy"] >= lines[1]["energy"]

    assert main(["heatmap", run, str(pictures[1]), "-o", str(tmp_path / "heat.png"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert 0 <= said["strange"] <= 1 < said["most"]
    with Image.open(tmp_path / "heat.png") as heat:
        assert heat.size == (64, 64)

    best = ["sample", run, "--best", "2", "of", "4", "--seed", "7", "--size", "96x64", "-o", str(tmp_path / "best")]
    assert main([*best, "--json"]) == 0
    kept = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(kept) == 2
    assert kept[0]["energy"] >= kept[1]["energy"]
    assert main(["sample", run, "--count", "4", "--seed", "7", "--size", "96x64", "-o", str(tmp_path / "all")]) == 0
    capsys.readouterr()
    assert main(["rank", run, *map(str, sorted((tmp_path / "all").iterdir())), "--json"]) == 0
    ranked = [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()]
    assert [f"seed-{each['seed']}.png" in name for each, name in zip(kept, ranked, strict=False)] == [True, True]

    steps = ["sample", run, "--langevin", "2", "-o", str(tmp_path / "climbed.png")]
    assert main(steps) == 0
    capsys.readouterr()
    assert main(["info", str(tmp_path / "climbed.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["langevin"] == 2


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        (["sample", "RUN", "--best", "3", "of", "2"], 2, "--best is K of N"),
        (["sample", "RUN", "--best", "3", "from", "9"], 2, "--best is K of N"),
        (["sample", "RUN", "--best", "1", "of", "2", "--count", "2"], 2, "--count does not go with --best"),
        (["sample", "RUN", "--langevin", "-1"], 2, "steps must lie"),
        (["rank", "RUN", "CLIP"], 3, "is a clip"),
        (["rank", "RUN", "SMALL"], 3, "too small for the filters of the energy"),
        (["heatmap", "RUN", "CLIP"], 3, "is a clip"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, asked, code, message):
    from conftest import VIDEOS

    picture, small = tmp_path / "waves.png", tmp_path / "small.png"
    draw(picture)
    draw(small, (16, 16))
    run = str(tmp_path / "run")
    cheap = [*SMALL, "--quiet", "--steps", "1"]
    assert main(["fit", str(picture), "--out", run, *cheap]) == 0
    capsys.readouterr()
    names = {"RUN": run, "CLIP": str(VIDEOS / "fire.mp4"), "SMALL": str(small)}
    assert main([names.get(word, word) for word in asked]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err
