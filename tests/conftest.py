"""Suites run on the solution when pytest is pointed at tests/SLUG: the regression test of suite and solution."""

pytest_plugins = ["autograder.checking.plugin"]
