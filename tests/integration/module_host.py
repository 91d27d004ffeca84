"""Run modules in forks of a process that has imported what is not the collection's.

    module_host.py SOCKET

A module's process spends most of its CPU time on importing Ansible's ``module_utils``, boto3 and psycopg2. Here that is done once. A connection to
SOCKET takes one request, a JSON object of ``module`` (its name in the collection), ``input``, ``environment`` and ``folder``, up to its end of file,
and answers with ``status``, ``stdout`` and ``stderr``. The process ends when its standard input is closed.
"""
from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from typing import Any, NoReturn

IMPORTS = ("ansible.module_utils.basic", "boto3", "psycopg2")


def run(request: dict[str, Any], stdin: int, stdout: int, stderr: int) -> NoReturn:
    """Be the module's process."""
    for number, descriptor in enumerate((stdin, stdout, stderr)):
        os.dup2(descriptor, number)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    name = f"ansible_collections.mlops.mlflow.plugins.modules.{request['module']}"
    sys.argv = [name]
    status = 0
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # as Python itself does with any exception
        sys.excepthook(*sys.exc_info())
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def serve(connection: socket.socket) -> None:
    """Run one module, and send what it came to."""
    with connection, connection.makefile("rb") as reader:
        request = json.load(reader)
        stdin, stdout, stderr = (os.memfd_create(name) for name in ("stdin", "stdout", "stderr"))
        os.write(stdin, request["input"].encode())
        os.lseek(stdin, 0, os.SEEK_SET)
        pid = os.fork()
        if pid == 0:
            run(request, stdin, stdout, stderr)
        _pid, status = os.waitpid(pid, 0)
        said = {name: os.pread(file, os.fstat(file).st_size, 0).decode() for name, file in (("stdout", stdout), ("stderr", stderr))}
        connection.sendall(json.dumps({"status": os.waitstatus_to_exitcode(status), **said}).encode())


def main() -> None:
    """Import, listen, and fork for each connection."""
    for name in IMPORTS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{sys.argv[1]}.new")
        listener.listen(64)
        os.rename(f"{sys.argv[1]}.new", sys.argv[1])  # who sees it can connect
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _address = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                serve(connection)
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main()
