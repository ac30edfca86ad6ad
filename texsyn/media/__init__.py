"""Files to exemplars, and textures to files."""
