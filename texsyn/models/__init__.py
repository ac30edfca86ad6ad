"""The three networks and the divergence triangle that trains them together.

Imports core alone. Begin with `triangle` (the mathematics: terms, losses, sampling), then `networks` (generator,
posterior, energy) and `corrections` (filters after the generator, a file for each). `layers`, `overlap_add` and
`im2col` hold convolutions on a torus over two or three axes, and their fast forms on CPU; `precision` chooses the type
they are computed in.
"""
