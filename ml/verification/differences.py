"""Says what differs here from where a run was made."""

from __future__ import annotations

from pathlib import Path

from ml.provenance import (
    code_sha256,
    container_image,
    git_state,
    processor_name,
    software_versions,
)
from ml.verification.records import Json, object_in


def code_and_version_differences(record: Json, path: Path) -> list[str]:
    """Return in words which code and library versions differ from a record's.

    Args:
        record: What holds ``git`` and ``versions``.
        path: Its file, for messages.
    """
    now = git_state()
    before = object_in(record, "git", path)
    names = {"commit": "commit", "is_dirty": "changed tree", "diff_sha256": "hash of the changes"}
    told = [
        f"{words}: {before.get(name)!r:.80} there, {now[name]!r} here"
        for name, words in names.items()
        if before.get(name) != now[name]
    ]
    if record.get("code_sha256") not in (None, code_sha256()):
        told.append(f"hash of the code: {record['code_sha256']!r:.80} there, another one here")
    versions, recorded = software_versions(), object_in(record, "versions", path)
    for name in dict.fromkeys((*recorded, *versions)):
        there, here = recorded.get(name), versions.get(name)
        if there != here:
            told.append(f"version of {name:.60}: {there!r:.80} there, {here!r} here")
    return told


def machine_differences(manifest: Json, path: Path) -> list[str]:
    """Return in words how the processor and the container image differ from a manifest's."""
    pairs = (
        ("processor", object_in(manifest, "hardware", path).get("processor"), processor_name()),
        ("container image", manifest.get("container_image"), container_image()),
    )
    return [
        f"{name}: {there!r:.80} there, {here!r} here"
        for name, there, here in pairs
        if there != here
    ]
