"""LLM-derived user and item embeddings as a production component of a feature store."""

__version__ = "0.1.0"
