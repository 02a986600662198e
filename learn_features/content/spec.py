"""An encoder's identity from its configuration, without loading the model."""

from learn_features.config import EncoderConfig
from learn_features.content import sources, templates
from learn_features.contracts.manifest import EncoderSpec


def encoder_spec(config: EncoderConfig) -> EncoderSpec:
    """Everything that changes a content vector; reads the weights' digest (0.1 s for MiniLM, once)."""
    source = sources.locate(config)
    template = templates.resolve(config.template)
    return EncoderSpec(
        model=source.name,
        revision=source.revision,
        template=template,
        pooling=config.pooling,
        normalize=config.normalize,
        max_tokens=config.max_tokens,
        description_tokens=templates.description_tokens(template, config.description_tokens),
        precision=config.precision,
        dimension=source.dimension,
    )
