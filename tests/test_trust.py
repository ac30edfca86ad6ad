"""The trials of `make trust`, with a few tries each."""

import sys

import pytest
import trust


@pytest.mark.skipif(sys.platform != "linux", reason="trials fork, and limit memory as Linux does")
@pytest.mark.parametrize("name", trust.TRIALS)
def test_promises_hold(tmp_path, name):
    trial = trust.TRIALS[name]
    outcome = trial.call(trial.few, tmp_path)
    assert outcome.ok, f"{outcome.good} of {outcome.tries}: {outcome.details}"
