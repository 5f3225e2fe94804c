"""Write the locks: each pinned version with the hashes of the files that may be installed.

``constraints.txt`` has the versions. ``requirements.lock`` adds the SHA-256 of every published file
of each, for all platforms; ``requirements-cuda.lock`` has what torch needs besides where it is
built for CUDA. ``make lock`` runs this; it needs the network.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from ml.command_line import run_command
from ml.errors import ConfigError
from ml.provenance import REPOSITORY_ROOT, write_text_atomically

HEADER = "# Written by 'make lock' from constraints.txt. Do not edit.\n"
_NAME = re.compile(r"^([a-z0-9][a-z0-9._-]*)==", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(lock: str) -> dict[str, str]:
    r"""Return the entries of a lock by their packages' names, in the lock's order.

    >>> entries("a==1 \\\n    --hash=sha256:0\nb==2\n")["b"]
    'b==2\n'
    """
    starts = [match.start() for match in _NAME.finditer(lock)]
    pieces = [lock[i:j] for i, j in zip(starts, [*starts[1:], len(lock)], strict=True)]
    return {piece.partition("==")[0]: piece for piece in pieces}


def with_hashes_of(entry: str, earlier: str) -> str:
    """Return an entry with the hashes that an earlier entry of the same version has besides.

    A build of torch without CUDA is not published with the others, so its hash is written once by
    hand and kept here.

    Args:
        entry: The new entry of a package.
        earlier: The same package's entry before; any other version's hashes are left out.
    """
    pin = entry.split(maxsplit=1)[0]
    if not earlier or earlier.split(maxsplit=1)[0] != pin:
        return entry
    hashes = sorted({*_HASH.findall(entry), *_HASH.findall(earlier)})
    return " \\\n    ".join([pin, *hashes]) + "\n"


def _compile(requirements: str, *options: str) -> str:
    """Return what uv resolves requirements to, with hashes, for every platform."""
    command = [
        str(Path(sys.executable).with_name("uv")), "pip", "compile", "-", "--quiet", "--universal",
        "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", *options,
    ]  # fmt: skip
    result = subprocess.run(
        command, input=requirements, capture_output=True, text=True, cwd=REPOSITORY_ROOT,
        check=False,
    )  # fmt: skip
    if result.returncode:
        raise ConfigError(
            f"constraints.txt must be versions that are published. Got: {result.stderr.strip()}"
        )
    return result.stdout


def main() -> None:
    """Write both locks.

    Raises:
        ConfigError: A version is not published, or what is published cannot be reached.
    """
    path = REPOSITORY_ROOT / "requirements.lock"
    pins = (REPOSITORY_ROOT / "constraints.txt").read_text(encoding="utf-8")
    locked = entries(_compile(pins, "--no-deps"))
    earlier = entries(path.read_text(encoding="utf-8")) if path.exists() else {}
    torch = locked["torch"]
    locked["torch"] = with_hashes_of(torch, earlier.get("torch", ""))
    write_text_atomically(path, HEADER + "".join(locked.values()))
    cuda = entries(_compile(torch.split(maxsplit=1)[0], "--constraints", "constraints.txt"))
    added = "".join(entry for name, entry in cuda.items() if name not in locked)
    write_text_atomically(path.with_name("requirements-cuda.lock"), HEADER + added)


if __name__ == "__main__":
    run_command(main)
