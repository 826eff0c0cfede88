"""Tests of the services, over real parts."""
