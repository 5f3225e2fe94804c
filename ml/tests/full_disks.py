"""Disks that are full, or that nobody may write to, root neither."""

import contextlib
import errno
import resource
import shutil
import subprocess

import pytest


@contextlib.contextmanager
def mounted(folder, options):
    """Mount a disk in memory on a folder during the block; skip the test where that is refused."""
    mount = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", options, "roadsense-test"]
    found = subprocess.run([*mount, str(folder)], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {found.stderr.strip()}")
    yield
    subprocess.run([shutil.which("umount"), "--lazy", str(folder)], check=True)


class MountedDisk:
    """A disk of 8 MB."""

    reason = "No space left on device"

    def __init__(self, folder):
        self.folder = folder

    def fill(self):
        """Leave no room for any page."""
        with (self.folder / "ballast").open("ab", buffering=0) as ballast:
            try:
                while ballast.write(bytes(4096)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC

    def empty(self):
        """Take back what ``fill`` has done."""
        (self.folder / "ballast").unlink()


class LimitedDisk:
    """A limit of 0 bytes to whatever any file grows by; needs no rights."""

    reason = "File too large"

    def __init__(self, folder):
        self.folder = folder

    def fill(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    def empty(self):
        lift_limit()


def lift_limit():
    """Let files of this process grow again."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


@contextlib.contextmanager
def opened_disk(kind, folder):
    """Give a disk that can be filled: "mounted", for which one must be root, or "limited"."""
    if kind == "mounted":
        with mounted(folder, "size=8m"):
            yield MountedDisk(folder)
        return
    disk = LimitedDisk(folder)
    yield disk
    disk.empty()
