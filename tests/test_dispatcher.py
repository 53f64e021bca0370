"""The dispatcher submits what is requested at once, through Dagster's real web server; whatever else submits the same
request, it runs once.
"""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import dagster as dg
import pytest
from live_project import FAST, SMALL_WORKFLOW, Project, free_port, listens, wait_until
from live_ui import LOCATION
from sensor_ticks import let_lease_run_out, request_of, set_request, tick

from orchestration_project.dispatch.dispatcher import Dispatcher, SubmissionFailed
from orchestration_project.stores import arrivals, batches, run_requests
from orchestration_project.stores.home import Home
from orchestration_project.stores.run_requests import KEY_TAG

QUEUED, SUCCESS = dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.SUCCESS


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Dagster's web server on the small workflow. No daemon: what is submitted waits in Dagster's queue."""
    variables = {**FAST, "PYTHONPATH": str(SMALL_WORKFLOW), "ORCHESTRATE_PORT": str(free_port())}
    project = Project(tmp_path_factory.mktemp("dispatcher") / "home", variables)
    project.home.prepare()
    port = project.home.settings.port
    project.start("dagster_webserver", "-m", LOCATION, "-h", "127.0.0.1", "-p", str(port))
    wait_until(lambda: listens(port), "Dagster's web server")
    yield project
    project.kill()


@pytest.fixture
def instance(project: Project) -> Iterator[dg.DagsterInstance]:
    """Dagster's own stores of the project, without runs of other tests."""
    with dg.DagsterInstance.from_config(str(project.home.dagster)) as instance:
        yield instance
        for run in instance.get_runs():
            instance.delete_run(run.run_id)


@pytest.fixture
def other_home(any_home: Home, project: Project) -> Home:
    """A home of its own, on both databases, whose runs the project's web server submits."""
    return at_port(any_home, project.home.settings.port)


def at_port(home: Home, port: int) -> Home:
    return Home(replace(home.settings, port=port))


def requested(home: Home, text: str = "hello") -> str:
    """Send a message; returns the key of its run's request."""
    arrivals.register(home, arrivals.receive_message(home, {"message_id": text, "text": text}))
    batch = batches.open_next(home)
    assert batch is not None
    return f"{batch}/arrival/1"


def runs_of(instance: dg.DagsterInstance, key: str) -> list[dg.DagsterRun]:
    """The runs that were submitted for a request."""
    return list(instance.get_runs(dg.RunsFilter(tags={KEY_TAG: key})))


def state_of(home: Home, key: str) -> str:
    return request_of(home, key)["state"]


def test_request_becomes_a_run_that_names_it_and_its_partition(other_home: Home, instance: dg.DagsterInstance) -> None:
    key = requested(other_home)
    assert Dispatcher(other_home, pytest.fail).look() == 1
    (run,) = runs_of(instance, key)
    batch = key.split("/")[0]
    assert (run.job_name, run.status, run.tags["dagster/partition"]) == ("workflow", QUEUED, batch)
    assert instance.has_dynamic_partition("batch", batch)
    assert state_of(other_home, key) == "submitted"
    assert Dispatcher(other_home, pytest.fail).look() == 0  # it is leased


def test_whatever_changes_the_ledger_is_found_without_being_told(
    other_home: Home, instance: dg.DagsterInstance
) -> None:
    stop = threading.Event()
    dispatcher = threading.Thread(target=Dispatcher(other_home, print).run, args=[stop])
    dispatcher.start()
    try:
        for text in ("first", "second"):
            key = requested(other_home, text)
            wait_until(lambda key=key: [run.status for run in runs_of(instance, key)] == [QUEUED], "the run")
    finally:
        stop.set()
        dispatcher.join()
    assert state_of(other_home, key) == "submitted"


def test_arrival_that_waits_for_room_is_opened_and_submitted(other_home: Home, instance: dg.DagsterInstance) -> None:
    one = Home(replace(other_home.settings, batches_at_once=1))
    first = requested(one, "first")
    arrivals.register(one, arrivals.receive_message(one, {"message_id": "second", "text": "second"}))
    dispatcher = Dispatcher(one, pytest.fail)
    assert dispatcher.look() == 1
    with one.ledger.write() as connection:
        run_requests.end(connection, first, "succeeded")
    assert dispatcher.look() == 1
    with one.ledger.read() as connection:
        (found,) = run_requests.open_requests(connection)
    assert len(runs_of(instance, found.key)) == 1
    one.ledger.close()


def test_web_server_that_is_away_leaves_the_request_to_others(home: Home) -> None:
    key = requested(home)
    with pytest.raises(SubmissionFailed, match="does not answer"):
        Dispatcher(at_port(home, free_port()), pytest.fail).look()
    assert state_of(home, key) == "requested"


def test_answer_that_breaks_off_leaves_the_request_to_others(home: Home) -> None:
    key = requested(home)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

        with ThreadPoolExecutor(1) as pool:
            broken = pool.submit(answer)
            with pytest.raises(SubmissionFailed, match="does not answer"):
                Dispatcher(at_port(home, server.getsockname()[1]), pytest.fail).look()
            broken.result()
    assert state_of(home, key) == "requested"


def test_run_that_dagster_does_not_launch_is_free_for_the_next_submitter(home: Home, project: Project) -> None:
    key = requested(home)
    set_request(home, key, job="no_such_job")
    with pytest.raises(SubmissionFailed, match="did not launch"):
        Dispatcher(at_port(home, project.home.settings.port), pytest.fail).look()
    with home.ledger.write() as connection:
        found = run_requests.lease_next(connection, 60)
    assert found is not None
    assert found.key == key


def test_failure_is_told_once_and_ends_nothing(home: Home, project: Project, instance: dg.DagsterInstance) -> None:
    told: list[str] = []
    away, stop = at_port(home, free_port()), threading.Event()
    key = requested(home)
    dispatcher = Dispatcher(away, told.append)
    looking = threading.Thread(target=dispatcher.run, args=[stop])
    looking.start()
    try:
        wait_until(lambda: told, "the failure")
        dispatcher._address = f"http://127.0.0.1:{project.home.settings.port}/graphql"  # it comes back
        wait_until(lambda: runs_of(instance, key), "the run")
    finally:
        stop.set()
        looking.join()
    (only,) = told
    assert "Runs wait for Dagster's sensor: Dagster's web server does not answer" in only


def test_ledger_that_cannot_be_used_is_told_in_a_sentence_and_left_to_the_sensor(home: Home) -> None:
    home.ledger.close()
    (home.root / "ledger.db").write_bytes(b"no database, and long enough to be looked at as one")
    told: list[str] = []
    stop = threading.Event()

    def tell(text: str) -> None:
        told.append(text)
        stop.set()

    Dispatcher(home, tell).run(stop)
    (only,) = told
    assert only.startswith(f"Runs wait for Dagster's sensor: The ledger {home.root / 'ledger.db'} ")


def test_proxy_of_the_environment_is_not_asked(
    home: Home, project: Project, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    key = requested(home)
    assert Dispatcher(at_port(home, project.home.settings.port), pytest.fail).look() == 1
    assert len(runs_of(instance, key)) == 1


def test_sensor_leaves_a_run_alone_that_waits_in_the_queue_when_its_lease_runs_out(
    named_home: Home, project: Project, instance: dg.DagsterInstance
) -> None:
    key = requested(named_home)
    Dispatcher(at_port(named_home, project.home.settings.port), pytest.fail).look()
    let_lease_run_out(named_home, key)
    assert tick(instance).run_requests == []
    assert len(runs_of(instance, key)) == 1


def test_request_that_is_submitted_twice_runs_once(project: Project, instance: dg.DagsterInstance) -> None:
    """The daemon runs from here on, with its sensor: the last test."""
    key = requested(project.home, "so angry")
    assert Dispatcher(project.home, pytest.fail).look() == 1
    set_request(project.home, key, state="requested", lease_until=None)
    assert Dispatcher(project.home, pytest.fail).look() == 1
    project.start_daemon()
    both = wait_until(
        lambda: (found := runs_of(instance, key)) and all(run.is_finished for run in found) and found, "both to end"
    )
    assert sorted(run.status.value for run in both) == ["FAILURE", "SUCCESS"]
    (succeeded,) = [run.run_id for run in both if run.status == SUCCESS]
    request = request_of(project.home, key)
    assert (request["state"], request["run_id"]) == ("succeeded", succeeded)
    assert project.rows("note")["text"].tolist() == ["so angry"]
    assert project.rows("complaint")["text"].tolist() == ["so angry"]
    assert project.status() == {"done": 1}
