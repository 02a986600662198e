"""Feature views of every space that the deployment document does not call retired."""

from settings import CONFIG, DOCUMENT

from learn_features.features import declarations

globals().update(declarations.feature_views(CONFIG, DOCUMENT))
