"""One FeatureService per ranker version. A repository of your own takes everything in with one line:

globals().update(declarations.feature_objects(CONFIG, DOCUMENT))
"""

from settings import CONFIG, DOCUMENT

from learn_features.features import declarations

globals().update(declarations.feature_services(declarations.feature_views(CONFIG, DOCUMENT), DOCUMENT))
