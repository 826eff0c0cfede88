"""Checks of a phone number at the mobile operator: adapters of the port `NumberChecks`."""
