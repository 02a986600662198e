"""Which precisions a device runs natively. What it would only emulate is refused: precision is part of the
encoder, and emulation is slow."""

import torch

from learn_features.errors import ConfigError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
INT8 = "int8"


def require(precision: str, device: str) -> None:
    """`ConfigError` where `device` (`cpu`, `cuda`, `cuda:1`) does not run `precision` natively."""
    if device.startswith("cuda"):
        able = {
            "fp32": True,
            "fp16": True,
            "bf16": torch.cuda.is_bf16_supported(including_emulation=False),
            INT8: False,
        }
    else:
        able = {
            "fp32": True,
            "fp16": False,
            "bf16": torch.ops.mkldnn._is_mkldnn_bf16_supported(),
            INT8: torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"),
        }
    if not able[precision]:
        here = ", ".join(name for name, runs in able.items() if runs)
        raise ConfigError(
            f"encoder.precision is {precision}, which this {device.partition(':')[0]} does not run natively "
            f"(it runs {here}); precision is part of the embedding space, so use one of these in a space of "
            "its own, or a machine that has it"
        )
