"""Who features belong to."""

from learn_features.features import declarations

user = declarations.USER
item = declarations.ITEM
