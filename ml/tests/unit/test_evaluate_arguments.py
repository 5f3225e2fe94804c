"""The command line of ``roadsense evaluate`` with a protocol and without."""

from __future__ import annotations

import pytest

from ml.evaluation.arguments import parse_evaluate_args


def refusal(arguments, capsys):
    """Return the line with which a command line is refused."""
    with pytest.raises(SystemExit) as caught:
        parse_evaluate_args(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_protocol_judges_several_policies():
    args = parse_evaluate_args(
        ["--model", "a", "b", "--protocol", "smoke", "--output_dir", "out", "--workers", "2"]
    )

    assert (args.model, args.protocol, args.workers) == (["a", "b"], "smoke", 2)


def test_one_policy_needs_no_protocol():
    assert parse_evaluate_args(["--model", "a"]).protocol is None


def test_several_policies_are_kept_with_a_protocol_only(capsys):
    assert "--model must be one policy to be kept in --output_dir without --protocol. Got 2." in (
        refusal(["--model", "a", "b", "--output_dir", "out"], capsys)
    )


def test_a_protocol_needs_a_folder(capsys):
    assert "--output_dir must be given with --protocol" in refusal(
        ["--model", "a", "--protocol", "smoke"], capsys
    )


@pytest.mark.parametrize(
    "flags",
    [
        ["--dataset_dir", "d"], ["--sumo_cfg", "s"], ["--split", "dev"],
        ["--emulator_params", "front_9m"], ["--radio_fault", "blackout:car=source"],
        ["--episodes", "5"], ["--seed", "1"], ["--skip_baselines"],
    ],
)  # fmt: skip
def test_what_a_protocol_fixes_is_refused_beside_it(flags, capsys):
    error = refusal(["--model", "a", "--protocol", "smoke", "--output_dir", "o", *flags], capsys)

    assert f"{flags[0]} is fixed by --protocol. Leave it out." in error


@pytest.mark.parametrize("flag", ["--model=--", "--protocol=--"])
def test_a_flag_without_a_value_is_refused(flag, capsys):
    others = ["--protocol", "smoke"] if flag.startswith("--model") else ["--model", "a"]

    assert flag.split("=")[0] in refusal([flag, *others, "--output_dir", "o"], capsys)
