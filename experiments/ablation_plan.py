"""What the ablations compare: one recipe, and variants that differ from it in one thing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ml.evaluation.protocol import NOMINAL

FOLDER = Path(__file__).resolve().parent
BASE = "base"
MANY_PEERS = 8
FEW_PEERS = 4
CLEAN_RADIO = "experiments/clean_radio.json"
"""As seen from the repository's root, where trainings run."""

FULL, FEW = "full", "few_peers"
DATASET_FLAGS = ("--seed", "42", "--train_count", "90", "--eval_count", "45")
DATASETS = {FULL: DATASET_FLAGS, FEW: (*DATASET_FLAGS, "--train_max_peers", str(FEW_PEERS))}
"""Flags of ``gen_scenarios`` by the dataset's folder."""

RECIPE = ("--preset", "urgent", "--imitation_episodes", "4000")
"""With a quarter of the preset's episodes, for the time that the whole study takes."""
THRESHOLDS_MPS2 = (0.0, 6.0)


@dataclass(frozen=True)
class Condition:
    """What a policy is judged under.

    Attributes:
        preset: The radio's.
        num_peers: Cars ahead in every case; None for the cases as they are.
    """

    preset: str = NOMINAL
    num_peers: int | None = None


ORDINARY = Condition()
CROWDED = Condition(num_peers=MANY_PEERS)
RADIOS = tuple(Condition(preset) for preset in ("roof", "in_car_long_range", "in_car"))


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        name: In the names of files.
        title: On the page.
        change: What differs from the base.
        flags: Of ``train_convoy``, beside the recipe's.
        dataset: One of DATASETS.
        further: What it is judged under besides ORDINARY.
    """

    name: str
    title: str
    change: str
    flags: tuple[str, ...] = ()
    dataset: str = FULL
    further: tuple[Condition, ...] = ()

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All that it is judged under."""
        return (ORDINARY, *self.further)


VARIANTS = (
    Variant(BASE, "base", "nothing: the peers' maximum, every input", (), FULL, (CROWDED, *RADIOS)),
    Variant(
        "no_radio",
        "no radio",
        "the network sees neither the peers nor how many are fresh",
        ("--hide_inputs", "radio"),
    ),
    Variant(
        "no_age",
        "no age",
        "it does not see time since reception, declared age and sequence gap",
        ("--hide_inputs", "age"),
    ),
    Variant(
        "no_history",
        "no history",
        "it sees the present alone: no speed or acceleration of the last second, the ego's or a "
        "peer's",
        ("--hide_inputs", "history"),
    ),
    Variant("mean", "mean", "the mean of the peers' embeddings", ("--pooling", "mean")),
    Variant(
        "attention",
        "attention",
        "their mean, weighed by a learned score",
        ("--pooling", "attention"),
    ),
    Variant(
        "slots",
        "fixed slots",
        "the embeddings one after the other, in the order of the slots",
        ("--pooling", "slots"),
    ),
    Variant(
        FEW,
        f"at most {FEW_PEERS} ahead",
        f"trained with 0 to {FEW_PEERS} cars ahead in place of 0 to {MANY_PEERS}",
        (),
        FEW,
        (CROWDED,),
    ),
    Variant(
        "clean_radio",
        "clean radio",
        "trained with a radio that loses and delays nothing, and sensors without error",
        ("--emulator_params", CLEAN_RADIO),
        FULL,
        RADIOS,
    ),
)
