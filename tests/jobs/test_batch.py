"""Many exemplars: each learnt once, broken ones named, what was begun goes on."""

import json
import threading
import time

import pytest
from conftest import TESTS, draw
from PIL import Image

import texsyn
from texsyn import Run
from texsyn.cli.entry import main
from texsyn.core.files import locked
from texsyn.jobs import cluster as cluster_
from texsyn.jobs import summary as summary_
from texsyn.jobs.batch import _device

ROOT = TESTS.parent

SMALL = ["--set", "width_multiplier=0.1", "--set", "batch_size=1", "--no-card"]


def batch(capsys, *words: object) -> tuple[int, list[dict], str]:
    code = main(["batch", *map(str, words), *SMALL, "--json"])
    out, err = capsys.readouterr()
    return code, sorted((json.loads(line) for line in out.splitlines()), key=lambda row: row["name"]), err


def test_a_folder_is_learnt_once_and_a_broken_file_is_named(tmp_path, capsys):
    folder, runs = tmp_path / "exemplars", tmp_path / "runs"
    folder.mkdir()
    draw(folder / "a.png")
    draw(folder / "b.png", (80, 64))
    draw(folder / "b.jpg")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (folder / "notes.txt").write_text("no exemplar")
    code, rows, err = batch(capsys, folder, "--out", runs, "--steps", 2, "--jobs", 2)
    assert code == 3
    assert "exemplars: 4, 2 at a time" in err
    assert {row["name"]: row["state"] for row in rows} == {
        "a": "finished",
        "b-png": "finished",
        "b-jpg": "finished",
        "broken": "skipped",
    }
    assert [row["steps"] for row in rows] == [2, 2, 2, 0]
    assert "cannot be read as a PNG picture" in rows[-1]["reason"]
    assert json.loads((runs / "summary.json").read_text()) == rows
    page = (runs / "summary.html").read_text()
    assert page.count("<tr>") == 5
    assert (runs / "a" / page.split('src="a/')[1].split('"')[0]).exists()

    (folder / "broken.png").unlink()
    draw(folder / "c.png")
    stamp = (runs / "a" / "events.jsonl").stat().st_mtime_ns
    code, rows, _ = batch(capsys, folder, "--out", runs, "--steps", 2)
    assert code == 0
    assert [row["before"] for row in rows] == [True, True, True, False]
    assert (runs / "a" / "events.jsonl").stat().st_mtime_ns == stamp

    summary = (runs / "summary.json").read_text()
    code, rows, _ = batch(capsys, folder, "--out", runs, "--steps", 2, "--only", "c.png", "b.jpg")
    assert (code, [row["name"] for row in rows]) == (0, ["b-jpg", "c"])
    assert (runs / "summary.json").read_text() == summary
    code, rows, err = batch(capsys, folder, "--out", runs, "--only", "d.png")
    assert (code, rows) == (3, [])
    assert "holds no d.png" in err

    code, rows, _ = batch(capsys, folder, "--out", runs, "--steps", 3, "--force")
    assert code == 0
    assert [row["steps"] for row in rows] == [3, 3, 3, 3]


def test_what_was_begun_goes_on_to_the_same_end(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as this process has: with others the last bits may differ
    folder, runs = tmp_path / "exemplars", tmp_path / "runs"
    folder.mkdir()
    draw(folder / "a.png")
    assert batch(capsys, folder, "--out", runs, "--steps", 4)[0] == 0
    began = Run.create(tmp_path / "again" / "a", texsyn.read(folder / "a.png"), Run.open(runs / "a").recipe, "fast")
    for report in began.learn(began.fresh(), began.exemplars(), began.recipe, print):
        if report.step == 2:
            break
    code, rows, _ = batch(capsys, folder, "--out", tmp_path / "again", "--steps", 4)
    assert code == 0
    assert (rows[0]["steps"], rows[0]["before"]) == (4, False)
    one, other = (texsyn.load(path / "a").state_dict() for path in (runs, tmp_path / "again"))
    assert all((one[name] == other[name]).all() for name in one)


def test_a_node_that_dies_loses_no_fit(tmp_path):
    """A real cluster of a head and two nodes; one is killed in the middle, and its fits go on elsewhere."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    folder, runs = tmp_path / "exemplars", tmp_path / "runs"
    folder.mkdir()
    for name in ("a", "b"):
        draw(folder / f"{name}.png")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        path = {"env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}}
        ray.init(address=cluster.address, log_to_driver=False, runtime_env=path)
        rows: list[summary_.Row] = []
        how = ["--steps", "300", *SMALL, "--set", "checkpoint_interval=20"]
        work = threading.Thread(target=lambda: rows.extend(texsyn.batch(folder, runs, how, executor="ray")))
        work.start()
        deadline = time.monotonic() + 240
        while not all((runs / name / "checkpoints" / "00000020").exists() for name in ("a", "b")):
            assert time.monotonic() < deadline, "no checkpoint was stored"
            time.sleep(0.1)
        cluster.remove_node(nodes[0], allow_graceful=False)
        work.join(300)
        assert {row.name: (row.state, row.steps) for row in rows} == dict.fromkeys("ab", ("finished", 300))
        starts = {name: [e["step"] for e in Run.open(runs / name).events() if e["event"] == "start"] for name in "ab"}
        assert sorted(map(len, starts.values())) == [1, 2]  # one of them had its node taken away
        assert all(begun[-1] >= 20 for begun in starts.values() if len(begun) == 2)  # and went on, not anew
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere"], 3, "is not a folder"),
        (["."], 3, "holds no pictures"),
        ([".", "--jobs", "0"], 2, "--jobs must lie"),
        ([".", "--steps", "0"], 2, "--steps must lie"),
        ([".", "--set", "wide=1"], 2, "a recipe has no field wide"),
        ([".", "--only", "nope.png", "a.png"], 3, "holds no nope.png"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, monkeypatch, words, code, said):
    monkeypatch.chdir(tmp_path)
    if "--only" in words:
        draw(tmp_path / "a.png")
    found, rows, err = batch(capsys, *words)
    assert (found, rows, err.count("\n")) == (code, [], 1)
    assert said in err


def test_a_damaged_run_costs_nothing_else(tmp_path, capsys):
    folder, runs = tmp_path / "exemplars", tmp_path / "runs"
    folder.mkdir()
    for name in ("a", "b"):
        draw(folder / f"{name}.png")
    assert batch(capsys, folder, "--out", runs, "--steps", 1)[0] == 0
    (runs / "a" / "run.json").write_text("{")
    (runs / "b" / "card.json").write_text('{"measures": 3}')
    code, rows, err = batch(capsys, folder, "--out", runs, "--steps", 1)
    assert code == 3
    assert [row["state"] for row in rows] == ["failed", "failed"]
    assert "run.json is damaged" in rows[0]["reason"]
    assert "Traceback" not in err


def test_names_that_would_be_one_are_refused(tmp_path, capsys):
    for name in ("a.png", "a.jpg", "a-png.png"):
        draw(tmp_path / name)
    code, rows, err = batch(capsys, tmp_path, "--out", tmp_path / "runs")
    assert (code, rows, err.count("\n")) == (3, [], 1)
    assert "would both be called a-png" in err


def test_a_name_like_an_option_is_a_name(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "-x.png")
    for _ in range(2):
        code, rows, _ = batch(capsys, ".", "--out", ".", "--steps", 1)
        assert (code, [row["name"] for row in rows]) == (0, ["-x"])


def test_a_map_of_normals_goes_with_its_picture(tmp_path, capsys):
    folder, runs = tmp_path / "exemplars", tmp_path / "runs"
    folder.mkdir()
    draw(folder / "wall.png")
    Image.new("RGB", (64, 64), (128, 128, 255)).save(folder / "wall-normal.png")
    Image.new("RGB", (64, 64), (128, 128, 255)).save(folder / "lone-normal.png")
    code, rows, _ = batch(capsys, folder, "--out", runs, "--steps", 1, "--only", "wall-normal.png")
    assert (code, [row["name"] for row in rows]) == (0, ["wall"])  # as an array's task for that file asks
    code, rows, _ = batch(capsys, folder, "--out", runs, "--steps", 1)
    assert (code, [row["name"] for row in rows]) == (0, ["lone-normal", "wall"])
    assert [Run.open(runs / name).exemplars()[0].modality.name for name in ("lone-normal", "wall")] == [
        "still",
        "material",
    ]


def test_a_run_that_is_being_learnt_is_waited_for(tmp_path, capsys):
    folder, runs = tmp_path / "exemplars", tmp_path / "runs"
    folder.mkdir()
    draw(folder / "a.png")
    begun = Run.create(
        runs / "a",
        texsyn.read(folder / "a.png"),
        texsyn.recipe_for("fast", texsyn.read(folder / "a.png").modality, steps=2, width_multiplier=0.1, batch_size=1),
        "fast",
    )
    with locked(begun.path / ".lock"):  # as a fit holds it
        found: list[summary_.Row] = []
        work = threading.Thread(target=lambda: found.extend(texsyn.batch(folder, runs, ["--no-card"])))
        work.start()
        time.sleep(2)
        assert not found
        assert work.is_alive()
    work.join(120)
    assert [(row.state, row.steps) for row in found] == [("finished", 2)]


def test_an_address_is_no_folder(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["batch", str(tmp_path), "--out", "s3://bucket/runs"])
    assert ended.value.code == 2
    assert "is an address: mount what it names" in capsys.readouterr().err


def test_another_file_of_the_same_name_is_not_taken_for_what_was_learnt(tmp_path, capsys):
    folder, runs = tmp_path / "exemplars", tmp_path / "runs"
    folder.mkdir()
    draw(folder / "a.png")
    assert batch(capsys, folder, "--out", runs, "--steps", 1)[0] == 0
    draw(folder / "a.png", (80, 64))
    code, rows, _ = batch(capsys, folder, "--out", runs, "--steps", 1)
    assert (code, rows[0]["state"]) == (3, "failed")
    assert "a was begun from another file of this name" in rows[0]["reason"]


def test_what_a_begun_run_keeps_is_said(tmp_path, capsys):
    folder, runs = tmp_path / "exemplars", tmp_path / "runs"
    folder.mkdir()
    draw(folder / "a.png")
    assert batch(capsys, folder, "--out", runs, "--steps", 1)[1][0]["reason"] == ""
    assert batch(capsys, folder, "--out", runs, "--steps", 1)[1][0]["reason"] == ""
    asked = ["--recipe", "best", "--seed", 0, "--set", "width_multiplier=0.1", "--set", "gradient_norm_target=3"]
    code, rows, _ = batch(capsys, folder, "--out", runs, "--steps", 1, *asked)
    assert code == 0
    assert rows[0]["reason"] == "as it was begun, without --recipe, --set gradient_norm_target=3"


def test_a_fit_that_the_system_ends_is_told_as_that(tmp_path, capsys, monkeypatch):
    draw(tmp_path / "a.png")
    monkeypatch.setenv("TEXSYN_KILL_AT", "written")
    code, rows, _ = batch(capsys, tmp_path, "--out", tmp_path / "runs", "--steps", 1)
    assert (code, rows[0]["state"], rows[0]["exit"]) == (1, "failed", -9)
    assert "ended by SIGKILL, as where memory runs out" in rows[0]["reason"]


def test_a_run_that_was_killed_while_it_was_scored_is_scored_later(tmp_path, capsys):
    pytest.importorskip("plenoptic")
    draw(tmp_path / "a.png", (224, 224))
    assert batch(capsys, tmp_path, "--out", tmp_path / "runs", "--steps", 1)[0] == 0  # without a card
    code = main(["batch", str(tmp_path), "--out", str(tmp_path / "runs"), "--only", "a.png", "--json"])
    row = json.loads(capsys.readouterr().out)
    assert (code, row["before"], row["steps"]) == (0, True, 1)
    assert row["card"]["measures"]["ps"] > 0
    assert Run.open(tmp_path / "runs" / "a").scored


def test_fits_are_spread_over_the_gpus_of_a_machine(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [_device(n, []) for n in range(3)] == [["--device=cuda:0"], ["--device=cuda:1"], ["--device=cuda:0"]]
    assert _device(0, ["--device", "cpu"]) == _device(1, ["--device=cuda:1"]) == []
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert _device(0, []) == []


def test_a_node_that_does_not_share_the_folder_says_so_before_it_learns(tmp_path):
    draw(tmp_path / "a.png")
    blobs = {"a.png": (tmp_path / "a.png").read_bytes()}
    row = cluster_._fit("a.png", blobs, "a", str(tmp_path / "runs" / ".shared-0"), ["--steps", "1"], force=False)
    assert (row.state, row.exit) == ("failed", 5)
    assert "does not share" in row.reason
    assert not (tmp_path / "runs").exists()


def test_calls_are_given_to_a_cluster_as_it_has_room():
    ray = pytest.importorskip("ray")
    asked = []

    def given():
        for number in range(40):
            asked.append(number)
            yield str(number), (number,)

    ray.init(
        num_cpus=1, log_to_driver=False, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}}
    )
    try:
        found = cluster_.spread(lambda number: number + 1, given())
        first = next(found)
        assert len(asked) == 10
        assert dict([first, *found]) == {str(n): n + 1 for n in range(40)}
    finally:
        ray.shutdown()
