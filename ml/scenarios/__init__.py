"""Scenarios: the base roads, the files they are made of, and the folder that datasets go to."""
