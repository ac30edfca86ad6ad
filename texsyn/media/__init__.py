"""Files to exemplars, and textures to files. Imports `core` alone.

Reading goes `detection` (what a file is) -> `images`, `video` -> `decoding` (frames of any file) -> `masks`, `scaling`
-> `reader` (exemplars) or `collection` (many small images). Writing goes `writing` -> `encoders`, `png`, `metadata`.
Begin with `reader.read` and `writing.write_bands`; `exemplar` is what training takes.
"""
