"""`pytest --ussd-flows flows/`: every flow of a folder as tests, without a line of Python.

Loaded by every run of pytest where the engine is installed, so it imports nothing of it until it is asked to.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ussd_engine.testing.flow_tests import FlowTests


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ussd", "menu flows of the USSD engine")
    group.addoption("--ussd-flows", metavar="DIR", help="test every flow and every transcript of this folder")
    group.addoption("--ussd-walks", type=int, default=200, help="walks at random through each flow (200)")
    group.addoption(
        "--ussd-config",
        metavar="FILE",
        help="the settings file; without it config.yaml in the current folder, else the defaults",
    )


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    folder = config.getoption("--ussd-flows")
    if folder is not None:
        settings = config.getoption("--ussd-config")
        items.extend(_items(session, folder, config.getoption("--ussd-walks"), settings))


def _items(session: pytest.Session, folder: str, walks: int, config: str | None) -> list[pytest.Item]:
    from ussd_engine.console import read_settings  # noqa: PLC0415 - see above
    from ussd_engine.errors import UssdError  # noqa: PLC0415
    from ussd_engine.testing.flow_tests import flow_tests_of  # noqa: PLC0415

    try:
        tests = flow_tests_of(Path(folder), read_settings(Path(config) if config else None))
    except UssdError as error:
        raise pytest.UsageError(str(error)) from None
    transcripts: list[pytest.Item] = [
        Written.from_parent(session, name=str(file), tests=tests, folder=folder, file=file)
        for file in tests.transcripts
    ]
    walked: list[pytest.Item] = [
        kind.from_parent(
            session,
            name=f"{folder}::{flow}::{kind.what}",
            tests=tests,
            folder=folder,
            flow=flow,
            walks=walks,
        )
        for flow in tests.dialled
        for kind in (EveryWay, AtRandom)
    ]
    visited = Visited.from_parent(session, name=f"{folder}::visited", tests=tests, folder=folder, walks=walks)
    return [*transcripts, *walked, visited]


class Different(AssertionError):
    """A transcript does not come as it is written, or something was never visited."""


class FlowItem(pytest.Item):
    """One test of the flows of a folder."""

    def __init__(self, *, tests: FlowTests, folder: str, **options: Any) -> None:
        super().__init__(**options)
        self.tests = tests
        self.folder = folder

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from ussd_engine.testing.transcript import BadTranscript, dumps  # noqa: PLC0415 - see above
        from ussd_engine.testing.walk import RuleBroken  # noqa: PLC0415

        if isinstance(excinfo.value, RuleBroken):
            return f"{excinfo.value.rule}\n\n{dumps(excinfo.value.transcript)}"
        if isinstance(excinfo.value, (Different, BadTranscript)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return Path(self.folder), None, self.name


class Written(FlowItem):
    """One transcript."""

    def __init__(self, *, file: Path, **options: Any) -> None:
        super().__init__(**options)
        self.file = file

    def runtest(self) -> None:
        _, different = self.tests.play_again(self.file)
        if different:
            raise Different(
                "\n".join([*different, f"if this is meant, run ussd test {self.folder} --update"])
            )

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.file, None, str(self.file)


class WalkItem(FlowItem):
    """One kind of walks through one flow that can be dialled."""

    what = ""

    def __init__(self, *, flow: str, walks: int, **options: Any) -> None:
        super().__init__(**options)
        self.flow = flow
        self.walks = walks

    def reportinfo(self) -> tuple[Path, None, str]:
        return Path(self.tests.library.sources[self.flow].file), None, f"{self.flow}: {self.what}"


class EveryWay(WalkItem):
    what = "every-way"

    def runtest(self) -> None:
        for script in self.tests.scripts(self.flow):
            self.tests.follow(self.flow, script)


class AtRandom(WalkItem):
    what = "at-random"

    def runtest(self) -> None:
        self.tests.walk_at_random(self.flow, self.walks)


class Visited(FlowItem):
    """That every state and edge is visited. Other items have been nearly everywhere, where they ran in this process."""

    def __init__(self, *, walks: int, **options: Any) -> None:
        super().__init__(**options)
        self.walks = walks

    def runtest(self) -> None:
        self.tests.visit(self.walks)
        missing = self.tests.missing()
        if missing:
            raise Different("\n".join(f"never visited: {name}" for name in missing))
