"""Flows as pictures: what is drawn (`picture`), as Mermaid and as SVG, laid out here without an outside program."""
