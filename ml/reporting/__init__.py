"""Pages of saved evaluations: made from their records alone."""
