"""The three networks, their layers, and the divergence triangle."""
