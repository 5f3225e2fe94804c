"""Folders of made-up evaluations for the report's tests: small, quick, and plausible.

Whether an episode collides follows from kinematics: contact comes below a smallest headway, which
depends on the speed, the deceleration and the delay from the onset to full braking at 8 m/s^2, all
of them sudden. Nothing here is a result.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from ml.evaluation.recording_file import write_recording

JUDGED = "convoy_a"
PRESETS = ("nominal", "roof")
POLICIES = (
    JUDGED, "null", "driver", "always", "aeb", "r157", "eebl", "rss", "oracle", "eebl@3.0",
    "eebl@5.0", "eebl@7.0", f"{JUDGED}@1.0", f"{JUDGED}@2.0", f"{JUDGED}@4.0",
)  # fmt: skip
LOSS = {"nominal": 0.3, "roof": 0.08}
STEP_S = 0.1
_ALARMS_PER_HOUR = {
    "null": 0.0, "driver": 0.0, "always": 2000.0, "aeb": 2.0, "r157": 0.5, "eebl": 8.0,
    "rss": 60.0, "oracle": 0.0, JUDGED: 4.0,
}  # fmt: skip


def write_evaluation(folder, *, episodes=40, recordings=3, seed=1, text="", presets=PRESETS):
    """Write an evaluation folder.

    Args:
        folder: Where; made.
        episodes: Of each family under each preset.
        recordings: How many episodes have a recording.
        seed: Of everything.
        text: Put into every text that a record may hold freely.
        presets: The radio presets.

    Returns:
        The folder.
    """
    (folder / "records").mkdir(parents=True)
    (folder / "recordings").mkdir()
    cases = [_case(family, index, seed) for family in "HDNMCR" for index in range(episodes)]
    rows = {
        policy: [_row(policy, preset, case, seed) for preset in presets for case in cases]
        for policy in POLICIES
    }
    for policy, policy_rows in rows.items():
        lines = [json.dumps(row) + "\n" for row in policy_rows]
        (folder / "records" / f"{policy}.jsonl").write_text("".join(lines))
    candidates = [row for row in rows[JUDGED] if row["family"] in "HM"]
    candidates.sort(key=lambda row: (not row["collision"], row["min_gap_m"]))
    for number, row in enumerate(candidates[:recordings]):
        recording = made_recording(row, seed + number, text)
        name = f"{JUDGED}--{row['radio_preset']}--{row['case_id']}.json"
        write_recording(folder / "recordings" / name, recording)
    evaluation = _evaluation(rows, text, presets)
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    return folder


def _case(family, index, seed):
    """Return one case: the row's fields that every policy shares."""
    random = np.random.default_rng([seed, ord(family), index])
    num_peers = 1 + index % 8
    low = 2 if family == "M" else 1
    rank = min(num_peers, low + index // 8 % 3)
    calm = family == "C"
    return {
        "family": family,
        "case_id": f"{family}-n{num_peers}-r{rank}-{index:04d}",
        "case_num_peers": num_peers,
        "case_source_rank": None if calm else rank,
        "case_speed_mps": round(float(random.uniform(8, 30)), 3),
        "case_headway_s": round(float(random.uniform(0.4, 2.0)), 3),
        "case_deceleration_mps2": None if calm else round(float(random.uniform(3, 9.8)), 3),
        "case_variant": "cruise" if calm else None,
        "num_peers": num_peers,
        "hazard_kind": "calm" if calm else "hard_stop",
        "hazard_is_realised": calm or bool(random.uniform() > 0.02),
        "hazard_source_rank": None if calm else rank,
        "hazard_onset_s": None if calm else 6.0,
    }


def _age_s(preset, case, seed):
    """Return the age at the onset: a frame period at random, and a run of lost frames."""
    random = np.random.default_rng([seed, 7, *map(ord, preset), *map(ord, case["case_id"])])
    lost = 0
    loss = LOSS.get(preset, 0.2)
    while random.uniform() < (loss if lost == 0 else 0.6):
        lost += 1
    return round(0.004 + 0.1 * (lost + random.uniform()), 3)


def needed_headway_s(speed_mps, lead_mps2, delay_s):
    """Return the headway below which full braking at 8 m/s^2 after a delay ends in contact.

    If the speeds become equal before the car ahead stands, by ``a T^2 / 2 * 8 / (8 - a)``; else by
    the difference of the stopping distances.
    """
    if lead_mps2 < 8.0 and 8.0 * delay_s / (8.0 - lead_mps2) <= speed_mps / lead_mps2:
        return 0.5 * lead_mps2 * delay_s**2 * 8.0 / (8.0 - lead_mps2) / speed_mps
    return delay_s + speed_mps / 16.0 - speed_mps / (2.0 * lead_mps2)


def _delay_s(policy, age_s, driver_delay_s):
    """Return a policy's delay from the onset to full braking, actuator included."""
    name, _, threshold = policy.partition("@")
    delays_s = {
        "null": math.inf, "always": -math.inf, "oracle": 0.25, "aeb": 0.55, "r157": 1.45,
        "driver": driver_delay_s + 0.3, "eebl": age_s + 0.35, "rss": age_s + 0.32,
        JUDGED: age_s + 0.3,
    }  # fmt: skip
    return delays_s[name] + 0.02 * float(threshold or 0.0)


def _row(policy, preset, case, seed):
    """Return one episode of a policy."""
    random = np.random.default_rng([seed, 3, *map(ord, policy + preset + case["case_id"])])
    age_s = _age_s(preset, case, seed)
    row = {
        **case, "policy": policy, "radio_preset": preset, "collision": False, "duration_s": 28.0,
        "distance_m": round(20.0 * case["case_speed_mps"], 1), "impact_speed_mps": None,
        "age_at_onset_s": None if case["family"] == "C" else age_s, "min_ttc_s": None,
        "num_followers": 16, "num_follower_collisions": 0, "time_to_braking_s": None,
    }  # fmt: skip
    spare_s = 1.0
    if case["family"] != "C":
        delay_s = 0.75 + 0.75 * np.random.default_rng([seed, *map(ord, case["case_id"])]).uniform()
        rank = case["case_source_rank"]
        delay_s = _delay_s(policy, age_s, delay_s)
        spare_s = case["case_headway_s"] + 0.25 * (rank - 1)
        if not math.isinf(delay_s):
            lead = case["case_deceleration_mps2"]
            spare_s -= needed_headway_s(case["case_speed_mps"], lead, delay_s)
            row["time_to_braking_s"] = round(delay_s, 1)
        elif delay_s > 0.0:
            spare_s = -1.0
    row["collision"] = bool(spare_s <= 0.0)
    if row["collision"]:
        row["impact_speed_mps"] = round(min(case["case_speed_mps"], 4.0 - 9.0 * spare_s), 3)
    row["min_gap_m"] = round(float(np.clip(spare_s, 0.0, 3.0)) * case["case_speed_mps"], 3)
    rate = _ALARMS_PER_HOUR[policy.partition("@")[0]]
    rate /= 1.0 + float(policy.partition("@")[2] or 0.0)
    for level, share in ((1, 3.0), (3, 1.0), (5, 0.4)):
        count = random.poisson(rate * share * 28.0 / 3600.0) if case["family"] == "C" else 0
        row[f"false_alarms_{level}mps2"] = int(count)
    return row


def _evaluation(rows, text, presets):
    """Return evaluation.json; its gates and points are made up."""
    words = ("canary", "safety floor", "extra saves", "operating curve", "radio off")
    statuses = ("pass", "pass", "open", "fail", "pass")
    crashed = [row["case_id"] for row in rows[JUDGED] if row["collision"]][:12]
    gates = [
        {
            "name": name, "status": status, "case_ids": crashed if status == "fail" else [],
            "text": f"nominal: 3 crashes in 276 cases, at most 2.80 % {text}",
            "checks": [{"name": f"check of {name} {text}", "radio_preset": preset,
                        "status": status, "text": "3 of 276", "episodes": 276, "collisions": 3,
                        "case_ids": []} for preset in presets],
        }
        for name, status in zip(words, statuses, strict=True)
    ]  # fmt: skip
    return {
        "protocol": {"name": f"made up {text}", "sha256": "ab" * 32, "seed": 1,
                     "radio_presets": list(presets)},
        "policies": [*POLICIES],
        "coverage": {"planned": 40, "short": [], "note": text},
        "summaries": {}, "comparisons": [], "age_curve": {},
        "operating_curves": {
            JUDGED: [_point(f"{JUDGED}@{t}", t, 9.0 / (1 + t), 20 + 5 * t, p)
                     for p in presets for t in (1.0, 2.0, 4.0)],
            "eebl": [_point(f"eebl@{t}", t, 40.0 / t, 30 + 6 * t, p)
                     for p in presets for t in (3.0, 5.0, 7.0)],
        },
        "gates": {JUDGED: gates},
        "verdict": {JUDGED: {"result": "FAIL", "text": f"A rule ties with {JUDGED}. {text}"}},
        "provenance": {"commit": "cd" * 20, "policies": {JUDGED: {"sha256": "ef" * 32}},
                       "note": text},
    }  # fmt: skip


def _point(policy, threshold, per_hour, collisions, preset):
    rate = collisions / 600
    return {
        "policy": policy, "threshold_mps2": threshold, "radio_preset": preset,
        "all": {"episodes": 600, "collisions": int(collisions), "collision_rate": rate,
                "interval_95": [max(rate - 0.015, 0.0), rate + 0.015]},
        "false_alarms": {"count": int(per_hour), "hours": 1.0, "per_hour": per_hour,
                         "interval_95": [0.6 * per_hour, 1.6 * per_hour]},
    }  # fmt: skip


# --- A recording --------------------------------------------------------------------------------


def _pose(position_m):
    """Return x, y and heading on the made-up road: 200 m straight, then a left arc of 400 m."""
    if position_m <= 200.0:
        return position_m, 0.0, 0.0
    angle = (position_m - 200.0) / 400.0
    return 200.0 + 400.0 * math.sin(angle), 400.0 * (1.0 - math.cos(angle)), angle


def made_recording(row, seed, text="", steps=120):
    """Return a recording of a row: cars on a road with a bend, the source brakes at the onset."""
    random = np.random.default_rng([seed, 11])
    num_cars, source = row["num_peers"] + 1, row["hazard_source_rank"]
    speed, headway, onset_s = row["case_speed_mps"], row["case_headway_s"], row["hazard_onset_s"]
    spacing_m = 4.5 + headway * speed
    positions = np.array([20.0 + rank * spacing_m for rank in range(num_cars)])
    speeds, accelerations = np.full(num_cars, speed), np.zeros(num_cars)
    braking = np.array([row["case_deceleration_mps2"] if r >= source else 8.0
                        for r in range(num_cars)])  # fmt: skip
    starts = onset_s + 0.3 * np.maximum(0, source - np.arange(num_cars))
    starts[0] = onset_s + row["age_at_onset_s"] + 0.15
    series = {name: [] for name in ("s", "v", "a")}
    for step in range(steps):
        time_s = step * STEP_S
        wanted = np.where((time_s >= starts) & (np.arange(num_cars) <= source), -braking, 0.0)
        accelerations += np.clip((wanted - accelerations) / 0.2, -25, 25) * STEP_S
        accelerations[(speeds <= 0.0) & (accelerations < 0.0)] = 0.0
        new = np.maximum(0.0, speeds + accelerations * STEP_S)
        positions = positions + 0.5 * (speeds + new) * STEP_S
        speeds = new
        for name, values in (("s", positions), ("v", speeds), ("a", accelerations)):
            series[name].append(values.copy())
    s, v, a = (np.array(series[name]) for name in ("s", "v", "a"))
    cars = [_recorded_car(rank, s[:, rank], v[:, rank], a[:, rank], text)
            for rank in range(num_cars)]  # fmt: skip
    messages, heard = _heard(num_cars, steps, LOSS.get(row["radio_preset"], 0.2), random)
    times = STEP_S * np.arange(1, steps + 1)
    demand = np.where(times > starts[0], 8.0, 0.0)
    return {
        "format": 1, "policy": row["policy"], "radio_preset": row["radio_preset"],
        "case_id": row["case_id"], "record": row, "step_s": STEP_S, "start_s": 0.0,
        "onset_s": onset_s,
        "road": {"lanes": [_lane(0.0), _lane(3.2)]},
        "cars": cars,
        "ego": {
            "gap_m": [round(x, 3) for x in (s[:, 1] - 4.5 - s[:, 0]).tolist()],
            "demand_mps2": demand.tolist(),
            "driver_command_mps2": np.where(times > onset_s + 1.1, -7.6, -0.2).tolist(),
            "oracle_demand_mps2": np.where(times > onset_s + 0.1, 7.5, 0.0).tolist(),
        },
        "heard": heard, "messages": messages,
    }  # fmt: skip


def _lane(offset_m):
    points = []
    for position in range(0, 1200, 20):
        x, y, angle = _pose(float(position))
        points.append([round(x - offset_m * math.sin(angle), 3),
                       round(y + offset_m * math.cos(angle), 3)])  # fmt: skip
    return {"width_m": 3.2, "points_m": points}


def _recorded_car(rank, s, v, a, text):
    poses = np.round([_pose(position) for position in s.tolist()], 3)
    return {
        "rank": rank, "id": f"V{rank + 1:03d}{text}", "length_m": 4.5, "width_m": 1.8,
        "x_m": poses[:, 0].tolist(), "y_m": poses[:, 1].tolist(),
        "heading_rad": poses[:, 2].tolist(), "speed_mps": np.round(v, 3).tolist(),
        "acceleration_mps2": np.round(a, 3).tolist(),
    }  # fmt: skip


def _heard(num_cars, steps, loss, random):
    """Return the messages to the ego, and how old what it holds is after each step."""
    messages, heard = [], []
    for rank in range(1, num_cars):
        phase_s, newest_s, ages = float(random.uniform(0, 0.1)), None, []
        for step in range(steps):
            sent_s = round(step * STEP_S + phase_s, 3)
            fate = str(random.choice(["delivered", "lost", "relayed", "stale"],
                                     p=[0.94 - loss, loss, 0.04, 0.02]))  # fmt: skip
            received_s = (
                None
                if fate == "lost"
                else round(sent_s + {"delivered": 0.004, "relayed": 0.032, "stale": 0.62}[fate], 3)
            )
            messages.append({"sender": rank, "receiver": 0, "sent_s": sent_s,
                             "received_s": received_s, "fate": fate,
                             "hops": int(fate == "relayed")})  # fmt: skip
            newest_s = sent_s if fate in {"delivered", "relayed"} else newest_s
            ages.append(None if newest_s is None else
                        round(max(0.0, (step + 1) * STEP_S - newest_s), 3))  # fmt: skip
        is_fresh = [int(age is not None and age < 0.5) for age in ages]
        heard.append({"rank": rank, "age_s": ages, "is_fresh": is_fresh})
    return messages, heard


def rows_of(folder, policy):
    """Return the rows of a policy as they are saved."""
    path = Path(folder) / "records" / f"{policy}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]
