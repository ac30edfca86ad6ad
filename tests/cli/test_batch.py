"""`texsyn batch`: what is refused, and what is printed."""

import pytest
from conftest import SMALL, draw

from texsyn.cli.entry import main


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere"], 3, "is not a folder"),
        (["."], 3, "holds no images"),
        ([".", "--jobs", "0"], 2, "--jobs must lie"),
        ([".", "--steps", "0"], 2, "--steps must lie"),
        ([".", "--set", "wide=1"], 2, "a recipe has no field wide"),
        ([".", "--only", "nope.png", "a.png"], 3, "holds no nope.png"),
    ],
)
def test_bad_input_is_one_line(tmp_path, run, monkeypatch, words, code, message):
    monkeypatch.chdir(tmp_path)
    if "--only" in words:
        draw(tmp_path / "a.png")
    found, rows, err = run("batch", *words, *SMALL, "--json")
    assert (found, rows, err.count("\n")) == (code, [], 1)
    assert message in err


def test_an_address_is_no_folder(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["batch", str(tmp_path), "--out", "s3://bucket/runs"])
    assert ended.value.code == 2
    assert "is an address: mount it" in capsys.readouterr().err


def test_fields_of_the_recipe_are_listed_as_by_fit(tmp_path, run):
    assert run("batch", tmp_path, "--set", "?") == run("fit", "--set", "?")
