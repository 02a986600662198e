"""CEX, content extraction: item text → content vector of a frozen text encoder.

templates   item fields → the text an encoder reads
spec        an encoder's identity from its configuration
sources     where an encoder's files are, and what identifies them
precision   which precisions a device runs natively
tokens      the encoder's tokenizer, without torch
batches     texts of like length together, bounded by tokens
attention   many texts in one row, each seeing itself alone
torch_model the frozen model in torch: fp32, bf16, fp16 (folded_bert: less work for BERT-like ones on a CPU)
int8_model  the frozen model in ONNX Runtime: int8 on CPUs
encoder     texts → vectors, tokenised ahead; what the stream calls (speed: for its progress bar)
store       content vectors on disk, append-only (shards, key_index)
compaction  many small shards → few sorted ones
lookup      overlay of new items → store; what serving reads
catalogue_embedder  what is new or changed among items → shards (bad_items)
checked     one finite vector an item
embed       a whole catalogue, and what was done with it
ray_engine  the same on many machines
"""
