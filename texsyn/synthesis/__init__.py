"""What a trained triangle is used for: sampling, inversion, ranking, anomaly maps, landscapes, export.

Imports core, media and models, not `training`: nothing here changes a weight. Begin with `sampling`, which names the
way from a seed to pixels (`extent`, `latent_field`, `rendering`, `resampling`); `inversion` goes back from pixels.
`energy`, `anomaly` and `landscape` (drawn by `landscape_plot`) use the energy. `onnx_export` writes the generator as a
graph.
"""
