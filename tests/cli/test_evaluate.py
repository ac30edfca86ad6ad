"""`texsyn info`, `rank`, `heatmap`, `landscape` and `score`."""

import json

import pytest


def test_info_shows_a_run(still, run):
    code, out, _ = run("info", still)
    assert code == 0
    assert [line.split()[0] for line in out[:5]] == ["title", "state", "step", "seconds", "bytes"]
    assert out[1].endswith("finished")
    assert any("recipe_name" in line and "fast" in line for line in out)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["info", "{picture}"], 3, "has no texsyn metadata"),
        (["info", "nowhere.png"], 3, "no such file"),
        (["landscape", "{still}", "--seed", "-1"], 2, "--seed must lie in 0 to"),
    ],
)
def test_bad_input_is_one_line_and_its_exit_code(check_refused, words, code, message):
    check_refused(words, code, message)


def test_the_machine_is_timed(run, monkeypatch):
    monkeypatch.setattr("texsyn.training.timing.step_seconds", lambda kind, device: {"clip": 0.75}.get(kind, 0.25))
    code, out, _ = run("info", "--machine", "--json", "--device", "cpu")
    found = [json.loads(line) for line in out]
    assert (code, found[0]) == (0, {"kind": "still", "step_seconds": 0.25, "device": "cpu"})
    assert [(row["kind"], row["step_seconds"]) for row in found[1:]] == [
        ("clip", 0.75),
        ("surface", 0.25),
        ("material", 0.25),
    ]
    _, out, _ = run("info", "--machine", "--device", "cpu")
    assert out[0] == "still       250 ms a step, 4,000 steps in 17 minutes"
    for words in (["info"], ["info", "runs", "--machine"]):
        code, _, err = run(*words)
        assert (code, err.strip()) == (2, "texsyn: name a FILE or a RUN, or give --machine")
