"""Where a result comes from: hashes, versions, the code's state; and files written whole.

Every file of a run goes through ``write_text_atomically`` or ``atomic_path``: written under a
temporary name in the same folder, then renamed, so that a reader never sees half of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from ml.bounded_files import UnusableFileError, check_regular
from ml.errors import RecordError, cannot_write

REPOSITORY_ROOT = Path(__file__).resolve().parent.parent
RECORDED_PACKAGES = (
    "eclipse-sumo",
    "gymnasium",
    "libsumo",
    "numba",
    "numpy",
    "scipy",
    "stable-baselines3",
    "torch",
)


def sha256_of_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's content as 64 hex digits.

    Raises:
        RecordError: The file cannot be read.
    """
    try:
        check_regular(path)
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except UnusableFileError as error:
        raise RecordError(f"{path} must be a regular file. Got {error}. Restore it.") from error
    except OSError as error:
        raise RecordError(
            f"{path} must be a readable file. Got: {error.strerror}. Restore it."
        ) from error


def sha256_of_text(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8.

    >>> sha256_of_text("")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def code_sha256(package: Path = REPOSITORY_ROOT / "ml") -> str:
    """Return a hash of every module below a folder but its tests: what a result is made by."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package)
        if name.parts[0] != "tests":
            digest.update(f"{name}\0{sha256_of_file(path)}\n".encode())
    return digest.hexdigest()


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place when the block succeeds.

    The temporary name keeps the suffix, for writers that choose a format by it.

    Raises:
        RecordError: The folder cannot be written to, something that is no file is in the place of
            ``path``, or the disk is full.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        raise RecordError(
            f"{target} cannot be written: it is a directory, device or pipe. Choose another path."
        )
    try:
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.stem}.", suffix=target.suffix
        )
        os.close(handle)
    except OSError as error:
        raise cannot_write(target, error) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_current_umask())
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise cannot_write(target, error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text_atomically(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json_atomically(path: str | Path, content: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write ``content`` as indented JSON; NaN and infinity are refused."""
    write_text_atomically(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def _current_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def git_state() -> dict[str, Any]:
    """Return the code's commit, whether the tree differs from it, and the hash of the difference.

    Untracked files count as a difference, by their names.

    ``GIT_COMMIT`` in the environment names the commit where git is absent, as in a container.
    """
    commit = _run_git(["rev-parse", "HEAD"]) or os.environ.get("GIT_COMMIT", "unknown")
    untracked = _run_git(["ls-files", "--others", "--exclude-standard"])
    difference = _run_git(["diff", "HEAD"]) + untracked
    return {
        "commit": commit,
        "is_dirty": bool(difference),
        "diff_sha256": sha256_of_text(difference) if difference else None,
    }


def container_image() -> str | None:
    """Return the name and hash of the image that this runs in, None outside a container.

    ``ml/run_docker.sh`` gives it as ``ROADSENSE_CONTAINER_IMAGE``.
    """
    return os.environ.get("ROADSENSE_CONTAINER_IMAGE")


def _run_git(arguments: Sequence[str]) -> str:
    """Run git in the repository and return its output, or '' where that fails."""
    git = shutil.which("git")
    if git is None or not (REPOSITORY_ROOT / ".git").exists():
        return ""
    result = subprocess.run(
        [git, "-C", str(REPOSITORY_ROOT), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() if result.returncode == 0 else ""


def installed_version(package: str) -> str:
    """Return a package's installed version, or 'not installed'."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def software_versions() -> dict[str, str]:
    """Return the versions of Python and of every package that can change a result."""
    versions = {package: installed_version(package) for package in RECORDED_PACKAGES}
    return {"python": platform.python_version(), **versions}


def processor_name() -> str:
    """Return the processor's name as the operating system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
