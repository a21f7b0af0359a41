"""Pytest on tests/SLUG grades the solution: the regression test of suite and solution."""

pytest_plugins = ["autograder.checking.plugin"]
