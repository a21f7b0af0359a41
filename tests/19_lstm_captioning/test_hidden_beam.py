"""Beam search on models whose probabilities are a table, so that every caption can be tried out."""

import itertools

import numpy as np
import pytest

from autograder.checking import assert_close, fail

START, END = 0, 1
PICTURE = np.zeros((1, 2))


def draw_table(rng, V, sharpness=1.5):
    """log p[u, v, w] of the next word after the last two."""
    scores = sharpness * rng.normal(size=(V, V, V))
    scores[:, :, START] = -30  # <START> is never said again
    return scores - np.logaddexp.reduce(scores, axis=2, keepdims=True)


def total(table, caption):
    """The log-probability of a caption."""
    before, last, log_p = START, START, 0.0
    for word in caption:
        log_p += table[before, last, word]
        before, last = last, word
    return float(log_p)


def best_of_all(table, max_length):
    """The most probable of all captions that end, or that have max_length words."""
    V, best = len(table), ((), -np.inf)
    for length in range(1, max_length + 1):
        for inner in itertools.product(range(2, V), repeat=length - 1):
            lasts = [END] if length < max_length else range(1, V)
            for last in lasts:
                log_p = total(table, (*inner, last))
                if log_p > best[1]:
                    best = ((*inner, last), log_p)
    return list(best[0]), best[1]


def greedy(table, max_length):
    """The most probable word at each step."""
    caption, before, last = [], START, START
    while len(caption) < max_length and last != END:
        before, last = last, int(table[before, last].argmax())
        caption.append(last)
    return caption


def found_by(student, table, beam_width, max_length):
    """The student's caption, a list of integers, and its log-probability."""
    model = student.WordTable(table, START, END)
    result = student.beam_search(model, PICTURE, beam_width, max_length)
    if type(result) not in (tuple, list) or len(result) != 2:
        fail("beam_search should return the caption and its log-probability.", value=result)
    caption, log_p = result
    if not isinstance(caption, list | tuple | np.ndarray):
        fail("The caption should be a list of words.", value=caption)
    return [int(word) for word in caption], log_p


@pytest.mark.question("beam_search")
def test_beam_of_one(student, rng):
    """A beam of width 1 is greedy: the most probable word at each step."""
    for V, max_length in ((4, 5), (6, 7), (3, 1), (5, 4)):
        table = draw_table(rng, V)
        caption, log_p = found_by(student, table, 1, max_length)
        expected = greedy(table, max_length)
        assert_close(caption, expected, what="the caption of a beam of width 1")
        assert_close(log_p, total(table, expected), what="its log-probability")


@pytest.mark.question("beam_search", weight=2)
def test_beam_values(student, reference, rng):
    """Caption and log-probability are those of the search described, for several widths and lengths."""
    hint = "Ended hypotheses stay in the beam as they are; each state goes with its hypothesis."
    for V, beam_width, max_length in ((6, 2, 6), (8, 3, 5), (5, 4, 7), (7, 2, 8), (6, 3, 4), (9, 5, 6)):
        for sharpness in (0.7, 1.5):
            table = draw_table(rng, V, sharpness)
            expected, expected_log_p = reference.beam_search(
                reference.WordTable(table, START, END), PICTURE, beam_width, max_length
            )
            caption, log_p = found_by(student, table, beam_width, max_length)
            assert_close(log_p, expected_log_p, what=f"log_p with a beam of {beam_width}", hint=hint)
            assert_close(caption, expected, what=f"the caption with a beam of {beam_width}", hint=hint)


@pytest.mark.question("beam_search", weight=2)
def test_beam_wide(student, rng):
    """A beam so wide that nothing is dropped finds the most probable of all captions."""
    for V, max_length in ((4, 4), (5, 3), (3, 6)):
        table = draw_table(rng, V)
        expected, expected_log_p = best_of_all(table, max_length)
        caption, log_p = found_by(student, table, 400, max_length)
        assert_close(log_p, expected_log_p, what="log_p of a beam of 400")
        assert_close(caption, expected, what="the caption of a beam of 400")


@pytest.mark.question("beam_search")
def test_beam_never_worse(student, rng):
    """No beam finds a less probable caption than the greedy one, even where that was crowded out."""
    # Greedy says 2, 5, <END>. After two words both 3, 5 and 3, 6 are more probable, and they end badly.
    table = np.full((7, 7, 7), np.log(1e-6))
    say = {(0, 0): {2: 0.4, 3: 0.35, 4: 0.25}, (0, 2): {5: 0.3, 6: 0.25, 2: 0.25}, (0, 3): {5: 0.5, 6: 0.45}}
    say |= {(2, 5): {1: 0.99}, (3, 5): {2: 0.3, 3: 0.3, 4: 0.3}, (3, 6): {2: 0.3, 3: 0.3, 4: 0.3}}
    for (before, last), words in say.items():
        for word, p in words.items():
            table[before, last, word] = np.log(p)
    caption, log_p = found_by(student, table, 2, 6)
    hint = "Compare with the greedy caption at the end: it may have been dropped on the way."
    assert_close(log_p, total(table, [2, 5, 1]), what="log_p", hint=hint)
    assert_close(caption, [2, 5, 1], what="the caption", hint=hint)
    for _ in range(6):
        table = draw_table(rng, 8, 0.8)
        _, log_p = found_by(student, table, 2, 6)
        least = total(table, greedy(table, 6))
        if not log_p >= least - 1e-9:
            fail("The beam's caption is less probable than the greedy one.", expected=f"{least:.6g} or more",
                 got=f"{log_p:.6g}", hint=hint)  # fmt: skip


@pytest.mark.question("beam_search")
def test_beam_end(student):
    """A caption that ends is not continued; one that never ends has max_length words."""
    table = np.log(np.full((4, 4, 4), 1e-9))
    table[:, :, 2] = np.log(0.9)  # the word 2, again and again
    caption, log_p = found_by(student, table, 2, 5)
    assert_close(caption, [2] * 5, what="a caption without an end")
    assert_close(log_p, 5 * np.log(0.9), what="its log-probability")
    table[0, 2] = np.log([1e-9, 0.6, 0.3, 0.1])  # after the first 2 it ends
    caption, log_p = found_by(student, table, 3, 5)
    assert_close(caption, [2, END], what="a caption with an end", hint="<END> is its last word, and counts.")
    assert_close(log_p, float(np.log(0.9) + np.log(0.6)), what="its log-probability")


@pytest.mark.question("beam_search")
def test_beam_default(student, reference, rng):
    """Without a width the beam keeps 3 hypotheses, of at most 30 words."""
    table = draw_table(rng, 6, 1.0)
    table[:, :, END] = np.log(1e-7)
    model = student.WordTable(table, START, END)
    result = student.beam_search(model, PICTURE)
    expected, expected_log_p = reference.beam_search(reference.WordTable(table, START, END), PICTURE)
    assert type(result) in (tuple, list) and len(result) == 2, "beam_search returns the caption and log_p."
    assert_close(result[1], expected_log_p, what="log_p")
    assert_close([int(word) for word in result[0]], expected, what="the caption")
