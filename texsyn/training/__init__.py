"""From an exemplar to a trained triangle."""
