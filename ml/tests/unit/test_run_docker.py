"""The container runner, against an engine that only records what it is asked."""

import itertools
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ml.provenance import REPOSITORY_ROOT
from ml.tests.fake_engine import FAKE_ENGINE, PODMAN_ROOTFUL, PODMAN_ROOTLESS

WORDS = ("build", "test", "generate", "train", "evaluate", "report", "demo", "gui", "bash")
MODULES = {
    "test": ["python", "-m", "pytest"],
    "generate": ["python", "-m", "ml.scripts.gen_scenarios"],
    "train": ["python", "-m", "ml.training.train_convoy"],
    "evaluate": ["python", "-m", "ml.evaluation.run"],
    "report": ["python", "-m", "ml.reporting.report"],
    "bash": ["bash"],
}
AWKWARD = ["--run_id", "two words", "", "it's", '"quoted"', "$HOME", "*", "a\\b", "line\nbreak"]
# Root, who may give files away, stands for a caller by sudo in a user's checkout.
OWNER, GROUP = os.getuid() or 1000, os.getgid() or 1000
IDS = f"{OWNER}:{GROUP}"


class Runner:
    """A checkout with the runner in it, and fake engines on a path of its own."""

    def __init__(self, folder):
        self.root = folder / "a check out"
        self.programs = folder / "bin"
        self.log = folder / "calls.jsonl"
        self.script = self.root / "ml" / "run_docker.sh"
        (self.root / "ml").mkdir(parents=True)
        self.programs.mkdir()
        for name in (
            "ml/run_docker.sh",
            "ml/Dockerfile",
            "requirements.lock",
            "requirements-cuda.lock",
        ):
            shutil.copy(REPOSITORY_ROOT / name, self.root / name)
        for name in ("bash", "cat", "cksum", "dirname", "git", "id", "mkdir", "printf", "readlink",
                     "tr", "uname", "xargs", "ln", "env", "stat", "chown"):  # fmt: skip
            (self.programs / name).symlink_to(shutil.which(name))
        os.chown(self.root, OWNER, GROUP)
        self.environment = {"PATH": str(self.programs), "FAKE_ENGINE_LOG": str(self.log)}

    def add_engine(self, name, **answers):
        """Put an engine on the path; it answers like docker, but for ``answers``."""
        (self.programs / f"{name}.json").write_text(json.dumps(answers), encoding="utf-8")
        program = self.programs / name
        program.write_text(f"#!{sys.executable} -S\n{FAKE_ENGINE}", encoding="utf-8")
        program.chmod(0o755)

    def __call__(self, *arguments, cwd=None, script=None, **environment):
        return subprocess.run(
            [script or self.script, *arguments],
            cwd=cwd or self.root,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self):
        """Return the arguments of every build and run, in order."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def last(self):
        """Return the last run's options and the command after the image."""
        call = self.calls()[-1]
        image = call.index("roadsense")
        return call[2:image], call[image + 1 :]


@pytest.fixture
def runner(tmp_path):
    made = Runner(tmp_path)
    made.add_engine("docker")
    return made


def pairs(options):
    return list(itertools.pairwise(options))


# --- Words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", MODULES)
def test_word_runs_its_command_with_every_argument_unchanged(runner, word):
    result = runner(word, *AWKWARD)
    assert result.returncode == 0, result.stderr
    assert runner.last()[1] == [*MODULES[word], *AWKWARD]


def test_test_without_arguments_runs_on_two_processes_as_make_does(runner):
    runner("test")
    _, command = runner.last()
    options = command[3:]
    assert "pytest " + " ".join(options) in (REPOSITORY_ROOT / "Makefile").read_text(
        encoding="utf-8"
    )


def test_demo_generates_and_then_trains_with_the_arguments(runner):
    runner("demo", *AWKWARD)
    _, (shell, flag, script, name, *arguments) = runner.last()
    assert (shell, flag, name, arguments) == ("bash", "-c", "demo", AWKWARD)
    generating, training, comparing = [line for line in script.splitlines() if "python -m" in line]
    assert "ml.scripts.gen_scenarios" in generating
    assert "ml.training.train_convoy" in training
    assert training.endswith('"$@"')
    assert "ml.evaluation.run --model ml/models/runs/demo packaged" in comparing


def test_demo_does_what_make_demo_does(runner):
    runner("demo")
    _, (_, _, script, _) = runner.last()
    makefile = (REPOSITORY_ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.split("\ndemo: ")[1].split("\n\n")[0]
    for variable, value in (
        ("$(DATASET)", "ml/scenarios/datasets/demo"),
        ("$(RUN)", "ml/models/runs/demo"),
        ("$(BIN)/", ""),
    ):
        recipe = recipe.replace(variable, value)
    commands = [line.strip() for line in recipe.splitlines() if "python -m" in line]
    shown = [line.removeprefix("exec ").removesuffix(' "$@"') for line in script.splitlines()]
    assert [command for command in commands if command not in shown] == []


def test_build_gives_the_engine_the_repository_and_the_arguments(runner):
    result = runner("build", "--no-cache", "two words")
    assert result.returncode == 0, result.stderr
    (call,) = runner.calls()
    assert call[1] == "build"
    assert ("-f", str(runner.root / "ml" / "Dockerfile")) in pairs(call)
    assert ("-t", "roadsense") in pairs(call)
    assert call[-3:] == ["--no-cache", "two words", str(runner.root)]


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"]])
def test_usage_names_every_word_and_starts_nothing(runner, arguments):
    result = runner(*arguments)
    assert result.returncode == 0
    assert [word for word in WORDS if f"\n  {word} " not in result.stdout] == []
    assert runner.calls() == []


@pytest.mark.parametrize(
    ("typed", "meant"), [("tran", "train"), ("biuld", "build"), ("evalute", "evaluate")]
)
def test_mistyped_word_is_answered_with_the_nearest_one(runner, typed, meant):
    result = runner(typed)
    assert result.returncode == 2
    assert result.stderr == (
        f"run_docker.sh: error: unknown word '{typed}'. Did you mean '{meant}'?\n"
    )
    assert runner.calls() == []


def test_word_like_no_other_is_answered_with_all_words(runner):
    result = runner("xylophone")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert [word for word in WORDS if word not in result.stderr] == []


@pytest.mark.parametrize("status", [0, 1, 2, 42, 130])
def test_exit_status_is_the_commands(runner, status):
    assert runner("train", FAKE_ENGINE_STATUS=str(status)).returncode == status


# --- What the container is given -----------------------------------------------------------------


def test_repository_root_is_mounted_and_worked_in_from_any_folder(runner, tmp_path):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    runner("train", cwd=elsewhere)
    options, _ = runner.last()
    assert ("-v", f"{runner.root}:/work:ro,Z") in pairs(options)
    assert ("-w", "/work") in pairs(options)
    assert "--rm" in options


def test_script_called_through_links_finds_its_own_repository(runner, tmp_path):
    first, second = tmp_path / "first", tmp_path / "deep" / "second"
    second.parent.mkdir()
    first.symlink_to(runner.script)
    second.symlink_to(Path("..") / "first")
    runner("train", cwd=tmp_path, script=second)
    assert ("-v", f"{runner.root}:/work:ro,Z") in pairs(runner.last()[0])


def test_commit_is_that_of_the_repository(runner):
    def git(*arguments):
        options = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false",
                   "-c", f"safe.directory={runner.root}"]  # fmt: skip
        command = ["git", "-C", str(runner.root), *options, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "m")
    runner("train")
    assert ("-e", f"GIT_COMMIT={git('rev-parse', 'HEAD')}") in pairs(runner.last()[0])


@pytest.mark.parametrize(("given", "expected"), [({"GIT_COMMIT": "abc"}, "abc"), ({}, "unknown")])
def test_commit_without_a_repository_is_the_callers_or_unknown(runner, given, expected):
    ceiling = str(runner.root.parent)
    runner("train", GIT_CEILING_DIRECTORIES=ceiling, **given)
    assert ("-e", f"GIT_COMMIT={expected}") in pairs(runner.last()[0])


def test_image_is_named_to_the_program_by_its_hash(runner):
    runner("train")
    assert ("-e", "ROADSENSE_CONTAINER_IMAGE=roadsense@sha256:0123abcd") in pairs(runner.last()[0])


@pytest.mark.parametrize(
    ("engine", "answers", "expected"),
    [
        ("docker", {}, ["--user", IDS]),
        ("docker", {"info": "[name=seccomp name=rootless]"}, ["--user", "0:0"]),
        ("podman", PODMAN_ROOTFUL, ["--user", IDS]),
        ("podman", PODMAN_ROOTLESS, ["--userns=keep-id", "--user", IDS]),
        ("docker", PODMAN_ROOTLESS, ["--userns=keep-id", "--user", IDS]),
    ],
)
def test_container_runs_as_the_caller(runner, engine, answers, expected):
    runner.add_engine(engine, **answers)
    runner("train", ROADSENSE_CONTAINER_ENGINE=engine)
    options, _ = runner.last()
    assert options[1 : 1 + len(expected)] == expected


def test_container_of_a_root_who_owns_the_checkout_is_warned_of(runner):
    (runner.programs / "id").unlink()
    (runner.programs / "stat").unlink()
    (runner.programs / "chown").unlink()
    for name, answer in (("id", "0"), ("stat", "0:0"), ("chown", "")):
        (runner.programs / name).write_text(f"#!/bin/sh\necho {answer}\n", encoding="utf-8")
        (runner.programs / name).chmod(0o755)
    result = runner("train", GIT_CEILING_DIRECTORIES="/")
    assert "the container runs as root, without capabilities" in result.stderr
    assert ("--user", "0:0") in pairs(runner.last()[0])


# --- Confinement ---------------------------------------------------------------------------------

COMMANDS = ["generate", "train", "evaluate", "report", "demo"]


@pytest.mark.parametrize("word", [*COMMANDS, "test", "bash"])
def test_container_can_do_nothing_but_compute(runner, word):
    runner(word)
    options, _ = runner.last()
    assert {
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--pids-limit=4096",
        "--network=none",
    } <= set(options)
    assert [option for option in options if "privileged" in option or "cap-add" in option] == []


@pytest.mark.parametrize("word", COMMANDS)
def test_command_can_write_results_and_temporary_files_only(runner, word):
    runner(word)
    mounts = [value for flag, value in pairs(runner.last()[0]) if flag in ("-v", "--tmpfs")]
    assert sorted(mounts) == sorted([
        f"{runner.root}:/work:ro,Z",
        f"{runner.root}/ml/models:/work/ml/models:Z",
        f"{runner.root}/ml/scenarios/datasets:/work/ml/scenarios/datasets:Z",
        f"{runner.root}/.cache:/work/.cache:Z",
        "/tmp:rw,nosuid,nodev,noexec,mode=1777",  # noqa: S108 - the container's own
        "/home/roadsense:rw,nosuid,nodev,noexec,mode=1777",
    ])  # fmt: skip


@pytest.mark.parametrize("word", ["test", "bash"])
def test_developers_word_can_write_the_code_and_run_what_it_writes(runner, word):
    runner(word)
    options = pairs(runner.last()[0])
    assert ("-v", f"{runner.root}:/work:Z") in options
    assert ("--tmpfs", "/tmp:rw,nosuid,nodev,exec,mode=1777") in options  # noqa: S108 - its own


@pytest.mark.parametrize("folder", ["ml/models", "ml/scenarios/datasets", ".cache"])
def test_folder_that_is_written_to_belongs_to_the_checkouts_owner(runner, folder):
    runner("train")
    status = (runner.root / folder).stat()
    assert (status.st_uid, status.st_gid) == (OWNER, GROUP)


@pytest.mark.parametrize("words", ["--network=host", "--network host", "--net=bridge"])
def test_network_that_the_caller_names_is_the_only_one(runner, words):
    runner("train", ROADSENSE_RUN_ARGS=words)
    networks = [option for option in runner.last()[0] if option.startswith("--net")]
    assert networks == words.split()[:1]


def test_compiled_kernels_have_a_folder_that_git_does_not_see(runner):
    runner("train")
    assert (runner.root / ".cache" / ".gitignore").read_text(encoding="utf-8") == "*\n"


@pytest.mark.parametrize("word", [word for word in MODULES if word != "bash"])
def test_no_terminal_is_asked_for_without_one(runner, word):
    runner(word)
    assert {"-i", "-t", "-it"} & set(runner.last()[0]) == set()


def test_shell_reads_a_script_from_a_pipe(runner):
    runner("bash")
    options, _ = runner.last()
    assert "-i" in options
    assert "-t" not in options


def test_terminal_is_passed_on(runner):
    controller, terminal = pty.openpty()
    try:
        subprocess.run(
            [runner.script, "bash"],
            env=runner.environment, stdin=terminal, stdout=terminal, stderr=terminal, check=True,
        )  # fmt: skip
    finally:
        os.close(terminal)
        os.close(controller)
    assert {"-i", "-t"} <= set(runner.last()[0])


# --- Engine and overrides ------------------------------------------------------------------------


def test_docker_without_an_engine_behind_it_gives_way_to_podman(runner):
    runner.add_engine("docker", info_status=1)
    runner.add_engine("podman", **PODMAN_ROOTFUL)
    runner("train")
    assert runner.calls()[-1][0] == "podman"


def test_docker_comes_first_where_both_answer(runner):
    runner.add_engine("podman", **PODMAN_ROOTFUL)
    runner("train")
    assert runner.calls()[-1][0] == "docker"


def test_engine_named_by_the_caller_wins(runner):
    runner.add_engine("podman", **PODMAN_ROOTFUL)
    runner("train", ROADSENSE_CONTAINER_ENGINE="podman")
    assert runner.calls()[-1][0] == "podman"


def test_engine_named_by_the_caller_that_does_not_answer_is_an_error(runner):
    result = runner("train", ROADSENSE_CONTAINER_ENGINE="nerdctl")
    assert result.returncode == 1
    assert "ROADSENSE_CONTAINER_ENGINE" in result.stderr
    assert "'nerdctl'" in result.stderr
    assert runner.calls() == []


def test_no_engine_is_one_line(runner):
    runner.add_engine("docker", info_status=1)
    result = runner("train")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "no container engine answers" in result.stderr


def test_further_arguments_are_read_as_shell_words(runner):
    words = """-e 'A=two words' -v "/a b:/c" -e B=\\$x"""
    expected = ["-e", "A=two words", "-v", "/a b:/c", "-e", "B=$x"]
    runner("train", ROADSENSE_RUN_ARGS=words)
    runner("build", ROADSENSE_BUILD_ARGS=words)
    run, build = runner.calls()
    assert run[: run.index("roadsense")][-6:] == expected
    assert build[-7:-1] == expected


def test_further_arguments_are_never_run(runner, tmp_path):
    runner("train", ROADSENSE_RUN_ARGS=f"-e 'A=$(mkdir {tmp_path}/made)'")
    assert not (tmp_path / "made").exists()
    assert f"A=$(mkdir {tmp_path}/made)" in runner.last()[0]


def test_open_quote_in_further_arguments_is_an_error(runner):
    result = runner("train", ROADSENSE_RUN_ARGS="-e 'A=1")
    assert result.returncode == 1
    assert "ROADSENSE_RUN_ARGS must be words as a shell reads them" in result.stderr
    assert runner.calls() == []


def test_missing_image_says_to_build_it(runner):
    runner.add_engine("docker", inspect_status=1)
    result = runner("train")
    assert result.returncode == 1
    assert f"Run '{runner.script} build' first." in result.stderr
    assert runner.calls() == []


def test_image_of_other_packages_is_warned_of(runner):
    runner("build")
    (label,) = [word for word in runner.calls()[-1] if word.startswith("roadsense.packages=")]
    runner.add_engine("docker", packages=label.partition("=")[2])
    assert runner("train").stderr == ""
    with (runner.root / "requirements.lock").open("a", encoding="utf-8") as stream:
        stream.write("new==1\n")
    result = runner("train")
    assert result.returncode == 0
    assert "the packages have changed since the image was built" in result.stderr


# --- Paths ---------------------------------------------------------------------------------------

FLAGS = ["--dataset_dir", "--sumo_cfg", "--output_dir", "--base_dir", "--emulator_params",
         "--model", "--output_page", "--output_file", "--resume", "--protocol"]  # fmt: skip


@pytest.mark.parametrize("is_joined", [False, True])
@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("value", ["/data/v1", "../v1", "ml/../../v1", "/workshop/v1"])
def test_path_outside_the_repository_is_refused(runner, flag, value, is_joined):
    result = runner("train", *([f"{flag}={value}"] if is_joined else [flag, value]))
    assert result.returncode == 2
    assert result.stderr.startswith(f"run_docker.sh: error: {flag} must be a path")
    assert f"Got '{value}', which is outside the repository." in result.stderr
    assert "ROADSENSE_RUN_ARGS" in result.stderr
    assert result.stderr.count("\n") == 1
    assert runner.calls() == []


@pytest.mark.parametrize("before", [["--model", "packaged"], ["--model=packaged"]])
def test_every_policy_of_model_is_checked(runner, before):
    result = runner("evaluate", *before, "ml/models/runs/a", "/data/b", "--episodes", "9")
    assert result.returncode == 2
    assert "--model must be a path that the container sees. Got '/data/b'" in result.stderr


@pytest.mark.parametrize("rest", [["--protocol", "release"], ["--episodes", "/9"]])
def test_names_and_values_of_other_flags_are_no_paths(runner, rest):
    assert runner("evaluate", "--dataset_dir", "ml/x", *rest).returncode == 0


@pytest.mark.parametrize("inside", ["ml/scenarios/base/scenario.sumocfg", "with space"])
def test_absolute_path_in_the_repository_is_refused_with_what_to_write(runner, inside):
    result = runner("evaluate", "--model", f"{runner.root}/{inside}")
    assert result.returncode == 2
    assert f"Write '{inside}': paths count from the repository root." in result.stderr
    assert runner.calls() == []


def test_abbreviated_flag_is_checked_too(runner):
    result = runner("train", "--dataset", "/data/v1")
    assert result.returncode == 2
    assert "--dataset_dir must be a path" in result.stderr


@pytest.mark.parametrize(
    "value", ["ml/x", "./ml/x", "ml/../ml/x", "/work/ml/x", "/work", "..x/y", "", "../a check out"]
)
def test_path_that_the_container_sees_passes(runner, value):
    result = runner("train", "--dataset_dir", value)
    assert result.returncode == 0, result.stderr
    assert runner.last()[1][-2:] == ["--dataset_dir", value]


@pytest.mark.parametrize("flag", ["--output_dir", "--output_page", "--output_file"])
@pytest.mark.parametrize(
    "value", ["ml/models/x", "./ml/models", "/work/ml/scenarios/datasets/v1", "ml/x/../models/x"]
)
def test_output_where_commands_can_write_passes(runner, flag, value):
    result = runner("train", flag, value)
    assert result.returncode == 0, result.stderr
    assert runner.last()[1][-2:] == [flag, value]


@pytest.mark.parametrize("flag", ["--output_dir", "--output_page", "--output_file"])
@pytest.mark.parametrize(
    "value", ["ml/x", ".", "/work", "/work/ml/modelsx", "ml/models/../x", "docs/page.md"]
)
def test_output_into_the_code_is_refused_before_anything_starts(runner, flag, value):
    result = runner("train", flag, value)
    assert result.returncode == 2
    assert result.stderr.startswith(f"run_docker.sh: error: {flag} must be below ml/models or ")
    assert f"Got '{value}'." in result.stderr
    assert result.stderr.count("\n") == 1
    assert runner.calls() == []


@pytest.mark.parametrize(
    "mount",
    ["-v '/big disk:/data:ro'", "--volume=/d:/data", "--mount type=bind,source=/d,target=/data,ro"],
)
def test_path_that_the_caller_mounts_passes(runner, mount):
    assert runner("train", "--dataset_dir", "/data/v1", ROADSENSE_RUN_ARGS=mount).returncode == 0
    refused = runner("train", "--dataset_dir", "/database/v1", ROADSENSE_RUN_ARGS=mount)
    assert refused.returncode == 2


def test_value_that_is_no_path_is_not_judged(runner):
    assert runner("train", "--run_id", "../r", "--seed", "1").returncode == 0


# --- Window --------------------------------------------------------------------------------------


def test_window_without_a_display_is_one_line(runner):
    result = runner("gui")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "DISPLAY must be set" in result.stderr
    assert runner.calls() == []


def test_window_on_a_display_that_is_not_there_is_one_line(runner):
    result = runner("gui", DISPLAY=":9876")
    assert result.returncode == 1
    assert "/tmp/.X11-unix/X9876 must exist" in result.stderr  # noqa: S108 - the X server's place


def test_window_gets_display_and_key(runner, tmp_path):
    key = tmp_path / "key"
    key.touch()
    result = runner("gui", "--seed", "3", DISPLAY="far:10.0", XAUTHORITY=str(key))
    assert result.returncode == 0, result.stderr
    options, command = runner.last()
    assert command == ["python", "-m", "ml.training.train_convoy", "--gui", "--seed", "3"]
    assert ("-e", "DISPLAY=far:10.0") in pairs(options)
    assert "--network=host" in options
    assert any(option.startswith(f"{key}:") and option.endswith(":ro") for option in options)
