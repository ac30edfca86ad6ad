"""The command line."""

from texsyn.cli.entry import main

__all__ = ["main"]
