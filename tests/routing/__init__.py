"""Tests of controller/routing."""
