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


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    folder = config.getoption("--ussd-flows")
    if folder is not None:
        items.extend(_items(session, Path(folder), config.getoption("--ussd-walks")))


def _items(session: pytest.Session, folder: Path, walks: int) -> list[pytest.Item]:
    from ussd_engine.errors import UssdError  # noqa: PLC0415 - see above
    from ussd_engine.testing.flow_tests import flow_tests_of, transcripts_in  # noqa: PLC0415

    try:
        tests = flow_tests_of(folder)
    except UssdError as error:
        raise pytest.UsageError(str(error)) from None
    written = [
        Written.from_parent(session, name=str(file), tests=tests, flow="", walks=0, file=file)
        for file in transcripts_in(folder)
    ]
    return written + [
        kind.from_parent(session, name=f"{folder}::{flow}::{kind.what}", tests=tests, flow=flow, walks=walks)
        for flow in tests.dialled
        for kind in (EveryWay, AtRandom)
    ]


class Different(AssertionError):
    """A transcript does not come as it is written."""


class FlowItem(pytest.Item):
    """One kind of test of one flow."""

    what = ""

    def __init__(self, *, tests: FlowTests, flow: str, walks: int, **options: Any) -> None:
        super().__init__(**options)
        self.tests = tests
        self.flow = flow
        self.walks = walks

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from ussd_engine.testing.transcript import dumps  # noqa: PLC0415 - see above
        from ussd_engine.testing.walk import RuleBroken  # noqa: PLC0415

        if isinstance(excinfo.value, RuleBroken):
            return f"{excinfo.value.rule}\n\n{dumps(excinfo.value.transcript)}"
        if isinstance(excinfo.value, Different):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return Path(self.tests.library.sources[self.flow].file), None, f"{self.flow}: {self.what}"


class Written(FlowItem):
    """One transcript."""

    def __init__(self, *, file: Path, **options: Any) -> None:
        super().__init__(**options)
        self.file = file

    def runtest(self) -> None:
        _, different = self.tests.play_again(self.file)
        if different:
            raise Different(
                "\n".join([*different, f"if this is meant, run ussd test {self.file.parents[1]} --update"])
            )

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.file, None, str(self.file)


class EveryWay(FlowItem):
    what = "every-way"

    def runtest(self) -> None:
        for script in self.tests.scripts(self.flow):
            self.tests.follow(self.flow, script)


class AtRandom(FlowItem):
    what = "at-random"

    def runtest(self) -> None:
        self.tests.walk_at_random(self.flow, self.walks)
