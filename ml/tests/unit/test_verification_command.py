"""The command that is printed for a run is the one that its configuration came from."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import RecordError
from ml.training.arguments import parse_args
from ml.training.run_arguments import flags_of
from ml.verification.command import settings_of_run

PLACES = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=20).filter(
    lambda text: text.strip() and text != "--"
)


@given(
    place=PLACES, seed=st.integers(0, 2**32 - 1), rate=st.floats(1e-10, 1.0),
    learner=st.sampled_from(["fast", "sb3"]), switches=st.sets(st.sampled_from(
        ["--skip_eval", "--skip_baselines", "--quiet", "--overwrite"])),
)  # fmt: skip
def test_printed_flags_parse_back_to_the_same_configuration(place, seed, rate, learner, switches):
    config = parse_args(
        [f"--dataset_dir={place}", f"--output_dir={place}", f"--seed={seed}",
         f"--learning_rate={rate}", f"--learner={learner}", *switches]
    )  # fmt: skip

    assert parse_args(flags_of(vars(config))) == config


def test_configuration_with_an_unknown_key_is_refused(tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"config": {"bogus": 1}}))

    with pytest.raises(RecordError, match="unknown argument --bogus"):
        settings_of_run(path)
