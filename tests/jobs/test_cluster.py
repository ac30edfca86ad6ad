"""A batch on Ray: nodes die, share no folder, and take as many calls as they have room for."""

import threading
import time

import pytest
from conftest import SMALL, TESTS, draw

import texsyn
from texsyn import FitOptions, Run
from texsyn.jobs import cluster as cluster_
from texsyn.jobs.summary import Row

ROOT = TESTS.parent


@pytest.fixture(autouse=True)
def workers_are_as_important_as_tests(monkeypatch):
    """Ray's run at low priority, and would wait for all other tests."""
    monkeypatch.setenv("RAY_worker_niceness", "0")


def test_a_node_that_dies_loses_no_fit(tmp_path, folder):
    """A real cluster of a head and two nodes; one is killed in the middle, and its fits go on elsewhere."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    runs = tmp_path / "runs"
    for name in ("a", "b"):
        draw(folder / f"{name}.png")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        path = {"env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}}
        ray.init(address=cluster.address, log_to_driver=False, runtime_env=path)
        rows: list[Row] = []
        options = ["--steps", "40", *SMALL, "--set", "checkpoint_interval=10"]
        work = threading.Thread(target=lambda: rows.extend(texsyn.batch(folder, runs, options, executor="ray")))
        work.start()
        deadline = time.monotonic() + 480  # seconds, on a machine with much else to do
        while not all((runs / name / "checkpoints" / "00000010").exists() for name in ("a", "b")):
            assert time.monotonic() < deadline, "no checkpoint was stored"
            time.sleep(0.1)
        cluster.remove_node(nodes[0], allow_graceful=False)
        work.join(300)
        assert {row.name: (row.state, row.steps) for row in rows} == dict.fromkeys("ab", ("finished", 40))
        starts = {name: [e["step"] for e in Run.open(runs / name).events() if e["event"] == "start"] for name in "ab"}
        assert sorted(map(len, starts.values())) == [1, 2]  # one of them had its node taken away
        assert all(begun[-1] >= 10 for begun in starts.values() if len(begun) == 2)  # and went on, not anew
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_a_node_that_does_not_share_the_folder_says_so_before_it_trains(tmp_path):
    draw(tmp_path / "a.png")
    contents = {"a.png": (tmp_path / "a.png").read_bytes()}
    token = str(tmp_path / "runs" / ".shared-0")
    row = cluster_._fit_on_node("a.png", contents, "a", token, FitOptions(steps=1), force=False)
    assert (row.state, row.exit) == ("failed", 5)
    assert "does not share" in row.reason
    assert not (tmp_path / "runs").exists()


def test_calls_are_given_to_a_cluster_as_it_has_room():
    ray = pytest.importorskip("ray")
    asked = []

    def calls():
        for number in range(14):
            asked.append(number)
            yield str(number), (number,)

    ray.init(
        num_cpus=1, log_to_driver=False, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}}
    )
    try:
        results = cluster_.map_calls(lambda number: number + 1, calls())
        first = next(results)
        assert len(asked) == 10
        assert dict([first, *results]) == {str(n): n + 1 for n in range(14)}
    finally:
        ray.shutdown()
