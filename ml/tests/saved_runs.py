"""What two runs must have in common if they learned the same, whenever they did it."""

import hashlib
import json
import pickle
import zipfile
from base64 import b64decode

TIMES = {"time_s", "evaluation_s", "shares"}
MODEL_TIMES = {"start_time", "tensorboard_log", "ep_info_buffer"}


def rows_of(path):
    """Return the rows of a log without their times; none where it is not there."""
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def model_content(path):
    """Return the hashes of a saved model's tensors and what else it holds, but for its times."""
    with zipfile.ZipFile(path) as model:
        assert model.testzip() is None
        hashes = {
            name: hashlib.sha256(model.read(name)).hexdigest()
            for name in model.namelist()
            if name.endswith(".pth")
        }
        data = json.loads(model.read("data"))
    values = {
        name: value.get(":serialized:", value) if isinstance(value, dict) else value
        for name, value in data.items()
        if name not in MODEL_TIMES
    }
    # A space keeps its own text once it was printed; the episodes have a time each.
    space, episodes = (
        pickle.loads(b64decode(data[name][":serialized:"]))  # noqa: S301 - written by ourselves
        for name in ("observation_space", "ep_info_buffer")
    )
    sums = [(one["r"], one["l"]) for one in episodes]
    return {**hashes, **values, "observation_space": str(space), "episodes": sums}


def metrics_of(folder):
    """Return what metrics.json says beyond times, places, and hashes that depend on them."""
    metrics = json.loads((folder / "metrics.json").read_text())
    development = metrics["development"]
    if development:
        development["evaluations"] = [
            {name: value for name, value in row.items() if name not in TIMES}
            for row in development["evaluations"]
        ]
    for model in filter(None, metrics["models"].values()):
        del model["sha256"]
    left_out = {"timestamp", "provenance"}
    return {name: value for name, value in metrics.items() if name not in left_out}


def content_of(folder):
    """Return everything of a run that does not depend on when and where it was made."""
    models = [*folder.glob("model_*.zip"), *folder.glob("checkpoints/*.zip")]
    logs = ("progress.jsonl", "development.jsonl", "episodes.jsonl", "baseline_episodes.jsonl")
    return {
        **{str(path.relative_to(folder)): model_content(path) for path in models},
        **{name: rows_of(folder / name) for name in logs},
        "metrics.json": metrics_of(folder),
    }


def differences(first, second):
    """Return the names of what differs between two contents."""
    return sorted(
        f"{name}: {key}" if isinstance(first.get(name), dict) else name
        for name in first.keys() | second.keys()
        if first.get(name) != second.get(name)
        for key in (
            [key for key in first[name] if first[name][key] != second.get(name, {}).get(key)]
            if isinstance(first.get(name), dict)
            else [""]
        )
    )
