"""Optimisers that begin without loading torch's compiler.

torch marks some methods of its optimisers as not to be compiled. The first call of one imports the
compiler to tell it so, which takes as long as the rest of torch's import. Nothing here is compiled.
"""

from __future__ import annotations

from torch.optim import Optimizer

_MARKED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
_TOLD = "__dynamo_disable"
"""Where `torch/_compile.py` (2.13) keeps what it calls instead, once the compiler is told."""


def leave_out_compiler() -> None:
    """Let the marked methods run as they are, at once; without effect where torch has no marks."""
    for name in _MARKED:
        function = getattr(getattr(Optimizer, name), "__wrapped__", None)
        if function is not None and not hasattr(function, _TOLD):
            setattr(function, _TOLD, function)
