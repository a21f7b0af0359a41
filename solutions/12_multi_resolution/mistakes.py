"""What goes wrong with images of different sizes: small wrong versions of one function each."""

import torch
import torch.nn.functional as F
from torch import nn

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_resize = resize_bilinear
right_count = count_parameters
right_batches = batches_by_size
right_pad = pad_batch
right_pool = masked_pool
right_net_init = MixedCNN.__init__


# --- resizing


@mistake(
    "resize_bilinear",
    "The corners are aligned: first middle on first, last on last. Here pixels are areas: mind the halves.",
)
def resize_aligned_corners(images, height, width):
    return F.interpolate(images, size=(height, width), mode="bilinear", align_corners=True)


@mistake("resize_bilinear", "The nearest pixel is taken: nothing is interpolated.")
def resize_nearest(images, height, width):
    return F.interpolate(images, size=(height, width), mode="nearest")


@mistake("resize_bilinear", "The interpolation is bicubic, over sixteen pixels: bilinear takes four.")
def resize_bicubic(images, height, width):
    return F.interpolate(images, size=(height, width), mode="bicubic", align_corners=False)


@mistake(
    "resize_bilinear",
    "Areas are averaged when an image gets smaller (antialiasing): bilinear takes four neighbours only.",
)
def resize_antialiased(images, height, width):
    return F.interpolate(images, size=(height, width), mode="bilinear", align_corners=False, antialias=True)


@mistake("resize_bilinear", "Height and width are exchanged.", family="transposed, reshaped")
def resize_exchanged(images, height, width):
    return right_resize(images, width, height)


def _resize(images, height, width, place):
    def weights(old, new):
        u = place(torch.arange(new, dtype=images.dtype), old, new).clamp(0, old - 1)
        low = u.long()
        matrix = torch.zeros(new, old, dtype=images.dtype)
        matrix[torch.arange(new), low] += 1 - (u - low)
        matrix[torch.arange(new), (low + 1).clamp(max=old - 1)] += u - low
        return matrix

    return weights(images.shape[2], height) @ images @ weights(images.shape[3], width).T


@mistake("resize_bilinear", "The halves are missing: u = i H / h shifts the picture by half a pixel.")
def resize_without_halves(images, height, width):
    return _resize(images, height, width, lambda i, old, new: i * old / new)


@mistake("resize_bilinear", "Only one of the two halves is there: u = (i + 1/2) H / h - 1/2.")
def resize_one_half(images, height, width):
    return _resize(images, height, width, lambda i, old, new: (i + 0.5) * old / new)


@mistake(
    "resize_bilinear",
    "Beyond the outermost middles the image fades to 0: u has to be kept between 0 and H - 1.",
    family="scaled",
)
def resize_fades(images, height, width):
    padded = F.pad(images, (1, 1, 1, 1))
    _, _, H, W = images.shape

    def weights(old, new):
        u = (torch.arange(new, dtype=images.dtype) + 0.5) * old / new - 0.5 + 1
        low = u.long()
        matrix = torch.zeros(new, old + 2, dtype=images.dtype)
        matrix[torch.arange(new), low] += 1 - (u - low)
        matrix[torch.arange(new), (low + 1).clamp(max=old + 1)] += u - low
        return matrix

    return weights(H, height) @ padded @ weights(W, width).T


# --- parameters


def _count(channels, num_classes, in_channels, side, *, kernel=9, norm=2, bias=0, halvings=None, head_bias=1):
    total, before = 0, in_channels
    for after in channels:
        total += kernel * before * after + norm * after + bias * after
        before = after
    level = len(channels) if halvings is None else halvings(len(channels))
    places = 1 if side is None else (side // 2**level) ** 2
    return total + before * places * num_classes + head_bias * num_classes


@mistake("count_parameters", "The convolutions are counted with a bias: they have none.")
def count_with_conv_bias(channels, num_classes, in_channels=1, side=None):
    return _count(channels, num_classes, in_channels, side, bias=1)


@mistake("count_parameters", "Batch normalisation is not counted: a scale and a shift for each channel.")
def count_without_norm(channels, num_classes, in_channels=1, side=None):
    return _count(channels, num_classes, in_channels, side, norm=0)


@mistake("count_parameters", "The running averages are counted too: they are not trained, and no parameters.")
def count_with_buffers(channels, num_classes, in_channels=1, side=None):
    return _count(channels, num_classes, in_channels, side, norm=4)


@mistake("count_parameters", "The last layer's biases are missing.")
def count_without_head_bias(channels, num_classes, in_channels=1, side=None):
    return _count(channels, num_classes, in_channels, side, head_bias=0)


@mistake("count_parameters", "A filter has one layer for each channel of its input: 9 c c', not 9 c'.")
def count_flat_filters(channels, num_classes, in_channels=1, side=None):
    total = sum(9 * c + 2 * c for c in channels)
    return total + right_count(channels, num_classes, in_channels, side) - right_blocks(channels, in_channels)


def right_blocks(channels, in_channels):
    """The parameters of the blocks alone."""
    return _count(channels, 0, in_channels, None)


@mistake("count_parameters", "The maps are flattened with the side of the image: each block halves it.")
def count_side_not_halved(channels, num_classes, in_channels=1, side=None):
    return _count(channels, num_classes, in_channels, side, halvings=lambda level: 0)


@mistake("count_parameters", "The last block's max pooling is forgotten: there is one in every block.")
def count_one_halving_less(channels, num_classes, in_channels=1, side=None):
    return _count(channels, num_classes, in_channels, side, halvings=lambda level: level - 1)


@mistake("count_parameters", "The maps have side x side places: the side is to be squared.")
def count_side_not_squared(channels, num_classes, in_channels=1, side=None):
    if side is None:
        return right_count(channels, num_classes, in_channels)
    places = side // 2 ** len(channels)
    return right_count(channels, num_classes, in_channels) + channels[-1] * (places - 1) * num_classes


# --- batches


@mistake("batches_by_size", "Sizes are mixed in a batch: each batch must have one.")
def batches_mixed(sizes, batch_size, generator):
    order = torch.randperm(len(sizes), generator=generator)
    return [batch.tolist() for batch in order.split(batch_size)]


@mistake(
    "batches_by_size", "Images with as many pixels are taken for the same size: (8, 6) and (6, 8) are two."
)
def batches_by_area(sizes, batch_size, generator):
    return right_batches([(height * width,) for height, width in sizes], batch_size, generator)


@mistake("batches_by_size", "The batches come size by size: shuffle the list of batches, too.")
def batches_sorted(sizes, batch_size, generator):
    batches = right_batches(sizes, batch_size, generator)
    return sorted(batches, key=lambda batch: sizes[batch[0]])


@mistake("batches_by_size", "The images of a size come in their order: shuffle them before batches are cut.")
def batches_not_shuffled_inside(sizes, batch_size, generator):
    batches = []
    for size in sorted(set(sizes)):
        same = [i for i, each in enumerate(sizes) if each == size]
        batches += [same[start : start + batch_size] for start in range(0, len(same), batch_size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


@mistake("batches_by_size", "Short batches are left out, and their images with them.")
def batches_drop_last(sizes, batch_size, generator):
    return [batch for batch in right_batches(sizes, batch_size, generator) if len(batch) == batch_size]


@mistake(
    "batches_by_size", "The generator is not used: torch's own random numbers cannot be repeated with it."
)
def batches_without_generator(sizes, batch_size, generator):
    return right_batches(sizes, batch_size, None)


@mistake("batches_by_size", "Whenever the size changes a new batch begins, so that there are far too many.")
def batches_cut_at_changes(sizes, batch_size, generator):
    batches = []
    for i in torch.randperm(len(sizes), generator=generator).tolist():
        if batches and sizes[batches[-1][-1]] == sizes[i] and len(batches[-1]) < batch_size:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


# --- padding


@mistake(
    "pad_batch", "The images are in the middle of their places: they should be in the upper left corner."
)
def pad_centred(images):
    batch, mask = right_pad(images)
    for n, image in enumerate(images):
        shift = [(batch.shape[axis + 1] - image.shape[axis]) // 2 for axis in (1, 2)]
        batch[n], mask[n] = batch[n].roll(shift, dims=(1, 2)), mask[n].roll(shift, dims=(0, 1))
    return batch, mask


@mistake("pad_batch", "The mask is made from the pixels, and black ones inside of an image are lost.")
def pad_mask_from_pixels(images):
    batch, _ = right_pad(images)
    return batch, (batch != 0).any(dim=1)


@mistake(
    "pad_batch", "The mask is True for the padding: it should be True where there is image.", family="sign"
)
def pad_mask_inverted(images):
    batch, mask = right_pad(images)
    return batch, ~mask


@mistake("pad_batch", "The images are stretched to the common size: they should be filled up with zeros.")
def pad_by_resizing(images):
    batch, mask = right_pad(images)
    return torch.cat([F.interpolate(image[None], size=batch.shape[2:]) for image in images]), mask


@mistake("pad_batch", "The images are cut to the smallest size: they should be filled up to the largest.")
def pad_by_cutting(images):
    height, width = (min(image.shape[axis] for image in images) for axis in (1, 2))
    return right_pad([image[:, :height, :width] for image in images])


@mistake("pad_batch", "The mask consists of numbers: it should be of dtype bool.")
def pad_mask_of_numbers(images):
    batch, mask = right_pad(images)
    return batch, mask.float()


@mistake("pad_batch", "The batch is square, with the largest side along both axes.", family="offset")
def pad_to_square(images):
    side = max(max(image.shape[1:]) for image in images)
    batch, mask = right_pad([*images, torch.zeros(images[0].shape[0], side, side, dtype=images[0].dtype)])
    return batch[:-1], mask[:-1]


# --- pooling


@mistake(
    "masked_pool", "The mean divides by all places: only those inside are to be counted.", family="scaled"
)
def pool_divides_by_all(maps, mask, kind="mean"):
    if kind == "max":
        return right_pool(maps, mask, kind)
    return maps.masked_fill(~mask[:, None], 0).mean(dim=(2, 3))


@mistake("masked_pool", "The mask is not used.")
def pool_without_mask(maps, mask, kind="mean"):
    return maps.amax(dim=(2, 3)) if kind == "max" else maps.mean(dim=(2, 3))


@mistake(
    "masked_pool",
    "For the maximum the outside is set to 0, which wins where all numbers inside are negative.",
    family="zeros",
)
def pool_zero_wins(maps, mask, kind="mean"):
    if kind == "mean":
        return right_pool(maps, mask, kind)
    return maps.masked_fill(~mask[:, None], 0).amax(dim=(2, 3))


@mistake(
    "masked_pool",
    "The outside is multiplied by 0, and NaN and infinity times 0 are NaN: fill in something else.",
    family="unstable",
)
def pool_multiplies(maps, mask, kind="mean"):
    if kind == "max":
        return right_pool(maps, mask, kind)
    inside = mask[:, None].to(maps.dtype)
    return (maps * inside).sum(dim=(2, 3)) / inside.sum(dim=(2, 3))


@mistake(
    "masked_pool",
    "The sum is divided by the number of places inside of the whole batch, not of each image.",
    family="scaled",
)
def pool_divides_by_batch(maps, mask, kind="mean"):
    if kind == "max":
        return right_pool(maps, mask, kind)
    return maps.masked_fill(~mask[:, None], 0).sum(dim=(2, 3)) / mask.sum() * len(mask)


@mistake("masked_pool", "The outside is pooled: the mask is True where there is image.")
def pool_outside(maps, mask, kind="mean"):
    return right_pool(maps, ~mask, kind)


@mistake("masked_pool", "The kind is not looked at: the mean is always returned.")
def pool_always_mean(maps, mask, kind="mean"):
    return right_pool(maps, mask)


@mistake("masked_pool", "The default is the mean, and here it is the maximum.")
def pool_default_max(maps, mask, kind="max"):
    return right_pool(maps, mask, kind)


# --- the network


def _forward(
    self, images, mask, *, first=True, between=True, last=True, shrink=lambda mask: mask[:, 1::2, 1::2]
):
    if mask is None:
        mask = torch.ones(len(images), *images.shape[2:], dtype=torch.bool)
    maps = images.masked_fill(~mask[:, None], 0) if first else images
    for block in self.blocks:
        mask = shrink(mask)
        maps = block(maps)
        if between:
            maps = maps.masked_fill(~mask[:, None], 0)
    inside = mask[:, None]
    if not last:
        return self.head(maps.mean(dim=(2, 3)))
    return self.head(maps.masked_fill(~inside, 0).sum(dim=(2, 3)) / inside.sum(dim=(2, 3)))


@mistake(
    "mixed_cnn",
    "The mask is used for the pooling only: inside of the network the padded part is not 0 any more.",
    replaces="MixedCNN.forward",
)
def net_masks_pooling_only(self, images, mask=None):
    return _forward(self, images, mask, between=False)


@mistake("mixed_cnn", "The mask is not used at all.", replaces="MixedCNN.forward")
def net_without_mask(self, images, mask=None):
    return _forward(self, images, None)


@mistake(
    "mixed_cnn", "The mean at the end goes over all places, padding included.", replaces="MixedCNN.forward"
)
def net_pools_everything(self, images, mask=None):
    return _forward(self, images, mask, last=False)


@mistake(
    "mixed_cnn",
    "What stands in the padding of the images reaches the first convolution: set it to 0.",
    replaces="MixedCNN.forward",
)
def net_trusts_padding(self, images, mask=None):
    return _forward(self, images, mask, first=False)


@mistake(
    "mixed_cnn",
    "At odd sizes the mask shrinks wrongly: a new place is inside only where all four old ones are.",
    replaces="MixedCNN.forward",
)
def net_mask_rounds_up(self, images, mask=None):
    def shrink(mask):
        return F.max_pool2d(mask[:, None].double(), 2)[:, 0] > 0.5

    return _forward(self, images, mask, shrink=shrink)


def _with_blocks(self, channels, num_classes, in_channels, change):
    right_net_init(self, channels, num_classes, in_channels)
    self.blocks = nn.ModuleList(change(block) for block in self.blocks)


@mistake("mixed_cnn", "There is no batch normalisation.", replaces="MixedCNN.__init__")
def net_without_norm(self, channels, num_classes, in_channels=1):
    def change(block):
        return nn.Sequential(*[module for module in block if not isinstance(module, nn.BatchNorm2d)])

    _with_blocks(self, channels, num_classes, in_channels, change)


@mistake("mixed_cnn", "There is no ReLU.", replaces="MixedCNN.__init__")
def net_without_relu(self, channels, num_classes, in_channels=1):
    def change(block):
        return nn.Sequential(*[module for module in block if not isinstance(module, nn.ReLU)])

    _with_blocks(self, channels, num_classes, in_channels, change)


@mistake("mixed_cnn", "The blocks pool by means: it should be max pooling.", replaces="MixedCNN.__init__")
def net_mean_pooling(self, channels, num_classes, in_channels=1):
    def change(block):
        return nn.Sequential(*[nn.AvgPool2d(2) if isinstance(m, nn.MaxPool2d) else m for m in block])

    _with_blocks(self, channels, num_classes, in_channels, change)


@mistake("mixed_cnn", "The convolutions have a bias: bias=False.", replaces="MixedCNN.__init__")
def net_with_bias(self, channels, num_classes, in_channels=1):
    def change(block):
        conv = block[0]
        return nn.Sequential(nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1), *list(block)[1:])

    _with_blocks(self, channels, num_classes, in_channels, change)


# --- accuracy


def _accuracy(
    model, images, labels, batch_size, *, mode=False, key=lambda image: tuple(image.shape[1:]), mean=False
):
    if mode is not None:
        model.train(mode)
    shares = {}
    groups = {}
    for i, image in enumerate(images):
        groups.setdefault(tuple(image.shape[1:]), []).append(i)
    with torch.no_grad():
        for same in groups.values():
            for start in range(0, len(same), batch_size):
                batch = same[start : start + batch_size]
                answers = model(torch.stack([images[i] for i in batch])).argmax(dim=1)
                right = (answers == labels[batch]).tolist()
                shares.setdefault(key(images[batch[0]]), []).append(right)
    if mean:
        return {size: sum(sum(b) / len(b) for b in right) / len(right) for size, right in shares.items()}
    return {size: sum(map(sum, right)) / sum(map(len, right)) for size, right in shares.items()}


@mistake("accuracy_by_size", "The model is not set to eval mode.")
def accuracy_without_mode(model, images, labels, batch_size=100):
    return _accuracy(model, images, labels, batch_size, mode=None)


@mistake(
    "accuracy_by_size",
    "The mean of the batch accuracies is taken: a short batch then counts as much as a full one.",
)
def accuracy_mean_of_batches(model, images, labels, batch_size=100):
    return _accuracy(model, images, labels, batch_size, mean=True)


@mistake("accuracy_by_size", "Sizes are told apart by their height alone.")
def accuracy_by_height(model, images, labels, batch_size=100):
    found = _accuracy(model, images, labels, batch_size)
    heights = {}
    for size, share in found.items():
        heights.setdefault(size[0], share)
    return {size: heights[size[0]] for size in found}


@mistake("accuracy_by_size", "The right answers are counted: divide by the number of images of that size.")
def accuracy_counts(model, images, labels, batch_size=100):
    found = _accuracy(model, images, labels, batch_size)
    return {size: share * sum(tuple(i.shape[1:]) == size for i in images) for size, share in found.items()}


@mistake("accuracy_by_size", "The right answers are divided by the number of all images.")
def accuracy_divides_by_all(model, images, labels, batch_size=100):
    found = accuracy_counts(model, images, labels, batch_size)
    return {size: count / len(images) for size, count in found.items()}


@mistake(
    "accuracy_by_size", "The labels are taken in the order of the list: each batch needs those of its images."
)
def accuracy_labels_in_order(model, images, labels, batch_size=100):
    order = sorted(range(len(images)), key=lambda i: tuple(images[i].shape))
    shuffled = labels.clone()
    shuffled[order] = labels
    return _accuracy(model, images, shuffled, batch_size)


@mistake("accuracy_by_size", "The sizes are written (W, H): they should be (H, W).")
def accuracy_sizes_exchanged(model, images, labels, batch_size=100):
    return {size[::-1]: share for size, share in _accuracy(model, images, labels, batch_size).items()}
