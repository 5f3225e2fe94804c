"""Proves what a run's records say: hashes recomputed, an episode replayed, the run repeated."""
