"""The look of the SVG: plain rules for light, and those that differ in the dark."""

from __future__ import annotations

from collections.abc import Mapping

FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', Arial, sans-serif"

KINDS: Mapping[str, tuple[str, str, str, str]] = {
    "menu": ("#e8f0fe", "#2f62c9", "#1a2c4e", "#8ab0f9"),
    "ask": ("#e3f4f0", "#0e7a68", "#10352f", "#5fcfba"),
    "list": ("#e4f3fb", "#0b6a94", "#123142", "#6cc3ea"),
    "action": ("#fff1d9", "#a65d00", "#3b2a0e", "#f0b45c"),
    "call": ("#f0eafc", "#6741b5", "#2c2149", "#b79df2"),
    "route": ("#fce8f1", "#ad2c72", "#401a2e", "#f08fbf"),
    "end": ("#eceff3", "#454f5f", "#272d37", "#a9b4c4"),
}
"""For each kind of state: fill and line in light, fill and line in the dark."""


def _kinds(fill: int) -> str:
    return "".join(
        f".{kind} .shape{{fill:{colours[fill]};stroke:{colours[fill + 1]}}}"
        f".{kind} .kind{{fill:{colours[fill + 1]}}}"
        for kind, colours in KINDS.items()
    )


def _tones(page: str, panel: str, rim: str, ink: str, soft: str, line: str, never: str) -> str:
    return (
        f".page{{fill:{page}}}.panel{{fill:{panel};stroke:{rim}}}.under{{fill:{panel}}}text{{fill:{ink}}}"
        f".subtitle,.guard,.count,.start text{{fill:{soft}}}"
        f".line{{stroke:{line}}}.head,.start circle{{fill:{line}}}"
        f".never .shape{{fill:{panel};stroke:{never}}}.never .line{{stroke:{never}}}.head-never{{fill:{never}}}"
        f".never .count,.never .kind{{fill:{never}}}"
    )


STYLE = (
    f"text{{font-family:{FONT};text-anchor:middle}}"
    ".title{font-size:18px;font-weight:700;text-anchor:start}"
    ".subtitle,.start text{font-size:12px;text-anchor:start}"
    ".kind{font-size:10px;font-weight:700;letter-spacing:.4px}.name{font-size:14px;font-weight:700}"
    ".text,.caption{font-size:12px}.guard{font-size:11px;font-style:italic}.count{font-size:11px;font-weight:700}"
    ".line{fill:none;stroke-width:1.5}.shape{stroke-width:1.5}.end .shape{stroke-width:3}"
    ".never .shape,.never .line{stroke-dasharray:6 4}a:hover .shape{stroke-width:3}"
    + _kinds(0)
    + _tones("#f4f6f9", "#ffffff", "#d8dee6", "#1b2430", "#596474", "#66717f", "#c2261c")
    + "@media (prefers-color-scheme: dark){"
    + _kinds(2)
    + _tones("#12161c", "#1a2029", "#343d4a", "#e8ecf2", "#a5b0bf", "#94a0b0", "#ff8a80")
    + "}"
)
