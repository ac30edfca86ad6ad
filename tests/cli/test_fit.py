"""`texsyn fit`: what a person types, and what comes back."""

import json

import pytest
from conftest import SMALL, VIDEOS, draw
from PIL import Image

import texsyn
from texsyn.cli.entry import main
from texsyn.runs.cards import score_run

QUIET = [*SMALL, "--quiet"]


def test_untrusted_files_are_trained_on_in_the_same_way(tmp_path, picture, run):
    for name, more in (("plain", []), ("guarded", ["--untrusted"])):
        how = ["--steps", 2, "--crop", "64x64+0+0", "--seed", 5, *more]
        assert run("fit", picture, "--out", tmp_path / name, *how, *QUIET)[0] == 0
    one, other = (texsyn.load(tmp_path / name).state_dict() for name in ("plain", "guarded"))
    assert all((one[key] == other[key]).all() for key in one)
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    code, out, err = run("fit", tmp_path / "bad.png", "--out", tmp_path / "bad", "--untrusted", *QUIET)
    assert (code, out, err.count("\n")) == (3, [], 1)
    assert not (tmp_path / "bad").exists()


def test_fit_names_its_folder_and_resumes_and_goes_further(tmp_path, picture, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("fit", picture, "--steps", 2, *QUIET)
    assert (code, out) == (0, ["runs/waves-1"])
    assert run("fit", "--resume", "runs/waves-1", "--quiet")[0] == 0
    assert run("fit", "--resume", "runs/waves-1", "--steps", 3, "--quiet")[0] == 0
    assert texsyn.Run.open("runs/waves-1").checkpoints()[0].name == "00000003"


@pytest.mark.parametrize("objective", ["vae", "acd", "wake-sleep"])
def test_special_cases_fit(tmp_path, picture, run, objective):
    how = ["--out", tmp_path / "run", "--steps", 2, "--objective", objective, *SMALL, "--json"]
    code, out, _ = run("fit", picture, *how)
    kept = {"vae": {"reconstruction", "prior"}, "acd": {"latent", "energy_data", "energy_generated"}}
    assert code == 0
    assert set(json.loads(out[0])["terms"]) == kept.get(objective, {"reconstruction", "latent"})


def test_fields_can_be_listed_and_set(tmp_path, picture, run):
    _, out, _ = run("fit", "--set", "?")
    assert any(line.startswith("gradient_penalty=0.02") for line in out)
    run("fit", picture, "--out", tmp_path / "run", "--steps", 1, *QUIET, "--set", "energy-mean=no")
    assert texsyn.Run.open(tmp_path / "run").recipe.energy_mean is False


@pytest.mark.usefixtures("few_crops")
def test_a_still_is_learnt_at_its_own_size(tmp_path, run, size_of, monkeypatch):
    """A base and one level; resumed while the level is trained, sampled and scored."""
    draw(tmp_path / "large.png", (400, 330))
    words = ["fit", tmp_path / "large.png", "--levels", 1, "--steps", 4, *SMALL, "--out", tmp_path / "run"]
    _, _, err = run(*words)
    assert "trained at 400 x 330, a base at 1/2 and levels of 2" in err
    assert "level 1 of 1  step 4" in err
    made = texsyn.Run.open(tmp_path / "run")
    assert (len(made.triangle().levels), made.exemplars()[0].size) == (1, (330, 400))
    assert run("fit", "--resume", tmp_path / "run", "--steps", 6, "--quiet", "--no-card")[0] == 0
    assert run("sample", tmp_path / "run", "-o", tmp_path / "own.png")[0] == 0
    assert size_of(tmp_path / "own.png") == (384, 320)
    assert run("sample", tmp_path / "run", "--size", "200x100", "-o", tmp_path / "small.png")[0] == 0
    assert size_of(tmp_path / "small.png") == (200, 100)
    monkeypatch.setattr("texsyn.metrics.scoring._NATIVE_CROPS", 1)
    assert score_run(made, made.triangle()).metrics["ps"] > 0  # at native size


def test_masked_stills_have_no_levels(tmp_path, run):
    draw(tmp_path / "large.png", (400, 330))
    draw(tmp_path / "mask.png", (400, 330))
    words = ["fit", tmp_path / "large.png", "--levels", 1, "--mask", tmp_path / "mask.png", "--steps", 1]
    code, _, err = run(*words, *SMALL, "--out", tmp_path / "run")
    assert (code, err.count("\n")) == (2, 1)
    assert "without levels of detail" in err
    assert not (tmp_path / "run").exists()


def test_a_surface_grows_in_space_and_time(tmp_path, run, size_of):
    words = ["fit", VIDEOS / "water.mp4", "--kind", "surface", "--steps", 1, *QUIET]
    assert run(*words, "--out", tmp_path / "run")[0] == 0
    assert texsyn.Run.open(tmp_path / "run").exemplars()[0].size == (128, 128, 128)
    code, _, _ = run("sample", tmp_path / "run", "--size", "96x64", "--frames", 16, "-o", tmp_path / "out.gif")
    assert code == 0
    assert size_of(tmp_path / "out.gif") == (96, 64)
    code, _, err = run(*words, "--recipe", "paper", "--out", tmp_path / "other")
    assert (code, err.strip()) == (2, "texsyn: there are no 'paper' networks for a surface")


def test_a_material_is_a_folder_of_maps_and_is_written_as_it_is_named(tmp_path, run, size_of):
    folder = VIDEOS / "materials" / "rust"
    code, out, _ = run("fit", folder, "--steps", 2, "--out", tmp_path / "run", *QUIET)
    assert (code, out) == (0, [str(tmp_path / "run")])
    maps = ["Color", "NormalGL", "Displacement", "Roughness", "AmbientOcclusion", "Metalness"]
    planes = texsyn.load(tmp_path / "run").modality.planes
    assert [plane.ending for plane in planes] == [f"_{name}" for name in maps]
    _, out, _ = run("sample", tmp_path / "run", "-o", tmp_path / "out.png", "--size", "96x64")
    assert out == [str(tmp_path / f"out_{name}.png") for name in maps]
    assert size_of(tmp_path / "out_Displacement.png") == (96, 64)
    _, out, _ = run("sample", tmp_path / "run", "-o", tmp_path / "packed.png", "--packed", "orm")
    assert out == [str(tmp_path / f"packed_{name}.png") for name in (*maps[:3], "ORM")]
    for ending, count in (("glb", 1), ("exr", 6)):
        code, out, _ = run("sample", tmp_path / "run", "-o", tmp_path / f"out.{ending}")
        assert (code, len(out)) == (0, count)
    assert run("reconstruct", tmp_path / "run", folder, "-o", tmp_path / "again.png")[0] == 0
    assert run("heatmap", tmp_path / "run", folder, "-o", tmp_path / "heat.png")[0] == 0
    assert run("fit", folder, "--untrusted", "--prepare", "--out", tmp_path / "guarded", *QUIET)[0] == 0
    code, _, err = run("heatmap", tmp_path / "run", folder / "rust_Color.png", "-o", tmp_path / "no.png")
    assert (code, "rust_Color.png is one file" in err) == (3, True)


def test_maps_are_named_by_hand(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = VIDEOS / "materials" / "leather"
    maps = f"colour={folder}/leather_Color.png,height={folder}/leather_Displacement.png"
    for how in ([], ["--untrusted"]):
        code, out, _ = run("fit", "--maps", maps, "--prepare", *how, *QUIET)
        assert (code, len(out)) == (0, 1)
        assert [plane.name for plane in texsyn.Run.open(out[0]).modality.planes] == ["colour", "height"]
    still = tmp_path / "still"
    assert run("fit", folder / "leather_Color.png", "--steps", 1, "--out", still, *QUIET)[0] == 0
    code, _, err = run("sample", still, "--packed", "orm")
    assert (code, err.strip()) == (
        2,
        "texsyn: --packed needs a map of occlusion, roughness, metal, and this run has none",
    )


def test_a_bad_set_of_maps_leaves_nothing(tmp_path, run):
    folder = tmp_path / "set"
    folder.mkdir()
    for name in ("r_Color", "r_Normal", "r_nor"):
        draw(folder / f"{name}.png")
    code, out, err = run("fit", folder, "--out", tmp_path / "run", *QUIET)
    assert (code, out, err.count("\n")) == (3, [], 1)
    assert "r_Normal.png and r_nor.png are both a map of normal" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["fit", "nowhere.png"], 3, "nowhere.png: no such file"),
        (["fit"], 2, "name an exemplar"),
        (["fit", "{picture}", "--steps", "0"], 2, "--steps must lie in 1"),
        (["fit", "{picture}", "--set", "speed"], 2, "is not FIELD=VALUE"),
        (["fit", "{picture}", "--set", "speed=1"], 2, "a recipe has no field speed"),
        (["fit", "{picture}", "--set", "batch_size=two"], 2, "batch_size must be a whole number"),
        (["fit", "{picture}", "--set", "batch_size=0"], 2, "--set batch_size must lie in"),
        (["fit", "{picture}", "--minutes", "0"], 2, "--minutes must be more than 0"),
        (["fit", "{picture}", "--side", "10"], 2, "--side must be 0 or at least 32"),
        (["fit", "{picture}", "--crop", "10x10+0+0"], 3, "what --crop leaves of"),
        (["fit", "--resume", "{still}", "--minutes", "-1"], 2, "--minutes must be more than 0"),
        (["fit", "{picture}", "--frames", "0:3"], 3, "for clips"),
        (["fit", "{picture}", "--device", "toaster"], 2, "--device"),
        (["fit", "{picture}", "--device", "cuda:99"], 2, "CUDA device"),
        (["fit", "{picture}", "--kind", "clip"], 3, "a single image, not a clip"),
        (["fit", "{picture}", "--kind", "material"], 3, "a material has at least two maps"),
        (["fit", "{picture}", "--maps", "colour={picture}"], 2, "is one too many"),
        (["fit", "--maps", "colour"], 2, "is not MAP=FILE"),
        (["fit", "{picture}", "--kind", "objects", "--frames", "0:3"], 2, "--frames does not go with --kind objects"),
        (["fit", "{picture}", "--out", "{still}"], 2, "exists already"),
        (["fit", "{picture}", "--resume", "{still}"], 2, "--resume takes"),
        (["fit", "--resume", "{still}", "--side", "64"], 2, "not --side"),
        (["fit", "--resume", "{still}", "--recipe", "fast"], 2, "not --recipe"),
        (["fit", "--resume", "{still}", "--objective", "vae"], 2, "not --objective"),
        (["fit", "{picture}", "--crop", "64x64+8+8"], 3, "does not lie within 64 x 64"),
    ],
)
def test_bad_input_is_one_line_and_its_exit_code(check_refused, words, code, message):
    check_refused(words, code, message)


def test_paper_recipes_build_the_papers_networks(tmp_path, run):
    how = ["--recipe", "paper", "--steps", 1, "--set", "batch_size=1", "--no-card", "--quiet"]
    assert run("fit", VIDEOS / "brick.png", *how, "--out", tmp_path / "still")[0] == 0
    assert texsyn.load(tmp_path / "still").design.latent_channels == 5
    assert run("fit", VIDEOS / "fire.mp4", *how, "--prepare", "--out", tmp_path / "clip")[0] == 0
    assert texsyn.Run.open(tmp_path / "clip").fresh().latent_shape((32, 64, 64)) == (10, 2, 1, 1)


@pytest.mark.usefixtures("few_crops")
def test_a_fit_ends_with_a_card_that_later_training_removes(tmp_path, capsys):
    pytest.importorskip("plenoptic")
    draw(tmp_path / "a.png", (200, 200))  # smaller than the images of published metrics
    run = tmp_path / "run"
    small = [word for word in SMALL if word != "--no-card"]
    assert main(["fit", str(tmp_path / "a.png"), "--side", "0", "--steps", "1", *small, "--out", str(run)]) == 0
    words = [line.split()[0] for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert {"faithful", "sharp", "new", "varied", "seamless"} <= set(words)
    card = json.loads((run / "card.json").read_text())
    assert card["metrics"]["ps"] > card["reference"]["ps"] > 0
    assert main(["fit", "--resume", str(run), "--steps", "2", "--no-card"]) == 0
    assert not (run / "card.json").exists()
    assert main(["fit", "--resume", str(run)]) == 0  # finished, and not scored yet
    assert (run / "card.json").exists()


def test_a_shorter_budget_leaves_a_run_as_it_is(still, capsys):
    before = (still / "run.json").read_bytes(), (still / "events.jsonl").read_text().count("finished")
    assert main(["fit", "--resume", str(still), "--steps", "1"]) == 2
    assert capsys.readouterr().err.endswith("texsyn: run was trained for 2 steps already: --steps 1 must be more\n")
    assert ((still / "run.json").read_bytes(), (still / "events.jsonl").read_text().count("finished")) == before


def test_a_regular_pattern_is_told_and_sampled_in_whole_periods(tmp_path, run, size_of):
    words = ["fit", VIDEOS / "wicker.png", "--steps", 1, *SMALL]
    code, _, err = run(*words, "--out", tmp_path / "run")
    assert code == 0
    assert "the pattern repeats every 18.7 pixels downwards and 37.3 pixels to the right" in err
    assert texsyn.Run.open(tmp_path / "run").exemplars()[0].size == (224, 224)
    for command in (["sample"], ["reconstruct"], ["sample", "--tile", "none", "--size", "224x224"]):
        out = tmp_path / f"{len(command)}-{command[0]}.png"
        assert run(command[0], tmp_path / "run", *command[1:], "-o", out)[0] == 0
        assert size_of(out) == (224, 224)
    code, _, err = run(*words, "--out", tmp_path / "other", "--set", "whole_periods=no")
    assert code == 0
    assert "repeats" not in err


def test_a_large_regular_pattern_keeps_its_period_at_its_own_size(tmp_path, run, size_of):
    with Image.open(VIDEOS / "wicker.png") as small:
        small.resize((480, 480), Image.Resampling.LANCZOS).save(tmp_path / "wicker.png")
    code, _, err = run("fit", tmp_path / "wicker.png", "--levels", 1, "--steps", 4, *SMALL, "--out", tmp_path / "run")
    assert code == 0
    assert "the pattern repeats every 40.0 pixels downwards and 80.0 pixels to the right" in err
    triangle = texsyn.load(tmp_path / "run")
    assert triangle.modality.factors == (2,)
    assert triangle.modality.own_period == pytest.approx((40, 80), rel=0.01)
    sizes = {("sample",): (448, 448), ("reconstruct",): (480, 480)}
    sizes["sample", "--langevin", "1", "--size", "300x200"] = (300, 200)
    for number, ((command, *options), size) in enumerate(sizes.items()):
        out = tmp_path / f"{number}.png"
        assert run(command, tmp_path / "run", *options, "-o", out)[0] == 0
        assert size_of(out) == size
