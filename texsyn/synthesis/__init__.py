"""What is done with a trained triangle: sample, invert, rank, map, export."""
