"""What goes wrong in automatic differentiation: small wrong versions of one function each, with explanations.

A mistake in an op keeps the cache of the solution's forward, so that it costs its own question only.
"""

import numpy as np

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_unbroadcast = unbroadcast
right_apply = apply
right_softmax_forward = softmax_cross_entropy_forward
right_softmax_backward = softmax_cross_entropy_backward
right_mlp_init = MLP.__init__
right_mlp_parameters = MLP.parameters


# --- unbroadcast


@mistake(
    "unbroadcast",
    "Only the axes missing in front are summed over. An axis of size 1 was stretched as well: sum over it, "
    "and keep it with size 1.",
    family="reduced",
)
def stretched_axes_left(gradient, shape):
    return gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))


@mistake(
    "unbroadcast",
    "The stretched axes vanish: (3, 1) comes back as (3,). Sum over them with keepdims=True.",
    family="reshaped",
)
def stretched_axes_dropped(gradient, shape):
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    return gradient.sum(axis=tuple(axis for axis, size in enumerate(shape) if size == 1))


@mistake(
    "unbroadcast",
    "The axes of shape are matched with those of gradient from the left; NumPy matches them from the right.",
)
def axes_from_the_left(gradient, shape):
    stretched = tuple(axis for axis, size in enumerate(shape) if size == 1)
    gradient = gradient.sum(axis=stretched, keepdims=True)
    return gradient.sum(axis=tuple(range(len(shape), gradient.ndim)))


@mistake(
    "unbroadcast",
    "The copies are averaged. Each of them changes the result, and their effects add up: sum, not mean.",
    family="scaled",
)
def averaged(gradient, shape):
    total = right_unbroadcast(gradient, shape)
    return total * (np.size(total) / gradient.size)


@mistake(
    "unbroadcast",
    "Only the gradient of the first copy is kept. An element collects from all places where it was used.",
)
def first_copy_only(gradient, shape):
    for _ in range(gradient.ndim - len(shape)):
        gradient = gradient[0]
    for axis, size in enumerate(shape):
        if size == 1:
            gradient = np.take(gradient, [0], axis=axis)
    return gradient


# --- tensor


@mistake(
    "tensor",
    "Every result requires a gradient, also one that was computed from constants alone: it does only if one "
    "of its operands does.",
    replaces="apply",
)
def always_requires_grad(forward, backward, *operands, **settings):
    result = right_apply(forward, backward, *operands, **settings)
    tensors = [operand if isinstance(operand, Tensor) else Tensor(operand) for operand in operands]
    result.requires_grad = True
    result.operands, result.backward_step = tensors, backward
    result.cache = forward(*[tensor.data for tensor in tensors], **settings)[1]
    return result


@mistake(
    "tensor",
    "The result takes requires_grad from its last operand. It needs a gradient as soon as any of them does.",
    replaces="apply",
)
def last_operand_decides(forward, backward, *operands, **settings):
    result = right_apply(forward, backward, *operands, **settings)
    result.requires_grad = getattr(operands[-1], "requires_grad", False)
    return result


@mistake(
    "tensor",
    "Operands that are no tensors are not turned into some, so that x + 2 fails.",
    replaces="apply",
)
def numbers_not_wrapped(forward, backward, *operands, **settings):
    for operand in operands:
        operand.requires_grad  # as the loop over the operands has it
    return right_apply(forward, backward, *operands, **settings)


@mistake(
    "tensor",
    "A tensor made from whole numbers stays one of integers, in which a gradient step is rounded away.",
    replaces="Tensor.__init__",
)
def integers_kept(self, data, requires_grad=False):
    self.data = np.asarray(data)
    self.requires_grad, self.grad = requires_grad, None
    self.operands, self.backward_step, self.cache = (), None, None


@mistake(
    "tensor",
    "The data is kept as it came, also a list or a plain number, which have no shape: np.asarray(data, "
    "dtype=float).",
    replaces="Tensor.__init__",
)
def data_as_it_came(self, data, requires_grad=False):
    self.data = data
    self.requires_grad, self.grad = requires_grad, None
    self.operands, self.backward_step, self.cache = (), None, None


@mistake(
    "tensor",
    "The gradients of a + b are not unbroadcast: a row that was added to a matrix gets a matrix.",
    replaces="add_backward",
    family="reduced",
)
def add_not_unbroadcast(dout, cache):
    return dout, dout


@mistake(
    "tensor",
    "In a + b only the gradient of b is unbroadcast. Either operand may be the smaller one.",
    replaces="add_backward",
    family="reduced",
)
def add_only_b_unbroadcast(dout, cache):
    return dout, unbroadcast(dout, cache[1])


# --- backpropagate


def ancestors(output):
    """Every tensor that output was computed from, each after all of its operands."""
    order, seen, stack = [], set(), [(output, False)]
    while stack:
        tensor, listed = stack.pop()
        if listed:
            order.append(tensor)
        elif tensor.requires_grad and id(tensor) not in seen:
            seen.add(id(tensor))
            stack.append((tensor, True))
            stack += [(operand, False) for operand in tensor.operands]
    return order


def parts_of(tensor, dout):
    """(operand, gradient) for each operand of a tensor."""
    if tensor.backward_step is None:
        return []
    gradients = tensor.backward_step(dout, tensor.cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    return list(zip(tensor.operands, gradients, strict=True))


def seed(output, gradient):
    """What arrives at the output."""
    return np.ones(output.data.shape) if gradient is None else np.asarray(gradient)


def go_back(order, output, gradient, *, collect=lambda old, new: old + new, keep=lambda old, new: old + new):
    """One pass through `order`; `collect` joins gradients within the pass, `keep` those of several passes."""
    arrived = {id(output): seed(output, gradient)}
    for tensor in order:
        dout = arrived.pop(id(tensor), None)
        if dout is None:
            continue
        tensor.grad = dout if tensor.grad is None else keep(tensor.grad, dout)
        for operand, part in parts_of(tensor, dout):
            if operand.requires_grad:
                key = id(operand)
                arrived[key] = collect(arrived[key], part) if key in arrived else part


@mistake(
    "backpropagate",
    "Where a tensor is used several times, the last gradient to arrive replaces the others: add them up.",
    family="scaled",
)
def fan_out_replaced(output, gradient=None):
    go_back(ancestors(output)[::-1], output, gradient, collect=lambda old, new: new)


@mistake(
    "backpropagate",
    "Each tensor is visited when it is first reached, depth first, and sends on what has arrived so far: it "
    "must wait until all of its users have sent theirs (reverse topological order).",
)
def depth_first_preorder(output, gradient=None):
    arrived, visited, stack = {id(output): seed(output, gradient)}, set(), [output]
    while stack:
        tensor = stack.pop()
        if id(tensor) in visited:
            continue
        visited.add(id(tensor))
        for operand, part in parts_of(tensor, arrived[id(tensor)]):
            if operand.requires_grad:
                key = id(operand)
                arrived[key] = arrived[key] + part if key in arrived else part
                stack.append(operand)
    for tensor in ancestors(output):
        dout = arrived[id(tensor)]
        tensor.grad = dout if tensor.grad is None else tensor.grad + dout


@mistake(
    "backpropagate",
    "The graph is walked level by level, breadth first. A tensor used both near the result and far from it "
    "is then visited too early: it must wait until all of its users have sent theirs.",
)
def breadth_first(output, gradient=None):
    order, seen = [output], {id(output)}
    for tensor in order:
        for operand in tensor.operands:
            if operand.requires_grad and id(operand) not in seen:
                seen.add(id(operand))
                order.append(operand)
    arrived = {id(output): seed(output, gradient)}
    for tensor in order:
        for operand, part in parts_of(tensor, arrived[id(tensor)]):
            if operand.requires_grad:
                key = id(operand)
                arrived[key] = arrived[key] + part if key in arrived else part
    for tensor in order:
        dout = arrived[id(tensor)]
        tensor.grad = dout if tensor.grad is None else tensor.grad + dout


@mistake(
    "backpropagate",
    "The search through the graph calls itself, and a deep graph is deeper than Python's stack: use a list "
    "as a stack of your own.",
)
def recursive(output, gradient=None):
    order, seen = [], set()

    def visit(tensor):
        if tensor.requires_grad and id(tensor) not in seen:
            seen.add(id(tensor))
            for operand in tensor.operands:
                visit(operand)
            order.append(tensor)

    visit(output)
    go_back(order[::-1], output, gradient)


@mistake(
    "backpropagate",
    "A pass sends on the grad that is stored in a tensor, in which those of earlier passes are still "
    "contained: the second pass brings too much. Keep what arrives in one pass apart.",
)
def stored_gradient_sent_on(output, gradient=None):
    order = ancestors(output)[::-1]
    start = seed(output, gradient)
    output.grad = start if output.grad is None else output.grad + start
    for tensor in order:
        for operand, part in parts_of(tensor, tensor.grad):
            if operand.requires_grad:
                operand.grad = part if operand.grad is None else operand.grad + part


@mistake(
    "backpropagate",
    "A second backward replaces the gradients of the first, or sets them to zero before it begins. They are "
    "added to what is there; zero_grad is there for whoever wants that gone.",
    family="scaled",
)
def second_pass_replaces(output, gradient=None):
    go_back(ancestors(output)[::-1], output, gradient, keep=lambda old, new: new)


@mistake(
    "backpropagate",
    "Gradients are added with +=, in place, into an array that other tensors hold as well (an addition gives "
    "the same array to both operands): make a new array for the sum.",
)
def added_in_place(output, gradient=None):
    def add_into(old, new):
        if isinstance(old, np.ndarray) and old.flags.writeable:
            old += new
            return old
        return old + new

    go_back(ancestors(output)[::-1], output, np.array(seed(output, gradient)), collect=add_into)


@mistake(
    "backpropagate",
    "The operands of an op are kept as a set, or visited once each, so that x * x counts x only once.",
    family="scaled",
)
def operands_as_a_set(output, gradient=None):
    arrived = {id(output): seed(output, gradient)}
    for tensor in ancestors(output)[::-1]:
        dout = arrived.pop(id(tensor))
        tensor.grad = dout if tensor.grad is None else tensor.grad + dout
        done = set()
        for operand, part in parts_of(tensor, dout):
            if operand.requires_grad and id(operand) not in done:
                done.add(id(operand))
                key = id(operand)
                arrived[key] = arrived[key] + part if key in arrived else part


@mistake(
    "backpropagate",
    "Tensors that do not require a gradient get one all the same: leave their grad at None.",
)
def constants_get_gradients(output, gradient=None):
    go_back(ancestors(output)[::-1], output, gradient)
    for tensor in ancestors(output):
        for operand in tensor.operands:
            if not operand.requires_grad:
                operand.grad = np.ones(operand.data.shape)


# --- arithmetic


@mistake(
    "arithmetic",
    "The gradient of b in a - b lacks its minus sign.",
    replaces="sub_backward",
    family="sign",
)
def sub_sign(dout, cache):
    return unbroadcast(dout, cache[0]), unbroadcast(dout, cache[1])


@mistake(
    "arithmetic",
    "In a - b the minus sign went to the gradient of a; it belongs to that of b.",
    replaces="sub_backward",
    family="sign",
)
def sub_sign_on_a(dout, cache):
    return unbroadcast(-dout, cache[0]), unbroadcast(dout, cache[1])


@mistake(
    "arithmetic",
    "The gradients of a * b are the wrong way round: a is multiplied with b, so its gradient is dout * b.",
    replaces="mul_backward",
)
def mul_swapped(dout, cache):
    a, b = cache
    return unbroadcast(dout * a, a.shape), unbroadcast(dout * b, b.shape)


@mistake(
    "arithmetic",
    "The gradients of a * b are the local derivatives b and a alone: multiply them with the upstream "
    "gradient.",
    replaces="mul_backward",
)
def mul_without_upstream(dout, cache):
    a, b = cache
    ones = np.ones(np.shape(dout))
    return unbroadcast(ones * b, a.shape), unbroadcast(ones * a, b.shape)


@mistake(
    "arithmetic",
    "In a * b the upstream gradient is summed down first and multiplied afterwards. Multiply first: a sum of "
    "products is not the product of the sums.",
    replaces="mul_backward",
)
def mul_summed_first(dout, cache):
    a, b = cache
    other_b, other_a = unbroadcast(b + 0 * dout, a.shape), unbroadcast(a + 0 * dout, b.shape)
    return unbroadcast(dout, a.shape) * other_b, unbroadcast(dout, b.shape) * other_a


@mistake(
    "arithmetic",
    "The gradient of b in a / b lacks its minus sign.",
    replaces="div_backward",
    family="sign",
)
def div_sign(dout, cache):
    a, b = cache
    return unbroadcast(dout / b, a.shape), unbroadcast(dout * a / b**2, b.shape)


@mistake(
    "arithmetic",
    "The gradient of b in a / b is -dout * a / b**2: the square of b is missing.",
    replaces="div_backward",
)
def div_square_missing(dout, cache):
    a, b = cache
    return unbroadcast(dout / b, a.shape), unbroadcast(-dout * a / b, b.shape)


@mistake(
    "arithmetic",
    "The gradient of b in a / b is -dout * a / b**2: the numerator a is missing.",
    replaces="div_backward",
)
def div_numerator_missing(dout, cache):
    a, b = cache
    return unbroadcast(dout / b, a.shape), unbroadcast(-dout / b**2 + 0 * a, b.shape)


# --- matmul


@mistake(
    "matmul",
    "b is not transposed in the gradient of a: dout (N, M) times b.T (M, D) gives (N, D).",
    replaces="matmul_backward",
)
def b_not_transposed(dout, cache):
    a, b = cache
    return dout @ b, a.T @ dout


@mistake(
    "matmul",
    "The gradient of b comes out transposed, (M, D): it is a.T @ dout, not dout.T @ a.",
    replaces="matmul_backward",
    family="transposed",
)
def db_transposed(dout, cache):
    a, b = cache
    return dout @ b.T, dout.T @ a


@mistake(
    "matmul",
    "The gradient of b is averaged over the rows of a. If the loss is a mean, its own gradient knows; here "
    "the rows are summed.",
    replaces="matmul_backward",
    family="scaled",
)
def db_averaged(dout, cache):
    a, b = cache
    return dout @ b.T, a.T @ dout / len(a)


@mistake(
    "matmul",
    "The two gradients are returned in the wrong order: first that of a, then that of b.",
    replaces="matmul_backward",
)
def gradients_in_wrong_order(dout, cache):
    a, b = cache
    return a.T @ dout, dout @ b.T


@mistake(
    "matmul",
    "The upstream gradient is missing in the gradient of a, which is dout @ b.T and not a sum over b alone.",
    replaces="matmul_backward",
)
def da_without_upstream(dout, cache):
    a, b = cache
    return np.ones(dout.shape) @ b.T, a.T @ dout


# --- sum_mean


@mistake(
    "sum_mean",
    "The axis that has vanished is not put back before the gradient is spread: NumPy then matches the axes "
    "that are left from the right, which is the wrong way for all axes but the first.",
    replaces="sum_backward",
    family="transposed",
)
def axis_not_put_back(dout, cache):
    return dout * np.ones(cache[0])


@mistake(
    "sum_mean",
    "`if axis:` is false for axis 0 as well, so that a sum over axis 0 sums everything: ask `axis is None`.",
    replaces="sum_forward",
    family="reduced",
)
def axis_zero_is_false(a, axis=None, keepdims=False):
    return a.sum(axis=axis if axis else None, keepdims=keepdims), (a.shape, axis, keepdims)


@mistake(
    "sum_mean",
    "keepdims is ignored in sum: with keepdims=True the axes summed over stay, with size 1.",
    replaces="sum_forward",
    family="reshaped",
)
def keepdims_ignored(a, axis=None, keepdims=False):
    return a.sum(axis=axis), (a.shape, axis, False)


@mistake(
    "sum_mean",
    "The axis is put back although keepdims has kept it: the gradient gets one axis too many.",
    replaces="sum_backward",
    family="reshaped, broadcast",
)
def put_back_twice(dout, cache):
    shape, axis, _ = cache
    if axis is not None:
        dout = np.expand_dims(dout, axis)
    return dout * np.ones(shape)


@mistake(
    "sum_mean",
    "The gradient of the mean is divided by the size of the whole array, also where the mean runs over an "
    "axis: divide by the number of elements in each mean.",
    replaces="mean_backward",
    family="scaled",
)
def mean_divided_by_size(dout, cache):
    spread = sum_backward(dout, cache[1])
    return spread / spread.size


@mistake(
    "sum_mean",
    "The gradient of the mean is divided by the length of axis 0, whatever the axis of the mean.",
    replaces="mean_backward",
    family="scaled",
)
def mean_divided_by_rows(dout, cache):
    spread = sum_backward(dout, cache[1])
    return spread / (len(spread) if spread.ndim else 1)


@mistake(
    "sum_mean",
    "The gradient of the mean is that of the sum: divide it by the number of elements in each mean.",
    replaces="mean_backward",
    family="scaled",
)
def mean_not_divided(dout, cache):
    return sum_backward(dout, cache[1])


# --- exp_log


@mistake(
    "exp_log",
    "The upstream gradient is missing in exp: the local derivative has to be multiplied with it.",
    replaces="exp_backward",
)
def exp_without_upstream(dout, cache):
    return cache


@mistake(
    "exp_log",
    "exp was differentiated like a power, a * e**(a - 1). It is its own derivative.",
    replaces="exp_backward",
)
def exp_like_a_power(dout, cache):
    return dout * np.log(cache) * cache / np.e


@mistake(
    "exp_log",
    "exp_backward multiplies with the input where the output belongs: the derivative of e**a is e**a.",
    replaces="exp_backward",
)
def exp_by_input(dout, cache):
    return dout * np.log(cache)


@mistake(
    "exp_log",
    "The derivative of log a is 1 / a: divide the upstream gradient by a, do not multiply.",
    replaces="log_backward",
)
def log_multiplied(dout, cache):
    return dout * cache


@mistake(
    "exp_log",
    "log_backward divides by the output, log a, where the input a belongs.",
    replaces="log_backward",
)
def log_by_output(dout, cache):
    return dout / np.log(cache)


@mistake(
    "exp_log",
    "log is the logarithm to base 10; the natural one is np.log.",
    replaces="log_forward",
    family="scaled",
)
def log_base_ten(a):
    return np.log10(a), a


# --- activations


@mistake(
    "activations",
    "relu_backward asks for the sign of the upstream gradient. What decides is the sign of the input.",
    replaces="relu_backward",
)
def relu_by_gradient(dout, cache):
    return dout * (dout > 0)


@mistake(
    "activations",
    "relu_backward writes zeros into the upstream gradient itself, an array that others hold as well: make a "
    "new one.",
    replaces="relu_backward",
)
def relu_in_place(dout, cache):
    if not isinstance(dout, np.ndarray) or dout.ndim == 0:
        return dout * (cache > 0)
    dout[cache <= 0] = 0
    return dout


@mistake(
    "activations",
    "relu_backward returns where the input was positive, without the upstream gradient.",
    replaces="relu_backward",
)
def relu_without_upstream(dout, cache):
    return (cache > 0) * 1.0


@mistake(
    "activations",
    "The derivative of the sigmoid is taken at its output: cache holds sigmoid(a) already, do not apply it "
    "again.",
    replaces="sigmoid_backward",
)
def sigmoid_twice(dout, cache):
    again = 1 / (1 + np.exp(-cache))
    return dout * again * (1 - again)


@mistake(
    "activations",
    "For large a, exp(a) / (1 + exp(a)) is infinity divided by infinity. That form is for negative a only.",
    replaces="sigmoid_forward",
    family="unstable",
)
def sigmoid_overflows(a):
    out = np.exp(a) / (1 + np.exp(a))
    return out, out


@mistake(
    "activations",
    "The derivative of the sigmoid lacks its second factor: out * (1 - out).",
    replaces="sigmoid_backward",
)
def sigmoid_half(dout, cache):
    return dout * cache


@mistake(
    "activations",
    "The derivative of tanh is 1 - out**2: the square is missing.",
    replaces="tanh_backward",
)
def tanh_not_squared(dout, cache):
    return dout * (1 - cache)


@mistake(
    "activations",
    "The derivative of tanh is 1 - tanh(a)**2, not 1 - a**2: square the output, not the input.",
    replaces="tanh_backward",
)
def tanh_of_input(dout, cache):
    return dout * (1 - np.arctanh(np.clip(cache, -1 + 1e-16, 1 - 1e-16)) ** 2)


@mistake(
    "activations",
    "tanh is computed from exp(a) and exp(-a), one of which overflows for large a: use np.tanh.",
    replaces="tanh_forward",
    family="unstable",
)
def tanh_overflows(a):
    out = (np.exp(a) - np.exp(-a)) / (np.exp(a) + np.exp(-a))
    return out, out


# --- softmax_cross_entropy


@mistake(
    "softmax_cross_entropy",
    "The largest score of each row is not subtracted, and exp of a large score overflows.",
    replaces="softmax_cross_entropy_forward",
    family="unstable",
)
def softmax_overflows(scores, labels):
    log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(labels)), labels].mean(), (log_p, labels)


@mistake(
    "softmax_cross_entropy",
    "The largest score of the whole batch is subtracted. A row far below it underflows to 0 / 0: take the "
    "maximum of each row by itself.",
    replaces="softmax_cross_entropy_forward",
    family="unstable",
)
def one_maximum_for_all(scores, labels):
    shifted = scores - scores.max()
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(labels)), labels].mean(), (log_p, labels)


@mistake(
    "softmax_cross_entropy",
    "The logarithm is taken of a probability that may have been rounded to 0. Compute log p without p: the "
    "shifted score minus the logarithm of the sum.",
    replaces="softmax_cross_entropy_forward",
    family="unstable",
)
def log_of_rounded_probability(scores, labels):
    _, cache = right_softmax_forward(scores, labels)
    p = np.exp(cache[0])
    return -np.log(p[np.arange(len(labels)), labels]).mean(), cache


@mistake(
    "softmax_cross_entropy",
    "The loss is the sum over the rows; it should be their mean.",
    replaces="softmax_cross_entropy_forward",
    family="scaled",
)
def loss_summed(scores, labels):
    loss, cache = right_softmax_forward(scores, labels)
    return loss * len(labels), cache


@mistake(
    "softmax_cross_entropy",
    "The gradient is not divided by the number of rows N, though the loss is.",
    replaces="softmax_cross_entropy_backward",
    family="scaled",
)
def gradient_not_divided(dout, cache):
    return right_softmax_backward(dout, cache) * len(cache[1])


@mistake(
    "softmax_cross_entropy",
    "The upstream gradient of the loss is ignored: in 2 * loss, every gradient is twice as large.",
    replaces="softmax_cross_entropy_backward",
    family="scaled",
)
def loss_upstream_ignored(dout, cache):
    return right_softmax_backward(1.0, cache)


@mistake(
    "softmax_cross_entropy",
    "The gradient is the probabilities alone: subtract 1 at the label of each row.",
    replaces="softmax_cross_entropy_backward",
)
def label_not_subtracted(dout, cache):
    return dout * np.exp(cache[0]) / len(cache[1])


@mistake(
    "softmax_cross_entropy",
    "The 1 is subtracted in the column of every label of the batch, from all rows (p[:, labels] -= 1): "
    "subtract it at [row, label of the row].",
    replaces="softmax_cross_entropy_backward",
)
def label_subtracted_everywhere(dout, cache):
    log_p, labels = cache
    p = np.exp(log_p)
    p[:, labels] -= 1
    return dout * p / len(labels)


@mistake(
    "softmax_cross_entropy",
    "The gradient is divided by the number of all scores, N * K; the loss is a mean over the N rows.",
    replaces="softmax_cross_entropy_backward",
    family="scaled",
)
def divided_by_all_scores(dout, cache):
    return right_softmax_backward(dout, cache) / cache[0].shape[1]


# --- mlp


@mistake(
    "mlp",
    "The activation is applied after the last layer too; the scores go into the loss as they are.",
    replaces="MLP.__call__",
)
def activation_at_the_end(self, x):
    h = Tensor(x)
    for W, b in self.layers:
        h = self.activation(h @ W + b)
    return h


@mistake(
    "mlp",
    "There is no activation between the layers: together they are a single linear layer.",
    replaces="MLP.__call__",
)
def no_activation(self, x):
    h = Tensor(x)
    for W, b in self.layers:
        h = h @ W + b
    return h


@mistake(
    "mlp",
    "The activation is always ReLU, whatever was asked for.",
    replaces="MLP.__init__",
)
def always_relu(self, sizes, activation="relu", seed=0):
    right_mlp_init(self, sizes, "relu", seed)


@mistake(
    "mlp",
    "parameters() lists the weights without the biases, which then never learn.",
    replaces="MLP.parameters",
)
def biases_not_listed(self):
    return right_mlp_parameters(self)[::2]


@mistake(
    "mlp",
    "parameters() lists all weights first and then all biases; the order is W1, b1, W2, b2 and so on.",
    replaces="MLP.parameters",
)
def weights_first(self):
    everything = right_mlp_parameters(self)
    return everything[::2] + everything[1::2]


@mistake(
    "mlp",
    "The biases do not require a gradient, so that none ever reaches them.",
    replaces="MLP.__init__",
)
def biases_without_gradient(self, sizes, activation="relu", seed=0):
    right_mlp_init(self, sizes, activation, seed)
    for _, b in self.layers:
        b.requires_grad = False


@mistake(
    "mlp",
    "The weights have the standard deviation 2 / D_in. That is the variance: take the root of it.",
    replaces="MLP.__init__",
    family="function, scaled",
)
def root_forgotten(self, sizes, activation="relu", seed=0):
    right_mlp_init(self, sizes, activation, seed)
    for W, _ in self.layers:
        W.data = W.data * np.sqrt(2 / len(W.data))


@mistake(
    "mlp",
    "The standard deviation of the weights is taken from the number of outputs; D_in is the number of rows.",
    replaces="MLP.__init__",
    family="scaled",
)
def scaled_by_outputs(self, sizes, activation="relu", seed=0):
    right_mlp_init(self, sizes, activation, seed)
    for W, _ in self.layers:
        W.data = W.data * np.sqrt(W.data.shape[0] / W.data.shape[1])


@mistake(
    "mlp",
    "A generator is made from the seed in every layer, so that layers of one size have the same weights: "
    "make one before the loop.",
    replaces="MLP.__init__",
)
def generator_in_every_layer(self, sizes, activation="relu", seed=0):
    right_mlp_init(self, sizes, activation, seed)
    for W, _ in self.layers:
        W.data = np.random.default_rng(seed).normal(scale=np.sqrt(2 / len(W.data)), size=W.data.shape)


@mistake(
    "mlp",
    "The seed is ignored: draw the weights from np.random.default_rng(seed).",
    replaces="MLP.__init__",
)
def network_seed_ignored(self, sizes, activation="relu", seed=0):
    right_mlp_init(self, sizes, activation, 0)


# --- train


def run_steps(net, x, y, orders, batch_size, learning_rate, *, zero=True, drop_last=False):
    """Stochastic gradient descent through the given orders, one for each epoch."""
    losses = []
    for order in orders:
        stop = len(order) - len(order) % batch_size if drop_last else len(order)
        for start in range(0, stop, batch_size):
            batch = order[start : start + batch_size]
            loss = softmax_cross_entropy(net(x[batch]), y[batch])
            losses.append(float(loss.data))
            for parameter in net.parameters():
                if zero:
                    parameter.zero_grad()
            loss.backward()
            for parameter in net.parameters():
                parameter.data = parameter.data - learning_rate * parameter.grad
    return losses


def orders_of(count, epochs, seed):
    """A permutation for each epoch."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(count) for _ in range(epochs)]


@mistake(
    "train",
    "The gradients are never set to zero: each step also repeats all the steps before it.",
    family="partial",
)
def not_zeroed(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    return run_steps(net, x, y, orders_of(len(x), epochs, seed), batch_size, learning_rate, zero=False)


@mistake(
    "train",
    "The step goes up the gradient: subtract learning_rate * grad.",
)
def uphill(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    return run_steps(net, x, y, orders_of(len(x), epochs, seed), batch_size, -learning_rate)


@mistake(
    "train",
    "The examples left over at the end of an epoch are dropped: the last step takes them, however few.",
)
def rest_dropped(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    batch_size = min(batch_size, len(x))
    return run_steps(net, x, y, orders_of(len(x), epochs, seed), batch_size, learning_rate, drop_last=True)


@mistake(
    "train",
    "The examples are not shuffled: every epoch has the same mini-batches, in the order of the data.",
)
def not_shuffled(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    return run_steps(net, x, y, [np.arange(len(x))] * epochs, batch_size, learning_rate)


@mistake(
    "train",
    "The examples are shuffled once, before the first epoch: draw a new permutation for each.",
)
def shuffled_once(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    return run_steps(net, x, y, orders_of(len(x), 1, seed) * epochs, batch_size, learning_rate)


@mistake(
    "train",
    "x is permuted and y is not, so that the images get the labels of others.",
)
def labels_left_behind(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    losses = []
    for order in orders_of(len(x), epochs, seed):
        losses += run_steps(net, x[order], y, [np.arange(len(x))], batch_size, learning_rate)
    return losses


@mistake(
    "train",
    "`parameter = parameter - ...` makes a new tensor and leaves the network's as it is: change its data.",
)
def new_tensors(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    return run_steps(net, x, y, orders_of(len(x), epochs, seed), batch_size, 0.0)


@mistake(
    "train",
    "The list holds tensors, and with each of them its whole graph: append float(loss.data).",
)
def losses_as_tensors(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    losses = run_steps(net, x, y, orders_of(len(x), epochs, seed), batch_size, learning_rate)
    return [Tensor(loss) for loss in losses]


@mistake(
    "train",
    "The list holds one loss for each epoch; it should hold one for each step.",
)
def one_loss_per_epoch(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    orders = orders_of(len(x), epochs, seed)
    return [np.mean(run_steps(net, x, y, [order], batch_size, learning_rate)) for order in orders]


@mistake(
    "train",
    "The step is divided by the size of the mini-batch once more; the loss is a mean already.",
)
def divided_again(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    rate = learning_rate / min(batch_size, len(x))
    return run_steps(net, x, y, orders_of(len(x), epochs, seed), batch_size, rate)


@mistake(
    "train",
    "The seed is ignored: draw the permutations from np.random.default_rng(seed).",
)
def training_seed_ignored(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    return run_steps(net, x, y, orders_of(len(x), epochs, 0), batch_size, learning_rate)
