"""Small decoder models of two families with random weights, in folders as a hub would have them."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

WORDS = ["Item title is running shoe lamp coffee machine belongs to brand price " * 3, "钢笔 и ручка é"]
FAMILIES = ("llama", "qwen3")


def write_decoder(folder: Path, family: str, *, padding_side: str = "right") -> Path:
    """A model of 3 layers; Llama's texts begin with a special token, Qwen's have none."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(WORDS, trainer)
    if family == "llama":
        tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])
    shape = {
        "vocab_size": 400,
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.2,  # attention that is far from an average
    }
    torch.manual_seed(0)
    if family == "llama":
        model = LlamaModel(LlamaConfig(**shape))
    else:
        model = Qwen3Model(Qwen3Config(**shape, head_dim=16))
    model.save_pretrained(folder, safe_serialization=True)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, padding_side=padding_side, pad_token="<s>", eos_token="<s>"
    )
    wrapped.save_pretrained(folder)
    return folder
