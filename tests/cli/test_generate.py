"""`texsyn sample`: files, formats, sizes, metadata."""

import json
from pathlib import Path

import pytest

from texsyn.cli.entry import main
from texsyn.core.errors import Exit


def test_a_sample_goes_into_the_run_by_default(still, run):
    code, out, _ = run("sample", still, "--seed", 5, "--count", 2)
    assert code == 0
    assert [Path(line).name for line in out] == ["seed-5.png", "seed-6.png"]
    assert Path(out[0]).parent == still / "samples"


def test_same_seed_same_bytes(still, tmp_path, run):
    for name in ("a.png", "b.png"):
        run("sample", still, "-o", tmp_path / name, "--seed", 3)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    run("sample", still, "-o", tmp_path / "c.png", "--seed", 4)
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "c.png").read_bytes()


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp"])
def test_still_formats_sizes_and_metadata(still, tmp_path, run, size_of, name):
    path = tmp_path / name
    assert run("sample", still, "-o", path, "--size", "100x70", "--seed", 9)[0] == 0
    assert size_of(path) == (100, 70)
    code, out, _ = run("info", path, "--json")
    metadata = json.loads(out[0])
    assert (code, metadata["seed"], metadata["recipe"]) == (0, 9, "fast")
    assert len(metadata["exemplar_sha256"]) == 64
    run("sample", still, "-o", path, "--no-metadata", "--force")
    assert run("info", path)[0] == Exit.BAD_INPUT


@pytest.mark.parametrize("name", ["out.mp4", "out.gif", "out.webp"])
def test_clip_formats_and_metadata(clip, tmp_path, run, name):
    path = tmp_path / name
    assert run("sample", clip, "-o", path, "--frames", 16)[0] == 0
    assert json.loads(run("info", path, "--json")[1][0])["size"] == [16, 64, 64]


def test_frames_and_sheets(clip, tmp_path, run, size_of):
    run("sample", clip, "-o", tmp_path / "frames", "--format", "frames", "--frames", 8)
    assert len(list((tmp_path / "frames").glob("*.png"))) == 8
    run("sample", clip, "-o", tmp_path / "sheet.png", "--format", "sheet", "--frames", 9)
    assert size_of(tmp_path / "sheet.png") == (192, 192)
    assert json.loads((tmp_path / "sheet.json").read_text())["frames"] == 9
    shorter = ["sample", clip, "-o", tmp_path / "frames", "--format", "frames", "--frames", 4]
    assert run(*shorter)[0] == Exit.USAGE
    assert run(*shorter, "--force")[0] == 0
    assert len(list((tmp_path / "frames").glob("*.png"))) == 4
    assert json.loads(run("info", tmp_path / "frames", "--json")[1][0])["size"] == [4, 64, 64]


def test_a_material_is_two_files_in_and_two_out(material, tmp_path, run, size_of):
    code, out, _ = run("sample", material, "-o", tmp_path / "m.png", "--size", "96x64")
    assert code == 0
    assert [Path(line).name for line in out] == ["m-colour.png", "m-normal.png"]
    assert size_of(out[1]) == (96, 64)


def test_several_go_into_a_folder_or_beside_each_other(still, tmp_path, run):
    run("sample", still, "-o", tmp_path / "many", "--count", 2)
    assert sorted(p.name for p in (tmp_path / "many").iterdir()) == ["seed-0.png", "seed-1.png"]
    run("sample", still, "-o", tmp_path / "x.jpg", "--count", 2)
    assert sorted(p.name for p in tmp_path.glob("*.jpg")) == ["x-0.jpg", "x-1.jpg"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["sample", "{picture}"], 3, "is not a run"),
        (["sample", "{still}", "-o", "{picture}"], 2, "exists already"),
        (["sample", "{still}", "-o", "out.mp4"], 2, "is written to"),
        (["sample", "{still}", "--format", "webp", "-o", "out.png"], 2, "out.png does not end as webp does"),
        (["sample", "{still}", "-o", "out.tiff"], 2, "there is no format .tiff, but .exr, .gif, .glb, .jpeg, .jpg"),
        (["sample", "{still}", "--frames", "0"], 2, "for clips"),
        (["sample", "{still}", "--format", "gif"], 2, "cannot be written as gif"),
        (["sample", "{still}", "--frames", "4"], 2, "for clips"),
        (["sample", "{still}", "--fps", "12"], 2, "--fps is for clips"),
        (["sample", "{still}", "--count", "0"], 2, "--count"),
        (["sample", "{still}", "--seed", "-1"], 2, "--seed must lie in 0 to"),
        (["sample", "{still}", "--best", "3", "of", "two"], 2, "--best is K of N"),
        (["sample", "{still}", "--best", "1", "of", "2", "--count", "2"], 2, "--count does not go with --best"),
        (["morph", "{still}", "--from", "1", "--to", "1"], 2, "--from and --to are the same"),
    ],
)
def test_bad_input_is_one_line_and_its_exit_code(check_refused, words, code, message):
    check_refused(words, code, message)


def test_wrong_sizes_are_a_usage_error(still):
    with pytest.raises(SystemExit, match="2"):
        main(["sample", str(still), "--size", "12"])
