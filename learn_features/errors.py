"""Every error this package raises on purpose; the class names the reaction.

LearnFeaturesError              base; a message for a person: what, where, what to do
├── ConfigError                 stop: learn.yaml, an environment variable or an argument is wrong
├── MissingDependency           stop: an extra or a program is not installed
├── DataError                   stop: a table or file breaks the data contract
├── BundleError                 stop: a bundle is incomplete, altered or of an unknown format
├── SpaceMismatch               stop: two embedding spaces, encoders or rules would be mixed
├── GateFailed                  stop: a quality, parity or coverage gate refused the release
├── DeploymentError             stop: the deployment document is invalid or the change not allowed
│   └── DeploymentConflict      retry: somebody else wrote the next version first
├── CheckpointError             stop: the online store was never filled, was lost, or the log moved on
├── BadRecord                   dead-letter: one record of a stream cannot be used
├── StoreUnavailable            slow down and retry: a store or broker does not answer
└── ServiceError                stop: a local broker or Redis did not start, or a peer in training is gone
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class LearnFeaturesError(Exception):
    """Base of all errors meant for people; the command line prints it without a traceback."""


class ConfigError(LearnFeaturesError):
    """learn.yaml, an environment variable or an argument is wrong."""

    @classmethod
    def of(cls, section: str, error: "ValidationError") -> "ConfigError":
        """What is wrong with which fields of `section`."""
        return cls("; ".join(problems(error, section, named=True)))


class MissingDependency(LearnFeaturesError):
    """An extra of setup.cfg or a program is not installed."""


class DataError(LearnFeaturesError):
    """A table or file breaks the data contract; names file, column, count and first rows."""


class BundleError(LearnFeaturesError):
    """A bundle is incomplete, altered or of an unknown format."""


class SpaceMismatch(LearnFeaturesError):
    """Two embedding spaces, encoders or history rules would be mixed."""


class GateFailed(LearnFeaturesError):
    """A quality, parity or coverage gate refused the release."""


class DeploymentError(LearnFeaturesError):
    """The deployment document is invalid, or the change is not allowed in its state."""


class DeploymentConflict(DeploymentError):
    """Another writer created the next document version first: read again and retry."""


class CheckpointError(LearnFeaturesError):
    """The online store was never filled, was lost, or the log no longer reaches back far enough."""


class BadRecord(LearnFeaturesError):
    """One record of a stream cannot be used; it goes to the dead-letter topic with this reason."""


class StoreUnavailable(LearnFeaturesError):
    """A store or broker does not answer; nothing was lost, try again later."""


class ServiceError(LearnFeaturesError):
    """A local broker or Redis did not start, or a process that this one trains with is gone."""


def problems(error: "ValidationError", whole: str, *, named: bool = False) -> list[str]:
    """A line for each field that is wrong; `whole` has the fields, and is before each of them if `named`."""
    found = []
    for problem in error.errors():
        path = ".".join(map(str, (*[whole][:named], *problem["loc"])))
        found.append(f"{path or whole}: {problem['msg'].removeprefix('Value error, ')}")
    return found
