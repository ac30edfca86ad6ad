"""The energy as a judge: what it says of whole textures, where it finds them strange, and steps that climb it."""

import json

import pytest
import torch
from conftest import KINDS, draw, lively
from PIL import Image

import texsyn
from texsyn import TexsynError
from texsyn.cli.entry import main
from texsyn.models.triangle import Triangle
from texsyn.synthesis.anomaly import heatmap
from texsyn.synthesis.energy import energy, langevin


@pytest.fixture
def still() -> Triangle:
    return lively(Triangle(KINDS["still"], KINDS["still"].designs["local"]))


def test_the_energy_is_told_for_each_value(triangle, exemplar):
    x = exemplar.pixels
    with torch.no_grad():
        whole = float(triangle.eval().energy(x[None])[0])
    assert texsyn.energy(triangle, x) == pytest.approx(whole / x.numel(), rel=1e-5)


def test_the_map_finds_what_was_put_in(triangle, exemplar):
    x = exemplar.pixels.clone()
    own = texsyn.heatmap(triangle, x, x)
    assert own.shape == (1, *x.shape[1:])
    assert float((own > 1).float().mean()) < 0.25
    spot = tuple(slice(n // 4, 3 * n // 4) for n in x.shape[1:])
    x[(slice(None), *spot)] = torch.rand(x[(slice(None), *spot)].shape, generator=torch.Generator().manual_seed(1))
    found = texsyn.heatmap(triangle, x, exemplar.pixels)[0]
    inside = torch.zeros_like(found, dtype=torch.bool)
    inside[spot] = True
    assert float(found[inside].mean()) > 1.3 * float(found[~inside].mean())


def test_the_map_lies_where_the_change_is(still):
    """The middle of what is strange is the middle of what was changed, to two pixels."""
    x = torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(0)) * 0.2
    changed = x.clone()
    changed[:, 60:68, 20:28] = 1
    heat = (texsyn.heatmap(still, changed, x) - texsyn.heatmap(still, x, x))[0].clamp(min=0)
    rows, columns = heat.sum(1), heat.sum(0)
    place = torch.arange(96.0)
    assert float((rows * place).sum() / rows.sum()) == pytest.approx(63.5, abs=2)
    assert float((columns * place).sum() / columns.sum()) == pytest.approx(23.5, abs=2)


def test_the_overlay_reddens_what_is_strange():
    x, heat = torch.zeros(3, 4, 4), torch.zeros(1, 4, 4)
    heat[0, 0, 0] = 2
    shown = texsyn.overlay(x, heat)
    assert shown[0, 0, 0] > 0.8 > shown[1, 0, 0]
    assert torch.equal(shown[:, 1, 1], torch.zeros(3))
    assert texsyn.overlay(torch.zeros(1, 4, 4), heat).shape == (3, 4, 4)


def test_langevin_climbs(triangle, exemplar):
    x = exemplar.pixels * 0.5
    better = texsyn.langevin(triangle, x, steps=5, size=0.01)
    assert texsyn.energy(triangle, better) > texsyn.energy(triangle, x)
    assert torch.equal(texsyn.langevin(triangle, x, steps=0), x)
    warm = [texsyn.langevin(triangle, x, steps=2, temperature=1.0, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(warm[0], warm[1])
    assert not torch.equal(warm[0], warm[2])


def test_langevin_keeps_a_torus(still):
    """What is rolled by the raster of the energy is rolled afterwards, so no rim is different from the inside."""
    x = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5
    rolled = texsyn.langevin(still, x.roll((8, 8), (1, 2)), steps=3)
    torch.testing.assert_close(rolled.roll((-8, -8), (1, 2)), texsyn.langevin(still, x, steps=3), atol=1e-5, rtol=0)
    apart = texsyn.langevin(still, x.roll((8, 8), (1, 2)), steps=3, wrapped=(False, False)).roll((-8, -8), (1, 2))
    assert not torch.allclose(apart, texsyn.langevin(still, x, steps=3, wrapped=(False, False)), atol=1e-5, rtol=0)


def test_what_cannot_be_judged_is_refused(still):
    for call in (energy, lambda t, x: heatmap(t, x, x), lambda t, x: langevin(t, x, steps=1)):
        with pytest.raises(TexsynError, match="channel"):
            call(still, torch.zeros(1, 32, 32))
        with pytest.raises(TexsynError, match="less than the energy looks at"):
            call(still, torch.zeros(3, 4, 4))
    with pytest.raises(TexsynError, match="steps must lie"):
        langevin(still, torch.zeros(3, 32, 32), steps=-1)


def test_commands_rank_show_and_choose(tmp_path, capsys):
    pictures = [tmp_path / "waves.png", tmp_path / "noise.png"]
    draw(pictures[0])
    Image.effect_noise((64, 64), 90).convert("RGB").save(pictures[1])
    small = ["--set", "width_multiplier=0.1", "--set", "batch_size=1", "--no-card", "--quiet"]
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
    ("asked", "code", "words"),
    [
        (["sample", "RUN", "--best", "3", "of", "2"], 2, "--best is K of N"),
        (["sample", "RUN", "--best", "3", "from", "9"], 2, "--best is K of N"),
        (["sample", "RUN", "--best", "1", "of", "2", "--count", "2"], 2, "--count does not go with it"),
        (["sample", "RUN", "--langevin", "-1"], 2, "steps must lie"),
        (["rank", "RUN", "CLIP"], 3, "is a clip"),
        (["rank", "RUN", "SMALL"], 3, "less than the energy looks at"),
        (["heatmap", "RUN", "CLIP"], 3, "is a clip"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, asked, code, words):
    from conftest import VIDEOS

    picture, small = tmp_path / "waves.png", tmp_path / "small.png"
    draw(picture)
    draw(small, (16, 16))
    run = str(tmp_path / "run")
    cheap = ["--set", "width_multiplier=0.1", "--set", "batch_size=1", "--no-card", "--quiet", "--steps", "1"]
    assert main(["fit", str(picture), "--out", run, *cheap]) == 0
    capsys.readouterr()
    names = {"RUN": run, "CLIP": str(VIDEOS / "fire.mp4"), "SMALL": str(small)}
    assert main([names.get(word, word) for word in asked]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert words in err
