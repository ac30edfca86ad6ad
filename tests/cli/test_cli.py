"""The command line, from the outside: what a person types, and what comes back."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import VIDEOS, draw
from PIL import Image

import texsyn
from texsyn.cli.entry import main
from texsyn.core.errors import Exit

SMALL = ["--set", "width_multiplier=0.1", "--set", "batch_size=1", "--no-card", "--quiet"]


@pytest.fixture(scope="module")
def still(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("still")
    y, x = np.mgrid[:64, :64]
    Image.fromarray(np.stack([4 * x, 4 * y, 0 * x + 90], -1).astype(np.uint8)).save(path / "ramp.png")
    assert main(["fit", str(path / "ramp.png"), "--out", str(path / "run"), "--steps", "2", *SMALL]) == 0
    return path / "run"


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip")
    assert main(["fit", str(VIDEOS / "fire.mp4"), "--out", str(path / "run"), "--steps", "1", *SMALL]) == 0
    return path / "run"


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("material")
    maps = [str(VIDEOS / "pebbles.png"), str(VIDEOS / "pebbles-normal.png")]
    assert main(["fit", *maps, "--side", "64", "--out", str(path / "run"), "--steps", "1", *SMALL]) == 0
    return path / "run"


def size(path: str | Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def run(capsys, *arguments: object) -> tuple[int, list[str], str]:
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def test_help_and_version_import_nothing_heavy():
    heavy = "{'torch', 'numpy', 'av', 'PIL', 'rich'}"
    code = f"import sys, texsyn.cli; texsyn.cli._parser(); print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"texsyn {texsyn.__version__}"


def test_fit_prints_json_lines(tmp_path, picture, capsys):
    code, out, _ = run(capsys, "fit", picture, "--out", tmp_path / "run", "--steps", 3, *SMALL[:-1], "--json")
    assert code == 0
    events = [json.loads(line) for line in out]
    assert [e["step"] for e in events] == [1, 2, 3, 3]
    assert set(events[0]["terms"]) == {"reconstruction", "prior", "energy_data", "energy_generated", "latent"}
    assert events[-1]["event"] == "finished"


def test_untrusted_files_are_learnt_the_same(tmp_path, picture, capsys):
    for name, more in (("plain", []), ("guarded", ["--untrusted"])):
        how = ["--steps", 2, "--crop", "64x64+0+0", "--seed", 5, *more]
        assert run(capsys, "fit", picture, "--out", tmp_path / name, *how, *SMALL)[0] == 0
    one, other = (texsyn.load(tmp_path / name).state_dict() for name in ("plain", "guarded"))
    assert all((one[key] == other[key]).all() for key in one)
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    code, out, err = run(capsys, "fit", tmp_path / "bad.png", "--out", tmp_path / "bad", "--untrusted", *SMALL)
    assert (code, out, err.count("\n")) == (3, [], 1)
    assert not (tmp_path / "bad").exists()


def test_fit_names_its_folder_and_resumes_and_goes_further(tmp_path, picture, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "fit", picture, "--steps", 2, *SMALL)
    assert (code, out) == (0, ["runs/waves-1"])
    assert run(capsys, "fit", "--resume", "runs/waves-1", "--quiet")[0] == 0
    assert run(capsys, "fit", "--resume", "runs/waves-1", "--steps", 3, "--quiet")[0] == 0
    assert texsyn.Run.open("runs/waves-1").checkpoints()[0].name == "00000003"


def test_fit_says_how_it_goes(tmp_path, picture, capsys):
    _, out, err = run(capsys, "fit", picture, "--out", tmp_path / "run", "--steps", 2, *SMALL[:-1])
    assert "64 x 64" in err
    assert "2 steps: about" in err
    assert "reconstruction" in err
    assert "textures/s" in err
    assert out == [str(tmp_path / "run")]


@pytest.mark.parametrize("objective", ["vae", "acd", "wake-sleep"])
def test_special_cases_fit(tmp_path, picture, capsys, objective):
    arguments = [
        "fit",
        picture,
        "--out",
        tmp_path / "run",
        "--steps",
        2,
        "--objective",
        objective,
        *SMALL[:-1],
        "--json",
    ]
    code, out, _ = run(capsys, *arguments)
    kept = {"vae": {"reconstruction", "prior"}, "acd": {"latent", "energy_data", "energy_generated"}}
    assert code == 0
    assert set(json.loads(out[0])["terms"]) == kept.get(objective, {"reconstruction", "latent"})


def test_fields_can_be_listed_and_set(tmp_path, picture, capsys):
    _, out, _ = run(capsys, "fit", "--set", "?")
    assert any(line.startswith("gradient_penalty=0.02") for line in out)
    run(capsys, "fit", picture, "--out", tmp_path / "run", "--steps", 1, *SMALL, "--set", "energy-mean=no")
    assert texsyn.Run.open(tmp_path / "run").recipe.energy_mean is False


def test_a_sample_goes_into_the_run_unless_told(still, capsys):
    code, out, _ = run(capsys, "sample", still, "--seed", 5, "--count", 2)
    assert code == 0
    assert [Path(line).name for line in out] == ["seed-5.png", "seed-6.png"]
    assert Path(out[0]).parent == still / "samples"


def test_same_seed_same_bytes(still, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        run(capsys, "sample", still, "-o", tmp_path / name, "--seed", 3)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    run(capsys, "sample", still, "-o", tmp_path / "c.png", "--seed", 4)
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "c.png").read_bytes()


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp"])
def test_still_formats_sizes_and_metadata(still, tmp_path, capsys, name):
    path = tmp_path / name
    assert run(capsys, "sample", still, "-o", path, "--size", "100x70", "--seed", 9)[0] == 0
    assert size(path) == (100, 70)
    code, out, _ = run(capsys, "info", path, "--json")
    found = json.loads(out[0])
    assert (code, found["seed"], found["recipe"]) == (0, 9, "fast")
    assert len(found["exemplar_sha256"]) == 64
    run(capsys, "sample", still, "-o", path, "--no-metadata", "--force")
    assert run(capsys, "info", path)[0] == Exit.BAD_INPUT


@pytest.mark.parametrize("name", ["out.mp4", "out.gif", "out.webp"])
def test_clip_formats_and_metadata(clip, tmp_path, capsys, name):
    path = tmp_path / name
    assert run(capsys, "sample", clip, "-o", path, "--frames", 16)[0] == 0
    assert json.loads(run(capsys, "info", path, "--json")[1][0])["size"] == [16, 64, 64]


def test_frames_and_sheets(clip, tmp_path, capsys):
    run(capsys, "sample", clip, "-o", tmp_path / "frames", "--format", "frames", "--frames", 8)
    assert len(list((tmp_path / "frames").glob("*.png"))) == 8
    run(capsys, "sample", clip, "-o", tmp_path / "sheet.png", "--format", "sheet", "--frames", 9)
    assert size(tmp_path / "sheet.png") == (192, 192)
    assert json.loads((tmp_path / "sheet.json").read_text())["frames"] == 9
    shorter = ["sample", clip, "-o", tmp_path / "frames", "--format", "frames", "--frames", 4]
    assert run(capsys, *shorter)[0] == Exit.USAGE
    assert run(capsys, *shorter, "--force")[0] == 0
    assert len(list((tmp_path / "frames").glob("*.png"))) == 4
    assert json.loads(run(capsys, "info", tmp_path / "frames", "--json")[1][0])["size"] == [4, 64, 64]


def test_a_material_is_two_files_in_and_two_out(material, tmp_path, capsys):
    code, out, _ = run(capsys, "sample", material, "-o", tmp_path / "m.png", "--size", "96x64")
    assert code == 0
    assert [Path(line).name for line in out] == ["m-colour.png", "m-normal.png"]
    assert size(out[1]) == (96, 64)


def test_a_surface_grows_in_space_and_time(tmp_path, capsys):
    arguments = ["fit", VIDEOS / "water.mp4", "--kind", "surface", "--steps", 1, "--out", tmp_path / "run", *SMALL]
    assert run(capsys, *arguments)[0] == 0
    assert texsyn.Run.open(tmp_path / "run").exemplars()[0].size == (128, 128, 128)
    code, _, _ = run(capsys, "sample", tmp_path / "run", "--size", "96x64", "--frames", 16, "-o", tmp_path / "out.gif")
    assert code == 0
    assert size(tmp_path / "out.gif") == (96, 64)
    code, _, err = run(capsys, *arguments[:-4], "--recipe", "paper", "--out", tmp_path / "other")
    assert (code, err.strip()) == (2, "texsyn: there are no 'paper' networks for a surface")


def test_several_go_into_a_folder_or_beside_each_other(still, tmp_path, capsys):
    run(capsys, "sample", still, "-o", tmp_path / "many", "--count", 2)
    assert sorted(p.name for p in (tmp_path / "many").iterdir()) == ["seed-0.png", "seed-1.png"]
    run(capsys, "sample", still, "-o", tmp_path / "x.jpg", "--count", 2)
    assert sorted(p.name for p in tmp_path.glob("*.jpg")) == ["x-0.jpg", "x-1.jpg"]


def test_info_shows_a_run(still, capsys):
    code, out, _ = run(capsys, "info", still)
    assert code == 0
    assert any("recipe_name" in line and "fast" in line for line in out)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
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
        (["fit", "{picture}", "--kind", "clip"], 3, "single picture"),
        (["fit", "{picture}", "--kind", "material"], 3, "2 file"),
        (["fit", "{picture}", "--out", "{still}"], 2, "exists already"),
        (["fit", "{picture}", "--resume", "{still}"], 2, "--resume takes"),
        (["fit", "--resume", "{still}", "--side", "64"], 2, "not --side"),
        (["fit", "--resume", "{still}", "--recipe", "fast"], 2, "not --recipe"),
        (["fit", "--resume", "{still}", "--objective", "vae"], 2, "not --objective"),
        (["fit", "{picture}", "--crop", "64x64+8+8"], 3, "does not lie within 64 x 64"),
        (["sample", "{picture}"], 3, "is not a run"),
        (["sample", "{still}", "-o", "{picture}"], 2, "exists already"),
        (["sample", "{still}", "-o", "out.mp4"], 2, "is written to"),
        (["sample", "{still}", "--format", "webp", "-o", "out.png"], 2, "out.png does not end as webp does"),
        (["sample", "{still}", "-o", "out.tiff"], 2, "there is no format .tiff, but .gif, .jpeg, .jpg"),
        (["sample", "{still}", "--frames", "0"], 2, "for clips"),
        (["complete", "{still}"], 3, "nothing is missing in what the run learnt: name an IMAGE"),
        (["sample", "{still}", "--format", "gif"], 2, "cannot be written as gif"),
        (["sample", "{still}", "--frames", "4"], 2, "for clips"),
        (["sample", "{still}", "--fps", "12"], 2, "--fps is for clips"),
        (["sample", "{still}", "--count", "0"], 2, "--count"),
        (["info", "{picture}"], 3, "says nothing of texsyn"),
        (["info", "nowhere.png"], 3, "no such file"),
    ],
)
def test_bad_input_is_one_line_and_its_exit_code(still, picture, tmp_path, monkeypatch, capsys, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    before = picture.read_bytes()
    found, out, err = run(capsys, *(a.format(picture=picture, still=still) for a in arguments))
    assert (found, out) == (code, [])
    assert said in err
    assert err.count("\n") == 1
    assert picture.read_bytes() == before
    assert not (tmp_path / "runs").exists()


def test_wrong_sizes_are_a_usage_error(still):
    with pytest.raises(SystemExit, match="2"):
        main(["sample", str(still), "--size", "12"])


def test_a_closed_pipe_is_no_error(still):
    command = f"{sys.executable} -m texsyn info {still} | head -c 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, env=os.environ)
    assert done.stderr == ""


def test_paper_recipes_build_the_papers_networks(tmp_path, capsys):
    still = [VIDEOS / "brick.png", "--recipe", "paper", "--steps", 1, "--set", "batch_size=1", "--no-card", "--quiet"]
    assert run(capsys, "fit", *still, "--out", tmp_path / "still")[0] == 0
    assert texsyn.load(tmp_path / "still").design.latent_channels == 5
    clip = [VIDEOS / "fire.mp4", "--recipe", "paper", "--steps", 1, "--set", "batch_size=1", "--no-card", "--quiet"]
    assert run(capsys, "fit", *clip, "--out", tmp_path / "clip")[0] == 0
    assert texsyn.load(tmp_path / "clip").latent_shape((32, 64, 64)) == (10, 2, 1, 1)


def test_a_fit_ends_with_a_card_that_later_learning_takes_away(tmp_path, capsys):
    pytest.importorskip("plenoptic")
    draw(tmp_path / "a.png", (200, 200))  # smaller than what figures are published of
    run = tmp_path / "run"
    small = ["--set", "width_multiplier=0.1", "--set", "batch_size=1"]
    assert main(["fit", str(tmp_path / "a.png"), "--side", "0", "--steps", "1", *small, "--out", str(run)]) == 0
    said = [line.split()[0] for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert {"faithful", "sharp", "new", "varied", "seamless"} <= set(said)
    card = json.loads((run / "card.json").read_text())
    assert card["measures"]["ps"] > card["reference"]["ps"] > 0
    assert main(["fit", "--resume", str(run), "--steps", "2", "--no-card"]) == 0
    assert not (run / "card.json").exists()
    assert main(["fit", "--resume", str(run)]) == 0  # finished, and not scored yet
    assert (run / "card.json").exists()


@pytest.mark.parametrize(("sent", "code", "said"), [("SIGTERM", 143, "terminated"), ("SIGINT", 130, "interrupted")])
def test_a_sample_that_is_ended_leaves_nothing_half_written(tmp_path, still, sent, code, said):
    command = [sys.executable, "-m", "texsyn", "sample", str(still), "--size", "40000x40000", "-o", "large.png"]
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
    assert err.splitlines()[-1] == f"texsyn: {said}"
    assert list(tmp_path.iterdir()) == []


def test_a_shorter_budget_leaves_a_run_as_it_is(still, capsys):
    before = (still / "run.json").read_bytes(), (still / "events.jsonl").read_text().count("finished")
    assert main(["fit", "--resume", str(still), "--steps", "1"]) == 2
    assert capsys.readouterr().err.endswith("texsyn: run has learnt 2 steps already: --steps 1 must be more\n")
    assert ((still / "run.json").read_bytes(), (still / "events.jsonl").read_text().count("finished")) == before
