"""Metrics of what happened: pure functions of ground truth, independent of the reward."""
