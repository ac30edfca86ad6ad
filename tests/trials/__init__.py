"""The trials of `trust.py`: functions of a number of tries and a folder, which return an `Outcome`."""
