"""The commands and their options. Each imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autograder import __version__

app = typer.Typer(
    name="autograder",
    help="Deep-learning exercises that grade themselves.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Data sets: list, fetch, path.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Slugs = Annotated[list[str] | None, typer.Argument(help="Assignments; all of them when none is named.")]
Slug = Annotated[str, typer.Argument(help="The assignment, as in course.yml.")]
CourseFolder = Annotated[Path, typer.Option("--course", help="The course's folder, or one inside it.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes to use.")]
HERE = Path()


def _version(value: bool) -> None:
    if value:
        print(f"autograder {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    del version


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A folder that is new or empty.")],
) -> None:
    """Begin a new course, with one small assignment to learn from."""
    from autograder.cli.authoring import run_init

    raise typer.Exit(run_init(folder))


@app.command()
def build(
    slugs: Slugs = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail where a build would change something.")
    ] = False,
    execute: Annotated[
        bool, typer.Option(help="Run the solution notebook; without, it keeps its outputs where it can.")
    ] = True,
    course: CourseFolder = HERE,
) -> None:
    """Turn sources into executed notebooks and student releases."""
    from autograder.cli.authoring import run_build

    raise typer.Exit(run_build(course, slugs or [], check=check, execute=execute))


@app.command()
def release(
    slug: Slug,
    to: Annotated[Path, typer.Option("--to", help="A folder, or a file that ends in .zip.")] = HERE,
    course: CourseFolder = HERE,
) -> None:
    """Write the bundle that students get."""
    from autograder.cli.authoring import run_release

    raise typer.Exit(run_release(course, slug, to))


@app.command()
def syllabus(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail where the page is out of date.")
    ] = False,
    course: CourseFolder = HERE,
) -> None:
    """Write assignments/README.md: what the course holds, how long it takes, what builds on what."""
    from autograder.cli.syllabus import run_syllabus

    raise typer.Exit(run_syllabus(course, check=check))


@app.command()
def check(
    notebook: Annotated[Path, typer.Argument(help="Your notebook; test_public.py lies beside it.")],
    questions: Annotated[list[str] | None, typer.Argument(help="Questions; all when none is named.")] = None,
) -> None:
    """Run the public checks on a notebook, as in the notebook itself. The notebook's code runs as you."""
    from autograder.cli.checking import run_check

    raise typer.Exit(run_check(notebook, questions or []))


@app.command()
def grade(
    slug: Slug,
    paths: Annotated[
        list[Path], typer.Argument(help="Notebooks, folders, nbgrader's submitted/, or LMS zips.")
    ],
    jobs: Jobs = 1,
    json: Annotated[
        str | None, typer.Option("--json", help="Where to write the report; - for standard output.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="Grade on the Dask cluster at tcp://HOST:PORT.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Grade again what has not changed since it was graded, too.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run, as is done without --force.")
    ] = False,
    db: Annotated[str | None, typer.Option("--db", help="The gradebook as an SQLAlchemy URL.")] = None,
    feedback: Annotated[bool, typer.Option(help="Write the feedback pages.")] = True,
    gradebook: Annotated[
        bool, typer.Option(help="Write nbgrader's gradebook and autograded notebooks.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    unsafe_no_sandbox: Annotated[
        bool, typer.Option("--unsafe-no-sandbox", help="Grade without protection; stamped on every report.")
    ] = False,
    course: CourseFolder = HERE,
) -> None:
    """Grade submissions: report, gradebook, feedback pages."""
    if force and resume:
        raise typer.BadParameter("--force grades everything anew, --resume goes on. Give one of them.")
    from autograder.cli.grading import GradeCommand, run_grade

    command = GradeCommand(
        slug=slug, paths=paths, jobs=jobs, scheduler=scheduler, json=json, force=force, db=db,
        feedback=feedback, gradebook=gradebook, quiet=quiet, unsafe_no_sandbox=unsafe_no_sandbox,
    )  # fmt: skip
    raise typer.Exit(run_grade(course, command))


@app.command()
def feedback(
    report: Annotated[Path, typer.Argument(help="A report written by `autograder grade --json`.")],
    to: Annotated[Path, typer.Option("--to", help="Where the pages go.")] = Path("feedback"),
    course: CourseFolder = HERE,
) -> None:
    """Write feedback pages from a report."""
    from autograder.cli.publishing import run_feedback

    raise typer.Exit(run_feedback(course, report, to))


@app.command()
def export(
    report: Annotated[Path, typer.Argument(help="A report written by `autograder grade --json`.")],
    to: Annotated[Path, typer.Option("--to", help="The CSV file.")],
    style: Annotated[str, typer.Option("--style", help="generic, canvas or moodle.")] = "generic",
    course: CourseFolder = HERE,
) -> None:
    """Write the scores as CSV for a learning platform."""
    from autograder.cli.publishing import run_export

    raise typer.Exit(run_export(course, report, to, style))


@app.command()
def report(
    report: Annotated[Path, typer.Argument(help="A report written by `autograder grade --json`.")],
) -> None:
    """Print a report as a table: students, scores, what went wrong most."""
    from autograder.cli.publishing import run_report

    raise typer.Exit(run_report(report))


@app.command()
def audit(
    slugs: Slugs = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Grade the solution and each variant with this many seeds.")
    ] = 1,
    jobs: Jobs = 1,
    mutants: Annotated[
        bool, typer.Option("--mutants", help="Run machine-made mutants of the solution, too.")
    ] = False,
    diagnosis: Annotated[
        bool,
        typer.Option("--diagnosis", help="Measure what is said of mistakes held out of the bank in turn."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Repeat what an earlier audit finished, too.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="A folder for the report: a page for each assignment.")
    ] = None,
    record: Annotated[
        bool,
        typer.Option("--record", help="With mutants; write docs/audit.json and the table in README.md."),
    ] = False,
    brief: Annotated[
        bool,
        typer.Option(
            "--brief",
            help="Done with a mistake as soon as a failed test tells it, with all where the record holds.",
        ),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Audit nothing; fail where that record is out of date.")
    ] = False,
    course: CourseFolder = HERE,
) -> None:
    """Prove the suites: right answers earn everything, the stub nothing, each mistake loses its own question
    only. What has not changed since an earlier audit is not repeated.
    """
    from autograder.cli.auditing import AuditCommand, run_audit, run_audit_check

    if check:
        raise typer.Exit(run_audit_check(course))
    command = AuditCommand(
        seeds=seeds,
        jobs=jobs,
        mutants=mutants,
        diagnosis=diagnosis,
        force=force,
        html=html,
        record=record,
        brief=brief,
    )
    raise typer.Exit(run_audit(course, slugs or [], command))


@app.command()
def accuracy(
    slugs: Slugs = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, batches and splits.")] = 0,
    device: Annotated[str, typer.Option(help="Where PyTorch computes: cpu, cuda.")] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Measure what has not changed, too.")] = False,
    to: Annotated[
        Path | None, typer.Option("--to", help="The JSON file; a table is written beside it.")
    ] = None,
    course: CourseFolder = HERE,
) -> None:
    """Train the reference solutions on real data, from the data root, and compare with what is to beat."""
    from autograder.cli.accuracy import run_accuracy

    raise typer.Exit(run_accuracy(course, slugs or [], seed=seed, device=device, force=force, to=to))


@app.command()
def demo(
    to: Annotated[Path, typer.Option("--to", help="A folder for the demonstration; made anew.")] = Path(
        "demo"
    ),
    slug: Annotated[
        str | None, typer.Option("--assignment", help="Which assignment the class hands in.")
    ] = None,
    jobs: Jobs = 2,
    course: CourseFolder = HERE,
) -> None:
    """The whole way on a sample class: release, solve, cheat, grade, give back. No network."""
    from autograder.cli.demo import run_demo

    raise typer.Exit(run_demo(course, to, jobs, slug))


@app.command()
def doctor() -> None:
    """What this machine can enforce, what is missing, and what mends it."""
    from autograder.cli.doctor import run_doctor

    raise typer.Exit(run_doctor())


@data_app.command("list")
def data_list() -> None:
    """The data sets: what is embedded, what is here, what can be fetched."""
    from autograder.cli.data import run_list

    raise typer.Exit(run_list())


@data_app.command("fetch")
def data_fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Data sets; all when none is named.")] = None,
) -> None:
    """Download data sets into the data root, checked by their sha256."""
    from autograder.cli.data import run_fetch

    raise typer.Exit(run_fetch(names or []))


@data_app.command("path")
def data_path(name: Annotated[str, typer.Argument(help="The data set.")]) -> None:
    """Print where a data set lies (or would)."""
    from autograder.cli.data import run_path

    raise typer.Exit(run_path(name))
