import hashlib
import json

import pytest

from ml.envs.scenario_manager import (
    ScenarioManager,
    divide_training_scenarios,
    scenario_content_hash,
)
from ml.errors import ConfigError, RoadSenseError, ScenarioError
from ml.scenarios.scenario_files import configuration_text


def add_scenario(dataset, split, name):
    folder = dataset / split / name
    folder.mkdir(parents=True)
    (folder / "vehicles.rou.xml").write_text(f"<routes><!-- {name} --></routes>")
    (folder / "scenario.sumocfg").write_text(configuration_text("../../networks/road.net.xml"))
    return folder / "scenario.sumocfg"


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "v1"
    (folder / "networks").mkdir(parents=True)
    (folder / "networks" / "road.net.xml").write_text("<net/>")
    names = {
        "train": [f"train_{index:03d}" for index in range(5)],
        "eval": [f"eval_{index:03d}" for index in range(3)],
    }
    scenarios = {}
    for split, names_of_split in names.items():
        for name in names_of_split:
            sumocfg = add_scenario(folder, split, name)
            scenarios[name] = {
                "path": f"{split}/{name}/scenario.sumocfg",
                "hash": scenario_content_hash(sumocfg),
            }
    write_manifest(
        folder,
        {
            "train_scenarios": names["train"],
            "eval_scenarios": names["eval"],
            "scenarios": scenarios,
        },
    )
    return folder


def write_manifest(folder, content):
    (folder / "manifest.json").write_text(json.dumps(content))


def read_manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def change_manifest(folder, **values):
    write_manifest(folder, {**read_manifest(folder), **values})


def drawn_ids(manager, count):
    return [manager.select_scenario()[1] for _ in range(count)]


# --- Order ------------------------------------------------------------------------------------


def test_eval_walks_in_order_and_wraps_round(dataset):
    manager = ScenarioManager(dataset, 42, "eval")
    assert drawn_ids(manager, 5) == ["eval_000", "eval_001", "eval_002", "eval_000", "eval_001"]


def test_selected_path_is_the_scenarios_configuration(dataset):
    path, name = ScenarioManager(dataset, 42, "eval").select_scenario()
    assert name == "eval_000"
    assert path == dataset / "eval" / "eval_000" / "scenario.sumocfg"


def test_train_draws_are_the_same_for_the_same_seed(dataset):
    first = drawn_ids(ScenarioManager(dataset, 7, "train"), 30)
    assert first == drawn_ids(ScenarioManager(dataset, 7, "train"), 30)
    assert first != drawn_ids(ScenarioManager(dataset, 8, "train"), 30)


def test_train_draws_are_uniform_over_the_split(dataset):
    # 1,000 draws over 5: mean 200, standard deviation sqrt(1000 x 0.2 x 0.8) = 12.6; five of them.
    ids = drawn_ids(ScenarioManager(dataset, 7, "train"), 1_000)
    for index in range(5):
        assert abs(ids.count(f"train_{index:03d}") - 200) < 63


def test_draw_depends_only_on_seed_and_index(dataset):
    ids = drawn_ids(ScenarioManager(dataset, 7, "train"), 12)
    manager = ScenarioManager(dataset, 7, "train")
    manager.seek(9)
    assert drawn_ids(manager, 3) == ids[9:]
    manager.seek(2)
    assert drawn_ids(manager, 1) == ids[2:3]


def test_seek_in_eval_mode_wraps_round(dataset):
    manager = ScenarioManager(dataset, 7, "eval")
    manager.seek(4)
    assert drawn_ids(manager, 1) == ["eval_001"]


def test_negative_seek_is_refused(dataset):
    with pytest.raises(ConfigError, match=r"must be 0 or more. Got -1"):
        ScenarioManager(dataset, 7, "eval").seek(-1)


def test_reseed_takes_the_seed_and_rewinds(dataset):
    manager = ScenarioManager(dataset, 7, "train")
    drawn_ids(manager, 4)
    manager.reseed(8)
    assert drawn_ids(manager, 10) == drawn_ids(ScenarioManager(dataset, 8, "train"), 10)


def test_reseed_rewinds_the_eval_order(dataset):
    manager = ScenarioManager(dataset, 7, "eval")
    drawn_ids(manager, 2)
    manager.reseed(7)
    assert drawn_ids(manager, 1) == ["eval_000"]


def test_mode_changes_the_split_its_count_and_starts_over(dataset):
    manager = ScenarioManager(dataset, 7)
    assert (manager.mode, manager.get_scenario_count()) == ("train", 5)
    drawn_ids(manager, 2)
    manager.set_eval_mode()
    assert (manager.mode, manager.get_scenario_count()) == ("eval", 3)
    assert drawn_ids(manager, 1) == ["eval_000"]
    manager.set_train_mode()
    assert drawn_ids(manager, 3) == drawn_ids(ScenarioManager(dataset, 7, "train"), 3)


def test_manifest_is_the_file_as_written(dataset):
    assert ScenarioManager(dataset, 7).manifest == read_manifest(dataset)


def test_dataset_dir_may_be_a_string(dataset):
    assert ScenarioManager(str(dataset), 7, "eval").get_scenario_count() == 3


def test_manifest_without_details_uses_the_standard_layout(dataset):
    manifest = read_manifest(dataset)
    del manifest["scenarios"]
    write_manifest(dataset, manifest)
    path, _ = ScenarioManager(dataset, 7, "eval").select_scenario()
    assert path == dataset / "eval" / "eval_000" / "scenario.sumocfg"


# --- Content ----------------------------------------------------------------------------------


def test_content_hash_is_the_hash_of_the_three_files_hashes(dataset):
    folder = dataset / "train" / "train_000"
    files = [
        folder / "scenario.sumocfg",
        dataset / "networks" / "road.net.xml",
        folder / "vehicles.rou.xml",
    ]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    expected = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    assert scenario_content_hash(folder / "scenario.sumocfg") == expected


@pytest.mark.parametrize(
    "name",
    ["eval/eval_000/vehicles.rou.xml", "networks/road.net.xml", "eval/eval_000/scenario.sumocfg"],
)
def test_changed_content_is_refused_with_the_scenarios_file(dataset, name):
    with (dataset / name).open("a") as stream:
        stream.write("\n")
    with pytest.raises(ScenarioError, match=r"eval_000/scenario\.sumocfg .*another SHA-256"):
        ScenarioManager(dataset, 7, "eval").select_scenario()


def test_content_is_checked_once_a_scenario(dataset):
    manager = ScenarioManager(dataset, 7, "eval")
    manager.select_scenario()
    (dataset / "eval" / "eval_000" / "vehicles.rou.xml").write_text("<routes/>")
    assert manager.scenario_path("eval_000").is_file()


def test_missing_scenario_folder_is_refused(dataset):
    (dataset / "eval" / "eval_000" / "scenario.sumocfg").unlink()
    with pytest.raises(ScenarioError, match=r"scenario eval_000 .* must lie at .*eval_000"):
        ScenarioManager(dataset, 7, "eval").select_scenario()


def test_unknown_scenario_id_is_refused(dataset):
    with pytest.raises(ScenarioError, match=r"Got 'eval_999'"):
        ScenarioManager(dataset, 7, "eval").scenario_path("eval_999")


@pytest.mark.parametrize("path", ["../outside/scenario.sumocfg", "/etc/scenario.sumocfg"])
def test_scenario_path_that_leaves_the_dataset_is_refused(dataset, path):
    scenarios = read_manifest(dataset)["scenarios"]
    scenarios["eval_000"]["path"] = path
    change_manifest(dataset, scenarios=scenarios)
    with pytest.raises(ScenarioError, match=r"must stay inside the dataset's folder"):
        ScenarioManager(dataset, 7, "eval").select_scenario()


def test_scenario_id_that_leaves_the_dataset_is_refused(dataset):
    write_manifest(dataset, {"train_scenarios": [], "eval_scenarios": ["../../x"]})
    with pytest.raises(ScenarioError, match=r"ids of 1 to 100 letters.* Got '../../x'"):
        ScenarioManager(dataset, 7, "eval")


def test_network_outside_the_dataset_is_refused(dataset):
    (dataset.parent / "road.net.xml").write_text("<net/>")
    sumocfg = dataset / "eval" / "eval_000" / "scenario.sumocfg"
    sumocfg.write_text(configuration_text("../../../road.net.xml"))
    with pytest.raises(ScenarioError, match=r"must stay inside the dataset's folder"):
        ScenarioManager(dataset, 7, "eval").select_scenario()


# --- Broken datasets --------------------------------------------------------------------------


def test_missing_folder_says_how_to_make_one(tmp_path):
    with pytest.raises(ScenarioError, match=r"python -m ml.scripts.gen_scenarios --output_dir"):
        ScenarioManager(tmp_path / "none", 7)


def test_missing_manifest_says_how_to_make_one(tmp_path):
    with pytest.raises(ScenarioError, match=r"python -m ml.scripts.gen_scenarios --output_dir"):
        ScenarioManager(tmp_path, 7)


@pytest.mark.parametrize(
    "content",
    [b'{"train_scenarios": ["tr', b"", b"\xff\xfe\x00", b"[" * 100_000],
    ids=["truncated", "empty", "not UTF-8", "too deep"],
)
def test_unreadable_manifest_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ScenarioError, match=r"must be readable JSON in UTF-8") as caught:
        ScenarioManager(tmp_path, 7)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ([], "must hold a JSON object. Got list"),
        ({"eval_scenarios": ["a"]}, "must hold train_scenarios. Got no such key"),
        ({"train_scenarios": ["a"]}, "must hold eval_scenarios. Got no such key"),
        ({"train_scenarios": "a", "eval_scenarios": ["a"]}, "list of scenario ids. Got 'a'"),
        ({"train_scenarios": [1], "eval_scenarios": ["a"]}, r"list of scenario ids. Got \[1\]"),
        ({"train_scenarios": [], "eval_scenarios": ["a"]}, "larger --train_count"),
    ],
)
def test_wrong_manifest_is_refused(tmp_path, manifest, message):
    write_manifest(tmp_path, manifest)
    with pytest.raises(ScenarioError, match=message):
        ScenarioManager(tmp_path, 7, "train")


def test_empty_split_is_refused_when_it_is_switched_to(dataset):
    change_manifest(dataset, eval_scenarios=[])
    manager = ScenarioManager(dataset, 7, "train")
    with pytest.raises(ScenarioError, match=r"larger --eval_count"):
        manager.set_eval_mode()
    assert manager.mode == "train"


@pytest.mark.parametrize("scenarios", [[], {"eval_000": "x"}, {}])
def test_wrong_details_are_refused(dataset, scenarios):
    change_manifest(dataset, scenarios=scenarios)
    with pytest.raises(ScenarioError, match=r"must hold an object for 'eval_000'"):
        ScenarioManager(dataset, 7, "eval").select_scenario()


def test_unknown_mode_is_refused(dataset):
    with pytest.raises(ScenarioError, match=r"must be one of train, eval, dev. Got 'test'"):
        ScenarioManager(dataset, 7, "test")


def test_wrong_seed_is_refused(dataset):
    with pytest.raises(RoadSenseError, match=r"Got -1"):
        ScenarioManager(dataset, -1)


# --- Radio parameters -------------------------------------------------------------------------


def test_emulator_params_are_resolved_and_checked(dataset, tmp_path):
    params = tmp_path / "params.json"
    params.write_bytes(b"{}")
    digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # SHA-256 of {}
    change_manifest(dataset, emulator_params={"path": str(params), "hash": digest})
    assert ScenarioManager(dataset, 7).emulator_params_path == params


def test_relative_emulator_params_count_from_the_repository_root(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change_manifest(dataset, emulator_params={"path": "pyproject.toml"})
    path = ScenarioManager(dataset, 7).emulator_params_path
    assert path.is_file()
    assert path.name == "pyproject.toml"


def test_dataset_without_emulator_params_names_none(dataset):
    assert ScenarioManager(dataset, 7).emulator_params_path is None


def test_changed_emulator_params_are_refused(dataset, tmp_path):
    (tmp_path / "params.json").write_text("{ }")
    entry = {"path": str(tmp_path / "params.json"), "hash": "0" * 64}
    change_manifest(dataset, emulator_params=entry)
    with pytest.raises(ScenarioError, match=r"params\.json .*another SHA-256"):
        _ = ScenarioManager(dataset, 7).emulator_params_path


@pytest.mark.parametrize("entry", ["x", {}, {"path": 3}, {"path": "no/such.json"}])
def test_wrong_emulator_params_are_refused(dataset, entry):
    change_manifest(dataset, emulator_params=entry)
    with pytest.raises(ScenarioError, match=r"emulator_params"):
        _ = ScenarioManager(dataset, 7).emulator_params_path


def test_verifying_all_finds_a_changed_scenario_of_the_other_split(dataset):
    manager = ScenarioManager(dataset, 1, "train")
    manager.verify_all()
    (dataset / "eval" / "eval_002" / "vehicles.rou.xml").write_text("<routes/>")

    with pytest.raises(ScenarioError, match="eval_002"):
        ScenarioManager(dataset, 1, "train").verify_all()


def test_verifying_all_refuses_a_training_scenario_that_is_also_evaluated(dataset):
    copied = dataset / "eval" / "eval_001"
    original = dataset / "train" / "train_003" / "vehicles.rou.xml"
    (copied / "vehicles.rou.xml").write_bytes(original.read_bytes())
    scenarios = read_manifest(dataset)["scenarios"]
    scenarios["eval_001"]["hash"] = scenario_content_hash(copied / "scenario.sumocfg")
    change_manifest(dataset, scenarios=scenarios)

    with pytest.raises(ScenarioError, match="train_003 and eval_001"):
        ScenarioManager(dataset, 1, "train").verify_all()


def test_development_split_is_the_last_training_scenario_of_five(dataset):
    manager = ScenarioManager(dataset, 7, "dev")

    assert manager.get_scenario_count() == 1
    assert drawn_ids(manager, 2) == ["train_004", "train_004"]


def test_development_split_is_the_last_tenth():
    names = tuple(f"train_{index:03d}" for index in range(25))

    fitting, development = divide_training_scenarios(names)

    assert development == ("train_023", "train_024")
    assert fitting == names[:23]


def test_training_never_draws_a_scenario_that_is_held_out(dataset):
    manager = ScenarioManager(dataset, 7, "train", hold_out_development=True)

    assert set(drawn_ids(manager, 200)) == {f"train_{index:03d}" for index in range(4)}
    assert manager.is_development_disjoint


def test_training_draws_every_scenario_unless_told_otherwise(dataset):
    manager = ScenarioManager(dataset, 7, "train")

    assert set(drawn_ids(manager, 200)) == {f"train_{index:03d}" for index in range(5)}
    assert not manager.is_development_disjoint


def test_a_single_training_scenario_is_its_own_development_split(dataset):
    change_manifest(dataset, train_scenarios=["train_000"])

    manager = ScenarioManager(dataset, 7, "train", hold_out_development=True)

    assert drawn_ids(manager, 1) == ["train_000"]
    assert not manager.is_development_disjoint


def test_switching_to_development_starts_its_walk_again(dataset):
    manager = ScenarioManager(dataset, 7, "train")
    manager.set_dev_mode()

    assert manager.mode == "dev"
    assert drawn_ids(manager, 1) == ["train_004"]


# --- Hostile ids ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scenario_id",
    ["a\nb", "\x1b[31mred", "\u202eabc", "a\0", "", ".", "..", ".hidden", "-flag", "a/b", "a\\b",
     "../x", "/etc", "x" * 101, "\ud83d\ude97", "a b", "$HOME", "é"],
)  # fmt: skip
@pytest.mark.parametrize("split", ["train", "eval"])
def test_an_id_that_is_no_plain_name_is_refused(scenario_id, split, tmp_path):
    ids = {"train_scenarios": ["good"], "eval_scenarios": ["good_too"]}
    write_manifest(tmp_path, {**ids, f"{split}_scenarios": ["good", scenario_id]})

    with pytest.raises(ScenarioError, match="must hold ids of 1 to 100 letters") as caught:
        ScenarioManager(tmp_path, 7)

    assert str(caught.value).isprintable()


def test_an_id_that_is_listed_twice_is_refused(tmp_path):
    write_manifest(tmp_path, {"train_scenarios": ["a", "b", "a"], "eval_scenarios": ["c"]})

    with pytest.raises(ScenarioError, match=r"list each scenario once\. Got 'a' 2 times"):
        ScenarioManager(tmp_path, 7)


def test_a_scenario_folder_that_is_a_link_out_of_the_dataset_is_refused(dataset):
    folder = dataset / "eval" / "eval_000"
    folder.rename(dataset.parent / "outside")
    folder.symlink_to(dataset.parent / "outside")

    with pytest.raises(ScenarioError, match="must stay inside the dataset's folder"):
        ScenarioManager(dataset, 7, "eval").select_scenario()
