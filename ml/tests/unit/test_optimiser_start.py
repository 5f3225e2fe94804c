"""Optimisers that begin without torch's compiler: it is not loaded, and all is as before."""

import subprocess
import sys

import torch

from ml.policies.optimiser_start import leave_out_compiler

_SCRIPT = """
import sys
import torch
from ml.policies.optimiser_start import leave_out_compiler

{call}
optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))])
optimiser.zero_grad()
optimiser.load_state_dict(optimiser.state_dict())
print("torch._dynamo" in sys.modules)
"""


def compiler_is_loaded(call):
    result = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(call=call)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return result.stdout.strip()


def test_compiler_is_left_out():
    assert compiler_is_loaded("leave_out_compiler()") == "False"


def test_torch_itself_still_loads_it():
    assert compiler_is_loaded("") == "True"


def test_optimiser_takes_the_same_step():
    leave_out_compiler()
    leave_out_compiler()
    parameter = torch.nn.Parameter(torch.tensor([1.0]))
    optimiser = torch.optim.Adam([parameter], lr=0.1)
    (3.0 * parameter).sum().backward()
    optimiser.step()
    # The first step of Adam is the learning rate against the gradient's sign.
    torch.testing.assert_close(parameter.data, torch.tensor([0.9]), rtol=0.0, atol=1e-6)
    optimiser.zero_grad()
    assert parameter.grad is None
