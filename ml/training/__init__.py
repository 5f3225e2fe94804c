"""How a policy is trained, and the record that a run leaves."""
