"""The attack bank: what a hostile submission can try, as real notebooks for the real command.

bank.py     all of them; read, forge, execute, exhaust, escape and cheat, a file for each group
model.py    what an attack is, and how it becomes a notebook
course.py   the small course that is attacked
world.py    that course with secrets in it, what lies around it, and how a success would be noticed
modes.py    the sandbox modes, and how to run a command in one
grade.py    the bank graded by `autograder grade`
unguarded.py  the same attacks graded by `nbgrader autograde`
"""
