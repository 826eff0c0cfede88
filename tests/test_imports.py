"""The direction of imports, read from the source: each part knows only what lies below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for folder in ("ussd_engine", "adapters")
    for file in sorted((ROOT / folder).rglob("*.py"))
}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "access": set(),
    "phone": set(),
    "charset": set(),
    "owner_file": set(),
    "listening": {"errors"},
    "signals": set(),
    "processes": set(),
    "logs": {"errors"},
    "sealing": {"errors", "owner_file"},
    "flow": {"errors", "phone", "charset"},
    "drawing": {"errors", "flow"},
    "runtime": {"errors", "phone", "charset", "sealing", "flow"},
    "ports": {"runtime.screen"},
    "settings_model": {"flow.pager", "flow.model"},
    "settings": {"errors", "flow.source", "flow.diagnostic", "settings_model"},
    "platform": {"access", "errors", "phone", "identity", "charset", "sealing", "ports", "logs"},
    "identity": {"phone", "sealing"},
    "storage": {"errors", "sealing", "settings_model", "platform"},
    "services": {"access", "errors", "phone", "sealing", "logs", "flow", "runtime", "ports", "platform"},
    "web": {
        "access",
        "errors",
        "phone",
        "owner_file",
        "sealing",
        "logs",
        "runtime.screen",
        "ports",
        "services",
        # the values that the staff routes show
        "platform.changes",
        "platform.operations",
    },
    "adapters": {"errors", "phone", "logs", "ports", "runtime.screen"},
}
"""For each part of the engine, what it may import besides itself; a dotted name means that module alone."""

EVERYTHING = {
    "bootstrap",
    "configured",
    "cli",
    "console",
    "staff_commands",
    "audit_commands",
    "operations_commands",
    "flow_commands",
    "sms_commands",
    "widths_table",
    "testing",
    "flow_test_commands",
    "graph_commands",
    "__main__",
    "serving",
    "supervisor",
    "reloading",
    "play",
    "following",
}
"""The composition root and the commands import what they put together; nothing imports them."""


def imports_of(file: Path) -> Iterator[str]:
    """Every module that a file imports, those for type checkers and those inside functions included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in names if name in FILES]
            yield from modules
            if len(modules) < len(names):
                yield node.module or ""


def own_imports(file: Path) -> set[str]:
    return {name for name in imports_of(file) if name.split(".")[0] in {"ussd_engine", "adapters"}}


def part_of(module: str) -> str:
    top, _, inner = module.partition(".")
    return "adapters" if top == "adapters" else inner.split(".")[0]


def within(imported: str, allowed: str) -> bool:
    return imported == f"ussd_engine.{allowed}" or imported.startswith(f"ussd_engine.{allowed}.")


@pytest.mark.parametrize("module", [name for name in FILES if part_of(name) not in {*EVERYTHING, ""}])
def test_part_imports_only_what_lies_below(module: str) -> None:
    """Errors <- flow <- runtime <- ports <- services <- web; adapters know the ports alone."""
    part = part_of(module)
    assert part in MAY_IMPORT, f"{module} belongs to no part of the architecture"
    for imported in own_imports(FILES[module]):
        if imported in {"ussd_engine", "adapters"} or part_of(imported) == part:
            continue
        assert any(within(imported, allowed) for allowed in MAY_IMPORT[part]), f"{module} imports {imported}"


@pytest.mark.parametrize(
    ("library", "importers"),
    [
        ("transitions", {"ussd_engine.runtime.table"}),
        ("dbos", {"ussd_engine.services.workflows"}),
    ],
)
def test_library_has_one_importer(library: str, importers: set[str]) -> None:
    """What could be replaced one day is known to one module."""
    found = {
        name
        for name, file in FILES.items()
        if any(part.split(".")[0] == library for part in imports_of(file))
    }
    assert found == importers


@pytest.mark.parametrize(
    "module",
    [name for name in FILES if name.startswith("ussd_engine.runtime")] + ["ussd_engine.services.callbacks"],
)
def test_no_pydantic_on_the_way_of_a_turn(module: str) -> None:
    """Models are for the edges; a turn runs on frozen dataclasses."""
    assert not [name for name in imports_of(FILES[module]) if name.split(".")[0].startswith("pydantic")]


@pytest.mark.parametrize("module", [name for name in FILES if name.startswith("ussd_engine.runtime")])
def test_runtime_is_pure(module: str) -> None:
    """A turn has no clock, no chance and no I/O: the runtime imports nothing that could bring them in."""
    impure = {
        "asyncio",
        "time",
        "random",
        "secrets",
        "os",
        "socket",
        "pathlib",
        "logging",
        "structlog",
        "uuid",
    }
    assert not impure & {name.split(".")[0] for name in imports_of(FILES[module])}


def test_whole_engine_is_read() -> None:
    """The rules above hold for every module that there is."""
    parts = ("flow", "runtime", "services", "platform", "web", "errors", "ports")
    assert {f"ussd_engine.{part}" for part in parts} <= set(FILES)
    assert len(FILES) > 60
