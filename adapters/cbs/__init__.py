"""Core banking systems: one file per system, each an implementation of port `CoreBanking`."""
