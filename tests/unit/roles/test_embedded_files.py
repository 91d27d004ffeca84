"""Private files of the embedded stack, and what answers on its ports."""
from __future__ import annotations

import getpass
import http.server
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._embedded import files, ports, readiness

ME = getpass.getuser()


def test_a_file_is_written_whole_and_private_and_then_right(tmp_path: Path) -> None:
    path = tmp_path / "new/folder/secret"
    wanted = {str(path): "ü = 1\n"}
    assert files.differing(wanted, ME) == [str(path)]
    files.write(str(path), wanted[str(path)], ME)
    assert path.read_text(encoding="utf-8") == "ü = 1\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert files.differing(wanted, ME) == []
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]


@pytest.mark.parametrize("spoil", [lambda path: path.chmod(0o644), lambda path: path.write_text("other"), lambda path: path.unlink()])
def test_a_file_differs_by_its_content_and_its_mode(tmp_path: Path, spoil: object) -> None:
    path = tmp_path / "file"
    files.write(str(path), "text", ME)
    spoil(path)  # type: ignore[operator]
    assert files.differing({str(path): "text"}, ME) == [str(path)]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    files.write(str(other), "text", ME)
    link = tmp_path / "link"
    link.symlink_to(other)
    assert files.differing({str(link): "text"}, ME) == [str(link)]
    files.write(str(link), "new", ME)
    assert other.read_text() == "text"
    assert not link.is_symlink()


def test_the_files_of_a_user_that_is_not_there_yet_differ(tmp_path: Path) -> None:
    files.write(str(tmp_path / "file"), "text", ME)
    assert files.differing({str(tmp_path / "file"): "text"}, "nobody-of-that-name") == [str(tmp_path / "file")]


def test_the_first_line_of_each_secret_is_read(tmp_path: Path) -> None:
    assert files.first_lines(str(tmp_path / "secrets")) == {}
    (tmp_path / "edited").write_text("one:'\"\n\nthree\n")
    (tmp_path / "generated").write_text("two\u2028more", encoding="utf-8")
    assert files.first_lines(str(tmp_path)) == {"edited": "one:'\"", "generated": "two\u2028more"}


def test_the_owner_of_a_socket_is_named(tmp_path: Path) -> None:
    assert files.owners([str(tmp_path), str(tmp_path / "none")]) == {str(tmp_path): ME}


def test_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 100_000 + b"\nlast \xff line\n")
    assert files.last_lines(str(tmp_path / "log"))[-1] == "last \ufffd line"
    assert files.last_lines(str(tmp_path / "none")) == []


def test_what_listens_is_named_and_a_free_port_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert ports.taken("/nowhere", "mlflow", [port])[port].endswith(f"({os.getpid()})")
    assert ports.taken("/nowhere", "mlflow", [port]) == {}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers who logs in."""

    def do_GET(self) -> None:
        self.send_response(200 if self.headers.get("Authorization") == "Basic YWRtaW46cMOk" else 401)
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


def test_a_server_is_ready_when_it_lets_one_in() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/health"
        assert readiness.url_answers(url, "admin", "pä")
        assert not readiness.url_answers(url)
        server.shutdown()
    assert not readiness.url_answers(url)


def test_waiting_ends_when_there_is_nothing_to_wait_for() -> None:
    answers = iter([False, False, True])
    assert readiness.comes_true(lambda: next(answers), 60, lambda: False)
    assert not readiness.comes_true(lambda: False, 60, lambda: True)
    assert not readiness.comes_true(lambda: False, 0, lambda: False)
    assert readiness.command_succeeds(["true"])
    assert not readiness.command_succeeds(["false"])
