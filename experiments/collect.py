"""Plays labelled episodes once, for fits with different losses.

python experiments/collect.py FILE EPISODES [MODEL]
"""

import sys
import time

import numpy as np

from experiments.dagger import DEFAULTS, since_demand
from experiments.dagger_play import play
from ml.envs.vector_env import ConvoyWorkers
from ml.evaluation.player_files import read_players


def main() -> None:
    """Play the episodes, the model acting in them if there is one, and keep their steps."""
    file, count = sys.argv[1], int(sys.argv[2])
    actor = read_players([sys.argv[3]])[0].source if len(sys.argv) > 3 else None
    settings = {
        **DEFAULTS,
        "steps": 100,
        "onset_s": [1.0, 3.5],
        "headway_s": [0.4, 1.5],
        "seed": 5 if actor is None else 6,
    }
    kwargs = {
        "dataset_dir": "/tmp/ds",
        "scenario_mode": "train",
        "scenario_seed": 900 + settings["seed"],
        "hold_out_development": False,
        "bystander_share": 0.4,
    }
    begin = time.time()
    obs, demands, since = {}, [], []
    with ConvoyWorkers(2, kwargs, environment_indices=[0, 0]) as pool:
        for n, (_, one) in enumerate(
            pool.call_each(play, [(i, actor, settings) for i in range(count)])
        ):
            for k, v in one["observations"].items():
                obs.setdefault(k, []).append(v)
            demands.append(one["demands"])
            since.append(since_demand(one["demands"]))
            if n % 500 == 499:
                sys.stderr.write(f"{n + 1} episodes, {time.time() - begin:.0f} s\n")
    np.savez(
        file,
        demands=np.concatenate(demands),
        since=np.concatenate(since),
        lengths=[len(d) for d in demands],
        **{k: np.concatenate(v) for k, v in obs.items()},
    )


if __name__ == "__main__":
    main()
