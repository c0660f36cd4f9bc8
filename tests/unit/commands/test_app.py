"""`app`: what it serves, and where."""

from __future__ import annotations

import socket
import sys

from circuitviz.cli import main
from tests.fake_library import FakeLibrary


def test_app_serves_on_this_machine_only(monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr("circuitviz.commands.app.APP", tmp_path / "app.py")
    (tmp_path / "app.py").touch()
    library = FakeLibrary()
    assert main(["app", "--port", str(port)], library) == 0
    assert library.program is not None
    program, arguments = library.program
    assert program == sys.executable
    assert arguments[:4] == ["-m", "streamlit", "run", str(tmp_path / "app.py")]
    assert "--server.address=127.0.0.1" in arguments
    assert f"--server.port={port}" in arguments
    assert "--browser.gatherUsageStats=false" in arguments


def test_app_on_a_port_in_use_says_so(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("circuitviz.commands.app.APP", tmp_path / "app.py")
    (tmp_path / "app.py").touch()
    library = FakeLibrary()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert main(["app", "--port", str(port)], library) == 2
    assert f"cannot serve on port {port}" in capsys.readouterr().err
    assert library.program is None


def test_app_without_its_pages_says_where_they_are(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("circuitviz.commands.app.APP", tmp_path / "app.py")
    assert main(["app"], FakeLibrary()) == 2
    assert "run it from a clone" in capsys.readouterr().err
