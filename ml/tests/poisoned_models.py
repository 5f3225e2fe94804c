"""A model's zip that runs code when it is unpickled."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import zipfile

import torch


class _MakesAFolder:
    """Whoever unpickles it runs ``os.mkdir``."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return os.mkdir, (self._path,)


def poisoned_zip(path, created):
    """Write a zip as stable-baselines3 does, whose pickles make the folder ``created``."""
    poison = _MakesAFolder(str(created))
    pickled = base64.b64encode(pickle.dumps(poison)).decode()
    weights = io.BytesIO()
    torch.save({"x": poison}, weights)
    with zipfile.ZipFile(path, "w") as archive:
        data = {"policy_class": {":type:": "x", ":serialized:": pickled}}
        archive.writestr("data", json.dumps(data))
        archive.writestr("policy.pth", weights.getvalue())
