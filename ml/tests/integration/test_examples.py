"""The examples run, and what the pages show of them is what they do."""

import subprocess
import sys

from ml.espnow_emulator.calibrate import main as calibrate
from ml.provenance import REPOSITORY_ROOT

EXAMPLES = REPOSITORY_ROOT / "examples"


def run(name, *arguments):
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        cwd=REPOSITORY_ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_the_log_of_the_page_on_calibration_gives_the_table_shown_there(tmp_path, capsys):
    log = tmp_path / "log.csv"

    result = run("write_reception_log.py", log, "--emulator_params", "front_9m")
    calibrate([str(log), "--output", str(tmp_path / "front.json")])

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    table = capsys.readouterr().out.partition("\nwritten")[0]
    assert table in (REPOSITORY_ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")


def test_a_peer_that_drives_away_gives_its_margin_back(tmp_path):
    log = tmp_path / "log.csv"

    run("write_reception_log.py", log, "--emulator_params", "roof", "--farthest_m", "400")
    calibrate([str(log), "--output", str(tmp_path / "roof.json"), "--mode", "physical", "--quiet"])

    text = (tmp_path / "roof.json").read_text(encoding="utf-8")
    margin_db = float(text.partition('"margin_at_1m_db": ')[2].partition(",")[0])
    # The preset's is 66 dB; over 20 minutes one drawn shadowing is worth about half a dB.
    assert abs(margin_db - 66.0) < 1.5


def test_an_example_refuses_bad_input_on_one_line(tmp_path):
    result = run("write_reception_log.py", tmp_path / "log.csv", "--emulator_params", "missing")

    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
