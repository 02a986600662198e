"""On a GPU, a transformer of few kernels: norms, sums, activations and dropout fused (torch.compile)."""

import copy
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
import torch._dynamo as dynamo
from torch import Tensor, nn

from learn_features.towers.blocks import PreferenceAlignment, all_layers
from learn_features.towers.dropout import random_bits

LONGEST_REASON = 300
"""Characters of a compiler's message: tool chains print whole traces."""
FORMS = 64
"""Graphs of one process, at most; then further ones stay uncompiled."""
FEW = 0.02
"""A smaller share of dropout is not met by 8 bits."""

log = logging.getLogger(__name__)


def compile_layers(
    model: nn.Module, autocast: Callable[[], AbstractContextManager], backend: str = "inductor"
) -> bool:
    """Compile what the transformers of `model` do in training, in place; whether that worked.

    All layers are one graph: layer by layer, calling the compiled parts takes a CPU longer than the GPU takes
    to compute them. It is for the shapes that come first, then for any shapes, and anew for each number of
    length groups, with and without gradients. A copy of one layer goes before, forward and backward under
    `autocast`. What a machine lacks for compiling (Triton wants a C compiler) shows there: a warning, and the
    layers stay as they are, slower and with the same results.
    """
    stacks = [module for module in model.modules() if isinstance(module, PreferenceAlignment)]
    for stack in stacks[:1]:
        trial = copy.deepcopy(stack.blocks[0]).train()
        trial.compile(backend=backend, dynamic=True)
        adaptor = stack.adaptor
        try:
            with autocast():
                entries = adaptor(adaptor.weight.new_zeros(2, 3, adaptor.in_features)).detach()
                bits = random_bits((2, *entries.shape), torch.int8, entries.device)
                trial(entries.requires_grad_(), bits=bits).sum().backward()
        except Exception as error:  # compilers raise what they like
            reason = " ".join(str(error).split())[:LONGEST_REASON]
            log.warning("training: layers stay uncompiled and slower: %s", reason)
            return False
    dynamo.config.recompile_limit = max(FORMS, dynamo.config.recompile_limit)
    for stack in stacks:
        stack.through = with_bits(torch.compile(all_layers, backend=backend))
    return True


def with_bits(layers: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`all_layers` whose dropout is drawn beforehand, a word at a time."""

    def through(
        alignment: PreferenceAlignment, x: Tensor, alone: bool, shapes: Sequence[tuple[int, int]]
    ) -> Tensor:
        bits: tuple[Tensor, ...] = ()
        share = alignment.blocks[0].dropout
        if share:
            dtype = torch.int8 if share >= FEW else torch.int16
            # tensors of their own: places in one would make kernels of each layer's
            bits = random_bits((2 * len(alignment.blocks), *x.shape), dtype, x.device).unbind()
        return layers(alignment, x, alone, shapes, bits)

    return through
