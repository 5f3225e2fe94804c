"""Every kind of file that the project reads: its reader, a good file, and ways to damage one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

from ml.envs.departures import read_departures
from ml.envs.scenario_manager import ScenarioManager
from ml.envs.sumo_connection import read_scenario_files
from ml.envs.sumo_input import check_input
from ml.espnow_emulator.parameters import DEFAULT_PARAMETERS_PATH, load_radio_parameters
from ml.espnow_emulator.reception_log import read_reception_log
from ml.espnow_emulator.report_metadata import read_metadata
from ml.evaluation.evaluation_folder import (
    EVALUATION_FILE,
    INPUTS_FILE,
    EvaluationInputs,
    evaluation_files_in,
    settle_inputs,
)
from ml.evaluation.protocol import PROTOCOLS_FOLDER, load_protocol
from ml.evaluation.record_files import read_policy_records
from ml.evaluation.record_store import RecordStore
from ml.evaluation.recording_file import read_recording
from ml.evaluation.run import settle_inputs as settle_evaluation
from ml.file_sums import SUMS_FILE, write_sums
from ml.reporting.evaluation_folder import read_evaluation_folder
from ml.reporting.recordings import pack_recordings
from ml.reporting.results_commands import PagePlan
from ml.reporting.results_folder import read_seed_results
from ml.reporting.results_text import results_files
from ml.scenarios.base_settings import read_base_settings
from ml.tests.contract.bad_input_cases import (
    BASES,
    example_evaluation,
    example_log,
    example_seed_evaluation,
)
from ml.tests.evaluation_folders import JUDGED
from ml.training.old_run import check_removable
from ml.training.run_folder import RUN_MANIFEST, update_manifest
from ml.verification.command import flags_of_evaluation
from ml.verification.folder_sums import check_sums, files_of_sums
from ml.verification.protocol_evaluation import agreement_of_records
from ml.verification.records import files_of_evaluation, object_in, read_object
from ml.verification.repeated_evaluation import evaluation_differences


class Reader(NamedTuple):
    """How a kind of file is read.

    Attributes:
        place: Where the file lies in its folder, which ``prepare`` fills.
        prepare: Makes the folder, with a good file in its place.
        read: Reads what lies in the folder, in every way that the commands do.
    """

    place: str
    prepare: Callable[[Path], None]
    read: Callable[[Path], object]


def _copied(source: Path, place: str) -> Callable[[Path], None]:
    """Return what puts a copy of a file in its place."""

    def prepare(folder: Path) -> None:
        folder.mkdir()
        shutil.copy(source, folder / place)

    return prepare


def _written(place: str, content: object) -> Callable[[Path], None]:
    """Return what writes JSON in its place."""

    def prepare(folder: Path) -> None:
        folder.mkdir()
        (folder / place).write_text(json.dumps(content))

    return prepare


def _log(folder: Path) -> None:
    """Copy a log of receptions, which is made when it is first asked for."""
    _copied(example_log(), "log.csv")(folder)


def _base(folder: Path) -> None:
    """Copy a base with every file, and its scenario's files."""
    shutil.copytree(BASES / "base_urban", folder)


def _dataset(folder: Path) -> None:
    """Make a dataset of two scenarios."""
    ids = {"train_scenarios": ["a"], "eval_scenarios": ["b"]}
    shutil.copytree(BASES / "base", folder / "train" / "a")
    shutil.copytree(BASES / "base_curve", folder / "eval" / "b")
    details = {
        name: {"path": f"{split}/{name}/scenario.sumocfg"}
        for split, name in (("train", "a"), ("eval", "b"))
    }
    content = {"seed": 1, **ids, "scenarios": details, "emulator_params": None}
    (folder / "manifest.json").write_text(json.dumps(content))


def _evaluation(folder: Path) -> None:
    """Copy an evaluation, its recording and records under plain names."""
    shutil.copytree(example_evaluation(), folder)
    recording = next((folder / "recordings").iterdir())
    shutil.copy(recording, folder / "recording.json")


def _seed_evaluation(folder: Path) -> None:
    """Copy an evaluation of two seeds."""
    shutil.copytree(example_seed_evaluation(), folder)


def _seed_results(folder: Path) -> None:
    """Make the page of two seeds, as from a file that somebody has hashed anew."""
    write_sums(folder, evaluation_files_in(folder))
    results_files(read_seed_results([folder]), PagePlan([folder], folder / "page.md"))


def _scenario(folder: Path) -> None:
    """Read a scenario as the environment does, short of starting SUMO."""
    files = read_scenario_files(folder / "scenario.sumocfg")
    read_departures(files)
    check_input(BASES / "base" / "network.net.xml", (*files.routes, *files.additional))


def _dataset_read(folder: Path) -> None:
    """Read a dataset, all of it."""
    manager = ScenarioManager(folder, 1)
    manager.verify_all()
    manager.select_scenario()
    str(manager.emulator_params_path)


def _radio(folder: Path) -> None:
    """Read a parameter file, and what it says of itself."""
    load_radio_parameters(folder / "params.json")
    read_metadata(folder / "params.json")


def _records(folder: Path) -> None:
    """Read records for a comparison, and to continue their evaluation."""
    read_policy_records(str(folder / "records" / f"{JUDGED}.jsonl"))
    RecordStore(folder, [JUDGED])


def _recording(folder: Path) -> None:
    """Read a recording, and pack it for the page."""
    row = {"policy": "a", "radio_preset": "b", "case_id": "c"}
    pack_recordings([(row, read_recording(folder / "recording.json"))])


def _run(folder: Path) -> None:
    """Read a run's manifest: to judge, to replace and to go on with."""
    arguments = type("Arguments", (), {})()
    arguments.model, arguments.dataset_dir, arguments.sumo_cfg = str(folder), None, None
    arguments.emulator_params = None
    settle_evaluation(arguments)
    update_manifest(folder, {"status": "finished"})
    check_removable(folder, [])


def _run_folder(folder: Path) -> None:
    """Make the folder of a run."""
    config = {"dataset_dir": None, "sumo_cfg": "a.sumocfg", "emulator_params": None}
    _written(RUN_MANIFEST, {"run_id": "r", "status": "x", "learning": {}, "config": config})(folder)
    (folder / "model_final.zip").write_bytes(b"")


def _verified_folder(folder: Path) -> None:
    """Make the folder of an evaluation by a protocol, as it is verified."""
    hashes = {"records_sha256": {"net": "0" * 64}, "git": {}, "versions": {}}
    net = {"id": "net", "role": "judged", "is_scripted": False, "sha256": "0" * 64}
    content = {
        "protocol": {"name": "p", "sha256": "1"},
        "policies": [{**net, "model": "net.zip"}, {"id": "eebl", "role": "baseline"}],
        "provenance": {**hashes, "code_sha256": "3", "sums_file": SUMS_FILE},
    }
    _written(EVALUATION_FILE, content)(folder)
    (folder / INPUTS_FILE).write_text(json.dumps(asdict(INPUTS)))
    write_sums(folder, evaluation_files_in(folder))


def _verified(folder: Path) -> None:
    """Read an evaluation's record, to verify it and to repeat it."""
    evaluation = read_object(folder / EVALUATION_FILE)
    for file in (*files_of_evaluation(folder), *files_of_sums(folder)):
        file.state()
    provenance = object_in(evaluation, "provenance", folder)
    list(check_sums(folder, provenance, evaluation_files_in(folder), EVALUATION_FILE))
    agreement_of_records(folder, evaluation)
    list(evaluation_differences(folder, evaluation))
    flags_of_evaluation(folder, evaluation, None, is_trusted=False)


INPUTS = EvaluationInputs("p", "1", "2", "3", {"numpy": "2"}, {"a": "4"})
READERS = {
    "dataset manifest": Reader("manifest.json", _dataset, _dataset_read),
    "configuration": Reader("scenario.sumocfg", _base, _scenario),
    "routes": Reader("vehicles.rou.xml", _base, _scenario),
    "base settings": Reader("base.json", _base, read_base_settings),
    "radio parameters": Reader(
        "params.json", _copied(DEFAULT_PARAMETERS_PATH, "params.json"), _radio
    ),
    "reception log": Reader(
        "log.csv",
        _log,
        lambda folder: read_reception_log(folder / "log.csv"),
    ),
    "records": Reader(f"records/{JUDGED}.jsonl", _evaluation, _records),
    "recording": Reader("recording.json", _evaluation, _recording),
    "evaluation": Reader("evaluation.json", _evaluation, read_evaluation_folder),
    "evaluation of seeds": Reader("evaluation.json", _seed_evaluation, _seed_results),
    "evaluation's inputs": Reader(
        INPUTS_FILE,
        _written(INPUTS_FILE, asdict(INPUTS)),
        lambda folder: settle_inputs(folder, INPUTS),
    ),
    "protocol": Reader(
        "protocol.toml",
        _copied(PROTOCOLS_FOLDER / "smoke.toml", "protocol.toml"),
        lambda folder: load_protocol(folder / "protocol.toml"),
    ),
    "verified evaluation": Reader(EVALUATION_FILE, _verified_folder, _verified),
    "hashes of all files": Reader(SUMS_FILE, _verified_folder, _verified),
    "run manifest": Reader(RUN_MANIFEST, _run_folder, _run),
}

TOKENS = (
    b"\x1b[31m", "\u202e".encode(), b"\0", b"\r", b"\n", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf",
    b"NaN", b"-Infinity", b"1e999", b"-1e999", b"1e308", b"9" * 400, b"9" * 5000, b"-0", b"null",
    b"true", b"[]", b"{}", b'""', b"[" * 60, b"[" * 2000, b"{" * 60, b'"', b"'", b"<", b"&a;", b"]",
    b"}", b",", b":", b"=", b"x" * 70_000, b"../../etc/passwd", b"/dev/zero", b"\\ud800",
    b"<!DOCTYPE x>", b"<include/>", b"${HOME}", b"${", b"%s", b"-",
)  # fmt: skip
"""What is put at any place of a file, also in the place of what stands there."""


@st.composite
def hostile_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Cut, double or fill a file with hostile tokens; a value is hit as often as a byte."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from((0, 0, 1, 2, 5, 20, 1000)))
        token = draw(st.sampled_from((b"", content[start : start + 40], *TOKENS)))
        content = content[:start] + token + content[start + length :]
    return content
