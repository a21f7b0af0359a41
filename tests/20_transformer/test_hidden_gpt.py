"""GPT, its cache, and sampling."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from autograder.checking import assert_close, assert_stable, assert_unchanged, fail

PARTS = [
    *("attention", "split_heads", "merge_heads", "causal_mask", "multi_head_attention", "layer_norm"),
    *("feed_forward", "encoder_block"),
]
# (N, T, V, D, heads, blocks)
CASES = [(2, 5, 7, 6, 2, 2), (1, 1, 4, 4, 4, 1), (3, 4, 9, 4, 1, 3)]


def draw(rng, *shape):
    """Random numbers in float64."""
    return torch.from_numpy(rng.normal(size=shape))


def gpt_params(rng, V, D, blocks, positions=16):
    """Random parameters, none of them at its usual start."""
    names = ("wq", "bq", "wk", "bk", "wv", "bv", "wo", "bo")

    def norm():
        return {"gamma": draw(rng, D) + 2, "beta": draw(rng, D)}

    def block():
        return {
            "attention": {n: draw(rng, *((D, D) if n[0] == "w" else (D,))) / D**0.5 for n in names},
            "feed_forward": {
                "w1": draw(rng, D, 2 * D) / D**0.5,
                "b1": draw(rng, 2 * D),
                "w2": draw(rng, 2 * D, D) / D**0.5,
                "b2": draw(rng, D),
            },
            "norm1": norm(),
            "norm2": norm(),
        }

    return {
        "tokens": draw(rng, V, D),
        "positions": draw(rng, positions, D),
        "blocks": [block() for _ in range(blocks)],
        "norm": norm(),
    }


def draw_tokens(rng, V, *shape):
    return torch.from_numpy(rng.integers(V, size=shape))


@pytest.mark.question("gpt_forward", weight=3, given=PARTS)
def test_gpt_forward_values(student, reference, rng):
    """The logits are right for several sizes."""
    for N, T, V, D, H, blocks in CASES:
        params, tokens = gpt_params(rng, V, D, blocks), draw_tokens(rng, V, N, T)
        expected = reference.gpt_forward(tokens, params, H)
        got = assert_unchanged(student.gpt_forward, tokens, params, H)
        hint = (
            "Tokens plus positions, the blocks with a causal mask, the last norm, the embedding transposed."
        )
        assert_close(got, expected, what="the logits", hint=hint)


@pytest.mark.question("gpt_forward", given=PARTS)
def test_gpt_forward_sees_no_future_at_all(student, reference, rng):
    """Other tokens later on leave the earlier logits as they are, bit for bit."""
    params, tokens = gpt_params(rng, 7, 6, 2), draw_tokens(rng, 7, 2, 6)
    before = student.gpt_forward(tokens, params, 2)
    tokens[:, 3:] = (tokens[:, 3:] + 1) % 7
    after = student.gpt_forward(tokens, params, 2)
    assert_close(after[:, :3], before[:, :3], rtol=0, atol=0, what="the logits of the first three")
    assert_close(after, reference.gpt_forward(tokens, params, 2), what="the logits")


def step(student, tokens, cache, params, num_heads):
    result = student.gpt_step.keeping(1)(tokens, cache, params, num_heads)
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("gpt_step should return two values, logits and cache.", value=result)
    return result


@pytest.mark.question("gpt_step", weight=2, given=[*PARTS, "gpt_forward"])
def test_gpt_step_one_by_one(student, reference, rng):
    """Token by token, the logits are those of the whole text, to 1e-6."""
    for N, T, V, D, H, blocks in CASES:
        params, tokens, cache = gpt_params(rng, V, D, blocks), draw_tokens(rng, V, N, T), None
        expected = reference.gpt_forward(tokens, params, H)
        for t in range(T):
            logits, cache = step(student, tokens[:, t : t + 1], cache, params, H)
            what = f"the logits behind token {t + 1} of {T}"
            assert_close(logits, expected[:, t : t + 1], what=what, rtol=1e-6, atol=1e-7)


@pytest.mark.question("gpt_step", weight=2, given=[*PARTS, "gpt_forward"])
def test_gpt_step_several_at_once(student, reference, rng):
    """Several new tokens see the old ones and are causal among themselves."""
    params, tokens, cache = gpt_params(rng, 7, 6, 2), draw_tokens(rng, 7, 2, 9), None
    expected = reference.gpt_forward(tokens, params, 3)
    for start, end in ((0, 3), (3, 5), (5, 9)):
        logits, cache = step(student, tokens[:, start:end], cache, params, 3)
        hint = "causal_mask(T, S) with S the number of all positions so far."
        what = f"the logits of tokens {start} to {end - 1}"
        assert_close(logits, expected[:, start:end], what=what, hint=hint, rtol=1e-6, atol=1e-7)


@pytest.mark.question("gpt_step", given=[*PARTS, "gpt_forward"])
def test_gpt_step_keeps_the_old_cache(student, reference, rng):
    """One can go on from the same cache twice."""
    params, tokens = gpt_params(rng, 7, 6, 2), draw_tokens(rng, 7, 2, 6)
    _, cache = step(student, tokens[:, :4], None, params, 2)
    for other in (1, 3):
        tokens[:, 4:] = (tokens[:, 4:] + other) % 7
        logits, _ = step(student, tokens[:, 4:], cache, params, 2)
        expected = reference.gpt_forward(tokens, params, 2)[:, 4:]
        hint = "Make a new cache; do not append to the old one in place."
        assert_close(logits, expected, what="the logits of a continuation", hint=hint, rtol=1e-6, atol=1e-7)


@pytest.mark.question("gpt_step", given=[*PARTS, "gpt_forward"])
def test_gpt_step_is_fast(student, reference, rng, budget):
    """Behind 500 tokens, one step takes at most a quarter of the time of all 501 without a cache."""
    # Not a matter of values: a wrong attention is as fast as a right one. Both times are the student's own,
    # of the same function in the same process, so that whoever computes everything anew has a ratio of 1
    # however quick their attention is; a right step has 20 or more. Of the text without a cache, no more than
    # twice the solution's time counts: a pause in it makes no step fast.
    params = gpt_params(rng, 11, 16, 2, positions=501)
    tokens = draw_tokens(rng, 11, 8, 501)
    _, cache = step(student, tokens[:, :500], None, params, 4)
    logits, _ = step(student, tokens[:, 500:], cache, params, 4)
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != (8, 1, 11):
        fail("The logits of one token should have the shape (8, 1, 11).", value=logits)
    one, whole, bound = (float("inf"),) * 3
    for _ in range(3):
        one = min(one, budget.seconds(step, student, tokens[:, 500:], cache, params, 4))
        whole = min(whole, budget.seconds(step, student, tokens, None, params, 4))
        bound = min(bound, 2 * budget.seconds(reference.gpt_forward, tokens, params, 4))
        if 4 * one <= min(whole, bound):
            return
    fail(
        f"A step with the cache is not fast enough: {min(whole, bound) / one:.1f} times the speed of all 501 "
        "tokens without one, and at least 4 times was expected.",
        expected=f"at most {min(whole, bound) / 4 * 1e3:.3g} ms",
        got=f"{one * 1e3:.3g} ms",
        hint="Compute keys and values of the new positions only; those of the old ones are in the cache.",
    )


# --- probabilities
@pytest.mark.question("token_probabilities")
def test_probabilities_temperature(student, rng):
    """The temperature divides the logits."""
    for temperature in (1.0, 0.3, 2.5):
        logits = draw(rng, 3, 6) * 3
        expected = F.softmax(logits / temperature, dim=-1)
        got = assert_unchanged(student.token_probabilities, logits, temperature)
        assert_close(got, expected, what=f"the probabilities at temperature {temperature}")


@pytest.mark.question("token_probabilities")
def test_probabilities_temperature_zero(student, rng):
    """At temperature 0 the most likely token has all, with top-k and top-p too."""
    logits = draw(rng, 4, 6) * 3
    expected = F.one_hot(logits.argmax(-1), 6).double()
    for options in ({}, {"top_k": 3}, {"top_p": 0.9}):
        got = student.token_probabilities(logits, temperature=0, **options)
        assert_stable(
            got, expected, what="the probabilities at temperature 0", hint="Nothing is divided by 0."
        )


def exact(logits, temperature=1.0, top_k=None, top_p=None):
    """Row by row, with Python's own numbers."""
    rows = []
    for row in np.exp(logits.numpy() / temperature - (logits.numpy() / temperature).max(-1, keepdims=True)):
        order = sorted(range(len(row)), key=lambda i: -row[i])
        kept = order[: top_k or len(row)]
        total, running, chosen = sum(row[i] for i in kept), 0.0, []
        for i in kept:
            chosen.append(i)
            running += row[i] / total
            if top_p is not None and running >= top_p:
                break
        mass = sum(row[i] for i in chosen)
        rows.append([row[i] / mass if i in chosen else 0.0 for i in range(len(row))])
    return torch.tensor(rows, dtype=torch.float64)


def check_probabilities(student, rng, cases, hint):
    for options in cases:
        logits = draw(rng, 5, 8) * 2
        got = student.token_probabilities(logits, **options)
        assert_close(got, exact(logits, **options), what=f"the probabilities for {options}", hint=hint)


@pytest.mark.question("token_probabilities", weight=2)
def test_probabilities_top_k(student, rng):
    """The k most likely tokens share all probability, each row by itself."""
    cases = [{"top_k": k} for k in (1, 2, 5, 8, 20)]
    check_probabilities(student, rng, cases, "Keep the k most likely of each row; k may exceed their number.")


@pytest.mark.question("token_probabilities", weight=2)
def test_probabilities_top_p(student, rng):
    """The fewest tokens that reach p share all probability, each row by itself."""
    cases = [{"top_p": p} for p in (0.01, 0.3, 0.6, 0.9, 0.99, 1.0)]
    hint = "The token that crosses p belongs to the nucleus, so that at least one is always kept."
    check_probabilities(student, rng, cases, hint)


@pytest.mark.question("token_probabilities")
def test_probabilities_in_combination(student, rng):
    """First temperature, then top-k, then top-p on what is left."""
    cases = [
        {"temperature": 0.5, "top_k": 4},
        {"temperature": 2.0, "top_p": 0.6},
        {"top_k": 3, "top_p": 0.7},
        {"temperature": 3.0, "top_k": 5, "top_p": 0.75},
    ]
    check_probabilities(student, rng, cases, "Normalise after top-k, before top-p adds up.")


@pytest.mark.question("token_probabilities")
def test_probabilities_extreme_logits(student, rng):
    """Very large and very different logits do not overflow."""
    logits = torch.tensor([[1e4, 1e4 - 1, -1e4, 0.0], [-1e4, -1e4, -1e4 - 2, -2e4]], dtype=torch.float64)
    for options in ({}, {"top_k": 2}, {"top_p": 0.6}):
        got = student.token_probabilities(logits, **options)
        if options != {"top_p": 0.6}:
            assert_stable(got, exact(logits, **options), what=f"the probabilities for {options}")
        assert_stable(got.sum(-1), torch.ones(2).double(), what="their sum")


@pytest.mark.question("generate", weight=2, given=[*PARTS, "gpt_forward", "gpt_step", "token_probabilities"])
def test_generate_greedy(student, reference, rng):
    """At temperature 0, and with top_k = 1, each token is the most likely one."""
    params, prompt = gpt_params(rng, 9, 6, 2), draw_tokens(rng, 9, 3, 4)
    expected = prompt
    for _ in range(8):
        following = reference.gpt_forward(expected, params, 2)[:, -1].argmax(-1)
        expected = torch.cat([expected, following[:, None]], dim=1)
    for options in ({"temperature": 0}, {"top_k": 1}, {"top_p": 1e-6}):
        got = assert_unchanged(student.generate, prompt, 8, params, 2, **options)
        assert_close(got, expected, what=f"the text for {options}")


@pytest.mark.question("generate", given=[*PARTS, "gpt_forward", "gpt_step", "token_probabilities"])
def test_generate_up_to_the_last_position(student, reference, rng):
    """A text may be as long as there are positions, and no token more than asked for is added."""
    params, prompt = gpt_params(rng, 9, 6, 1, positions=7), draw_tokens(rng, 9, 2, 1)
    for num_tokens in (0, 1, 6):
        got = student.generate(prompt, num_tokens, params, 2)
        assert_close(tuple(got.shape), (2, 1 + num_tokens), what="the shape of the text")
        assert_close(got[:, :1], prompt, what="the prompt in the text")


@pytest.mark.question("generate", weight=2, given=[*PARTS, "gpt_forward", "gpt_step", "token_probabilities"])
def test_generate_draws_from_the_probabilities(student, reference, rng):
    """Each option reaches the draws: 3,000 tokens are distributed as they should be."""
    params = gpt_params(rng, 6, 4, 1)
    params["tokens"] /= 3  # not too sure of itself
    prompt = draw_tokens(rng, 6, 1, 3).expand(3000, 3).contiguous()
    logits = reference.gpt_forward(prompt[:1], params, 2)[:, -1]
    for options in ({}, {"temperature": 2.0}, {"top_k": 3}, {"top_p": 0.8}):
        got = student.generate(prompt, 1, params, 2, **options)
        assert_close(tuple(got.shape), (3000, 4), what="the shape of the text")
        shares = torch.bincount(got[:, -1], minlength=6)[:6] / 3000
        p = exact(logits, **options)[0]
        # 6 standard deviations of a share: one right answer in 10^8 is farther off.
        bound = 6 * (p * (1 - p) / 3000).sqrt() + 1e-9
        if bool(((shares - p).abs() > bound).any()):
            fail(
                f"Of 3,000 draws for {options}, the tokens have other shares than probabilities.",
                expected=str([round(x, 3) for x in p.tolist()]),
                got=str([round(x, 3) for x in shares.tolist()]),
                value=got,
                hint="Draw with torch.multinomial from token_probabilities of the last position.",
            )


@pytest.mark.question("generate", given=[*PARTS, "gpt_forward", "gpt_step", "token_probabilities"])
def test_generate_seeds(student, rng):
    """The same seed gives the same text, other seeds other ones, and the texts of a batch differ."""
    params = gpt_params(rng, 9, 6, 1)
    params["tokens"] /= 4
    prompt = draw_tokens(rng, 9, 1, 2).expand(4, 2).contiguous()
    first, again, other = (student.generate(prompt, 12, params, 2, seed) for seed in (1, 1, 2))
    assert_close(tuple(first.shape), (4, 14), what="the shape of the text")
    assert_close(again, first, what="the text for the same seed")
    if torch.equal(first, other):
        fail("Two seeds give the same text.", value=other)
    if all(torch.equal(first[0], row) for row in first[1:]):
        fail("All texts of the batch are the same: draw for each of them.", value=first)
