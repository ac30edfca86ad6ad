"""The trials of `trust.py`: each a function of how often to try and of a folder, that says what it found."""
