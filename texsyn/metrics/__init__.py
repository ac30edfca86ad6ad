"""How good samples are: metrics against the exemplar, and the quality card that collects them.

Imports core, media and models; of texsyn's other folders only `runs` and those above it import it. Begin with
`scoring` (textures or files to a card) and `card` (what a card holds and how it reads). The metrics themselves take
numpy arrays: `critic`, `repetition`, `image` and `portilla_simoncelli` of stills, `video` of clips,
`sliced_wasserstein` of both.
No metric needs pretrained weights, and training optimises none of them.
"""
