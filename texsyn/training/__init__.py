"""From exemplars to a trained triangle.

Imports core, media and models. Begin with `loop.fit`, a generator that yields a report for each step. `data` draws a
step's crops and noise, `state` holds all that a resumed fit needs, and `calibration` prepares the averaged generator
for sampling. Nothing is written to disk here: `runs` does that.
"""
