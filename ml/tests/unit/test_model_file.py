"""Tests of ml.policies.model_file: models that are read without running what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from importlib import metadata

import numpy as np
import pytest
import safetensors.numpy
import torch
from stable_baselines3 import PPO

from ml.envs.observation import observation_space
from ml.errors import PolicyError, RecordError
from ml.evaluation.player_files import read_players
from ml.policies.checkpoint import find_model
from ml.policies.deep_set_policy import create_deep_set_policy_kwargs
from ml.policies.fast_forward import acting_policy
from ml.policies.model_file import copy_model, load_model
from ml.provenance import sha256_of_file
from ml.tests.poisoned_models import poisoned_zip
from ml.tests.unit.learner_cases import make_model, random_observations, space_of
from ml.training.callbacks import save_model_atomically

SPACE = observation_space()


def trained_like(**changes):
    """Return a model whose weights are none that a fresh network has."""
    torch.manual_seed(3)
    model = make_model(space=SPACE, policy_kwargs=create_deep_set_policy_kwargs(**changes))
    with torch.no_grad():
        for weights in model.policy.parameters():
            weights.add_(0.01 * torch.randn_like(weights))
    model.num_timesteps = 1234
    return model


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A saved model: the object, and the path of its zip."""
    model, path = trained_like(), tmp_path_factory.mktemp("made") / "model_final.zip"
    save_model_atomically(model, path)
    return model, path


@pytest.fixture
def saved(made, tmp_path):
    """A copy of the saved model, to be damaged."""
    copy_model(made[1], tmp_path / "model_final.zip")
    return tmp_path / "model_final.zip"


def description_of(path):
    return json.loads(path.with_suffix(".json").read_text())


def change_description(path, **changes):
    path.with_suffix(".json").write_text(json.dumps({**description_of(path), **changes}))


def change_tensors(path, change):
    """Change the tensors' dict, with the JSON naming the new hash."""
    tensors = safetensors.numpy.load(path.with_suffix(".safetensors").read_bytes())
    write_tensors(path, safetensors.numpy.save(change(tensors)))


def write_tensors(path, content):
    path.with_suffix(".safetensors").write_bytes(content)
    change_description(path, tensors_sha256=hashlib.sha256(content).hexdigest())


def refusal(path, **options):
    with pytest.raises(PolicyError) as caught:
        load_model(path, **options)
    assert str(caught.value).isprintable()
    return str(caught.value)


# --- The same policy -----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".zip", ".json", ".safetensors", None])
def test_each_name_of_a_model_gives_the_same_safe_model(made, suffix):
    _, path = made

    loaded = load_model(path.parent if suffix is None else path.with_suffix(suffix))

    assert loaded.is_safe
    assert loaded.num_timesteps == 1234
    assert loaded.sha256 == sha256_of_file(path.with_suffix(".safetensors"))


@pytest.mark.parametrize(
    "network",
    [
        {},
        {"hidden_inputs": "radio"},
        {"hidden_inputs": "age"},
        {"hidden_inputs": "history"},
        {"pooling": "mean"},
        {"pooling": "attention"},
        {"pooling": "slots", "hidden_inputs": "age"},
    ],
)
def test_it_acts_bit_for_bit_as_what_ppo_loads(tmp_path, network):
    path = tmp_path / "model.zip"
    save_model_atomically(trained_like(**network), path)
    observation = random_observations(SPACE, 50, np.random.default_rng(1))
    theirs, ours = PPO.load(path, device="cpu"), load_model(path)

    means = [model.predict(observation, deterministic=True)[0] for model in (theirs, ours)]
    draws = []
    for model in (theirs, ours):
        torch.manual_seed(5)
        draws.append(model.predict(observation)[0])

    np.testing.assert_array_equal(means[0], means[1])
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(means[0], draws[0])
    assert means[0].std() > 0.0


def test_compiled_code_acts_bit_for_bit_as_with_what_ppo_loads(made):
    _, path = made
    batch = random_observations(SPACE, 20, np.random.default_rng(2))
    theirs, ours = acting_policy(PPO.load(path, device="cpu")), acting_policy(load_model(path))

    for row in range(20):
        one = {key: values[row] for key, values in batch.items()}
        expected, _ = theirs.predict(one, deterministic=True)
        found, _ = ours.predict(one, deterministic=True)
        np.testing.assert_array_equal(found, expected)


def test_spaces_come_back_exactly(made):
    model, path = made
    loaded = load_model(path)

    assert loaded.observation_space == SPACE
    assert loaded.action_space == model.action_space
    for name in ("ego", "peers", "peer_mask"):
        np.testing.assert_array_equal(loaded.observation_space[name].high, SPACE[name].high)


def test_saving_leaves_the_random_numbers_as_they_are(tmp_path):
    model = trained_like()
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)

    save_model_atomically(model, tmp_path / "model.zip")
    load_model(tmp_path / "model.zip")

    np.testing.assert_array_equal(torch.rand(3), expected)


def test_a_player_is_named_by_the_hash_of_its_weights(made):
    _, path = made
    (player,) = read_players([str(path)])
    assert player.sha256 == sha256_of_file(path.with_suffix(".safetensors"))


# --- Writing -------------------------------------------------------------------------------------


def test_the_description_names_the_hashes_of_both_files(made):
    _, path = made
    description = description_of(path)
    assert description["tensors_sha256"] == sha256_of_file(path.with_suffix(".safetensors"))
    assert description["zip_sha256"] == sha256_of_file(path)
    assert description["versions"]["torch"] == metadata.version("torch")


def test_equal_weights_have_equal_tensors_files(made, tmp_path):
    model, path = made
    save_model_atomically(model, tmp_path / "again.zip")
    again = (tmp_path / "again.safetensors").read_bytes()
    assert again == path.with_suffix(".safetensors").read_bytes()


def test_no_temporary_file_is_left(saved):
    save_model_atomically(trained_like(), saved)
    assert sorted(path.name for path in saved.parent.iterdir()) == [
        "model_final.json", "model_final.safetensors", "model_final.zip",
    ]  # fmt: skip


def test_a_zip_that_cannot_be_written_leaves_the_old_model_whole(saved, monkeypatch):
    before = {path.name: path.read_bytes() for path in saved.parent.iterdir()}
    model = trained_like()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model, "save", fail)
    with pytest.raises(RecordError, match="No space left on device"):
        save_model_atomically(model, saved)

    assert {path.name: path.read_bytes() for path in saved.parent.iterdir()} == before


@pytest.mark.parametrize("num_replaced", [1, 2])
def test_a_replacement_that_is_cut_off_is_refused_and_never_mixed(
    saved, tmp_path_factory, num_replaced
):
    other = tmp_path_factory.mktemp("other") / "model_final.zip"
    kwargs = create_deep_set_policy_kwargs(hidden_inputs="age")
    save_model_atomically(make_model(space=SPACE, policy_kwargs=kwargs), other)
    for suffix in (".safetensors", ".zip")[:num_replaced]:  # the order of write_model
        saved.with_suffix(suffix).write_bytes(other.with_suffix(suffix).read_bytes())

    assert "must" in refusal(saved)
    assert "SHA-256" in refusal(saved.with_suffix(".json"))


def test_files_take_their_places_with_the_description_last(saved, monkeypatch):
    order = []
    replace = type(saved).replace
    monkeypatch.setattr(
        type(saved), "replace", lambda self, to: (order.append(to.suffix), replace(self, to))[1]
    )

    save_model_atomically(trained_like(), saved)
    copy_model(saved, saved.with_name("model_best.zip"))

    assert order == [".safetensors", ".zip", ".json"] * 2


def test_a_policy_of_another_kind_gets_a_zip_alone(tmp_path):
    kwargs = {**create_deep_set_policy_kwargs(), "activation_fn": torch.nn.ReLU}
    save_model_atomically(make_model(space=SPACE, policy_kwargs=kwargs), tmp_path / "model.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["model.zip"]


def test_a_network_of_other_spaces_is_written_too(tmp_path):
    space = space_of(3, 2, 9)
    model = make_model(space=space, num_actions=2, policy_kwargs=create_deep_set_policy_kwargs())
    save_model_atomically(model, tmp_path / "model.zip")
    assert load_model(tmp_path / "model.zip").observation_space == space


# --- Zips ----------------------------------------------------------------------------------------


def test_a_zip_alone_is_refused_and_nothing_in_it_runs(tmp_path):
    path, created = tmp_path / "model.zip", tmp_path / "created"
    poisoned_zip(path, created)

    line = refusal(path)

    assert not created.exists()
    assert "Got no model.json beside it" in line
    assert "--trust" in line


def test_a_trusted_zip_is_unpickled(tmp_path):
    path, created = tmp_path / "model.zip", tmp_path / "created"
    poisoned_zip(path, created)

    with pytest.raises(PolicyError):
        load_model(path, is_trusted=True)

    assert created.exists()


def test_a_zip_that_is_another_than_the_safe_pair_names_is_refused_and_nothing_runs(saved):
    created = saved.with_name("created")
    poisoned_zip(saved, created)

    assert "which names another zip" in refusal(saved)
    assert not created.exists()


def test_a_trusted_zip_alone_acts_as_the_safe_pair(made, tmp_path):
    _, path = made
    alone = tmp_path / "alone.zip"
    alone.write_bytes(path.read_bytes())
    observation = random_observations(SPACE, 5, np.random.default_rng(1))

    loaded = load_model(alone, is_trusted=True)

    assert not loaded.is_safe
    assert loaded.sha256 == sha256_of_file(path)
    expected, _ = load_model(path).predict(observation, deterministic=True)
    np.testing.assert_array_equal(loaded.predict(observation, deterministic=True)[0], expected)


def test_the_safe_pair_is_read_also_where_the_zip_is_trusted(made):
    assert load_model(made[1], is_trusted=True).is_safe


def test_a_folder_with_the_safe_pair_alone_is_a_model(saved):
    saved.unlink()
    assert find_model(saved.parent) == saved.with_suffix(".json")
    assert load_model(saved.parent).is_safe


# --- Damaged and hostile files -------------------------------------------------------------------


def header(text):
    """Return a safetensors file of a header alone."""
    encoded_text = text.encode()
    return struct.pack("<Q", len(encoded_text)) + encoded_text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2**40) + b"{}",
        header("{}"),
        header("[" * 100_000),
        header('{"x": {"dtype": "F32", "shape": [65536, 65536], "data_offsets": [0, 4]}}'),
        header('{"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 9999999999]}}'),
        header('{"x": {"dtype": "QUX", "shape": [1], "data_offsets": [0, 4]}}') + b"\0" * 4,
    ],
)
def test_tensors_that_are_none_are_one_line(saved, content):
    write_tensors(saved, content)
    assert "must be a file of a model saved by train_convoy" in refusal(saved)


def test_truncated_tensors_are_one_line(saved):
    path = saved.with_suffix(".safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    assert "SHA-256 of" in refusal(saved)


def test_truncated_tensors_with_their_hash_are_one_line(saved):
    write_tensors(saved, saved.with_suffix(".safetensors").read_bytes()[:-1])
    assert "must be a file of a model saved by train_convoy" in refusal(saved)


LOG_STD = "log_std"
SCALE = "pi_features_extractor.peer_scale"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: {**t, "extra": np.zeros(3, "f4")}, "an unknown tensor 'extra'"),
        (lambda t: {k: v for k, v in t.items() if k != LOG_STD}, "no tensor 'log_std'"),
        (lambda t: {**t, LOG_STD: t[LOG_STD].astype("f8")}, "log_std as F64 [1] instead of F32"),
        (lambda t: {**t, LOG_STD: t[LOG_STD].view("i4")}, "log_std as I32 [1] instead of F32"),
        (lambda t: {**t, LOG_STD: np.zeros((1, 1), "f4")}, "log_std as F32 [1, 1] instead of"),
        (lambda t: {**t, LOG_STD: np.full(1, np.nan, "f4")}, "log_std with NaN or infinity"),
        (lambda t: {**t, LOG_STD: np.full(1, -np.inf, "f4")}, "log_std with NaN or infinity"),
        (lambda t: {**t, SCALE: np.full_like(t[SCALE], np.nan)}, "not above 0"),
        (lambda t: {**t, SCALE: np.zeros_like(t[SCALE])}, "not above 0"),
        (lambda t: {**t, SCALE: np.full_like(t[SCALE], np.inf)}, "hides other inputs than"),
    ],
)  # fmt: skip
def test_tensors_of_another_network_are_one_line(saved, change, said):
    change_tensors(saved, change)
    assert said in refusal(saved)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", "is not of type 'object'"),
        ("[" * 500_000, "recursion"),
        ('{"a":' * 150_000, "recursion"),
        ('{"format_version": ' + "9" * 5000 + "}", "integer string conversion"),
        ('{"format_version": NaN}', "NaN is no number"),
        ("{}", "is a required property"),
        (" " * (1 << 20) + "{}", "more than 1 MiB"),
    ],
)
def test_a_description_that_is_none_is_one_line(saved, text, said):
    saved.with_suffix(".json").write_text(text)
    assert said in refusal(saved)


@pytest.mark.parametrize("value", ["1e999", "true", '"1"', "1.5", "null", "[[[[]]]]"])
@pytest.mark.parametrize("key", ["format_version", "num_timesteps", "network", "zip_sha256"])
def test_a_value_of_another_kind_is_one_line(saved, key, value):
    whole = {**description_of(saved), key: "HERE"}
    saved.with_suffix(".json").write_text(json.dumps(whole).replace('"HERE"', value))
    assert f"{key}: " in refusal(saved)


def test_a_description_that_is_no_text_is_one_line(saved):
    saved.with_suffix(".json").write_bytes(b"\xff\xfe{}")
    assert "utf-8" in refusal(saved)


def test_a_model_of_before_there_was_a_choice_of_pooling_is_read(saved):
    network = description_of(saved)["network"]
    assert network.pop("pooling") == "max"
    change_description(saved, network=network)
    assert load_model(saved).policy.pi_features_extractor.pooling == "max"


def network_with(path, **changes):
    return {**description_of(path)["network"], **changes}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"class": "os.system"}, "network.class: 'os.system' is not one of"),
        ({"peer_embed_dim": 10**6}, "network.peer_embed_dim: 1000000 is greater than"),
        ({"peer_embed_dim": 1.5}, "network.peer_embed_dim"),
        ({"peer_embed_dim": 16}, "instead of F32"),
        ({"hidden_inputs": "speed"}, "network.hidden_inputs"),
        ({"pooling": "sum"}, "network.pooling: 'sum' is not one of"),
        ({"pooling": "attention"}, "no tensor"),
        ({"pooling": "slots"}, "instead of F32"),
        ({"hidden_inputs": "radio"}, "hides other inputs than hidden_inputs says"),
        ({"module": "os"}, "'module' was unexpected"),
    ],
)
def test_a_network_that_is_not_in_the_table_is_one_line(saved, changes, said):
    change_description(saved, network=network_with(saved, **changes))
    assert said in refusal(saved)


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ({"shape": [2], "low": [0.0], "high": [1.0, 1.0]}, "as many numbers as its shape"),
        ({"shape": [4096, 4096], "low": [0.0], "high": [1.0]}, "as many numbers as its shape"),
        ({"shape": [1], "low": [1.0], "high": [0.0]}, "low of a space must be at most its high"),
        ({"shape": [1], "low": [0.0], "high": [1e300]}, "is greater than the maximum"),
        ({"shape": [0], "low": [], "high": []}, "action_space"),
        ({"shape": [2], "low": [0.0] * 2, "high": [1.0] * 2}, "instead of F32 [2"),
    ],
)
def test_a_space_that_contradicts_itself_or_the_tensors_is_one_line(saved, box, said):
    change_description(saved, network=network_with(saved, action_space=box))
    assert said in refusal(saved)


def test_a_newer_format_says_to_update(saved):
    saved.with_suffix(".json").write_text('{"format_version": 2, "layers": {}}')
    assert refusal(saved).endswith("must be 1. Got 2. Update roadsense.")


def test_a_format_older_than_the_first_is_refused_with_the_reason(saved):
    change_description(saved, format_version=0)
    assert "There is no older one" in refusal(saved)


def test_a_model_of_another_package_version_is_read(saved):
    versions = {**description_of(saved)["versions"], "roadsense-v2v": "99.0.0", "torch": "1.0"}
    change_description(saved, versions=versions)
    assert load_model(saved).is_safe


@pytest.mark.parametrize("suffix", [".zip", ".safetensors", ".json"])
def test_a_loop_of_links_is_one_line(saved, suffix):
    path = saved.with_suffix(suffix)
    path.unlink()
    path.symlink_to(path.name)
    refusal(path)


def test_a_pipe_in_place_of_the_tensors_is_one_line(saved):
    path = saved.with_suffix(".safetensors")
    path.unlink()
    os.mkfifo(path)
    assert "a directory, device or pipe" in refusal(saved)


def test_tensors_beyond_the_bound_are_refused_unread(saved):
    with saved.with_suffix(".safetensors").open("r+b") as stream:
        stream.truncate((1 << 26) + 1)
    assert "more than 64 MiB" in refusal(saved)
