"""A folder that nobody may write to, root neither: a read-only disk, or a place below /proc."""

from pathlib import Path

import pytest

from ml.errors import RoadSenseError
from ml.evaluation.run import main as evaluate
from ml.scripts.gen_scenarios import main as generate
from ml.tests.contract.bad_input_cases import check_line
from ml.tests.faulty_trainings import run_training
from ml.tests.full_disks import mounted

pytestmark = [pytest.mark.integration]


@pytest.fixture(params=["disk", "/proc"])
def read_only(request, tmp_path):
    """A folder in which no file can be made."""
    if request.param == "/proc":
        yield Path("/proc/roadsense")
        return
    with mounted(tmp_path, "ro"):
        yield tmp_path


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_training_is_refused_on_one_line(read_only, more):
    status, error = run_training(read_only / "r", "--n_envs=1", *more)
    assert status == 1
    assert error.count("\n") == 1
    check_line(error[:-1])
    assert str(read_only) in error


def test_evaluation_is_refused_on_one_line(read_only, base_cfg):
    with pytest.raises(RoadSenseError, match=str(read_only)) as caught:
        evaluate(["--model=driver", "--episodes=1", "--quiet", f"--sumo_cfg={base_cfg}",
                  f"--output_dir={read_only / 'e'}"])  # fmt: skip
    check_line(str(caught.value))


def test_evaluation_by_protocol_is_refused_on_one_line(read_only):
    with pytest.raises(RoadSenseError, match=str(read_only)) as caught:
        evaluate(["--model=driver", "--protocol=smoke", "--quiet",
                  f"--output_dir={read_only / 'e'}"])  # fmt: skip
    check_line(str(caught.value))


def test_dataset_is_refused_on_one_line(read_only):
    with pytest.raises(RoadSenseError, match=str(read_only)) as caught:
        generate([f"--output_dir={read_only / 'd'}", "--train_count=1", "--eval_count=1",
                  "--quiet"])  # fmt: skip
    check_line(str(caught.value))
