"""`app`: what it serves, and where."""

from __future__ import annotations

import socket
import sys

import pytest

from tests.support.fake_backend import FakeBackend


@pytest.fixture(autouse=True)
def app(monkeypatch, tmp_path):
    monkeypatch.setattr("circuitviz.commands.app.APP", tmp_path / "app.py")
    (tmp_path / "app.py").touch()
    return tmp_path / "app.py"


def test_app_serves_on_this_machine_only(call, app):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    backend = FakeBackend()
    call("app", "--port", port, backend=backend)
    assert backend.program is not None
    program, arguments = backend.program
    assert program == sys.executable
    assert arguments[:4] == ["-m", "streamlit", "run", str(app)]
    assert "--server.address=127.0.0.1" in arguments
    assert f"--server.port={port}" in arguments
    assert "--browser.gatherUsageStats=false" in arguments


def test_app_on_a_port_in_use_says_so(call):
    backend = FakeBackend()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        printed = call("app", "--port", port, backend=backend, code=2)
    assert f"cannot serve on port {port}" in printed.err
    assert backend.program is None


def test_app_without_its_pages_says_where_they_are(call, app):
    app.unlink()
    assert "run it from a clone" in call("app", code=2).err
