"""Every error circuitviz raises on purpose.

CircuitvizError
├── ConfigError             a value the caller chose is not usable
├── ModelNotFoundError      no embedded model and no folder under that name
│   └── ModelNotFetchedError    a model that a command fetches, which was not fetched yet
├── UnsupportedModelError   the model lacks a hook point, a tokenizer or a chat template we need
├── PromptFileError         a prompts file is missing, empty or malformed
├── RunNotFoundError        no saved run or tuning under that id
├── RunFormatError          a run's or tuning's folder that cannot be read
├── ReportError             a report cannot be made on this machine
├── JobNotFoundError        no submitted discovery or tuning under that id
└── JobCancelledError       control flow: the user pressed Stop

Each message is one line: the value, what was expected, and what to do.
"""


class CircuitvizError(Exception):
    """Base of every error raised on purpose."""


class ConfigError(CircuitvizError):
    """A value the caller chose is not usable."""


class ModelNotFoundError(CircuitvizError):
    """No embedded model and no folder under that name."""


class ModelNotFetchedError(ModelNotFoundError):
    """A model that `circuitviz fetch` brings is not here yet.

    Attributes:
        name: What the command calls it.
    """

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class UnsupportedModelError(CircuitvizError):
    """The model lacks a hook point, a tokenizer or a chat template we need."""


class PromptFileError(CircuitvizError):
    """A prompts file is missing, empty or malformed."""


class RunNotFoundError(CircuitvizError):
    """No saved run or tuning under that id."""


class RunFormatError(CircuitvizError):
    """A run's or tuning's folder that cannot be read."""


class ReportError(CircuitvizError):
    """A report cannot be made on this machine."""


class JobNotFoundError(CircuitvizError):
    """No submitted discovery or tuning under that id."""


class JobCancelledError(CircuitvizError):
    """Control flow: the user pressed Stop."""
