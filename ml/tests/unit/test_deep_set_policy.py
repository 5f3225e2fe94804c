"""Tests of ml.policies.deep_set_policy: a function of a set, in physical units, small enough."""

import math
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO

from ml.envs.observation import EGO_FEATURES, PEER_FEATURES
from ml.errors import PolicyError
from ml.policies.deep_set_policy import (
    DeepSetExtractor,
    actor_size_bytes,
    clamp_action_std,
    create_deep_set_policy_kwargs,
    initialise_no_intervention,
    pool,
)
from ml.policies.hidden_inputs import HIDDEN_COLUMNS

NUM_EGO, NUM_SLOTS, NUM_FEATURES = 5, 8, 10


def observation_space(num_ego=NUM_EGO, num_features=NUM_FEATURES):
    return spaces.Dict(
        {
            "ego": spaces.Box(-40.0, 40.0, (num_ego,), np.float32),
            "peers": spaces.Box(-200.0, 200.0, (NUM_SLOTS, num_features), np.float32),
            "peer_mask": spaces.Box(0.0, 1.0, (NUM_SLOTS,), np.float32),
        }
    )


class SpaceOnlyEnv(gym.Env):
    """An environment of the right form whose episodes are one step long."""

    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, space=None):
        self.observation_space = space or observation_space()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, True, False, {}


def make_model(space=None, hidden_inputs=None):
    kwargs = create_deep_set_policy_kwargs(32, hidden_inputs)
    return PPO(
        "MultiInputPolicy",
        SpaceOnlyEnv(space),
        policy_kwargs=kwargs,
        n_steps=4,
        batch_size=4,
        seed=1,
        device="cpu",
    )


def batch_of(peers, mask, ego=None):
    ego = np.zeros(NUM_EGO) if ego is None else ego
    return {
        key: torch.as_tensor(np.asarray(value)[None], dtype=torch.float32)
        for key, value in {"ego": ego, "peers": peers, "peer_mask": mask}.items()
    }


@pytest.fixture
def extractor():
    torch.manual_seed(3)
    return DeepSetExtractor(observation_space())


@pytest.fixture
def peers():
    return np.random.default_rng(5).uniform(-200.0, 200.0, (NUM_SLOTS, NUM_FEATURES))


def test_shuffling_the_peers_never_changes_the_features(extractor, peers):
    mask = np.array([1, 0, 1, 1, 0, 0, 1, 0])
    order = np.array([6, 4, 0, 7, 3, 1, 2, 5])
    features = extractor(batch_of(peers, mask))
    shuffled = extractor(batch_of(peers[order], mask[order]))
    torch.testing.assert_close(features, shuffled, rtol=0.0, atol=1e-6)


def test_shuffling_the_peers_never_changes_the_action(peers):
    model = make_model()
    mask = np.array([1, 1, 0, 1, 1, 0, 1, 0], dtype=np.float32)
    order = np.array([7, 2, 5, 0, 6, 1, 4, 3])
    ego = np.linspace(-3.0, 30.0, NUM_EGO, dtype=np.float32)
    seen = {"ego": ego, "peers": peers.astype(np.float32), "peer_mask": mask}
    other = {**seen, "peers": seen["peers"][order], "peer_mask": mask[order]}
    action, _ = model.predict(seen, deterministic=True)
    shuffled_action, _ = model.predict(other, deterministic=True)
    np.testing.assert_allclose(action, shuffled_action, atol=1e-6)


@pytest.mark.parametrize("junk", [1e6, np.nan, np.inf])
def test_content_of_an_empty_slot_never_matters(extractor, peers, junk):
    mask = np.array([1, 1, 0, 1, 0, 1, 1, 0])
    other = peers.copy()
    other[mask == 0] = junk
    assert torch.equal(extractor(batch_of(peers, mask)), extractor(batch_of(other, mask)))


def test_pooled_features_are_zero_without_peers(extractor, peers):
    features = extractor(batch_of(peers, np.zeros(NUM_SLOTS)))
    assert torch.equal(features[0, :32], torch.zeros(32))


def test_gradients_are_finite_when_empty_slots_hold_nan(extractor, peers):
    peers[3:] = np.nan
    mask = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    extractor(batch_of(peers, mask)).sum().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in extractor.parameters())


def test_ego_is_divided_by_a_quarter_of_its_bound(extractor, peers):
    ego = np.array([10.0, -10.0, 40.0, 0.0, 5.0])  # bound 40, so the divisor is 10
    features = extractor(batch_of(peers, np.ones(NUM_SLOTS), ego))
    expected = torch.tensor([1.0, -1.0, 4.0, 0.0, 0.5])
    torch.testing.assert_close(features[0, 32:], expected)


def test_one_more_peer_never_lowers_a_pooled_feature(extractor, peers):
    fewer = extractor(batch_of(peers, np.array([1, 1, 0, 0, 0, 0, 0, 0])))[0, :32]
    more = extractor(batch_of(peers, np.array([1, 1, 1, 0, 0, 0, 0, 0])))[0, :32]
    assert (more >= fewer).all()


def test_scaling_is_saved_with_the_weights(extractor):
    assert {"ego_scale", "peer_scale"} <= set(extractor.state_dict())


def test_actor_fits_100_kilobytes_with_one_second_of_history():
    model = make_model(observation_space(num_ego=40, num_features=12))
    # peers 12*64+64 + 64*32+32, trunk (32+40)*64+64 + 64*64+64, action 65, scales 40+12; 4 bytes.
    weights = 832 + 2080 + 4672 + 4160 + 65 + 52
    assert actor_size_bytes(model.policy) == 4 * weights
    assert 4 * weights <= 100_000


def test_first_policy_does_not_intervene(peers):
    model = make_model()
    initialise_no_intervention(model.policy)
    seen = model.observation_space.sample()
    action, _ = model.predict(seen, deterministic=True)
    # The last layer's row has norm 0.01 and its 64 inputs are in [-1, 1]: at most 0.08 away.
    assert abs(action[0] + 0.2) <= 0.08


def test_first_standard_deviation_is_0_5():
    log_std = make_model().policy.log_std
    assert torch.exp(log_std).item() == pytest.approx(0.5)


@pytest.mark.parametrize(("log_std", "expected"), [(3.0, 0.6), (-9.0, 0.05), (-1.0, 0.367879)])
def test_standard_deviation_is_kept_between_0_05_and_0_6(log_std, expected):
    policy = make_model().policy
    policy.log_std.data.fill_(log_std)
    clamp_action_std(policy)
    assert torch.exp(policy.log_std).item() == pytest.approx(expected, rel=1e-5)


def features_of(hidden_inputs, observation):
    torch.manual_seed(3)
    return DeepSetExtractor(observation_space(), hidden_inputs=hidden_inputs)(observation)


def names_of(features, columns):
    return [features[column].name for column in columns]


def test_the_hidden_columns_are_those_that_the_table_names():
    age, radio, history = (HIDDEN_COLUMNS[name] for name in ("age", "radio", "history"))

    assert names_of(PEER_FEATURES, age.peers) == [
        "time_since_reception", "state_age", "sequence_gap",
    ]  # fmt: skip
    assert names_of(EGO_FEATURES, radio.ego) == ["num_fresh_peers"]
    assert names_of(PEER_FEATURES, history.peers) == ["lowest_acceleration"]
    assert names_of(EGO_FEATURES, history.ego) == [
        f"{quantity}_{ago}s"
        for quantity in ("speed", "acceleration")
        for ago in ("0.2", "0.4", "0.6", "0.8", "1.0")
    ]


@pytest.mark.parametrize("column", range(NUM_FEATURES))
def test_without_age_the_three_columns_of_it_have_no_effect_and_all_others_do(peers, column):
    mask = np.array([1, 1, 0, 1, 0, 1, 1, 0])
    other = peers.copy()
    other[:, column] += 50.0

    before, after = (features_of("age", batch_of(values, mask)) for values in (peers, other))

    assert torch.equal(before, after) == (column in HIDDEN_COLUMNS["age"].peers)


def test_without_radio_neither_peers_nor_their_number_have_an_effect(peers):
    ego = np.array([10.0, -10.0, 40.0, 0.0, 5.0])
    many = batch_of(peers, np.ones(NUM_SLOTS), ego)
    none = batch_of(np.zeros_like(peers), np.zeros(NUM_SLOTS), ego - [0.0, 0.0, 0.0, 0.0, 5.0])

    features = features_of("radio", many)

    assert torch.equal(features, features_of("radio", none))
    # The ego's own motion is still there, divided by a quarter of its bound.
    expected = torch.tensor([0.0] * 32 + [1.0, -1.0, 4.0, 0.0, 0.0])
    torch.testing.assert_close(features[0], expected)


@pytest.mark.parametrize("hidden_inputs", ["radio", "age"])
def test_weights_of_what_is_hidden_get_no_gradient(peers, hidden_inputs):
    extractor = DeepSetExtractor(observation_space(), hidden_inputs=hidden_inputs)

    extractor(batch_of(peers, np.ones(NUM_SLOTS))).sum().backward()

    gradient = extractor.embed[0].weight.grad
    hidden = slice(None) if hidden_inputs == "radio" else HIDDEN_COLUMNS["age"].peers
    assert torch.count_nonzero(gradient[:, hidden]) == 0
    assert torch.isfinite(gradient).all()


def test_hidden_inputs_that_are_unknown_are_refused():
    with pytest.raises(PolicyError, match="hidden_inputs must be one of radio, age, history"):
        DeepSetExtractor(observation_space(), hidden_inputs="speed")


@pytest.mark.parametrize("hidden_inputs", ["radio", "age"])
def test_a_saved_model_goes_on_hiding_its_inputs(tmp_path, hidden_inputs):
    model = make_model(hidden_inputs=hidden_inputs)
    seen = model.observation_space.sample()
    seen["peer_mask"][:] = 1.0
    older = {**seen, "peers": seen["peers"].copy()}
    older["peers"][:, HIDDEN_COLUMNS["age"].peers] += 30.0
    model.save(tmp_path / "model.zip")

    loaded = PPO.load(tmp_path / "model.zip", device="cpu")

    actions = [loaded.predict(one, deterministic=True)[0] for one in (seen, older)]
    np.testing.assert_array_equal(actions[0], actions[1])
    np.testing.assert_array_equal(actions[0], model.predict(seen, deterministic=True)[0])


def test_actor_and_critic_share_no_weight():
    policy = make_model().policy
    actor = {id(weight) for weight in policy.pi_features_extractor.parameters()}
    assert actor.isdisjoint(id(weight) for weight in policy.vf_features_extractor.parameters())


def test_policy_kwargs_are_a_new_dict_each_time():
    first = create_deep_set_policy_kwargs()
    first["net_arch"]["pi"].append(1)
    assert create_deep_set_policy_kwargs()["net_arch"]["pi"] == [64, 64]


def test_saved_model_gives_the_same_action_in_a_fresh_process(tmp_path):
    model = make_model()
    seen = model.observation_space.sample()
    np.savez(tmp_path / "seen.npz", **seen)
    model.save(tmp_path / "model.zip")
    code = (
        "import sys, numpy as np; from stable_baselines3 import PPO;"
        "seen = dict(np.load(sys.argv[1])); model = PPO.load(sys.argv[2], device='cpu');"
        "print(float(model.predict(seen, deterministic=True)[0][0]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "seen.npz"), str(tmp_path / "model.zip")],
        capture_output=True,
        text=True,
        check=True,
    )
    expected, _ = model.predict(seen, deterministic=True)
    assert float(result.stdout) == pytest.approx(float(expected[0]), abs=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"ego": spaces.Box(-np.inf, np.inf, (NUM_EGO,), np.float32)},
        {"peer_mask": spaces.Box(0.0, 1.0, (3,), np.float32)},
        {"peers": spaces.Box(0.0, 1.0, (NUM_SLOTS,), np.float32)},
        {"ego": spaces.Discrete(3)},
    ],
    ids=["no bound", "mask of another length", "flat peers", "no Box"],
)
def test_space_of_another_form_is_refused(change):
    space = spaces.Dict({**observation_space().spaces, **change})
    with pytest.raises(PolicyError):
        DeepSetExtractor(space)


def test_inputs_that_the_observation_lacks_cannot_be_hidden():
    # The ego of these tests has 5 features; its history would be in the columns up to 11.
    with pytest.raises(PolicyError, match=r"must have the columns .* Got 5 of `ego`"):
        DeepSetExtractor(observation_space(), hidden_inputs="history")


EMBEDDED = torch.tensor([[[3.0, 0.0], [1.0, 4.0], [0.0, 0.0]]])
IS_PRESENT = torch.tensor([[[True], [True], [False]]])


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("max", [3.0, 4.0]),
        ("mean", [2.0, 2.0]),  # of the two that are there
        ("slots", [3.0, 0.0, 1.0, 4.0, 0.0, 0.0]),
    ],
)
def test_peers_are_pooled(pooling, expected):
    assert pool(pooling, EMBEDDED, IS_PRESENT)[0].tolist() == expected


def test_attention_weighs_the_peers_present_by_the_softmax_of_their_scores():
    score = torch.nn.Linear(2, 1)
    with torch.no_grad():
        score.weight[:] = torch.tensor([[math.log(3.0) / 2.0, 0.0]])
        score.bias[:] = 7.0
    # Scores log(3) / 2 * (3, 1) + 7: the first weighs 3 times as much as the second.
    pooled = pool("attention", EMBEDDED, IS_PRESENT, score)
    torch.testing.assert_close(pooled[0], torch.tensor([0.75 * 3.0 + 0.25, 0.25 * 4.0]))


@pytest.mark.parametrize("pooling", ["max", "mean", "attention", "slots"])
def test_without_peers_the_pooled_part_is_zero(peers, pooling):
    extractor = DeepSetExtractor(observation_space(), pooling=pooling)

    features = extractor(batch_of(peers, np.zeros(NUM_SLOTS)))[0]

    assert len(features) == {"slots": 32 * NUM_SLOTS}.get(pooling, 32) + 5
    assert torch.count_nonzero(features[:-5]) == 0


@pytest.mark.parametrize(
    ("pooling", "is_same"), [("max", True), ("mean", True), ("attention", True), ("slots", False)]
)
def test_only_slots_tell_the_order_of_peers(peers, pooling, is_same):
    extractor = DeepSetExtractor(observation_space(), pooling=pooling)
    order = np.roll(np.arange(NUM_SLOTS), 3)
    mask = np.array([1, 1, 0, 1, 0, 1, 1, 0])

    features = extractor(batch_of(peers, mask))
    reordered = extractor(batch_of(peers[order], mask[order]))

    assert torch.allclose(features, reordered, atol=1e-6) == is_same


def test_pooling_that_is_unknown_is_refused():
    with pytest.raises(PolicyError, match="pooling must be one of max, mean, attention, slots"):
        DeepSetExtractor(observation_space(), pooling="sum")
