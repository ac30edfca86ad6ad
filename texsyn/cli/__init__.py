"""The `texsyn` command: each module parses its commands' arguments and runs them, on top of all other layers.

Begin with `entry` (main, exit codes), then `fit`; `batch`, `generate` (sample, morph, export), `edit` (reconstruct,
complete) and `evaluate` (rank, heatmap, landscape, info, score) hold the other commands; `arguments`, `textures` and
`console` what they share. Nothing here imports torch at first, so that `texsyn --help` is quick.
"""

from texsyn.cli.entry import main

__all__ = ["main"]
