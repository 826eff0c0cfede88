"""`ussd play`, fed through a pipe as a script feeds it.

A script that ends with /quit does not wait for a last SMS.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from adapters.gateways.africastalking import AfricasTalking
from adapters.gateways.form import MEDIA_TYPE
from tests.commands import ROOT, environment, run_here
from tests.test_cli import WITHIN_S
from ussd_engine.cli import main
from ussd_engine.play.display import cost_of
from ussd_engine.play.handset import Handset, split_dialled
from ussd_engine.settings_model import NetworkProfile

PLAY = ["play", "--config", "config.yaml"]
CODES = ["*384*100#", "*384#"]


def play(
    data_dir: Path, script: str, *arguments: str, variables: Mapping[str, str] | None = None
) -> list[str]:
    """The output, cut at the lines that were typed; each part starts with its line."""
    variables = environment({"data_dir": str(data_dir)}) | dict(variables or {})
    return parts_of(run_here(main, ["ussd", *PLAY, *arguments], ROOT, variables, script))


def play_in_a_process(
    data_dir: Path, script: str, *arguments: str, variables: Mapping[str, str] | None = None
) -> list[str]:
    """As a script feeds it, to the end of the process."""
    run = subprocess.run(
        [sys.executable, "-m", "ussd_engine", *PLAY, *arguments],
        input=script,
        capture_output=True,
        text=True,
        env=environment({"data_dir": str(data_dir)}) | dict(variables or {}),
        cwd=ROOT,
        timeout=WITHIN_S,
        check=False,
    )
    return parts_of(run)


def parts_of(run: subprocess.CompletedProcess[str]) -> list[str]:
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr + run.stdout
    assert "\x1b" not in run.stdout
    return run.stdout.split("\n> ")


def page(part: str) -> str:
    """The text inside of the first box of a page; a box with an SMS stands wherever the SMS comes."""
    box = re.search(r"^\+-+ (?:CON|END) .*?septets", part, re.MULTILINE | re.DOTALL)
    return "\n".join(re.findall(r"^\| (.*?) *\|$", box[0] if box else "", re.MULTILINE))


def words(part: str) -> str:
    """Without the breaks of its lines."""
    return " ".join(part.split())


def test_an_account_is_opened_on_the_phone_and_the_sms_arrives(tmp_path: Path) -> None:
    """Every page stands in a box with its septets and its budget, and the SMS in a box of its own."""
    dial, *parts = play_in_a_process(tmp_path, "1\nJane\nSample\n01011990\n1\n")
    end = "\n".join(parts[4:])

    assert page(dial) == "Welcome to Acme Bank\n1. Open an account\n2. Kiswahili\n0. Exit"
    assert "CON onboarding.welcome" in dial
    assert "60 of 160 septets" in dial
    assert "END open_account.opened" in end
    assert "SMS to +254711000000" in end
    assert re.search(r"Dear Jane, your Acme Bank account +\|\n\| \d{13} is open", end)


def test_accounts_are_behind_a_pin(tmp_path: Path) -> None:
    """It is chosen where it is first asked for; a wrong one is told how often it may be tried, and is not shown."""
    dial = "/dial *384*100#"
    opening = ["1", "Jane", "Sample", "01011990", "1", dial]
    choosing = ["3", "8362", "01011990", "8362", "9158", "9158", "9158", dial]
    asking = ["3", "8362", "9158", "1"]

    parts = play(tmp_path, "\n".join([*opening, *choosing, *asking, "/quit"]))
    pages = [page(part) for part in parts[len(opening) + 1 :]]

    assert pages[1].startswith("You have no PIN yet.")
    assert pages[4].startswith("The two were not the same.")
    assert re.match(r"Your accounts\n1\. \*{9}\d{4}\n", pages[6])
    assert pages[9].startswith("That is not your PIN. Tries left: 2\n")
    assert pages[10] == pages[6]
    assert re.match(r"Account 1\d{12}\n", pages[11])


def test_a_call_can_drop_repeat_and_begin_anew_with_answers_behind_the_code(tmp_path: Path) -> None:
    """Each of the phone's commands does what the network would do."""
    script = ["1", "/repeat", "/drop", "/dial *384*100*1*Jane#", "/phone +254700000001", "/quit", "1"]

    dial, pressed, repeated, dropped, deep, other, *rest = play(tmp_path, "\n".join(script))

    assert page(pressed) == page(repeated) == "First name\n0.Back 00.Home"
    assert page(dropped) == page(dial)
    assert page(deep) == "Last name\n0.Back 00.Home"
    assert "+254700000001 dials *384*100*1*Jane#" in other
    assert [part.strip() for part in rest] == ["/quit"]


def test_whatever_is_typed_is_answered_in_plain_words(tmp_path: Path) -> None:
    """A wrong number, an unknown code or command and an input without a session end nothing."""
    script = [
        "/phone 0711",
        "1",
        "/phone",
        "/sing",
        "/phone +254711000009",
        "/dial *999#",
        "/help",
        "*",
        "/quit",
    ]

    parts = play(tmp_path, "\n".join(script))

    for part, said in zip(
        parts[1:],
        ["phoneNumber", "There is no session", "Give a number", "There is no /sing", "Welcome", "*384*100#"],
        strict=False,
    ):
        assert said in part
    assert "/repeat" in parts[7]


def test_play_keeps_its_own_data_and_ends_with_its_input(tmp_path: Path) -> None:
    """Nothing of the service's data is touched; no input at all is a dial and an end."""
    parts = play(tmp_path, "", "--phone", "+254722000000", "--network", "63903")

    assert "+254722000000 dials *384*100#" in parts[0]
    assert "60 of 182 septets" in parts[0]
    assert [path.name for path in tmp_path.iterdir()] == ["play"]


@pytest.mark.parametrize(
    ("dialled", "code", "inputs"),
    [
        ("*384*100#", "*384*100#", []),
        ("*384*100*1*2#", "*384*100#", ["1", "2"]),
        ("*384*1#", "*384#", ["1"]),
        ("*384*100*1**2#", "*384*100#", ["1", "", "2"]),
        ("*999*1#", "*999*1#", []),
        ("384", "384", []),
    ],
)
def test_what_is_dialled_is_a_known_code_and_answers(dialled: str, code: str, inputs: list[str]) -> None:
    """The longest code that fits wins, as it does at the network; an unknown one stays whole."""
    assert split_dialled(dialled, CODES) == (code, inputs)


def test_a_handset_sends_all_inputs_since_the_dial() -> None:
    """The gateway's own parser reads them back, joined by `*`, with every character as it was typed."""
    handset, gateway = Handset("+254711000000", "63902", "*384*100#"), AfricasTalking("africastalking")
    handset.dial("*384*100*1#", CODES)
    handset.press("Åsa & Söner+1=2%")

    callback = gateway.parse(handset.press(""), MEDIA_TYPE)

    assert callback.transcript == "1*Åsa & Söner+1=2%*"
    assert (callback.phone_number, callback.service_code) == ("+254711000000", "*384*100#")


def test_a_new_dial_is_a_new_session() -> None:
    """A session id never comes twice, or a dropped call would go on where it was."""
    handset = Handset("+254711000000", "63902", "*384*100#")

    assert len({(handset.dial("*384*100#", CODES), handset.session_id) for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("text", "cost", "fits"),
    [
        ("x" * 160, "160 of 160 septets", True),
        ("x" * 159 + "€", "161 of 160 septets", False),
        ("ж" * 70, "70 of 70 UCS-2 units", True),
        ("ж" * 71, "71 of 70 UCS-2 units", False),
    ],
)
def test_a_page_is_held_against_the_budget_of_its_alphabet(text: str, cost: str, fits: bool) -> None:
    """An escape counts two septets, and one character outside GSM-7 makes the page UCS-2."""
    assert cost_of(text, NetworkProfile()) == (cost, fits)
