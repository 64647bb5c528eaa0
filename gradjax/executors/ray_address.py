"""Whether a Ray cluster answers at an address, without Ray."""

import os
import socket

from gradjax.errors import Refusal

_PORT = 6379  # of the head of a cluster
_CONNECT_S = 10.0  # in which an address must answer
# What a client of HTTP/2 sends first: its preface and a frame SETTINGS without any.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


def check(address: str) -> None:
    """Refuses an address where no Ray cluster answers; Ray itself waits for minutes.

    A cluster speaks gRPC, so its server begins with a frame SETTINGS of HTTP/2 (RFC
    9113, section 3.4). Where Ray uses TLS, only the connection is tried.

    Args:
      address: as `Asked` has it; "auto" stands for $RAY_ADDRESS, and is not checked
        where this is not set, because Ray finds a cluster of this machine at once.

    Raises:
        Refusal: the line says what is wrong.
    """
    known = address if address != "auto" else os.environ.get("RAY_ADDRESS", "auto")
    if known in ("", "auto", "local"):
        return
    host, _, port = known.rpartition("://")[2].rpartition(":")
    if not (host and port.isdecimal()):
        raise Refusal(
            f"--ray_address={known}: is not HOST:PORT; the usual port is {_PORT}"
        )
    try:
        place = (host.strip("[]"), int(port))
        with socket.create_connection(place, timeout=_CONNECT_S) as connection:
            connection.settimeout(_CONNECT_S)
            is_ray = os.environ.get("RAY_USE_TLS", "0") != "0" or _is_grpc(connection)
    except (OSError, OverflowError, UnicodeError) as error:
        raise Refusal(f"--ray_address={known}: does not answer ({error})") from error
    if not is_ray:
        raise Refusal(f"--ray_address={known}: something answers, but not Ray")


def _is_grpc(connection: socket.socket) -> bool:
    """Returns whether a server begins as HTTP/2 does."""
    connection.sendall(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, *[0] * 5])
    )
    head = b""
    while len(head) < 9 and (part := connection.recv(9 - len(head))):
        head += part
    return len(head) == 9 and head[3] == 4 and not any(head[4:])
