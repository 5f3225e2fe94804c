"""Tests of roadsense compare on real files of records: what is read, refused, said and saved."""

import json

import pytest

from ml.errors import ConfigError, RecordError
from ml.evaluation.compare import main
from ml.evaluation.episode_files import save_episodes
from ml.evaluation.record_files import read_policy_records
from ml.evaluation.seed_comparison import compare_recipes
from ml.provenance import sha256_of_file
from ml.records import write_json_lines
from ml.tests.evaluation_rows import calm_rows, row, rows


def evaluation(folder, collisions, *, name="net", gap_m=2.0):
    """Write a protocol's folder: 60 cases of H of which the first ones collided, 50 of C."""
    records = folder / "records"
    records.mkdir(parents=True)
    cases = [
        {**case, "min_gap_m": gap_m + 0.01 * (index % 7)}
        for index, case in enumerate([*rows("H", 60, collisions), *calm_rows(50, 0)])
    ]
    write_json_lines(records / f"{name}.jsonl", cases)
    write_json_lines(records / "eebl.jsonl", rows("H", 60, 59))
    write_json_lines(records / f"{name}@2.0.jsonl", rows("H", 60, 59))
    return str(folder)


def plain(folder, collisions):
    """Write the folder of an evaluation without a protocol: 60 episodes."""
    folder.mkdir()
    names = ("family", "case_id", "radio_preset", "policy")
    cases = [
        {name: value for name, value in case.items() if name not in names}
        for case in rows("H", 60, collisions)
    ]
    save_episodes(folder, cases, {})
    return str(folder)


def said(capsys, *arguments):
    main([*map(str, arguments)])
    return capsys.readouterr().out.splitlines()


# --- What is said --------------------------------------------------------------------------------


def test_difference_is_the_later_minus_the_first(tmp_path, capsys):
    old, new = evaluation(tmp_path / "old", 12), evaluation(tmp_path / "new", 2, name="v2")
    lines = said(capsys, old, new)

    assert lines[0] == f"{new} minus {old}, on the same episodes, 95 % intervals"
    (heading,) = [index for index, line in enumerate(lines) if line.startswith("family H")]
    assert lines[heading] == "family H, radio nominal: 60 episodes"
    # 10 alone of 60: p = 2 / 2**10 = 0.00195, times 2 families.
    assert lines[heading + 1].split(": ")[0].split() == ["collisions", "2", "against", "12"]
    assert "-16.67 points" in lines[heading + 1]
    assert f"fewer collisions than {old}  [p 0.0039 (Holm)]" in lines[heading + 1]


def test_equal_policies_show_no_difference(tmp_path, capsys):
    old, new = evaluation(tmp_path / "old", 5), evaluation(tmp_path / "new", 5)

    metrics = [line for line in said(capsys, old, new) if " against " in line]

    assert len(metrics) > 10
    assert all("no difference shown" in line for line in metrics)


def test_each_further_evaluation_is_compared_with_the_first(tmp_path, capsys):
    places = [evaluation(tmp_path / name, 5) for name in "abc"]

    heads = [line for line in said(capsys, *places) if " minus " in line]
    assert [line.split(",")[0] for line in heads] == [
        f"{places[1]} minus {places[0]}", f"{places[2]} minus {places[0]}",
    ]  # fmt: skip


def test_evaluations_without_a_protocol_are_compared_too(tmp_path, capsys):
    old, new = plain(tmp_path / "old", 12), plain(tmp_path / "new", 2)

    lines = said(capsys, old, new)

    assert lines[2] == "family all, radio as run: 60 episodes"
    assert "fewer collisions" in lines[3]


def test_a_file_of_records_can_be_named(tmp_path, capsys):
    folder = evaluation(tmp_path / "old", 59)
    policy, rule = tmp_path / "h.jsonl", f"{folder}/records/eebl.jsonl"
    write_json_lines(policy, rows("H", 60, 0))

    assert "0 against 59" in said(capsys, rule, policy)[3]


def test_json_holds_everything_and_names_the_files(tmp_path, capsys):
    old, new = evaluation(tmp_path / "old", 12), evaluation(tmp_path / "new", 2)
    output = tmp_path / "comparison.json"

    lines = said(capsys, old, new, "--output_file", output)
    content = json.loads(output.read_text())

    assert lines[-1] == f"Comparison saved to: {output}"
    assert [each["place"] for each in content["records"]] == [old, new]
    assert content["records"][1]["sha256"] == sha256_of_file(f"{new}/records/net.jsonl")
    calm, hazard = content["comparisons"][0]["families"]
    assert (calm["family"], hazard["family"]) == ("C", "H")
    assert hazard["collisions"]["difference"] == pytest.approx(-10 / 60)
    assert hazard["metrics"]["min_gap_m"]["bootstrap_seed"] == 20261125


# --- Seeds ---------------------------------------------------------------------------------------


def test_recipes_are_compared_over_their_seeds(tmp_path, capsys):
    old = [evaluation(tmp_path / f"old{i}", count) for i, count in enumerate((30, 31, 33, 32, 60))]
    new = [evaluation(tmp_path / f"new{i}", count) for i, count in enumerate((6, 3, 5, 4, 0))]
    output = tmp_path / "recipes.json"

    lines = said(
        capsys, "--group", f"old={','.join(old)}", "--group", f"new={','.join(new)}",
        "--output_file", output,
    )  # fmt: skip
    metrics = json.loads(output.read_text())["recipes"][1]["metrics"]["collision_rate"]

    # The middle three of 60 cases: 31, 32, 33 and 3, 4, 5.
    assert metrics["recipes"]["old"]["interquartile_mean"] == pytest.approx(32 / 60)
    assert metrics["recipes"]["new"]["interquartile_mean"] == pytest.approx(4 / 60)
    assert metrics["recipes"]["old"]["worst_seed"] == old[4]
    assert metrics["recipes"]["new"]["worst_seed"] == new[0]
    assert metrics["differences"][0]["difference"] == pytest.approx(-28 / 60)
    assert metrics["differences"][0]["conclusion"] == "lower than old"
    # Winsorised 31 31 32 33 33 of 60: 32 -+ 4.3027 * sqrt(4 / 4 / 5) / 0.5 = 32 -+ 3.848.
    assert f"    old: 0.5333 (0.4692 to 0.5975), 5 seeds, worst 1 ({old[4]})" in lines


def test_a_metric_that_one_seed_lacks_is_null():
    seeds = {"a": [row(min_gap_m=1.0)], "b": [row()]}
    (entry,) = compare_recipes({"old": seeds, "new": seeds})

    assert entry["metrics"]["min_gap_m"] is None
    assert entry["metrics"]["collision_rate"]["differences"][0]["interval_95"] is None


def test_single_seeds_have_no_interval(tmp_path, capsys):
    old, new = evaluation(tmp_path / "old", 12), evaluation(tmp_path / "new", 2)

    lines = said(capsys, "--group", f"old={old}", "--group", f"new={new}")

    assert "    new minus old: -0.1667 (no interval)  no difference shown" in lines


# --- What is refused -----------------------------------------------------------------------------


def test_a_case_that_one_lacks_is_named(tmp_path):
    one, two = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    write_json_lines(one, rows("H", 3, 0))
    write_json_lines(two, rows("H", 2, 0))

    for places, lacking, holder in (((one, two), two, one), ((two, one), two, one)):
        with pytest.raises(RecordError) as caught:
            main([*map(str, places)])
        assert str(caught.value).startswith(
            f"episodes of {lacking} must be those of {holder}. Got none for case 'H-0002' of "
            "family 'H' under 'nominal'."
        )


def test_a_field_that_differs_is_named(tmp_path):
    one, two = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    write_json_lines(one, [row(hazard_onset_s=6.0)])
    write_json_lines(two, [row(hazard_onset_s=7.0)])

    with pytest.raises(RecordError, match=r"hazard_onset_s of case 'H-0000' .* Got 6\.0 and 7\.0"):
        main([str(one), str(two)])


def test_every_seed_of_every_group_is_checked(tmp_path):
    places = [evaluation(tmp_path / name, 5) for name in "abc"]
    odd = evaluation(tmp_path / "odd", 5)
    write_json_lines(f"{odd}/records/net.jsonl", rows("H", 9, 0))

    with pytest.raises(RecordError, match=f"episodes of {odd} must be those of {places[0]}"):
        main(["--group", f"x={places[0]},{places[1]}", "--group", f"y={places[2]},{odd}"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must hold an episode. Got none"),
        ("{}\n{", ""),  # a torn last line is left out
        ("{\n{}\n", "line 1 of .* must be a JSON object"),
        ("[1]\n", r"line 1 of .* must be a JSON object. Got: \[1\]"),
        ('{"min_gap_m": "x"}\n', "min_gap_m in line 1 of .* must be a number within 1e.12"),
        ('{"min_gap_m": NaN}\n', "min_gap_m in line 1 of .* must be a number within 1e.12"),
        ('{"min_gap_m": true}\n', "min_gap_m in line 1 of .* must be a number within 1e.12"),
        ('{"collision": 1}\n', "collision in line 1 of .* must be true or false"),
        ('{"family": null}\n', "family in line 1 of .* must be at most 200 printable"),
        ('{"case_id": "\\ud800"}\n', "case_id in line 1 of .* must be at most 200 printable"),
        ('{"num_followers": 1.5}\n', "num_followers in line 1 of .* must be a whole number"),
        ('{"case_id": "a"}\n{"case_id": "a"}\n', "Got 'a' under 'as run' 2 times"),
    ],
)
def test_a_file_that_holds_no_records_is_refused(tmp_path, content, message):
    path = tmp_path / "a.jsonl"
    path.write_text(content)

    if not message:
        assert len(read_policy_records(str(path)).rows) == 1
        return
    with pytest.raises(RecordError, match=message):
        read_policy_records(str(path))


def test_a_folder_with_two_judged_policies_says_to_name_the_file(tmp_path):
    folder = evaluation(tmp_path / "a", 1)
    write_json_lines(f"{folder}/records/other.jsonl", rows("H", 9, 0))

    with pytest.raises(RecordError, match=r"Got net\.jsonl, other\.jsonl. Name the file"):
        read_policy_records(folder)


def test_a_folder_of_baselines_alone_says_so(tmp_path):
    (tmp_path / "records").mkdir()
    write_json_lines(tmp_path / "records" / "eebl.jsonl", rows("H", 9, 0))

    with pytest.raises(RecordError, match=r"Got none\. Name the file"):
        read_policy_records(str(tmp_path))


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(RecordError, match=r"with records/ or episodes\.jsonl. Got neither"):
        read_policy_records(str(tmp_path))


def test_an_output_that_is_there_is_kept_unless_it_may_be_replaced(tmp_path, capsys):
    old, new = evaluation(tmp_path / "old", 1), evaluation(tmp_path / "new", 1)
    output = tmp_path / "out.json"
    output.write_text("old")

    with pytest.raises(ConfigError, match="--overwrite"):
        main([old, new, "--output_file", str(output)])
    assert output.read_text() == "old"

    said(capsys, old, new, "--output_file", output, "--overwrite")
    assert "comparisons" in json.loads(output.read_text())


@pytest.mark.parametrize(
    ("name", "message"), [(".", "must be a file"), ("missing/out.json", "folder that exists")]
)
def test_an_output_that_cannot_be_a_file_is_refused_before_anything_is_read(
    tmp_path, monkeypatch, name, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        main(["missing_a", "missing_b", "--output_file", name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "DIR must be given at least twice, or --group. Got 0"),
        (["a"], "DIR must be given at least twice, or --group. Got 1"),
        (["a", "b", "--group", "x=a"], "--group must be given without DIR"),
        (["--group", "x=a"], "--group must be given at least twice"),
        (["--group", "x=a", "--group", "x=b"], "each with another name. Got x, x"),
        (["--group", "x=a,a", "--group", "y=b"], "must name each folder once"),
        (["--group", "x=a,", "--group", "y=b"], "must not be empty"),
        (["--group", "=a", "--group", "y=b"], "must be NAME=DIR,DIR,..."),
        (["--grup", "x=a"], "Did you mean '--group'?"),
    ],
)
def test_a_command_line_that_compares_nothing_is_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert message in error
    assert error.count("\n") == 1
