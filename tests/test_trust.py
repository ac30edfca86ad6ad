"""The trials of `make trust`, a few tries of each."""

import sys

import pytest
import trust


@pytest.mark.skipif(sys.platform != "linux", reason="trials fork, and limit memory as Linux does")
@pytest.mark.parametrize("name", trust.FIGURES)
def test_what_is_promised(tmp_path, name):
    figure = trust.FIGURES[name]
    found = figure.call(figure.few, tmp_path)
    assert found.ok, f"{found.good} of {found.tries}: {found.said}"
