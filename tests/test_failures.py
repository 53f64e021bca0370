"""Which failures may pass: the table of errors, a line for each."""

import errno
import socket
import urllib.request
from email.message import Message
from http.client import IncompleteRead
from urllib.error import HTTPError, URLError

import pytest

from orchestration_project.core.errors import NoChampion, PerformerFailed, PerformerTimeout, PerformerUnavailable
from orchestration_project.performers.failures import PASSING_ERRNOS, PASSING_STATUSES, TRANSIENT, is_transient


def answered(status: int) -> HTTPError:
    return HTTPError("http://127.0.0.1", status, "", Message(), None)


PASSES: list[BaseException] = [
    PerformerUnavailable("busy"),
    PerformerTimeout("slow"),
    TimeoutError(),
    ConnectionError(),
    ConnectionRefusedError(),
    ConnectionResetError(),
    BrokenPipeError(),
    IncompleteRead(b""),
    URLError(TimeoutError()),
    URLError(ConnectionRefusedError()),
    socket.gaierror(socket.EAI_AGAIN, "try again"),
    *(answered(status) for status in PASSING_STATUSES),
    *(OSError(number, "") for number in PASSING_ERRNOS),
]

STAYS: list[BaseException] = [
    PerformerFailed("no"),
    NoChampion("train first"),
    ValueError(),
    KeyError(),
    MemoryError(),
    AssertionError(),
    FileNotFoundError(errno.ENOENT, ""),
    PermissionError(errno.EACCES, ""),
    OSError(errno.ENOSPC, ""),
    OSError("without a number"),
    URLError("unknown url type"),
    URLError(ValueError()),
    socket.gaierror(socket.EAI_NONAME, "no such name"),
    *(answered(status) for status in (400, 401, 403, 404, 413, 422, 501)),
]


@pytest.mark.parametrize("error", PASSES, ids=repr)
def test_a_failure_that_may_pass(error: BaseException) -> None:
    assert is_transient(error)


@pytest.mark.parametrize("error", STAYS, ids=repr)
def test_a_failure_that_stays(error: BaseException) -> None:
    assert not is_transient(error)


def test_every_row_of_the_table_is_tried_and_none_stands_behind_a_wider_one() -> None:
    errors = [*PASSES, *STAYS]
    firsts = {next((row for row in TRANSIENT if isinstance(error, row.error)), None) for error in errors}
    assert firsts == {*TRANSIENT, None}


def test_a_port_that_nobody_listens_on_may_be_open_later() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(URLError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert is_transient(refused.value)
