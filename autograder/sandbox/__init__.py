"""A process that holds the student's code and nothing else, and the wire by which the grader talks to it."""
