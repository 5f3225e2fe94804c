"""Runs one target under atheris: `python fuzz/run.py TARGET [SECONDS] [libFuzzer options]`.

Inputs that reach new code are kept in fuzz/found/TARGET, one that fails in fuzz/found.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

FOLDER = Path(__file__).resolve().parent
LONGEST_INPUT_BYTES = {"wire_format": 128, "parameters": 4096}
DEFAULT_SECONDS = "60"

sys.path.insert(0, str(FOLDER.parent))
with atheris.instrument_imports(include=["ml", "fuzz"]):
    from fuzz.targets import TARGETS


def main() -> None:
    """Fuzz the target that the command line names."""
    name, seconds, *options = (*sys.argv[1:], DEFAULT_SECONDS)[: max(2, len(sys.argv) - 1)]
    found = FOLDER / "found" / name
    found.mkdir(parents=True, exist_ok=True)
    arguments = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST_INPUT_BYTES[name]}",
        f"-artifact_prefix={found.parent}/{name}-",
        *options,
        str(found),
        str(FOLDER / "seeds" / name),
    ]
    atheris.Setup(arguments, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
