"""Content embeddings: items/s against sentence-transformers and the authors' way, and what a run wastes.

Contenders take turns on the same texts and are compared by the median of the ratios of each turn; vectors are
compared before any time counts. Without --items the texts are those of a simulated catalogue.

    vs_sentence_transformers       items/s in fp32 against its torch backend at its best batch size
    min_cosine                     lowest cosine of a vector to its, same precision
    share_of_gemm_peak             model FLOPs over real tokens against fp32 matrix multiply, same turn
    share_outside_model            part of a catalogue's run in which the model does not compute
    vs_sentence_transformers_fast  items/s in the reduced precision that suits this CPU, against the same peer
    vs_authors_way                 items/s of a small decoder against batch 1, LM head, text output
    reembed_1pct_cost              re-embedding with 1 % changed, as a share of the full run
    peak_memory_growth             peak memory that a run adds, catalogue of 4 × against 1 ×
    gpu_mfu                        share of a GPU's bf16 peak with a 7 B-shaped decoder; only with CUDA
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks import content_catalogue, content_peers, content_stores
from benchmarks.flops import GemmPeak, model_flops
from benchmarks.machine import emit, run
from learn_features.config import EncoderConfig
from learn_features.content.encoder import Encoder, open_encoder
from learn_features.content.sources import locate
from learn_features.errors import ConfigError, DataError

log = Console(stderr=True)


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    items: int = 4_385
    compared: int = 512
    turn_texts: int = 128
    turns: int = 7
    decoder_texts: int = 48
    run_items: int = 1_000
    latency_repeats: int = 15
    store_items: int = 1_000_000
    memory_items: int = 40_000
    """Enough for allocators to have filled: below some 30,000 a run's memory still grows by that."""


QUICK = Size(
    items=120,
    compared=12,
    turn_texts=12,
    turns=1,
    decoder_texts=2,
    run_items=100,
    latency_repeats=1,
    store_items=3_000,
    memory_items=200,
)
Contender = Callable[[Sequence[str]], NDArray[np.floating]]


def main(arguments: list[str] | None = None) -> None:
    asked = _parser().parse_args(arguments)
    size = QUICK if asked.quick else Size()
    config = EncoderConfig(**({"model": asked.model} if asked.model else {}))
    items = read_items(asked.items, size.items)
    encoder = open_encoder(config)
    texts = encoder.item_texts(items)
    folder = locate(config).folder
    rows: list[dict[str, Any]] = []
    claims: dict[str, float] = {}
    against_peers(rows, claims, config, encoder, texts, folder, size)
    latency(rows, encoder, texts, size)
    authors_way(rows, claims, texts, folder, size)
    content_catalogue.measure(rows, claims, config, encoder, items[: size.run_items])
    content_stores.measure(rows, claims, size.store_items, size.memory_items)
    if torch.cuda.is_available():
        from benchmarks.content_gpu import gpu_mfu
        from learn_features.content.tokens import cutter_in

        measured = gpu_mfu(texts, folder, cutter_in(folder))
        rows.append({"what": "7 B-shaped decoder on the GPU", **measured})
        claims["gpu_mfu"] = measured["mfu"]
    else:
        log.print("content_extraction: gpu_mfu is not claimed, there is no GPU")
    emit("content_extraction", rows, claims, asked.json, lambda: show(rows, claims))


def against_peers(
    rows: list[dict[str, Any]],
    claims: dict[str, float],
    config: EncoderConfig,
    encoder: Encoder,
    texts: Sequence[str],
    folder: Path,
    size: Size,
) -> None:
    """fp32 and reduced precision against sentence-transformers, in turns on the same texts."""
    device = encoder.model.device.type  # type: ignore[attr-defined]
    rng = np.random.default_rng(0)
    trial = [texts[row] for row in rng.permutation(len(texts))[: size.turn_texts]]
    ours: dict[str, Contender] = {"fp32": encoder.encode}
    for precision in () if device != "cpu" else ("int8", "bf16"):
        try:
            ours[precision] = open_encoder(config.model_copy(update={"precision": precision})).encode
        except ConfigError as error:
            log.print(f"content_extraction: {error}")
    if len(ours) > 2:  # the one that suits this CPU
        seconds = {name: _seconds(ours[name], trial)[0] for name in ("int8", "bf16")}
        slower = max(seconds, key=lambda name: seconds[name])
        rows.append({"what": f"ours, {slower}", "items_per_second": len(trial) / seconds[slower]})
        del ours[slower]
    peers: list[content_peers.SentenceTransformers] = [
        content_peers.SentenceTransformers(folder, config.max_tokens, device, trial)
    ]
    if device == "cpu":
        peers.append(content_peers.OnnxSentenceTransformers(folder, config.max_tokens, device, trial))
    contenders: dict[str, Contender] = {f"ours, {name}": encode for name, encode in ours.items()}
    contenders |= {peer.name: peer for peer in peers}

    some = texts[: size.compared]
    expected = peers[0](some)
    compared = {name: _cosine(encode(some), expected) for name, encode in ours.items()}
    claims["min_cosine"] = float(compared["fp32"].min())
    if claims["min_cosine"] < 0.999:
        sys.exit(f"content_extraction: vectors are not the peer's, lowest cosine {claims['min_cosine']:.4f}")

    peak = GemmPeak(device=device)
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    shares, tokens_a_text = [], []
    for turn in range(size.turns):
        some = [texts[row] for row in rng.permutation(len(texts))[: size.turn_texts]]
        lengths = encoder.tokenizer(some).lengths
        work = model_flops(encoder.model.module, lengths)  # type: ignore[attr-defined]
        tokens_a_text.append(float(lengths.mean()))
        names = list(contenders)
        gemm = [peak()]
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            seconds, _ = _seconds(contenders[name], some)
            rates[name].append(len(some) / seconds)
            gemm.append(peak())
        shares.append(work / len(some) * rates["ours, fp32"][-1] / statistics.median(gemm))
    for name, found in rates.items():
        peer = next((p for p in peers if p.name == name), None)
        precision = name.removeprefix("ours, ")
        rows.append(
            {
                "what": name,
                "items_per_second": statistics.median(found),
                "tokens_per_second": statistics.median(found) * statistics.mean(tokens_a_text),
                "times_peer": _median_ratio(found, rates[peers[0].name]),
                **({"batch_size": peer.batch_size} if peer else {}),
                **({"min_cosine": float(compared[precision].min())} if precision in compared else {}),
                **({"median_cosine": float(np.median(compared[precision]))} if precision in compared else {}),
            }
        )
    claims["vs_sentence_transformers"] = _median_ratio(rates["ours, fp32"], rates[peers[0].name])
    claims["share_of_gemm_peak"] = statistics.median(shares)
    if claims["share_of_gemm_peak"] > 1:
        log.print("content_extraction: more than the GEMM peak: the machine is too busy, no ratio here holds")
    for name in rates:
        if name.startswith("ours") and name != "ours, fp32":
            claims["vs_sentence_transformers_fast"] = _median_ratio(rates[name], rates[peers[0].name])


def latency(rows: list[dict[str, Any]], encoder: Encoder, texts: Sequence[str], size: Size) -> None:
    """Milliseconds of `encode` on the warm model, as the stream calls it."""
    for batch in (1, 8, 64):
        taken = []
        for repeat in range(size.latency_repeats):
            some = [texts[(repeat * batch + row) % len(texts)] for row in range(batch)]
            taken.append(_seconds(encoder.encode, some)[0] * 1e3)
        rows.append(
            {
                "what": f"latency, {batch} texts",
                "milliseconds_p50": statistics.median(taken),
                "milliseconds_p95": float(np.percentile(taken, 95)),
            }
        )


def authors_way(
    rows: list[dict[str, Any]], claims: dict[str, float], texts: Sequence[str], folder: Path, size: Size
) -> None:
    """The same small decoder, theirs and ours, in turns."""
    with tempfile.TemporaryDirectory() as place:
        decoder = content_peers.small_decoder(Path(place), folder)
        ours = open_encoder(EncoderConfig(model=str(decoder)), device="cpu")
        theirs = content_peers.AuthorsWay(decoder, ours.spec.max_tokens)
        some = list(texts[: size.decoder_texts])
        lowest = float(_cosine(ours.encode(some), theirs(some)).min())
        if lowest < 0.999:
            sys.exit(f"content_extraction: the decoder's vectors differ, lowest cosine {lowest:.4f}")
        rates: dict[str, list[float]] = {"ours, small decoder": [], "the authors' way, small decoder": []}
        for _ in range(min(size.turns, 3)):
            for name, encode in zip(rates, (ours.encode, theirs), strict=True):
                rates[name].append(len(some) / _seconds(encode, some)[0])
    ratio = _median_ratio(*rates.values())
    rows += [{"what": name, "items_per_second": statistics.median(found)} for name, found in rates.items()]
    claims["vs_authors_way"] = ratio


def read_items(file: str | None, count: int) -> pl.DataFrame:
    """The first items of a file, or of a simulated catalogue."""
    if file is None:
        from learn_features.simulation.world import simulate

        return simulate(items=count, users=10).items
    from learn_features.data.catalogue import Catalogue

    blocks = list(Catalogue(file).blocks())
    if not blocks:
        raise DataError(f"{file}: has no items (--items)")
    return pl.concat(blocks)[:count]


def show(rows: list[dict[str, Any]], claims: dict[str, float]) -> None:
    table = Table("", "measured")
    for row in rows:
        found = [f"{name} {value:,.4g}" for name, value in row.items() if name != "what"]
        table.add_row(row["what"], ", ".join(found))
    out = Console()
    out.print(table)
    for name, value in claims.items():
        out.print(f"{name:30} {value:.4f}")


def _seconds(encode: Contender, texts: Sequence[str]) -> tuple[float, NDArray[np.floating]]:
    started = time.perf_counter()
    vectors = encode(texts)
    return time.perf_counter() - started, vectors


def _median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def _cosine(found: NDArray[np.floating], expected: NDArray[np.floating]) -> NDArray[np.float32]:
    a, b = found.astype(np.float32), expected.astype(np.float32)
    cosine: NDArray[np.float32] = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return cosine


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", metavar="FILE", help="items table (parquet, csv or jsonl)")
    parser.add_argument("--model", metavar="PATH", help="folder of an encoder (default: MiniLM, a wheel)")
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--json", action="store_true", help="one object on stdout and nothing else")
    return parser


if __name__ == "__main__":
    run(main)
