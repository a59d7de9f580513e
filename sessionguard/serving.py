"""A guarded application for server command lines that take an app factory.

SESSIONGUARD_APP=mymodule:app uvicorn --factory sessionguard.serving:create_app
"""

from __future__ import annotations

import importlib
import operator
import os

from sessionguard import ConfigurationError, SessionGuard
from sessionguard.settings import APP_VARIABLE


def create_app() -> SessionGuard:
    """Return `SessionGuard(app)` for the application `SESSIONGUARD_APP` names as `module:attribute`.

    Raises ConfigurationError when the variable is missing, malformed, or names nothing that can be imported.
    """
    target = os.environ.get(APP_VARIABLE, "")
    module_name, colon, attribute = target.partition(":")
    if not (module_name and colon and attribute) or module_name.startswith("."):
        raise ConfigurationError(f"{APP_VARIABLE}={target!r} must name the application to guard, as module:attribute")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(
            f"{APP_VARIABLE}={target}: there is no module {error.name}; is its directory on PYTHONPATH?"
        ) from error
    try:
        app = operator.attrgetter(attribute)(module)
    except AttributeError as error:
        raise ConfigurationError(f"{APP_VARIABLE}={target}: {module_name} has no attribute {attribute}") from error
    if not callable(app):
        raise ConfigurationError(f"{APP_VARIABLE}={target}: {attribute} is no application but {type(app).__name__}")
    return SessionGuard(app)
