"""The sample class behind feedback.png: `python docs/images/sample.py FOLDER` writes its pages.

The mistakes are real: naive layers with the errors that students make, judged by the assertions of a suite,
so that the findings, the numbers and the heat maps on the pages are what grading would have written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from autograder.checking import CheckFailure, assert_close, assert_gradients
from autograder.checking.describe import call_text
from autograder.course import Assignment, Question
from autograder.course.results import (
    Finding,
    QuestionResult,
    Report,
    SubmissionResult,
    TestResult,
    question_points,
)

COURSE = "Deep learning by hand"
ASSIGNMENT = Assignment(
    slug="09_convnets",
    title="Convolutional networks",
    questions=(
        Question(name="conv_forward", points=4.0),
        Question(name="conv_backward", points=6.0),
        Question(name="max_pool_forward", points=2.0),
        Question(name="max_pool_backward", points=3.0),
        Question(name="batchnorm_forward", points=4.0),
        Question(name="three_layer_convnet", points=5.0),
    ),
)
TESTS: dict[str, list[tuple[str, str, float]]] = {
    "conv_forward": [
        ("test_values", "The output equals the definition, for strides and paddings that differ.", 2),
        ("test_batch_of_one", "A batch of one image and a filter as large as the image work.", 1),
        ("test_inputs_unchanged", "The inputs are not modified.", 1),
    ],
    "conv_backward": [
        ("test_shapes", "Each gradient has the shape of its input.", 1),
        ("test_gradients", "The gradients agree with a numerical derivative where windows overlap.", 2),
        ("test_bias", "The gradient of the bias sums over images and positions.", 1),
    ],
    "max_pool_forward": [("test_values", "The output is the maximum of each window.", 1)],
    "max_pool_backward": [
        ("test_values", "The gradient goes to the maximum of each window.", 1),
        ("test_overlap", "Windows that overlap add up their gradients.", 1),
    ],
    "batchnorm_forward": [
        (
            "test_normalised",
            "In training, each feature has mean 0 and variance 1 before `gamma` and `beta`.",
            1,
        ),
        ("test_running", "The running averages follow the batch statistics with the momentum given.", 1),
        ("test_at_test_time", "At test time the running averages are used.", 1),
    ],
    "three_layer_convnet": [
        ("test_loss", "The loss of a fresh network is close to log(number of classes).", 1),
        ("test_learns", "The network overfits fifty images.", 2),
    ],
}
LAST_WINDOW = (
    "dx is assigned with `=` where windows overlap: only the last window's share is left. Add it with `+=`."
)
NO_POSITIONS = "db is summed over the batch but not over the output's positions."


def conv_forward(x: np.ndarray, w: np.ndarray, stride: int) -> np.ndarray:
    """Convolution without padding: x (N, C, H, W), w (F, C, HH, WW) -> (N, F, H', W')."""
    n, _, height, width = x.shape
    filters, _, hh, ww = w.shape
    out = np.zeros((n, filters, 1 + (height - hh) // stride, 1 + (width - ww) // stride))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            window = x[:, :, i * stride : i * stride + hh, j * stride : j * stride + ww]
            out[:, :, i, j] = np.einsum("nchw,fchw->nf", window, w)
    return out


def dx_of_the_last_window(x: np.ndarray, w: np.ndarray, dout: np.ndarray, stride: int) -> np.ndarray:
    """dx with the mistake of `LAST_WINDOW`."""
    dx = np.zeros_like(x)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            share = np.einsum("nf,fchw->nchw", dout[:, :, i, j], w)
            dx[:, :, i * stride : i * stride + w.shape[2], j * stride : j * stride + w.shape[3]] = share
    return dx


def _finding(check: Callable[[], Any], call: str) -> Finding:
    try:
        check()
    except CheckFailure as failure:
        return failure.finding.model_copy(update={"call": call})
    raise AssertionError("the mistake was not caught")


def overlap_finding() -> Finding:
    """What a gradient check says about `dx_of_the_last_window`."""
    rng = np.random.default_rng(9)
    x, w = rng.normal(size=(1, 1, 7, 5)), rng.normal(size=(4, 1, 3, 3))
    dout = rng.normal(size=conv_forward(x, w, 2).shape)
    return _finding(
        lambda: assert_gradients(
            {"x": dx_of_the_last_window(x, w, dout, 2)},
            lambda x: conv_forward(x, w, 2),
            {"x": x},
            dout,
            hint="Each element of x is seen by several windows. What happens to the gradient at a fork?",
        ),
        call_text("conv_backward", [dout], {}, ["dout", "cache"]),
    )


def bias_finding() -> Finding:
    """What a check says about a db that is summed over the batch alone."""
    dout = np.random.default_rng(10).normal(size=(2, 4, 4, 5))
    return _finding(
        lambda: assert_close(dout.sum(axis=0)[:, 0, 0], dout.sum(axis=(0, 2, 3)), what="db"),
        call_text("conv_backward", [dout], {}, ["dout", "cache"]),
    )


def _test(question: str, number: int, outcome: Any = "passed", **what: Any) -> TestResult:
    name, says, weight = TESTS[question][number]
    return TestResult(name=name, says=says, outcome=outcome, weight=weight, seconds=0.04, **what)


def _submission(
    student: str, failing: dict[tuple[str, int], dict[str, Any]], **more: Any
) -> SubmissionResult:
    questions = []
    for question in ASSIGNMENT.questions:
        tests = [
            _test(question.name, number, **failing.get((question.name, number), {}))
            for number in range(len(TESTS[question.name]))
        ]
        points = question_points(tests, question.points)
        questions.append(
            QuestionResult(name=question.name, points=points, max_points=question.points, tests=tests)
        )
    return SubmissionResult(
        student=student,
        score=sum(question.points for question in questions),
        max_score=ASSIGNMENT.max_points,
        questions=questions,
        seconds=0.83,
        source=f"submitted/{student}/09_convnets/convnets.ipynb",
        sha256="3f5a9c1b7e2d4086" * 4,
        seed=20_261_030,
        **more,
    )


def sample_report() -> Report:
    """A class of twenty: most mistakes that the pages have to show, and one submission that was refused."""
    overlap = {"outcome": "failed", "finding": overlap_finding(), "diagnosis": LAST_WINDOW}
    bias = {"outcome": "failed", "finding": bias_finding(), "diagnosis": NO_POSITIONS}
    unwritten = {
        "outcome": "error",
        "finding": Finding(headline="ThreeLayerConvNet is not written yet.", call="ThreeLayerConvNet()"),
    }
    hang = {"outcome": "timeout", "message": "batchnorm_forward did not answer within 10 s."}
    raised = {
        "outcome": "error",
        "finding": Finding(
            headline="Your code raised KeyError: 'running_mean'",
            call="batchnorm_forward(x = float64 array (6, 5), gamma = float64 array (5,), "
            "beta = float64 array (5,), bn_param = {'mode': 'train', 'momentum': 0.9})",
            where="cell 31, line 14: running_mean = bn_param['running_mean']",
            hint="On the first call the running averages are not there yet: start them at zero.",
        ),
    }
    memory = {"outcome": "crashed", "message": "Your code was ended: it used more than 2 GiB of memory."}
    both = {("three_layer_convnet", 0): unwritten, ("three_layer_convnet", 1): unwritten}
    mended = [
        "Cell 14 was there twice: the second copy was left out.",
        "Cell 22 raised NameError: name 'plt' is not defined. Everything after it was still loaded.",
    ]
    submissions = [
        _submission("noether", {("conv_backward", 1): overlap, ("batchnorm_forward", 1): raised, **both})
    ]
    others: list[dict[tuple[str, int], dict[str, Any]]] = [
        {},
        {("conv_backward", 1): overlap},
        {("conv_backward", 2): bias},
        {},
        {("conv_backward", 1): overlap, ("conv_backward", 2): bias},
        {("batchnorm_forward", number): hang for number in range(3)},
        both,
        {("three_layer_convnet", 1): memory},
        {},
        {("conv_backward", 1): overlap, **both},
        {
            (name, number): {"outcome": "error", "message": f"{name} is not written yet."}
            for name in TESTS
            for number in range(len(TESTS[name]))
        },
        {("max_pool_backward", 1): {"outcome": "failed", "message": "dx is wrong in 9 of 60 elements."}},
        {("batchnorm_forward", 1): raised},
        {},
        {("conv_backward", 1): overlap, ("max_pool_backward", 1): {"outcome": "failed"}, **both},
        {
            ("three_layer_convnet", 0): {
                "outcome": "not_gradable",
                "message": "The data set digits is missing.",
            }
        },
        {("conv_backward", 2): bias, ("batchnorm_forward", 1): raised},
        {},
    ]
    names = "abel banach cantor dirac euler fermat gauss hopper ito jacobi kovalevskaya lovelace markov"
    names += " newton onsager poincare ramanujan shannon"
    submissions += [
        _submission(name, failing, repairs=mended if name == "gauss" else [])
        for name, failing in zip(names.split(), others, strict=True)
    ]
    submissions.append(
        SubmissionResult(
            student="turing",
            score=0.0,
            max_score=ASSIGNMENT.max_points,
            status="refused",
            reason="The file is no notebook: it ends in the middle of a cell. Save it and hand it in again.",
            source="submitted/turing/09_convnets/convnets.ipynb",
        )
    )
    return Report(
        assignment=ASSIGNMENT.slug,
        suite_version="b1946ac92492",
        sandbox=["Landlock", "seccomp", "rlimits", "namespaces"],
        submissions=submissions,
    )


if __name__ == "__main__":
    from autograder.publishing.feedback import write_feedback

    for page in write_feedback(sample_report(), COURSE, ASSIGNMENT, Path(sys.argv[1])):
        print(page)
