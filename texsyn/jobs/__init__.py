"""Fits as processes: one, queued, or many."""
