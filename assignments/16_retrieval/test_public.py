"""What check("...") runs: small examples worked by hand, and properties that any right answer has.

Networks are made beside your functions: `student.value("torch")` is your torch.
"""

import math

import numpy as np
import pytest
import torch

from autograder.checking import StudentError, assert_close, assert_unchanged, fail


@pytest.mark.question("l2_normalize")
def test_l2_normalize(student):
    """(3, 4) becomes (0.6, 0.8), and a row of zeros stays as it is."""
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]])
    expected = np.array([[0.6, 0.8], [0, 0], [0, -1]])
    assert_close(assert_unchanged(student.l2_normalize, x), expected, rtol=1e-5, what="the rows")


@pytest.mark.question("euclidean_distances")
def test_euclidean_distances(student):
    """Triangles with sides 3, 4 and 5; the distance to oneself is 0."""
    q, g = torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 0.0], [3.0, 0.0]])
    expected = np.array([[5.0, 0, 3], [4, 3, 0]])
    assert_close(
        assert_unchanged(student.euclidean_distances, q, g), expected, atol=1e-4, what="the distances"
    )


@pytest.mark.question("euclidean_distances")
def test_euclidean_distances_twins(student):
    """A long vector and one that is 0.01 away from it, in float32."""
    q = torch.full((1, 50), 100.0)
    g = torch.stack([q[0], q[0]])
    g[1, 7] += 0.25
    result = student.euclidean_distances(q, g)
    assert_close(result, np.array([[0.0, 0.25]]), rtol=0, atol=5e-3, what="the distances of twins")


@pytest.mark.question("cosine_distances", given=["l2_normalize"])
def test_cosine_distances(student):
    """The same direction is at 0, a right angle at 1, the opposite at 2, and zero at 1 from everything."""
    q = torch.tensor([[2.0, 0.0]])
    g = torch.tensor([[5.0, 0.0], [0.0, 1.0], [-3.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    expected = np.array([[0, 1, 2, 1, 1 - math.sqrt(0.5)]])
    result = assert_unchanged(student.cosine_distances, q, g)
    assert_close(result, expected, rtol=1e-5, atol=1e-6, what="the distances")


@pytest.mark.question("top_k")
def test_top_k(student):
    """The nearest first, equals by index, and never oneself."""
    d = torch.tensor([[0.0, 3.0, 1.0, 1.0], [2.0, 0.0, 0.0, 5.0]])
    result = assert_unchanged(student.top_k, d, 3)
    assert_close(result, np.array([[0, 2, 3], [1, 2, 0]]), what="the three nearest")
    own = torch.tensor([0, 2])
    expected = np.array([[2, 3, 1], [1, 0, 3]])
    assert_close(
        student.top_k(d, 3, own), expected, what="the three nearest others", hint="own[i] is left out."
    )


@pytest.mark.question("top_k")
def test_top_k_too_many(student):
    """Five of four pictures are a ValueError."""
    try:
        result = student.top_k(torch.zeros(1, 4), 5)
    except StudentError as error:
        if error.type != "ValueError":
            raise
    else:
        fail("A ValueError was expected: there are four pictures.", value=result)


@pytest.mark.question("knn_predict")
def test_knn_predict(student):
    """A majority wins; among equals, the class of the nearest."""
    labels = torch.tensor([4, 4, 1, 1, 9])
    neighbours = torch.tensor([[4, 0, 1], [2, 0, 4], [4, 2, 0], [0, 3, 2]])
    assert_close(student.knn_predict(neighbours, labels), np.array([4, 1, 9, 1]), what="the classes")


@pytest.mark.question("recall_at_k")
def test_recall_at_k(student):
    """Three queries, whose first hits are in places 1, 3 and nowhere."""
    labels, query_labels = torch.tensor([0, 1, 1, 2]), torch.tensor([1, 2, 5])
    neighbours = torch.tensor([[1, 2, 3], [0, 1, 3], [0, 1, 2]])
    result = student.recall_at_k(neighbours, labels, query_labels, [1, 2, 3])
    assert_close(result, [1 / 3, 1 / 3, 2 / 3], rtol=1e-6, what="recall at 1, 2 and 3")


@pytest.mark.question("mean_average_precision")
def test_mean_average_precision(student):
    """The example of the text: hits in places 1 and 3, and in places 3 and 4; and one query without hits."""
    labels, ranking = torch.tensor([0, 1, 0, 1]), torch.tensor([[0, 1, 2, 3], [0, 2, 3, 1]])
    result = student.mean_average_precision(ranking, labels, torch.tensor([0, 1]))
    assert_close(result, (5 / 6 + 5 / 12) / 2, rtol=1e-6, what="the mAP of two queries")
    result = student.mean_average_precision(ranking, labels, torch.tensor([0, 7]))
    hint = "A query of whose class there is nothing is not in the mean."
    assert_close(result, 5 / 6, rtol=1e-6, what="the mAP, one query being of an unknown class", hint=hint)


@pytest.mark.question("split_by_group")
def test_split_by_group(student):
    """Two of five groups are held out, each as a whole; the same seed repeats it."""
    groups = torch.tensor([7, 7, 3, 12, 3, 7, 0, 0, 25])
    train, test = student.split_by_group(groups, 0.4, 1)
    together = sorted([*train.tolist(), *test.tolist()])
    assert_close(together, list(range(9)), what="all indices together")
    inside, outside = set(groups[train].tolist()), set(groups[test].tolist())
    if inside & outside:
        fail(f"Groups {sorted(inside & outside)} are on both sides.")
    assert_close(len(outside), 2, what="the number of groups held out")
    again = student.split_by_group(groups, 0.4, 1)[1]
    assert_close(again, test.numpy(), what="the test part for the same seed")


@pytest.mark.question("build_embedder")
def test_build_embedder(student):
    """It has the right number of parameters, and takes pictures of any size."""
    hint = "Convolutions without bias, two numbers for each map that is normalised, a linear layer."
    for dim, channels in ((5, (4,)), (3, (4, 6))):
        model = student.build_embedder(dim, channels)
        expected = 3 * 4 * 9 + 2 * 4 + (4 * 6 * 9 + 2 * 6) * (len(channels) - 1) + channels[-1] * dim + dim
        count = sum(parameter.numel() for parameter in student.builtin("list", model.parameters()))
        assert_close(count, expected, what=f"the parameters with {channels} channels", hint=hint)
        model.train(False)
        for height, width in ((8, 8), (13, 20)):
            out = model(torch.zeros(2, 3, height, width))
            assert_close(list(out.shape), [2, dim], what="the shape of the embeddings of two pictures")


@pytest.mark.question("proxy_loss", given=["l2_normalize"])
def test_proxy_loss(student):
    """A picture in the direction of its proxy, at a right angle to the other one; lengths do not count."""
    proxies = torch.tensor([[2.0, 0.0], [0.0, 0.1]])
    for scale in (1.0, 16.0):
        for f, label, expected in (
            ([[7.0, 0.0]], [0], math.log1p(math.exp(-scale))),
            ([[7.0, 0.0], [0.0, 1.0]], [0, 0], (2 * math.log1p(math.exp(-scale)) + scale) / 2),
        ):
            loss = student.proxy_loss(torch.tensor(f), proxies, torch.tensor(label), scale)
            assert_close(loss, expected, rtol=1e-4, atol=1e-6, what=f"the loss, scale {scale:g}")


@pytest.mark.question("train_embedder", given=["l2_normalize", "proxy_loss"])
def test_train_embedder(student):
    """Three directions that are easy to tell apart: the loss falls, and the proxies find them."""
    there = student.value("torch")
    there.manual_seed(0)
    y = torch.arange(30) % 3
    x = torch.eye(3)[y] + 0.05 * torch.sin(torch.arange(90.0)).reshape(30, 3)
    proxies = there.nn.Embedding(3, 3)
    proxies.load_state_dict({"weight": torch.tensor([[1.0, 2, 3], [3, 1, 2], [-1, -2, 1]])})
    identity = there.nn.Identity()
    losses = student.train_embedder(identity, proxies, x, y, identity, 10, 0.2, 8)
    assert_close(len(losses), 10, what="the number of losses", hint="One for each epoch.")
    if not losses[-1] < 0.5 * losses[0]:
        fail("The loss does not fall.", got=", ".join(f"{loss:.3g}" for loss in losses))
    p = proxies.weight.detach()
    found = (x @ (p / p.norm(dim=1, keepdim=True)).T).argmax(dim=1)
    assert_close(
        found, y.numpy(), what="the nearest proxy of each point", hint="The proxies are trained, too."
    )
