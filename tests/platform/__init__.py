"""Tests of the platform database."""
