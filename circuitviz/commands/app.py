"""`circuitviz app`: the app, served on this machine alone."""

from __future__ import annotations

import argparse
import os
import socket
import sys

from circuitviz.commands.backend import Backend
from circuitviz.commands.options import RUNS, Reply, command, option
from circuitviz.commands.output import say_on_stderr
from circuitviz.errors import ConfigError
from circuitviz.files import APP, runs_folder

DEFAULT_PORT = 8501


@command(
    "app",
    "serve the app on this machine",
    option("--port", type=int, default=DEFAULT_PORT, metavar="P"),
    RUNS,
)
def serve_app(options: argparse.Namespace, backend: Backend) -> Reply:
    """Become the server, if the port can be had."""
    if not APP.is_file():
        raise ConfigError(f"no app at {APP}; run it from a clone, where `make app` sets it up")
    _require_free(options.port)
    os.environ["CIRCUITVIZ_RUNS"] = str(runs_folder(options.runs).resolve())
    flags = {
        "server.address": "127.0.0.1",
        "server.port": options.port,
        "server.showEmailPrompt": "false",
        "browser.gatherUsageStats": "false",
    }
    say_on_stderr(f"serving on http://127.0.0.1:{options.port} (Ctrl-C stops)")
    settings = [f"--{name}={value}" for name, value in flags.items()]
    backend.exec_process(sys.executable, ["-m", "streamlit", "run", str(APP), *settings])
    return Reply()


def _require_free(port: int) -> None:
    """Refuse a port that cannot be served."""
    if not 1 <= port <= 65535:
        raise ConfigError(f"--port must be between 1 and 65535; got {port}")
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"cannot serve on port {port} ({error.strerror}); choose another with --port"
            ) from error
