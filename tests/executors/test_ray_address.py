"""An address where no Ray cluster answers is refused, before Ray waits for it."""

import contextlib
import socket
import threading

import pytest

from gradjax.errors import Refusal
from gradjax.executors import ray_address
from gradjax.sweeps import workers
from gradjax.types import Sweep

SETTINGS = b"\0\0\6\4\0\0\0\0\0\0\4\0\0\xff\xff"  # the first frame of HTTP/2
GOAWAY = b"\0\0\0\7\0\0\0\0\0"


@contextlib.contextmanager
def server(content):
    """The address of a server that says this, and nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(1)
                    connection.sendall(content)
                    connection.recv(1_000)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            thread.join(5)


def test_a_server_of_grpc_is_taken():
    with server(SETTINGS) as address:
        ray_address.check(address)
    with server(SETTINGS) as address:
        ray_address.check(f"ray://{address}")


@pytest.mark.parametrize("content", [b"HTTP/1.1 400 Bad", GOAWAY, b"\0\0", b""])
def test_another_server_is_refused(content, monkeypatch):
    monkeypatch.setattr(ray_address, "_CONNECT_S", 0.2)
    with server(content) as address, pytest.raises(Refusal, match="ray_address=127"):
        ray_address.check(address)


def test_nothing_and_nonsense_are_refused(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(Refusal, match=f"127.0.0.1:{port}: does not answer"):
        ray_address.check(f"127.0.0.1:{port}")
    for wrong in ("head", "head:", ":6379", "head:1e3", "127.0.0.1:99999999"):
        with pytest.raises(Refusal, match="HOST:PORT|does not answer"):
            ray_address.check(wrong)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    asked = Sweep(executor="ray", ray_address="auto")
    with pytest.raises(Refusal, match=f"127.0.0.1:{port}: does not answer"):
        workers.check(asked)
    monkeypatch.delenv("RAY_ADDRESS")
    workers.check(asked)  # Ray finds a cluster of this machine itself
