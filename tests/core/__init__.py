"""Tests of controller/core."""
