"""On a GPU, transformer layers of few kernels: norms, sums, activations and dropout fused (torch.compile)."""

import copy
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

from torch import nn

from learn_features.towers.blocks import PreferenceAlignment

LONGEST_REASON = 300
"""Characters of a compiler's message: tool chains print whole traces."""

log = logging.getLogger(__name__)


def compile_layers(
    model: nn.Module, autocast: Callable[[], AbstractContextManager], backend: str = "inductor"
) -> bool:
    """Compile the transformer layers of `model` in place for any batch and length; whether that worked.

    A copy of one layer goes first, forward and backward under `autocast`. What a machine lacks for compiling
    (Triton wants a C compiler) shows there: a warning, and the layers stay as they are, slower and with the
    same results.
    """
    stacks = [module for module in model.modules() if isinstance(module, PreferenceAlignment)]
    for stack in stacks[:1]:
        trial = copy.deepcopy(stack.blocks[0]).train()
        trial.compile(backend=backend, dynamic=True)
        adaptor = stack.adaptor
        try:
            with autocast():
                entries = adaptor(adaptor.weight.new_zeros(2, 3, adaptor.in_features)).detach()
                trial(entries.requires_grad_()).sum().backward()
        except Exception as error:  # compilers raise what they like
            reason = " ".join(str(error).split())[:LONGEST_REASON]
            log.warning("training: layers stay uncompiled and slower: %s", reason)
            return False
    for stack in stacks:
        for block in stack.blocks:
            block.compile(backend=backend, dynamic=True)
    return True
