"""The `ussd` command: what is typed, what it says, and the service that it starts."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.commands import ROOT, environment, ussd
from ussd_engine.processes import FEWEST

FLOWS = ROOT / "flows"
WITHIN_S = 60
BROKEN = """\
flow: greeting
dial: ["*123#"]
languages: [en]
start: hello
states:
  hello:
    menu: {en: Hello}
    options:
      - {text: {en: Leave}, goto: goodby}
  goodbye:
    end: {en: Goodbye}
"""


@dataclass(frozen=True)
class Service:
    """A running `ussd serve`; `said` is what it printed for a person."""

    process: subprocess.Popen[str]
    port: int
    said: str
    data_dir: Path

    def post(self, path: str, body: str, headers: dict[str, str]) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WITHIN_S)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


def in_a_process(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """For what starts as a service does, and for the command as it is installed."""
    return subprocess.run(
        [sys.executable, "-m", "ussd_engine", *arguments],
        capture_output=True,
        text=True,
        env=environment(settings),
        cwd=ROOT,
        timeout=WITHIN_S,
        check=False,
    )


@contextmanager
def serving(data_dir: Path, **settings: str) -> Iterator[Service]:
    command = [sys.executable, "-m", "ussd_engine", "serve", "--config", "config.yaml", "--port", "0"]
    settings = {"data_dir": str(data_dir), **settings}
    with (
        (data_dir / "log").open("w") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment(settings), cwd=ROOT
        ) as process,
    ):
        try:
            assert process.stdout
            said = ""
            while not said.rstrip().endswith("play --config config.yaml"):
                line = process.stdout.readline()
                assert line, (data_dir / "log").read_text()
                said += line
            found = re.search(r"runs at http://127\.0\.0\.1:(\d+)", said)
            assert found
            yield Service(process, int(found[1]), said, data_dir)
        finally:
            process.terminate()
            process.wait(WITHIN_S)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


def callback(phone_number: str, session_id: str) -> str:
    fields = {"sessionId": session_id, "phoneNumber": phone_number, "networkCode": "63902"}
    return urlencode(fields | {"serviceCode": "*384*100#", "text": ""})


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


# --- check


def test_a_clean_check_says_what_was_checked() -> None:
    """Silence could mean that nothing was found to check, so flows, states, languages and revision are named."""
    run = ussd("check", "flows/")

    assert run.returncode == 0
    pattern = r"flows: \d+ flows, \d+ states, languages en, sw, revision [0-9a-f]{16}: no findings\n"
    assert re.fullmatch(pattern, run.stdout)


def test_without_a_path_the_folder_flows_is_checked() -> None:
    """`ussd check` alone is what an author types."""
    assert ussd("check").stdout == ussd("check", "flows").stdout


def test_findings_stand_at_file_line_and_column_with_a_way_to_mend_them(tmp_path: Path) -> None:
    """A wrong goto exits with 1, and says where it stands and what was meant."""
    (tmp_path / "greeting.yaml").write_text(BROKEN)

    run = ussd("check", str(tmp_path))

    assert run.returncode == 1
    assert f"{tmp_path}/greeting.yaml:9:35: error F201 " in run.stdout
    assert "did you mean 'goodbye'?" in run.stdout
    assert run.stdout.endswith("1 error\n")


def test_findings_as_json_are_one_array(tmp_path: Path) -> None:
    """A tool reads every finding with its place; a clean folder is the empty array."""
    (tmp_path / "greeting.yaml").write_text(BROKEN)

    found = json.loads(ussd("check", str(tmp_path), "--format", "json").stdout)

    assert [(each["code"], each["line"], each["column"]) for each in found] == [("F201", 9, 35)]
    assert json.loads(ussd("check", "--format", "json").stdout) == []


def test_findings_for_github_are_workflow_commands(tmp_path: Path) -> None:
    """GitHub shows each finding beside its line."""
    (tmp_path / "greeting.yaml").write_text(BROKEN)

    run = ussd("check", str(tmp_path), "--format", "github")

    assert run.returncode == 1
    assert run.stdout.startswith(f"::error file={tmp_path}/greeting.yaml,line=9,col=35,title=F201::")


def test_findings_as_sarif_are_one_run(tmp_path: Path) -> None:
    """A code host gets a document in any case: with what was found, or with nothing."""
    (tmp_path / "greeting.yaml").write_text(BROKEN)

    run = ussd("check", str(tmp_path), "--format", "sarif")
    clean = ussd("check", "--format", "sarif")

    assert run.returncode == 1
    assert [found["ruleId"] for found in json.loads(run.stdout)["runs"][0]["results"]] == ["F201"]
    assert clean.returncode == 0
    assert json.loads(clean.stdout)["runs"][0]["results"] == []


def test_many_flows_have_the_findings_of_each_in_order(tmp_path: Path) -> None:
    """Which are checked in several processes, where there are CPUs for them."""
    for number in range(2 * FEWEST):
        text = BROKEN.replace("greeting", f"greeting_{number}").replace("*123#", f"*123*{number}#")
        text = text.replace("goodby}", "goodbye}") if number % 2 else text
        (tmp_path / f"{number:02}.yaml").write_text(text)
    told = in_a_process("check", str(tmp_path), "--format", "json")
    found = [(Path(finding["file"]).name, finding["code"]) for finding in json.loads(told.stdout)]
    assert found == [(f"{number:02}.yaml", "F201") for number in range(0, 2 * FEWEST, 2)]


@pytest.mark.parametrize("code", ["F201", "f201"])
def test_a_code_is_explained(code: str) -> None:
    """What a code means and how to mend it is read where the code was met."""
    run = ussd("check", "--explain", code)

    assert run.returncode == 0
    assert run.stdout.startswith("F201 Unknown state\n")
    assert "To mend it: " in run.stdout


@pytest.mark.parametrize(
    ("code", "hint"), [("F2O1", "did you mean 'F201'?"), ("nonsense", "codes look like F201")]
)
def test_a_code_that_there_is_not_exits_with_2(code: str, hint: str) -> None:
    """A slip of the keyboard is told as such."""
    run = ussd("check", "--explain", code)

    assert run.returncode == 2
    assert f"'{code}' is not the code of a rule; {hint}" in run.stderr


@pytest.mark.parametrize("path", ["nowhere", "config.yaml"])
def test_a_check_that_cannot_run_exits_with_2(path: str) -> None:
    """A pipeline must not take a folder that is not there for a clean one, nor for one with findings."""
    run = ussd("check", path)

    assert run.returncode == 2
    assert path in run.stderr
    assert "Traceback" not in run.stderr


# --- schema


def test_the_schema_is_printed_or_written(tmp_path: Path) -> None:
    """The file that an editor is pointed at is what the terminal shows."""
    printed, file = ussd("schema"), tmp_path / "flow.schema.json"
    written = ussd("schema", "--output", str(file))

    assert (printed.returncode, written.returncode, written.stdout) == (0, 0, "")
    assert file.read_text() == printed.stdout
    assert json.loads(printed.stdout)["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_a_schema_that_cannot_be_written_exits_with_2(tmp_path: Path) -> None:
    """A folder that is not there is told, with the path."""
    run = ussd("schema", "--output", str(tmp_path / "nowhere" / "x.json"))

    assert run.returncode == 2
    assert "nowhere/x.json cannot be written: No such file or directory" in run.stderr


# --- the command itself


def test_the_version_is_that_of_the_package() -> None:
    """Support asks for it first."""
    assert re.fullmatch(r"ussd-engine \d+\.\d+\.\d+\n", in_a_process("--version").stdout)


@pytest.mark.parametrize("arguments", [["--version"], ["check"], ["schema"], ["serve", "--help"]])
def test_what_an_author_types_often_starts_without_the_service(arguments: list[str]) -> None:
    """No server, database or workflow library is imported to check a flow or to show help."""
    heavy = "{'dbos', 'sqlalchemy', 'aiohttp', 'redis', 'alembic'}"
    code = (
        "import sys\nfrom ussd_engine.cli import app\n"
        f"try: app({arguments})\n"
        f"except SystemExit as end: assert not end.code, end.code\nprint('imported:', {heavy} & {{*sys.modules}})"
    )

    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=WITHIN_S, check=False
    )

    assert run.stdout.endswith("imported: set()\n"), run.stderr


@pytest.mark.parametrize("command", ["serve", "check", "schema", "play"])
def test_every_command_explains_itself(command: str) -> None:
    """`--help` exits with 0 and shows how the command is used."""
    run = ussd(command, "--help")

    assert run.returncode == 0
    assert f"Usage: ussd {command} [OPTIONS]" in run.stdout


# --- serve: what stops it from starting


def test_wrong_settings_are_all_told_and_nothing_starts(tmp_path: Path) -> None:
    """Each finding names its file, line and column, or its variable; exit 2, and no file is made."""
    config = tmp_path / "config.yaml"
    config.write_text("server:\n  prot: 8080\n")

    run = ussd("serve", "--config", str(config), redis__timeout_s="soon")

    assert run.returncode == 2
    assert "config.yaml:2:3: error C104" in run.stderr
    assert "USSD__REDIS__TIMEOUT_S" in run.stderr
    assert "Traceback" not in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_a_config_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Somebody who names a file wants that one, not the defaults."""
    run = ussd("serve", "--config", str(tmp_path / "missing.yaml"))

    assert run.returncode == 2
    assert "missing.yaml" in run.stderr


def test_a_service_does_not_start_on_broken_flows(tmp_path: Path) -> None:
    """The findings are those of `ussd check`, and the exit status is 2, as nothing ran."""
    (tmp_path / "greeting.yaml").write_text(BROKEN)

    run = in_a_process(
        "serve", "--config", "config.yaml", flows__dir=str(tmp_path), data_dir=str(tmp_path / "var")
    )

    assert run.returncode == 2
    assert "greeting.yaml:9:35: error F201 " in run.stderr
    assert "Traceback" not in run.stderr


def test_a_port_in_use_is_said_with_what_to_do(tmp_path: Path) -> None:
    """Exit 2, the address named, and the way to take another one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        run = in_a_process("serve", "--config", "config.yaml", "--port", port, data_dir=str(tmp_path))

    assert run.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in run.stderr
    assert "--port" in run.stderr
    assert "Traceback" not in run.stderr


def test_two_services_never_share_one_data_dir(service: Service) -> None:
    """The second is told who is in the way, and exits with 2."""
    run = ussd("serve", "--config", "config.yaml", "--port", "0", data_dir=str(service.data_dir))

    assert run.returncode == 2
    assert "in use by another service" in run.stderr
    assert "Traceback" not in run.stderr


# --- serve: running


def test_a_started_service_says_where_it_is_and_a_dial_is_answered_there(service: Service) -> None:
    """The callback URL that is printed is the one for the gateway."""
    assert f"http://127.0.0.1:{service.port}/ussd/africastalking\n" in service.said

    status, body = service.post("/ussd/africastalking", callback("+254711000001", "ATUid_1"), FORM)

    assert (status, body.split()[0]) == (200, "CON")


def test_the_key_that_the_engine_made_is_printed_and_opens_the_api(service: Service) -> None:
    """A newcomer needs no other place to look for it; the file that keeps it is named."""
    found = re.search(r"API key +(\S+)", service.said)
    assert found
    assert str(service.data_dir / "api_key") in service.said

    status, body = service.post(
        "/api/v1/ussd/subscription/check",
        json.dumps({"phone_number": "0711000002"}),
        {"Content-Type": "application/json", "Authorization": f"Bearer {found[1]}"},
    )

    assert (status, json.loads(body)["status"]) == (200, "new_customer")


def test_the_commands_that_are_printed_work_as_they_stand(service: Service) -> None:
    """What is offered for pasting is run by a shell as it was printed."""
    commands = re.findall(r"^  (curl .+(?:\n    .+)*)", service.said, re.MULTILINE)

    answers = [
        subprocess.run(
            ["bash", "-c", f"{command} -s"], capture_output=True, text=True, timeout=WITHIN_S, check=True
        )
        for command in commands
    ]

    assert answers[0].stdout.startswith("CON ")
    assert json.loads(answers[1].stdout)["status"] == "new_customer"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_service_ends_on_a_signal_and_first_answers_what_is_under_way(
    tmp_path: Path, number: signal.Signals
) -> None:
    """A turn that waits for a slow bank when the end comes still gets its screen; exit 0 and no traceback.

    The second connection is answered after the callback on the first has been taken, as both came in order.
    """
    with serving(tmp_path, cbs__sandbox__slow_s="1.0", api__key="a-key-of-the-operator") as service:
        dial = http.client.HTTPConnection("127.0.0.1", service.port, timeout=WITHIN_S)
        dial.request("POST", "/ussd/africastalking", callback("+254700000003", "ATUid_1"), FORM)
        other = http.client.HTTPConnection("127.0.0.1", service.port, timeout=WITHIN_S)
        other.request("GET", "/healthz")
        assert other.getresponse().read()
        service.process.send_signal(number)

        answer = dial.getresponse()
        assert (answer.status, answer.read()[:4]) == (200, b"CON ")
        dial.close()
        other.close()
        assert service.process.wait(WITHIN_S) == 0

    assert "Traceback" not in (tmp_path / "log").read_text()
    assert "a-key-of-the-operator" not in service.said
