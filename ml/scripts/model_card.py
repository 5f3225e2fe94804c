"""Writes the model card of the packaged policy, under the headings of Mitchell et al. 2019.

Source of the headings: M. Mitchell et al., Model Cards for Model Reporting, FAT* 2019. Numbers and
hashes come from the records of a run and of an evaluation; only what holds for any policy of this
project is written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ml.scripts.model_card_results import result_lines

Json = dict[str, Any]

_INTENDED = """\
- A trained reference in simulation: something to evaluate, replay and compare with, without
  training first.
- A start for work on how such policies fail: lost and late messages, sensor errors, other roads.
- It acts as an assist on top of a driver: -1 to 0 is no intervention, 0 to 1 is braking of up to
  8 m/s². It cannot accelerate, steer, or take braking away.

**Out of scope**

- **Any real car.** It was never driven on one, and nothing here shows that it may be.
- Braking instead of a driver, or as the only protection: it is judged with a driver who brakes too.
- Lane changes, junctions, crossing traffic, pedestrians, and cars without a radio in between.
- Networks that somebody may attack: messages are not authenticated, and a forged one is believed.
"""

_FACTORS = """\
Results depend on the number of cars ahead, on which of them brakes and how hard, on speed, headway
and road surface, on how late and attentive the driver is, and on the radio: loss, bursts, delay.
The evaluation deals these evenly or draws them from stated ranges, and reports them by family of
cases and by radio preset. The families: H hard stops of any car ahead, D a grid of decelerations of
the car ahead, N Euro NCAP's braking car, M a braking car that cannot be seen, C calm traffic,
R radio stress.
"""

_METRICS = """\
- Collisions: episodes in which the ego touches the car ahead, with the exact 95 % interval of
  Clopper and Pearson. An episode whose hazard did not happen as asked counts only if it collided.
- False alarms: demands of more than 3 m/s² beyond the driver's own braking while full knowledge
  demands nothing, per hour of calm traffic, with the exact 95 % interval of Garwood.
- Beside it, on the same episodes: `driver`, the driver alone; `eebl`, a simple rule on the same
  messages; `oracle`, which brakes by ground truth and is the limit of every policy.
- Five gates, each passed, failed or open; open means too few episodes to say, not passed.
"""

_ETHICS = """\
There are no data of persons in it: drivers, cars and radio are models, and the radio's numbers come
from drives of the project's own boards. Two things can go wrong where it brakes: too late, which
leaves the driver where they were, and for nothing, which harms the car behind. A driver may come to
rely on it; that is not studied. Whoever changes its use owes a safety case of their own.
"""

_CAVEATS = """\
- All evidence is from simulation. The driver is a model after UN Regulation No. 157, not fitted to
  recorded drivers.
- The packaged loss was measured between two boards 5 m apart and is assumed to hold up to 50 m.
- One car brakes of its own accord in an episode; pile-ups of other causes are not simulated.
- Surfaces are dry or wet and the same for all cars; ice is not simulated.
- It is one policy of one seed. What holds for it need not hold for the recipe.
- A simple rule can do as well: look at `eebl` before you prefer a network.
"""


@dataclass(frozen=True)
class TrainedRun:
    """What the card says of a run.

    Attributes:
        manifest: The run's manifest.
        dataset: The manifest of the dataset it was trained on.
        dataset_command: The command that generates this dataset.
        training_command: The command that trains the policy on it.
        description: The model's JSON.
        num_weights: Numbers in its network.
        file_hashes: SHA-256 of each packaged file, by its name.
    """

    manifest: Json
    dataset: Json
    dataset_command: str
    training_command: str
    description: Json
    num_weights: int
    file_hashes: Mapping[str, str]


def model_card(run: TrainedRun, evaluation: Json | None, policy_id: str | None) -> str:
    """Return the card in Markdown.

    Args:
        run: How the policy came to be.
        evaluation: What ``evaluation.json`` of a protocol holds, None without one.
        policy_id: The policy's id in it.
    """
    if evaluation is None or policy_id is None:
        results = [
            "It is packaged without an evaluation by a protocol, so nothing is claimed for it.",
            "Judge it with `roadsense evaluate` and a protocol, as below.",
        ]
        data = "None: see the next section."
    else:
        results = result_lines(evaluation, policy_id)
        data = _evaluation_data(evaluation)
    sections = {
        "Model details": _details(run),
        "Intended use": _INTENDED,
        "How to use it": _usage(),
        "Factors": _FACTORS,
        "Metrics": _METRICS,
        "Evaluation data": data,
        "Training data": _training_data(run),
        "Quantitative analyses": "\n".join(results),
        "Ethical considerations": _ETHICS,
        "Caveats and recommendations": _CAVEATS,
        "How to reproduce it": _reproduction(run),
    }
    lines = ["# Model card: the packaged policy", "", *_opening(run)]
    for heading, text in sections.items():
        lines += ["", f"## {heading}", "", text.rstrip()]
    return "\n".join(lines) + "\n"


def _opening(run: TrainedRun) -> list[str]:
    """Return what the policy is in two sentences."""
    return [
        "A small network that adds emergency braking for the last car of a convoy, from its own "
        "speed and what it hears of up to eight cars by radio.",
        "Written by `python -m ml.scripts.package_policy` from the records of the run "
        f"`{run.manifest['run_id']}`; do not edit it.",
    ]


def _details(run: TrainedRun) -> str:
    """Return what the model is, when and by what it was made, and the hashes of its files."""
    manifest, network = run.manifest, run.description["network"]
    git, versions = manifest["git"], manifest["versions"]
    changed = ", with changes to the tree" if git["is_dirty"] else ""
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    rows = {
        "network": f"`{network['class']}`, {network['peer_embed_dim']} features a car, pooling "
        f"`{network['pooling']}`, {run.num_weights:,} numbers",
        "trained": f"{manifest['finished_at']}, {_training(run)}",
        "code": f"commit `{git['commit']}`{changed}; SHA-256 of the modules "
        f"`{manifest['code_sha256']}`",
        "versions": named,
        "licence": "Apache 2.0",
        **{f"SHA-256 of `{name}`": f"`{sha256}`" for name, sha256 in run.file_hashes.items()},
    }
    table = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *table])


def _training(run: TrainedRun) -> str:
    """Return what the policy learned from, in a few words."""
    config = run.manifest["config"]
    num_imitated = config.get("imitation_episodes") or 0
    imitated = f" after {num_imitated:,} episodes of imitation" if num_imitated else ""
    preset = f", preset `{config['preset']}`" if config.get("preset") else ""
    steps = f"{run.description['num_timesteps']:,} steps of PPO"
    return f"{steps}{imitated}{preset}, seed {config['seed']}"


def _usage() -> str:
    """Return how to evaluate, watch and load it."""
    return """\
`packaged` stands for it wherever a command takes `--model`, and in `load_model`:

```bash
roadsense evaluate --model packaged
roadsense replay --model packaged --video packaged.gif
roadsense evaluate --model packaged --protocol screening --output_dir packaged_screening
```

```python
from ml.policies.model_file import load_model

model = load_model("packaged")
print(model.num_timesteps, model.sha256)
```

It is two files of numbers and text, read without unpickling anything."""


def _training_data(run: TrainedRun) -> str:
    """Return what it was trained on."""
    dataset, inputs = run.dataset, run.manifest["inputs"]
    bases = ", ".join(f"`{base['path']}`" for base in dataset["base_scenarios"])
    radio = inputs["emulator_params"]
    return "\n".join([
        f"Simulated convoys alone: {len(dataset['train_scenarios']):,} training scenarios of "
        f"seed {dataset['seed']} on {bases}, generator {dataset['generator_version']}, SUMO "
        f"{dataset['environment']['sumo_version']}.",
        f"The dataset's manifest has the SHA-256 `{inputs['dataset_manifest']['sha256']}`.",
        "Generated again, the scenarios are the same byte for byte; the manifest differs in its "
        "time and place.",
        "",
        f"Radio parameters: `{file_name(radio['path'])}`, SHA-256 `{radio['sha256']}`; each "
        "episode draws its own from their ranges.",
    ])  # fmt: skip


def file_name(path: str) -> str:
    """Return the last part of a recorded path: the folders are those of another machine."""
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def _evaluation_data(evaluation: Json) -> str:
    """Return what it was judged on."""
    protocol, provenance = evaluation["protocol"], evaluation["provenance"]
    coverage = evaluation["coverage"]
    return "\n".join([
        f"The protocol `{protocol['name']}`, SHA-256 `{protocol['sha256']}`: "
        f"{protocol['num_cases']:,} cases of seed {protocol['seed']}, under the radio presets "
        f"{', '.join(f'`{name}`' for name in protocol['radio_presets'])} and, for stress, "
        f"{', '.join(f'`{name}`' for name in protocol['stress_presets'])}.",
        "No scenario of it has the content of one of training. "
        f"{coverage['counted']:,} of {coverage['planned']:,} planned episodes of all policies "
        "count.",
        f"Its scenarios have the SHA-256 `{provenance['scenarios_sha256']}`; the code that "
        f"judged has `{provenance['code_sha256']}`.",
    ])  # fmt: skip


def _reproduction(run: TrainedRun) -> str:
    """Return the commands that make the policy again."""
    return "\n".join([
        "```bash",
        run.dataset_command,
        run.training_command,
        "```",
        "",
        "The same commit and versions give the same weights on the same machine. Another machine "
        "may round otherwise and end with other ones, even where its processor has the same name, "
        f"{run.manifest['hardware']['processor']}.",
    ])  # fmt: skip
