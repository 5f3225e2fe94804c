"""How a policy is judged: episodes, statistics, verdict."""
