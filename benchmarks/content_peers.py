"""What content extraction is compared with: sentence-transformers, and the way of the method's authors."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer

BATCH_SIZES = (4, 8, 16, 32)


class SentenceTransformers:
    """sentence-transformers with its torch backend in fp32, mean pooling, at its best batch size."""

    name = "sentence-transformers, torch"

    def __init__(self, model: Path, max_tokens: int, device: str, trial: Sequence[str]) -> None:
        transformer = Transformer(str(model), max_seq_length=max_tokens)
        pooling = Pooling(transformer.get_word_embedding_dimension(), "mean")
        self._model = SentenceTransformer(modules=[transformer, pooling], device=device)
        self.batch_size = best_batch_size(self, trial)

    def __call__(self, texts: Sequence[str], batch_size: int | None = None) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._model.encode(
            list(texts), batch_size=batch_size or self.batch_size, show_progress_bar=False
        )
        return found


class OnnxSentenceTransformers(SentenceTransformers):
    """The same with the model in ONNX Runtime, as its ONNX backend has it.

    The backend itself needs transformers below 4.58 (through optimum-onnx), so the graph is exported here and
    put in the place of the torch model: its tokenising, sorting, batches and pooling are its own.
    """

    name = "sentence-transformers, ONNX"

    def __init__(self, model: Path, max_tokens: int, device: str, trial: Sequence[str]) -> None:
        self.batch_size = BATCH_SIZES[0]
        transformer = Transformer(str(model), max_seq_length=max_tokens)
        width = transformer.get_word_embedding_dimension()
        inner = transformer.auto_model if hasattr(transformer, "auto_model") else transformer.model
        transformer.forward = _onnx_forward(inner, max_tokens)
        self._model = SentenceTransformer(modules=[transformer, Pooling(width, "mean")], device=device)
        self.batch_size = best_batch_size(self, trial)


def best_batch_size(peer: SentenceTransformers, trial: Sequence[str]) -> int:
    """The one of `BATCH_SIZES` with which `trial` takes least."""
    seconds = {}
    for _ in range(2):
        for size in BATCH_SIZES:
            started = time.perf_counter()
            peer(trial, size)
            seconds[size] = min(time.perf_counter() - started, seconds.get(size, np.inf))
    return min(seconds, key=lambda size: seconds[size])


class AuthorsWay:
    """A decoder with its LM head, a text at a time, hidden states averaged and written as text.

    Plainly as in the published code of such methods: one prompt a call, all logits computed, the vector's
    numbers formatted one by one into a line.
    """

    def __init__(self, folder: Path, max_tokens: int) -> None:
        from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

        self._tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
        self._model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self._max_tokens = max_tokens

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        with tempfile.NamedTemporaryFile("w+") as file:
            for row, text in enumerate(texts):
                inputs = self._tokenizer(
                    text, truncation=True, max_length=self._max_tokens, return_tensors="pt"
                )
                out = self._model(input_ids=inputs["input_ids"], output_hidden_states=True)
                vector = out.hidden_states[-1][0].mean(dim=0)
                file.write(f"{row}:" + " ".join(str(float(x)) for x in vector) + "\n")
            file.seek(0)
            return np.array([[float(x) for x in line.split(":")[1].split()] for line in file], np.float32)


def small_decoder(folder: Path, tokenizer: Path) -> Path:
    """A Qwen3 of 4 layers, 256 wide, with the vocabulary of its family (151,936) and random weights."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    shape = Qwen3Config(
        vocab_size=151_936,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=1_024,
        tie_word_embeddings=True,
    )
    Qwen3ForCausalLM(shape).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((tokenizer / "tokenizer.json").read_bytes())
    return folder


def _onnx_forward(model: Any, max_tokens: int) -> Any:
    import onnxruntime

    class Hidden(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
            return hidden

    example = torch.ones(3, 17, dtype=torch.long)
    names = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/model.onnx"
        torch.onnx.export(
            Hidden().eval(),
            (example, example),
            dynamo=True,
            dynamic_shapes={"ids": names, "mask": names},
            input_names=["ids", "mask"],
            output_names=["hidden"],
            external_data=False,
            verbose=False,
        ).save(file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def forward(features: dict[str, Any], **_: Any) -> dict[str, Any]:
        inputs = {"ids": features["input_ids"].numpy(), "mask": features["attention_mask"].numpy()}
        features["token_embeddings"] = torch.from_numpy(session.run(None, inputs)[0])
        return features

    return forward
