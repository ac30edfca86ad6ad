"""One fit of a batch: unfinished runs are resumed, and what goes wrong is in its row."""

import json
import threading
import time

import pytest
from conftest import draw

import texsyn
from texsyn import FitOptions, Run
from texsyn.cli.entry import main
from texsyn.core.files import locked
from texsyn.jobs.summary import Row
from texsyn.jobs.worker import fit_one
from texsyn.runs.fitting import fit_run


def test_an_unfinished_run_is_resumed_to_the_same_end(tmp_path, folder, run_batch, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as this process has: with others the last bits may differ
    runs = tmp_path / "runs"
    draw(folder / "a.png")
    assert run_batch(folder, "--out", runs, "--steps", 4)[0] == 0
    run = Run.create(tmp_path / "again" / "a", texsyn.read(folder / "a.png"), Run.open(runs / "a").recipe, "fast")
    for report in fit_run(run, run.fresh(), run.exemplars(), run.recipe, print):
        if report.step == 2:
            break
    code, rows, _ = run_batch(folder, "--out", tmp_path / "again", "--steps", 4)
    assert code == 0
    assert (rows[0]["steps"], rows[0]["before"]) == (4, False)
    one, other = (texsyn.load(path / "a").state_dict() for path in (runs, tmp_path / "again"))
    assert all((one[name] == other[name]).all() for name in one)


def test_a_damaged_run_does_not_stop_the_others(tmp_path, folder, run_batch):
    runs = tmp_path / "runs"
    for name in ("a", "b"):
        draw(folder / f"{name}.png")
    assert run_batch(folder, "--out", runs, "--steps", 1)[0] == 0
    (runs / "a" / "run.json").write_text("{")
    (runs / "b" / "card.json").write_text('{"metrics": 3}')
    code, rows, err = run_batch(folder, "--out", runs, "--steps", 1)
    assert code == 3
    assert [row["state"] for row in rows] == ["failed", "failed"]
    assert "run.json is damaged" in rows[0]["reason"]
    assert "Traceback" not in err


def test_a_run_that_another_process_trains_is_waited_for(tmp_path, folder):
    runs = tmp_path / "runs"
    draw(folder / "a.png")
    run = Run.create(
        runs / "a",
        texsyn.read(folder / "a.png"),
        texsyn.recipe_for("fast", texsyn.read(folder / "a.png").modality, steps=2, width_multiplier=0.1, batch_size=1),
        "fast",
    )
    with locked(run.lock):  # as a fit holds it
        found: list[Row] = []
        work = threading.Thread(target=lambda: found.extend(texsyn.batch(folder, runs, ["--no-card"])))
        work.start()
        time.sleep(2)
        assert not found
        assert work.is_alive()
    work.join(120)
    assert [(row.state, row.steps) for row in found] == [("finished", 2)]


def test_a_run_of_another_file_of_the_same_name_is_not_resumed(tmp_path, folder, run_batch):
    runs = tmp_path / "runs"
    draw(folder / "a.png")
    assert run_batch(folder, "--out", runs, "--steps", 1)[0] == 0
    draw(folder / "a.png", (80, 64))
    code, rows, _ = run_batch(folder, "--out", runs, "--steps", 1)
    assert (code, rows[0]["state"]) == (3, "failed")
    assert "a was trained on another file of this name" in rows[0]["reason"]


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (["--set", "gradient_norm_target=3"], "without --recipe, --set gradient_norm_target=3"),
        (["--set=gradient-norm-target=3"], "without --recipe, --set gradient-norm-target=3"),
        (["--seed=1"], "without --recipe, --seed"),
    ],
)
def test_settings_that_a_run_does_not_follow_are_named(tmp_path, folder, run_batch, field, reason):
    runs = tmp_path / "runs"
    draw(folder / "a.png")
    assert run_batch(folder, "--out", runs, "--steps", 1)[1][0]["reason"] == ""
    assert run_batch(folder, "--out", runs, "--steps", 1)[1][0]["reason"] == ""
    words = ["--recipe", "best", "--seed", 0, "--set", "width_multiplier=0.1", *field]
    code, rows, _ = run_batch(folder, "--out", runs, "--steps", 1, *words)
    assert code == 0
    assert rows[0]["reason"] == f"trained with its own settings, {reason}"


def test_a_fit_that_the_system_ends_is_reported_as_that(tmp_path, run_batch, monkeypatch):
    draw(tmp_path / "a.png")
    monkeypatch.setenv("TEXSYN_KILL_AT", "written")
    code, rows, _ = run_batch(tmp_path, "--out", tmp_path / "runs", "--steps", 1)
    assert (code, rows[0]["state"], rows[0]["exit"]) == (1, "failed", -9)
    assert "ended by SIGKILL, as when memory runs out" in rows[0]["reason"]


def test_a_run_that_was_killed_while_it_was_scored_is_scored_later(tmp_path, capsys, run_batch):
    pytest.importorskip("plenoptic")
    draw(tmp_path / "a.png", (224, 224))
    assert run_batch(tmp_path, "--out", tmp_path / "runs", "--steps", 1)[0] == 0  # without a card
    code = main(["batch", str(tmp_path), "--out", str(tmp_path / "runs"), "--only", "a.png", "--json"])
    row = json.loads(capsys.readouterr().out)
    assert (code, row["before"], row["steps"]) == (0, True, 1)
    assert row["card"]["metrics"]["ps"] > 0
    assert Run.open(tmp_path / "runs" / "a").is_scored


def test_a_run_of_an_older_format_is_not_trained_again(tmp_path, folder, run_batch):
    runs = tmp_path / "runs"
    draw(folder / "a.png")
    assert run_batch(folder, "--out", runs, "--steps", 1)[0] == 0
    content = json.loads((runs / "a" / "run.json").read_text())
    (runs / "a" / "run.json").write_text(json.dumps({**content, "format": 1}))
    row = fit_one((folder / "a.png",), "a", runs, FitOptions())
    assert (row.state, row.before) == ("finished", True)
