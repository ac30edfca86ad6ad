"""Runs on disk: what a run folder holds, training it, and scoring its model.

May import core, media, models, training, synthesis and metrics. Begin with `run` (the folder and its files), then
`fitting` (training one run) and `cards` (scoring it). Below them: `checkpoints`, `events`, `exemplars` and `previews`
for one kind of file each, `serialization` (models, and the names of older formats), `fields` (checked values from
JSON), `storage` (folders that are whole or absent).
"""
