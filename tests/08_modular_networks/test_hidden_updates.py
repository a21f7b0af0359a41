"""The four update rules: several steps, defaults, and a state that lives in the config."""

import numpy as np
import pytest

from autograder.checking import OptimizerContract


# Other right ways to write the same rule. They differ only where epsilon or a changing learning rate matters.
def momentum_of_gradients(w, dw, config):
    """A velocity of gradients, multiplied by the learning rate when it is used."""
    config = {"learning_rate": 1e-2, "momentum": 0.9, "velocity": 0.0, **(config or {})}
    velocity = config["momentum"] * config["velocity"] + dw
    return w - config["learning_rate"] * velocity, {**config, "velocity": velocity}


def rmsprop_inside(w, dw, config):
    """Epsilon inside the root."""
    config = {"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8, "cache": 0.0, **(config or {})}
    cache = config["decay_rate"] * config["cache"] + (1 - config["decay_rate"]) * dw**2
    return w - config["learning_rate"] * dw / np.sqrt(cache + config["epsilon"]), {**config, "cache": cache}


def adam_steps(w, dw, config, denominator):
    """Adam with a denominator of its own."""
    defaults = {
        "learning_rate": 1e-3,
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
        "m": 0.0,
        "v": 0.0,
        "t": 0,
    }
    config = {**defaults, **(config or {})}
    beta1, beta2, t = config["beta1"], config["beta2"], config["t"] + 1
    m = beta1 * config["m"] + (1 - beta1) * dw
    v = beta2 * config["v"] + (1 - beta2) * dw**2
    step = config["learning_rate"] * m / (1 - beta1**t) / denominator(v, 1 - beta2**t, config["epsilon"])
    return w - step, {**config, "m": m, "v": v, "t": t}


def adam_inside(w, dw, config):
    """Epsilon inside the root."""
    return adam_steps(w, dw, config, lambda v, bias, epsilon: np.sqrt(v / bias + epsilon))


def adam_before_correction(w, dw, config):
    """Epsilon beside the root of v as it is, before it is corrected (the end of section 2 of the paper)."""
    return adam_steps(w, dw, config, lambda v, bias, epsilon: (np.sqrt(v) + epsilon) / np.sqrt(bias))


SGD = OptimizerContract("sgd", {"learning_rate": 0.3}, hint="w - learning_rate * dw")
MOMENTUM = OptimizerContract(
    "sgd_momentum",
    {"learning_rate": 0.3, "momentum": 0.6},
    accepted=(momentum_of_gradients,),
    hint="velocity = momentum * velocity - learning_rate * dw; w + velocity",
)
RMSPROP = OptimizerContract(
    "rmsprop",
    {"learning_rate": 0.3, "decay_rate": 0.8},
    epsilon=2.0,
    accepted=(rmsprop_inside,),
    hint="cache = rho * cache + (1 - rho) * dw**2; divide by its root, plus epsilon.",
)
ADAM = OptimizerContract(
    "adam",
    {"learning_rate": 0.3, "beta1": 0.7, "beta2": 0.9},
    epsilon=2.0,
    accepted=(adam_inside, adam_before_correction),
    hint="t counts from 1 in the first step; divide m by 1 - beta1**t and v by 1 - beta2**t.",
)


@pytest.mark.question("sgd", weight=2)
def test_sgd_steps(student, reference, rng):
    """Steps go against the gradient, as long as the learning rate says."""
    SGD.check_steps(student, reference, rng)


@pytest.mark.question("sgd")
def test_sgd_settings(student, reference, rng):
    """Without a learning rate it is 0.01; one that changes between steps is used."""
    SGD.check_defaults(student, reference, rng)
    SGD.check_learning_rate_between_steps(student, reference, rng)


@pytest.mark.question("sgd")
def test_sgd_leaves_gradient(student, reference, rng):
    """The gradient is not modified, and float32 is accepted."""
    SGD.check_gradient_unchanged(student, reference, rng)
    SGD.check_float32(student, reference, rng)


@pytest.mark.question("sgd_momentum")
def test_momentum_first_step(student, reference, rng):
    """The first step starts with a velocity of zero, for parameters of any shape."""
    MOMENTUM.check_first_step(student, reference, rng)


@pytest.mark.question("sgd_momentum", weight=2)
def test_momentum_steps(student, reference, rng):
    """Six steps in a row are right: the velocity is carried in the config."""
    MOMENTUM.check_steps(student, reference, rng)


@pytest.mark.question("sgd_momentum")
def test_momentum_settings(student, reference, rng):
    """Learning rate and momentum are taken from the config; without them they are 0.01 and 0.9."""
    MOMENTUM.check_defaults(student, reference, rng)
    MOMENTUM.check_settings(student, reference, rng)
    MOMENTUM.check_learning_rate_between_steps(student, reference, rng)


@pytest.mark.question("sgd_momentum")
def test_momentum_states(student, reference, rng):
    """Two parameters, each with its own config, do not disturb each other."""
    MOMENTUM.check_separate_states(student, reference, rng)


@pytest.mark.question("sgd_momentum")
def test_momentum_leaves_gradient(student, reference, rng):
    """The gradient is not modified, and float32 is accepted."""
    MOMENTUM.check_gradient_unchanged(student, reference, rng)
    MOMENTUM.check_float32(student, reference, rng)


@pytest.mark.question("rmsprop")
def test_rmsprop_first_step(student, reference, rng):
    """The first step starts with an average of zero, for parameters of any shape."""
    RMSPROP.check_first_step(student, reference, rng)


@pytest.mark.question("rmsprop", weight=2)
def test_rmsprop_steps(student, reference, rng):
    """Six steps in a row are right: the average is carried in the config."""
    RMSPROP.check_steps(student, reference, rng)


@pytest.mark.question("rmsprop")
def test_rmsprop_settings(student, reference, rng):
    """Every setting is taken from the config; without them they are 0.01 and 0.99."""
    RMSPROP.check_defaults(student, reference, rng)
    RMSPROP.check_settings(student, reference, rng)
    RMSPROP.check_learning_rate_between_steps(student, reference, rng)


@pytest.mark.question("rmsprop")
def test_rmsprop_epsilon(student, reference, rng):
    """Epsilon, 1e-8 by default, shortens the steps, and a gradient that is always 0 gives no NaN."""
    RMSPROP.check_epsilon(student, reference, rng)
    RMSPROP.check_default_epsilon(student, reference, rng)
    RMSPROP.check_zero_gradient(student, reference, rng)


@pytest.mark.question("rmsprop")
def test_rmsprop_states(student, reference, rng):
    """Two parameters, each with its own config, do not disturb each other."""
    RMSPROP.check_separate_states(student, reference, rng)


@pytest.mark.question("rmsprop")
def test_rmsprop_leaves_gradient(student, reference, rng):
    """The gradient is not modified, and float32 is accepted."""
    RMSPROP.check_gradient_unchanged(student, reference, rng)
    RMSPROP.check_float32(student, reference, rng)


@pytest.mark.question("adam")
def test_adam_first_step(student, reference, rng):
    """The first step, with t = 1, is right for parameters of any shape."""
    ADAM.check_first_step(student, reference, rng)


@pytest.mark.question("adam", weight=3)
def test_adam_steps(student, reference, rng):
    """Twenty steps in a row are right: both averages and t are carried in the config."""
    ADAM.check_steps(student, reference, rng, [(4, 3)], steps=20)
    ADAM.check_steps(student, reference, rng, steps=5)


@pytest.mark.question("adam")
def test_adam_settings(student, reference, rng):
    """Every setting is taken from the config; without them they are 0.001, 0.9 and 0.999."""
    ADAM.check_defaults(student, reference, rng)
    ADAM.check_settings(student, reference, rng)
    ADAM.check_learning_rate_between_steps(student, reference, rng)


@pytest.mark.question("adam")
def test_adam_epsilon(student, reference, rng):
    """Epsilon, 1e-8 by default, shortens the steps, and a gradient that is always 0 gives no NaN."""
    ADAM.check_epsilon(student, reference, rng)
    ADAM.check_default_epsilon(student, reference, rng)
    ADAM.check_zero_gradient(student, reference, rng)


@pytest.mark.question("adam")
def test_adam_states(student, reference, rng):
    """Two parameters, each with its own config, do not disturb each other."""
    ADAM.check_separate_states(student, reference, rng)


@pytest.mark.question("adam")
def test_adam_leaves_gradient(student, reference, rng):
    """The gradient is not modified, and float32 is accepted."""
    ADAM.check_gradient_unchanged(student, reference, rng)
    ADAM.check_float32(student, reference, rng)
