"""A folder of exemplars: each is fitted once, broken ones are named."""

import json

import pytest
from conftest import draw
from PIL import Image

import texsyn
from texsyn import FitOptions, Run, TexsynError
from texsyn.jobs.batch import _device


def test_a_folder_is_fitted_once_and_a_broken_file_is_named(tmp_path, folder, run_batch):
    runs = tmp_path / "runs"
    draw(folder / "a.png")
    draw(folder / "b.png", (80, 64))
    draw(folder / "b.jpg")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (folder / "notes.txt").write_text("no exemplar")
    code, rows, err = run_batch(folder, "--out", runs, "--steps", 2, "--jobs", 2)
    assert code == 3
    assert "4 exemplars, 2 at a time" in err
    assert {row["name"]: row["state"] for row in rows} == {
        "a": "finished",
        "b-png": "finished",
        "b-jpg": "finished",
        "broken": "skipped",
    }
    assert [row["steps"] for row in rows] == [2, 2, 2, 0]
    assert "cannot be read as a PNG" in rows[-1]["reason"]
    assert json.loads((runs / "summary.json").read_text()) == rows
    page = (runs / "summary.html").read_text()
    assert page.count("<tr>") == 5
    assert (runs / "a" / page.split('src="a/')[1].split('"')[0]).exists()

    (folder / "broken.png").unlink()
    draw(folder / "c.png")
    stamp = (runs / "a" / "events.jsonl").stat().st_mtime_ns
    code, rows, _ = run_batch(folder, "--out", runs, "--steps", 2)
    assert code == 0
    assert [row["before"] for row in rows] == [True, True, True, False]
    assert (runs / "a" / "events.jsonl").stat().st_mtime_ns == stamp

    summary = (runs / "summary.json").read_text()
    code, rows, _ = run_batch(folder, "--out", runs, "--steps", 2, "--only", "c.png", "b.jpg")
    assert (code, [row["name"] for row in rows]) == (0, ["b-jpg", "c"])
    assert (runs / "summary.json").read_text() == summary
    code, rows, err = run_batch(folder, "--out", runs, "--only", "d.png")
    assert (code, rows) == (3, [])
    assert "holds no d.png" in err

    code, rows, _ = run_batch(folder, "--out", runs, "--steps", 3, "--force")
    assert code == 0
    assert [row["steps"] for row in rows] == [3, 3, 3, 3]


def test_names_that_would_be_one_are_refused(tmp_path, run_batch):
    for name in ("a.png", "a.jpg", "a-png.png"):
        draw(tmp_path / name)
    code, rows, err = run_batch(tmp_path, "--out", tmp_path / "runs")
    assert (code, rows, err.count("\n")) == (3, [], 1)
    assert "would both be called a-png" in err


def test_a_name_like_an_option_is_a_name(tmp_path, run_batch, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "-x.png")
    for _ in range(2):
        code, rows, _ = run_batch(".", "--out", ".", "--steps", 1)
        assert (code, [row["name"] for row in rows]) == (0, ["-x"])


def test_a_map_of_normals_goes_with_its_image(tmp_path, folder, run_batch):
    runs = tmp_path / "runs"
    draw(folder / "wall.png")
    Image.new("RGB", (64, 64), (128, 128, 255)).save(folder / "wall-normal.png")
    Image.new("RGB", (64, 64), (128, 128, 255)).save(folder / "lone-normal.png")
    code, rows, _ = run_batch(folder, "--out", runs, "--steps", 1, "--only", "wall-normal.png")
    assert (code, [row["name"] for row in rows]) == (0, ["wall"])  # as an array's task for that file asks
    code, rows, _ = run_batch(folder, "--out", runs, "--steps", 1)
    assert (code, [row["name"] for row in rows]) == (0, ["lone-normal", "wall"])
    assert [Run.open(runs / name).exemplars()[0].modality.name for name in ("lone-normal", "wall")] == [
        "still",
        "material",
    ]


def test_fits_are_spread_over_the_gpus_of_a_machine(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [_device("auto", n) for n in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert (_device("cpu", 0), _device("cuda:1", 0), _device("cuda", 1)) == ("cpu", "cuda:1", "cuda:1")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert _device("auto", 0) == "auto"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0"], "--steps must lie in 1"),
        (["--set=wide=1"], "a recipe has no field wide"),
        (["--stairs", "1"], "unrecognized arguments: --stairs 1"),
        (["--out", "here"], "--out does not go with a batch"),
        (FitOptions(prepare=True), "--prepare does not go with a batch"),
    ],
)
def test_wrong_options_are_refused_before_the_first_fit(tmp_path, folder, options, message):
    draw(folder / "a.png")
    with pytest.raises(TexsynError, match=message) as refused:
        list(texsyn.batch(folder, tmp_path / "runs", options))
    assert refused.value.exit == 2
    assert not (tmp_path / "runs").exists()
