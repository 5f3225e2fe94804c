"""What the urgent imitation makes small, and which episodes it is learned from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ml.seeding import indexed_generator
from ml.training.arguments import parse_args
from ml.training.recipe import environment_kwargs, manifest_settings
from ml.training.urgent_episodes import UrgentEpisode, UrgentEpisodes, drawn_options
from ml.training.urgent_imitation import UrgentImitation, urgency_losses

SETTINGS = UrgentImitation(
    too_little_share=0.8, urgency_weight=10.0, urgency_power=2.0, demand_gain=1.5,
    rest_action=-0.3, below_rest_weight=0.1, num_unheard=1,
)  # fmt: skip


def losses_at(means, demands_mps2, num_demanding):
    """Return the loss of each action where so much is demanded for so many steps."""
    seen = UrgentEpisode({}, np.array(demands_mps2, np.float32), np.array(num_demanding))
    losses_of = urgency_losses([seen], SETTINGS, torch.device("cpu"))
    return losses_of(torch.tensor(means), torch.arange(len(means))).tolist()


def test_too_little_braking_costs_more_the_more_is_demanded():
    # 4 of 8 m/s^2, wanted 1.5 times as much: 0.75. Weight 0.8 (1 + 10 * 0.5^2) = 2.8.
    # 8 of 8 m/s^2, wanted 1 at most. Weight 0.8 (1 + 10) = 8.8.
    losses = losses_at([0.25, 0.5], [4.0, 8.0], [2, 2])

    assert losses == pytest.approx([2.8 * 0.5**2, 8.8 * 0.5**2])


def test_too_much_braking_costs_the_same_however_much_is_demanded():
    losses = losses_at([0.95, 0.2], [4.0, 0.0], [2, 0])

    # 0.2 beyond 0.75, and 0.5 beyond the action at rest; weight 1 - 0.8.
    assert losses == pytest.approx([0.2 * 0.2**2, 0.2 * 0.5**2])


def test_an_action_below_rest_costs_little():
    # 0.5 below -0.3, weight 0.1 (1 - 0.8).
    assert losses_at([-0.8], [0.0], [0]) == pytest.approx([0.02 * 0.5**2])


def test_a_demand_that_no_frame_can_tell_of_is_left_out():
    assert losses_at([-0.3, 0.9, 0.25], [4.0, 4.0, 4.0], [1, 1, 2]) == pytest.approx([0, 0, 0.7])


def test_rows_are_those_of_the_minibatch():
    seen = [
        UrgentEpisode({}, np.array([4.0], np.float32), np.array([2])),
        UrgentEpisode({}, np.array([8.0], np.float32), np.array([2])),
    ]
    losses_of = urgency_losses(seen, SETTINGS, torch.device("cpu"))

    assert losses_of(torch.tensor([0.5]), torch.tensor([1])).item() == pytest.approx(2.2)


def test_options_are_drawn_from_what_was_asked_for():
    episodes = UrgentEpisodes(
        onset_s=(1.5, 2.5), headway_s=(0.5, 0.75), sumo_peers_share=0.0, dry_share=1.0,
        repeated_share=1.0, repeated_frames=(7, 7), repeated_hold_s=(0.25, 0.25),
    )  # fmt: skip
    options = drawn_options(indexed_generator(3, 1), episodes, 4)

    assert 1.5 <= options["hazard"].pop("onset_s") <= 2.5
    assert 0.5 <= options.pop("headway_s") <= 0.75
    assert options == {
        "episode_index": 2_000_004,
        "peer_driver": "delayed",
        "friction_mps2": 9.8,
        "hazard": {"hold_s": 0.25},
        "radio_faults": [
            {"kind": "dead_link", "car": "source", "start_s": -10.0, "value": 0.0},
            {"kind": "replay", "car": "source", "start_s": -10.0, "value": 7.0},
        ],
    }


def test_shares_of_nothing_leave_the_episode_as_it_is():
    episodes = UrgentEpisodes(sumo_peers_share=1.0, dry_share=0.0, repeated_share=0.0)
    options = drawn_options(indexed_generator(3, 1), episodes, 0)

    assert options.keys() == {"episode_index", "headway_s", "peer_driver", "hazard"}
    assert options["hazard"].keys() == {"onset_s"}
    assert options["peer_driver"] == "sumo"


def test_bystanders_are_for_training_alone():
    args = parse_args(["--bystander_share", "0.25", "--dev_episodes", "0"])

    assert environment_kwargs(args, "train")["bystander_share"] == 0.25
    assert "bystander_share" not in environment_kwargs(args, "eval")
    assert "bystander_share" not in environment_kwargs(parse_args([]), "train")


def test_the_manifest_tells_how_the_imitation_was_done():
    urgent, plain = parse_args(["--imitation", "urgent"]), parse_args([])

    told = manifest_settings(urgent, {})["imitation"]
    assert told["too_little_share"] == UrgentImitation().too_little_share
    assert told["episodes"]["num_steps"] == UrgentEpisodes().num_steps
    assert manifest_settings(plain, {})["imitation"] is None


def test_an_urgent_imitation_is_not_done_on_a_gpu(capsys):
    with pytest.raises(SystemExit):
        parse_args(["--imitation", "urgent", "--device", "cuda"])

    assert "--device must be cpu with --imitation urgent. Got cuda." in capsys.readouterr().err
