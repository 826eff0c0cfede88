"""Rules of the mutation run: what a mutant is, what tells one, and that no reason outlives what it speaks of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutate.__main__ import FLOWS, HARMLESS, Tried, all_mutants, place, reasons, rotten
from tests.mutate.mutants import Mutant, mutants, sms_mutants
from tests.mutate.trial import Fate, Trial
from ussd_engine.services.action_specs import SPECS

FLOW = """\
# A visit.
flow: visit
dial: ["*100#"]
languages: [en, sw]
start: ask_guests
data:
  guests: {type: number, min: 1, max: 9}
states:
  ask_guests:
    ask: {en: How many, sw: Wangapi}
    save: guests
    goto:
      - {when: guests > 5, goto: many}
      - else: few
  many:
    menu: {en: "{guests} guests", sw: "Wageni {guests}"}
    options:
      - {key: "1", text: {en: Leave, sw: Toka}, goto: bye}
      - {key: "2", text: {en: Again, sw: Tena}, goto: ask_guests, when: "guests > 5"}
  few: {end: {en: Hello, sw: Habari}}
  bye: {end: {en: Bye, sw: Kwaheri}}
"""
TRANSCRIPT = """\
transcript: Many guests, and then few
dial: "*100#"
steps:
- {dial: "9*1", screen: Bye, ends: true}
- {dial: "9*2*1", screen: Hello, ends: true}
"""


@pytest.fixture(scope="module")
def made() -> dict[str, Mutant]:
    return {one.name: one for one in mutants(FLOW, SPECS, ("visit", "other"))}


@pytest.mark.parametrize(
    ("name", "line", "before", "after"),
    [
        (
            "visit.ask_guests.goto.2.else: target renamed: few -> few_x",
            14,
            "else: few",
            "else: few_x",
        ),
        ("visit.many.options.1.goto: target swapped: bye -> few", 18, "goto: bye", "goto: few"),
        ("visit.many.options.1.goto: target dropped: bye -> nothing", 18, ", goto: bye", ""),
        ("visit.many.options.2.key: key renamed: 2 -> 5", 19, 'key: "2"', 'key: "5"'),
        ("visit.many.menu.sw: language dropped: Wageni {guests} -> nothing", 16, ', sw: "Wageni {guests}"', ""),
        ("visit.bye.end.en: languages exchanged: Bye -> Kwaheri", 21, "en: Bye, sw: Kwaheri", "en: Kwaheri, sw: Bye"),
        ("visit.many.menu.en: placeholder dropped: {guests} -> nothing", 16, "{guests} guests", " guests"),
        ("visit.few.end.en: language dropped: Hello -> nothing", 20, "en: Hello, sw: Habari", "sw: Habari"),
        (
            "visit.ask_guests: state dropped: all of it -> nothing",
            9,
            FLOW[FLOW.index("  ask_guests:") : FLOW.index("\n  many:")],
            "\n" * 5,
        ),
        (
            "visit.ask_guests.goto.1.goto: branches exchanged: many -> few",
            13,
            "goto: many}\n      - else: few",
            "goto: few}\n      - else: many",
        ),
        ("visit.ask_guests.save: save dropped: guests -> nothing", 11, "    save: guests\n", "\n"),
    ],
)  # fmt: skip
def test_a_mutant_changes_one_thing_where_it_stands(
    made: dict[str, Mutant], name: str, line: int, before: str, after: str
) -> None:
    """Everything else is as its author wrote it, comments too, and no line moves."""
    mutant = made[name]
    assert mutant.line == line
    assert mutant.text == FLOW.replace(before, after, 1)


def test_mutants_are_distinct_and_the_same_each_time(made: dict[str, Mutant]) -> None:
    """No two are the same text, none is the flow itself, and each is told by its name."""
    again = mutants(FLOW, SPECS, ("visit", "other"))
    assert [one.name for one in again] == list(made)
    assert len({one.text for one in again} | {FLOW}) == len(again) + 1


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    folder = tmp_path / "flows"
    (folder / "tests").mkdir(parents=True)
    (folder / "visit.yaml").write_text(FLOW)
    return Trial(folder, tmp_path / "copy")


def test_a_mutant_lives_until_a_transcript_tells_it(
    trial: Trial, made: dict[str, Mutant], tmp_path: Path
) -> None:
    """Either screen is as good to every rule: only who wrote the flow knows which one is meant."""
    planted = made["visit.many.options.2.goto: target swapped: ask_guests -> bye"]
    assert trial.fate("visit.yaml", planted).by == "nothing"
    (trial.flows / "tests" / "looks_in.yaml").write_text(TRANSCRIPT)
    told = Trial(trial.flows, tmp_path / "other").fate("visit.yaml", planted)
    assert (told.by, told.how[0].partition(":")[0]) == ("transcripts", "looks_in.yaml")


@pytest.mark.parametrize(
    ("name", "fate"),
    [
        ("visit.many.options.1.goto: target renamed: bye -> bye_x", Fate("check", ("F201",))),
        ("visit.many.menu.sw: language renamed: sw -> fr", Fate("check", ("F501",))),
        (
            "visit.many.options.2.when: guard negated: guests > 5 -> !(guests > 5)",
            Fate("walks"),
        ),
    ],
)  # fmt: skip
def test_what_tells_a_mutant_is_named(trial: Trial, made: dict[str, Mutant], name: str, fate: Fate) -> None:
    """The codes of `check`, or what a walk has met: here an option that nobody is shown."""
    found = trial.fate("visit.yaml", made[name])
    assert found.by == fate.by
    assert not fate.how or found.how == fate.how


def test_a_reason_does_not_outlive_its_mutant(made: dict[str, Mutant]) -> None:
    """A mutant that lives is printed with its place, and a reason for one that does not is an error."""
    one, other = list(made.values())[:2]
    found = [Tried("visit.yaml", one, Fate("nothing")), Tried("visit.yaml", other, Fate("check", ("F201",)))]
    assert place(found[0]).startswith(f"flows/visit.yaml:{one.line}: nothing tells it: visit.")
    assert rotten(found, {one.name: "why"}) == []
    assert [line.endswith(other.name) for line in rotten(found, {one.name: "", other.name: ""})] == [True]


def test_there_are_enough_mutants_of_the_shipped_flows_and_each_reason_names_one() -> None:
    """Whether they live is for `make mutate-flows`, which takes minutes."""
    names = [mutant.name for _, mutant in all_mutants(FLOWS)]
    assert len(names) == len(set(names)) >= 500
    assert reasons(HARMLESS).keys() <= set(names)
    assert all(reasons(HARMLESS).values())


def test_sms_texts_are_changed_where_check_looks() -> None:
    """Events, languages and names of values: no test sends an SMS, so its words are not changed."""
    text = 'sms:\n  account_opened:\n    en: "Dear {first_name}"\n    sw: Karibu\n'
    assert [one.kind for one in sms_mutants(text)] == [
        "event dropped",
        "event renamed",
        "language dropped",
        "language renamed",
        "placeholder renamed",
        "language dropped",
        "language renamed",
    ]
