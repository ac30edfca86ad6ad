"""`texsyn info`, `rank`, `heatmap`, `landscape` and `score`."""

import pytest


def test_info_shows_a_run(still, run):
    code, out, _ = run("info", still)
    assert code == 0
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
