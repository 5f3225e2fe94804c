"""Hand-made rows of an evaluation's records."""


def row(family="H", index=0, *, preset="nominal", collision=False, **fields):
    """Return a realised hard stop of 8 m/s^2 by the car ahead, heard 50 ms ago at its onset."""
    return {
        "policy": "net",
        "family": family,
        "case_id": f"{family}-{index:04d}",
        "radio_preset": preset,
        "collision": collision,
        "hazard_kind": "hard_stop",
        "hazard_is_realised": True,
        "hazard_requested_deceleration_mps2": 8.0,
        "hazard_source_rank": 1,
        "hazard_onset_s": 6.0,
        "num_peers": 3,
        "age_at_onset_s": 0.05,
        "duration_s": 36.0,
        "distance_m": 500.0,
        "false_alarms_1mps2": 0,
        "false_alarms_3mps2": 0,
        "false_alarms_5mps2": 0,
        **fields,
    }


def calm_row(index=0, **fields):
    """Return a calm episode: 36 s, a hundredth of an hour, and 500 m."""
    nothing = {
        "hazard_kind": "calm",
        "hazard_requested_deceleration_mps2": None,
        "hazard_source_rank": None,
        "hazard_onset_s": None,
        "age_at_onset_s": None,
    }
    return row("C", index, **{**nothing, **fields})


def rows(family, num_episodes, num_collisions, **fields):
    """Return cases 0, 1, ... of a family, of which the first ones collided."""
    return [
        row(family, index, collision=index < num_collisions, **fields)
        for index in range(num_episodes)
    ]


def calm_rows(num_episodes, num_alarms, **fields):
    """Return calm episodes, of which the first ones hold a false alarm each."""
    return [
        calm_row(index, false_alarms_3mps2=int(index < num_alarms), **fields)
        for index in range(num_episodes)
    ]
