"""A container engine that runs nothing and writes down what it was asked."""

PODMAN_ROOTFUL = {"version": "podman version 4.3.1", "info": "false"}
PODMAN_ROOTLESS = {"version": "podman version 4.3.1", "info": "true"}

# The file beside the program, named as it is, holds what differs from an ordinary docker.
FAKE_ENGINE = """
import json, os, sys
from pathlib import Path

program = Path(sys.argv[0])
answers = {
    "version": "Docker version 29.0.0", "info": "[name=seccomp]", "info_status": 0,
    "inspect_status": 0, "packages": "other",
    **json.loads(program.with_name(program.name + ".json").read_text()),
}
word = sys.argv[1]
if word == "--version":
    print(answers["version"])
elif word == "info":
    print(answers["info"])
    sys.exit(answers["info_status"])
elif word == "image":
    print("sha256:0123abcd", answers["packages"])
    sys.exit(answers["inspect_status"])
else:
    with open(os.environ["FAKE_ENGINE_LOG"], "a") as stream:
        stream.write(json.dumps([program.name, *sys.argv[1:]]) + "\\n")
    sys.exit(int(os.environ.get("FAKE_ENGINE_STATUS", "0")))
"""
