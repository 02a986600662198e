"""CEX, content extraction: item text → content vector of a frozen text encoder.

templates   item fields → the text an encoder reads
sources     where an encoder's files are, and what identifies them
tokens      the encoder's tokenizer, without torch
encoder     the frozen encoder (torch)
store       content vectors on disk, append-only
lookup      overlay of new items → store; what serving reads
embed       a whole catalogue, only what is new or changed
"""
