"""What goes wrong when a pretrained network is trained further: small wrong versions of one function each."""

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_replace_head = replace_head
right_set_trainable = set_trainable
right_fit_head = fit_head
right_training_mode = training_mode
right_parameter_groups = parameter_groups
right_plateau_rates = plateau_rates
right_load_checkpoint = load_checkpoint
right_confusion_matrix = confusion_matrix
right_grad_cam = grad_cam


# --- replace_head


def _put(model, name, new):
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, new)
    return new


@mistake(
    "replace_head",
    "The new layer becomes an attribute of the model under its whole path: its parent has to be found first.",
)
def head_beside_old(model, name, num_classes):
    old = model.get_submodule(name)
    new = nn.Linear(old.in_features, num_classes, dtype=old.weight.dtype)
    object.__setattr__(model, name.replace(".", "_"), new)
    return new


@mistake(
    "replace_head", "The new layer is put behind the old one, and gets its outputs: it should take its place."
)
def head_behind_old(model, name, num_classes):
    old = model.get_submodule(name)
    return _put(
        model, name, nn.Sequential(old, nn.Linear(old.out_features, num_classes, dtype=old.weight.dtype))
    )


@mistake("replace_head", "The new layer takes as many inputs as the old one had outputs.")
def head_wrong_inputs(model, name, num_classes):
    old = model.get_submodule(name)
    return _put(model, name, nn.Linear(old.out_features, num_classes, dtype=old.weight.dtype))


@mistake("replace_head", "The new layer has no biases.")
def head_without_bias(model, name, num_classes):
    old = model.get_submodule(name)
    return _put(model, name, nn.Linear(old.in_features, num_classes, bias=False, dtype=old.weight.dtype))


@mistake("replace_head", "The new layer is frozen: a head has to be trained.")
def head_frozen(model, name, num_classes):
    return right_replace_head(model, name, num_classes).requires_grad_(False)


@mistake("replace_head", "The new layer is float32, whatever the old one was.")
def head_in_float32(model, name, num_classes):
    return _put(model, name, nn.Linear(model.get_submodule(name).in_features, num_classes))


@mistake("replace_head", "The new layer is on the CPU, wherever the old one was.")
def head_on_cpu(model, name, num_classes):
    old = model.get_submodule(name)
    return _put(model, name, nn.Linear(old.in_features, num_classes, dtype=old.weight.dtype))


@mistake("replace_head", "The new layer begins with zeros: nn.Linear draws its weights.")
def head_of_zeros(model, name, num_classes):
    new = right_replace_head(model, name, num_classes)
    nn.init.zeros_(new.weight)
    return new


@mistake("replace_head", "The rest of the model is released: it should stay as it is.")
def head_releases_rest(model, name, num_classes):
    new = right_replace_head(model, name, num_classes)
    model.requires_grad_(True)
    return new


# --- set_trainable


def _trainable(model, chosen, count=None):
    total = 0
    for path, parameter in model.named_parameters():
        parameter.requires_grad_(chosen(path))
        total += chosen(path) * (parameter.numel() if count is None else count(parameter))
    return total


@mistake("set_trainable", "`startswith` alone takes 10 for a part of 1: a name ends, or goes on with a dot.")
def trainable_by_letters(model, names):
    return _trainable(model, lambda path: any(path.startswith(name) for name in names))


@mistake("set_trainable", "A name is found anywhere in a parameter's path: it has to be its beginning.")
def trainable_anywhere(model, names):
    return _trainable(model, lambda path: any(name in path for name in names))


@mistake("set_trainable", "What is named is released, but nothing is frozen.")
def trainable_without_freezing(model, names):
    model.requires_grad_(True)
    return sum(parameter.numel() for parameter in model.parameters())


@mistake("set_trainable", "What is named is frozen, and the rest is trainable: it is the other way round.")
def trainable_the_rest(model, names):
    def inside(path):
        return any(name in ("", path) or path.startswith(name + ".") for name in names)

    return _trainable(model, lambda path: not inside(path))


@mistake("set_trainable", "These are numbers of tensors: count the numbers in them, parameter.numel().")
def trainable_tensors_counted(model, names):
    right_set_trainable(model, names)
    return sum(parameter.requires_grad for parameter in model.parameters())


@mistake("set_trainable", "All parameters are counted, frozen ones included.")
def trainable_all_counted(model, names):
    right_set_trainable(model, names)
    return sum(parameter.numel() for parameter in model.parameters())


@mistake("set_trainable", "Only modules are looked at: a single parameter may be named as well.")
def trainable_modules_only(model, names):
    return _trainable(model, lambda path: any(name == "" or path.startswith(name + ".") for name in names))


@mistake("set_trainable", "Only the modules directly in the model are looked at: names may lead deeper.")
def trainable_top_level_only(model, names):
    return _trainable(model, lambda path: "" in names or path.split(".")[0] in names)


# --- fit_head


def _head(features, labels, num_classes, penalty, *, steps=300, bias=True, lr=1.0):
    head = nn.Linear(features.shape[1], num_classes, dtype=features.dtype)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    head.bias.requires_grad_(bias)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = F.cross_entropy(head(features), labels) + penalty(head)
        value.backward()
        return value

    optimizer.step(loss)
    return head


@mistake("fit_head", "The penalty is missing: separable examples let the weights grow for ever.")
def head_without_penalty(features, labels, num_classes, decay):
    return _head(features, labels, num_classes, lambda head: 0.0)


@mistake("fit_head", "The penalty is decay times the sum of squares: it is half of that.")
def head_penalty_doubled(features, labels, num_classes, decay):
    return _head(features, labels, num_classes, lambda head: decay * head.weight.square().sum())


@mistake("fit_head", "The biases are penalised as well: only the weights should be.")
def head_penalises_bias(features, labels, num_classes, decay):
    return _head(
        features, labels, num_classes,
        lambda head: decay / 2 * (head.weight.square().sum() + head.bias.square().sum()),
    )  # fmt: skip


@mistake("fit_head", "The penalty is the mean of the squared weights: it is their sum.")
def head_penalty_averaged(features, labels, num_classes, decay):
    return _head(features, labels, num_classes, lambda head: decay / 2 * head.weight.square().mean())


@mistake("fit_head", "The penalty is the norm of the weights, not its square.")
def head_penalty_not_squared(features, labels, num_classes, decay):
    return _head(
        features, labels, num_classes, lambda head: decay / 2 * (head.weight.square().sum() + 1e-12).sqrt()
    )


@mistake("fit_head", "Training stops long before the lowest loss is reached.")
def head_stops_early(features, labels, num_classes, decay):
    head = nn.Linear(features.shape[1], num_classes, dtype=features.dtype)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        (F.cross_entropy(head(features), labels) + decay / 2 * head.weight.square().sum()).backward()
        optimizer.step()
    return head


@mistake("fit_head", "torch's LBFGS stops after 20 steps if nothing else is said: raise max_iter.")
def head_default_steps(features, labels, num_classes, decay):
    return _head(features, labels, num_classes, lambda head: decay / 2 * head.weight.square().sum(), steps=20)


@mistake("fit_head", "The biases stay 0: they are to be trained as well.")
def head_bias_not_trained(features, labels, num_classes, decay):
    return _head(
        features, labels, num_classes, lambda head: decay / 2 * head.weight.square().sum(), bias=False
    )


@mistake("fit_head", "The features are changed in place: the caller still needs them.")
def head_standardizes_in_place(features, labels, num_classes, decay):
    head = right_fit_head(features.clone(), labels, num_classes, decay)
    features.sub_(features.mean(dim=0) + 1e-3)
    return head


# --- training_mode


@mistake(
    "training_mode", "Batch normalisation ends in training mode like the rest, and forgets its averages."
)
def mode_trains_all(model):
    model.train()


@mistake("training_mode", "Everything is in eval mode: dropout should drop.")
def mode_evals_all(model):
    model.eval()


@mistake("training_mode", "Only batch normalisation of pictures (BatchNorm2d) is put into eval mode.")
def mode_two_dimensions_only(model):
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


@mistake(
    "training_mode", "Only the modules directly in the model are looked at: model.modules() goes deeper."
)
def mode_top_level_only(model):
    model.train()
    for module in model.children():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.eval()


@mistake("training_mode", "The rest of the model is not put into training mode, but stays as it was.")
def mode_leaves_the_rest(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.eval()


@mistake(
    "training_mode", "The weights of batch normalisation are frozen: that does not keep its running averages."
)
def mode_freezes_instead(model):
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.requires_grad_(False)


# --- parameter_groups


def _inside(path, names):
    return any(name in ("", path) or path.startswith(name + ".") for name in names)


def _groups(model, stages, rates, *, frozen=False, empty=False, inside=_inside, strict=True):
    members = [[] for _ in stages]
    for path, parameter in model.named_parameters():
        if parameter.requires_grad or frozen:
            found = [stage for stage, names in enumerate(stages) if inside(path, names)]
            if not found and strict:
                raise ValueError(f"{path} is in none of the stages")
            for stage in found:
                members[stage].append(parameter)
    return [{"params": part, "lr": lr} for part, lr in zip(members, rates, strict=True) if part or empty]


def _rates(stages, rate, factor):
    return [rate * factor ** (len(stages) - 1 - stage) for stage in range(len(stages))]


@mistake(
    "parameter_groups",
    "The first stage gets the full rate: it is the last one that may change most.",
    family="reversed",
)
def groups_reversed(model, stages, rate, factor):
    return _groups(model, stages, _rates(stages, rate, factor)[::-1])


@mistake("parameter_groups", "The last stage's rate is multiplied with the factor as well.", family="scaled")
def groups_one_factor_more(model, stages, rate, factor):
    return _groups(model, stages, [each * factor for each in _rates(stages, rate, factor)])


@mistake(
    "parameter_groups",
    "All stages before the last have the same rate: each has factor times that of the one behind it.",
)
def groups_two_rates(model, stages, rate, factor):
    return _groups(model, stages, [rate * factor] * (len(stages) - 1) + [rate] * bool(stages))


@mistake(
    "parameter_groups", "The rate falls by equal steps: it is multiplied with the factor from stage to stage."
)
def groups_linear(model, stages, rate, factor):
    return _groups(model, stages, [rate * (stage + 1) / len(stages) for stage in range(len(stages))])


@mistake("parameter_groups", "Frozen parameters are in the groups.")
def groups_with_frozen(model, stages, rate, factor):
    return _groups(model, stages, _rates(stages, rate, factor), frozen=True)


@mistake("parameter_groups", "A stage without anything to train has a group.")
def groups_empty(model, stages, rate, factor):
    return _groups(model, stages, _rates(stages, rate, factor), empty=True)


@mistake("parameter_groups", "Frozen stages do not count, and the rates of the others move up.")
def groups_skip_frozen_stages(model, stages, rate, factor):
    groups = _groups(model, stages, [0.0] * len(stages))
    rates = _rates(groups, rate, factor)
    return [{**group, "lr": lr} for group, lr in zip(groups, rates, strict=True)]


@mistake(
    "parameter_groups", "What is in none of the stages is left out silently: ValueError should be raised."
)
def groups_forget(model, stages, rate, factor):
    return _groups(model, stages, _rates(stages, rate, factor), strict=False)


@mistake(
    "parameter_groups", "`startswith` alone takes 10 for a part of 1: a name ends, or goes on with a dot."
)
def groups_by_letters(model, stages, rate, factor):
    return _groups(
        model,
        stages,
        _rates(stages, rate, factor),
        inside=lambda path, names: any(path.startswith(n) for n in names),
    )


# --- plateau_rates


def _plateau(losses, rate, factor, patience, floor, *, strict=True, anew=True, lowest_so_far=True, late=0):
    rates, lowest, waited = [float(rate)], math.inf, 0
    for loss in losses:
        waited += 1
        if loss < lowest or (not strict and loss == lowest):
            lowest, waited = loss, 0
        elif not lowest_so_far:
            lowest = loss
        if waited == patience + late or (not anew and waited >= patience):
            rate = max(rate * factor, floor)
            waited = 0 if anew else waited
        rates.append(float(rate))
    return rates


@mistake("plateau_rates", "It waits for one epoch too many.")
def plateau_waits_too_long(losses, rate, factor=0.3, patience=2, floor=0.0):
    return _plateau(losses, rate, factor, patience, floor, late=1)


@mistake(
    "plateau_rates",
    "After a reduction the waiting does not begin anew, so that the rate falls in every epoch.",
    family="partial",
)
def plateau_falls_on(losses, rate, factor=0.3, patience=2, floor=0.0):
    return _plateau(losses, rate, factor, patience, floor, anew=False)


@mistake(
    "plateau_rates",
    "Each loss is compared with the one before: what counts is the lowest of all before.",
    family="partial",
)
def plateau_compares_with_last(losses, rate, factor=0.3, patience=2, floor=0.0):
    return _plateau(losses, rate, factor, patience, floor, lowest_so_far=False)


@mistake("plateau_rates", "An equal loss is taken for an improvement.")
def plateau_accepts_equal(losses, rate, factor=0.3, patience=2, floor=0.0):
    return _plateau(losses, rate, factor, patience, floor, strict=False)


@mistake("plateau_rates", "The floor is not looked at.")
def plateau_without_floor(losses, rate, factor=0.3, patience=2, floor=0.0):
    return _plateau(losses, rate, factor, patience, 0.0)


@mistake("plateau_rates", "The rate of the epoch to come is missing.", family="offset")
def plateau_one_too_few(losses, rate, factor=0.3, patience=2, floor=0.0):
    return right_plateau_rates(losses, rate, factor, patience, floor)[:-1]


@mistake("plateau_rates", "The factor is subtracted: the rate is multiplied with it.")
def plateau_subtracts(losses, rate, factor=0.3, patience=2, floor=0.0):
    rates = right_plateau_rates(losses, 1.0, 0.5, patience)
    return [max(rate - factor * round(-math.log2(each)), floor) for each in rates]


@mistake("plateau_rates", "A loss of NaN is taken for an improvement: ask whether the loss is lower.")
def plateau_nan_improves(losses, rate, factor=0.3, patience=2, floor=0.0):
    rates, lowest, waited = [float(rate)], math.inf, 0
    for loss in losses:
        if loss >= lowest:
            waited += 1
        else:
            lowest, waited = loss, 0
        if waited == patience:
            rate, waited = max(rate * factor, floor), 0
        rates.append(float(rate))
    return rates


# --- checkpoint


@mistake(
    "checkpoint",
    "The optimiser's state is not loaded: its averages begin with zeros again.",
    replaces="load_checkpoint",
)
def checkpoint_without_optimizer(path, model, optimizer):
    saved = torch.load(path, weights_only=True)
    model.load_state_dict(saved["model"])
    return saved["history"]


@mistake("checkpoint", "The model's weights are not loaded.", replaces="load_checkpoint")
def checkpoint_without_model(path, model, optimizer):
    saved = torch.load(path, weights_only=True)
    optimizer.load_state_dict(saved["optimizer"])
    return saved["history"]


@mistake(
    "checkpoint",
    "Only parameters are loaded: buffers, such as running averages, belong to the model as well.",
    replaces="load_checkpoint",
)
def checkpoint_without_buffers(path, model, optimizer):
    saved = torch.load(path, weights_only=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(saved["model"][name])
    optimizer.load_state_dict(saved["optimizer"])
    return saved["history"]


@mistake(
    "checkpoint",
    "The learning rates of the optimiser are kept: those of the file should be in force.",
    replaces="load_checkpoint",
)
def checkpoint_keeps_rates(path, model, optimizer):
    rates = [group["lr"] for group in optimizer.param_groups]
    history = right_load_checkpoint(path, model, optimizer)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    return history


@mistake("checkpoint", "The history is not returned.", replaces="load_checkpoint")
def checkpoint_without_history(path, model, optimizer):
    right_load_checkpoint(path, model, optimizer)
    return {}


@mistake(
    "checkpoint",
    "The weights are rounded to half precision to save space: training goes on differently.",
    replaces="save_checkpoint",
)
def checkpoint_rounded(path, model, optimizer, history):
    state = {name: value.half().to(value.dtype) for name, value in model.state_dict().items()}
    torch.save({"model": state, "optimizer": optimizer.state_dict(), "history": history}, path)


@mistake("checkpoint", "Saving empties the optimiser's state.", replaces="save_checkpoint")
def checkpoint_empties(path, model, optimizer, history):
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": history}, path)
    optimizer.state.clear()


# --- fine_tune


def _fine_tune(
    model, optimizer, train_loader, val_loader, num_epochs, patience, mode, *, copy_state=True, restore=True,
    every=True, eval=True, per_example=True, alike=False, falling=True, pile_up=False, zero=True, late=0,
    strict=True, equal=False, buffers=True,
):  # fmt: skip
    history = {"train_loss": [], "val_loss": [], "best_epoch": None}
    initial = [group["lr"] for group in optimizer.param_groups]
    keep = copy.deepcopy if copy_state else (lambda state: state)
    best, lowest, waited = copy.deepcopy(model.state_dict()), math.inf, 0
    for epoch in range(num_epochs):
        factor = plateau_rates(history["val_loss"], 1.0)[-1] if falling else 1.0
        for group, rate in zip(optimizer.param_groups, initial, strict=True):
            if pile_up:
                group["lr"] *= factor
            else:
                group["lr"] = (initial[-1] if alike else rate) * factor
        if every or epoch == 0:
            mode(model)
        total = count = 0
        for inputs, targets in train_loader:
            loss = F.cross_entropy(model(inputs), targets)
            if zero:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            weight = len(targets) if per_example else 1
            total, count = total + loss.item() * weight, count + weight
        history["train_loss"].append(total / count)
        if eval:
            model.eval()
        total = count = 0
        with torch.no_grad():
            for inputs, targets in val_loader:
                weight = len(targets) if per_example else 1
                total, count = total + F.cross_entropy(model(inputs), targets).item() * weight, count + weight
        loss = total / count
        history["val_loss"].append(loss)
        waited += 1
        if loss < lowest or (equal and loss == lowest) or (not strict and math.isnan(loss)):
            lowest, best, waited = loss, keep(model.state_dict()), 0
            history["best_epoch"] = epoch
        if waited >= patience + late:
            break
    if restore:
        if buffers:
            model.load_state_dict(best)
        else:
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(best[name])
    return history


@mistake(
    "fine_tune",
    "The model ends with its last weights: state_dict() does not copy them, and steps change them.",
)
def tune_keeps_reference(
    model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode
):
    return _fine_tune(
        model, optimizer, train_loader, val_loader, num_epochs, patience, mode, copy_state=False
    )


@mistake(
    "fine_tune",
    "The model ends with its last weights: load the best ones in the end.",
    like="tune_keeps_reference",
)
def tune_ends_with_last(model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode):
    return _fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, mode, restore=False)


@mistake("fine_tune", "Only parameters are put back: running averages belong to the best epoch as well.")
def tune_forgets_buffers(
    model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode
):
    return _fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, mode, buffers=False)


@mistake(
    "fine_tune",
    "mode(model) is called once: the validation has set eval mode, so it is needed in each epoch.",
)
def tune_mode_once(model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode):
    return _fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, mode, every=False)


@mistake("fine_tune", "`mode` is not used: model.train() puts batch normalisation into training mode.")
def tune_ignores_mode(model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode):
    return _fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, nn.Module.train)


@mistake("fine_tune", "The validation is not in eval mode.")
def tune_validates_in_training(
    model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode
):
    return _fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, mode, eval=False)


@mistake("fine_tune", "Losses are means over batches: a short last batch then counts as much as a full one.")
def tune_mean_of_batches(
    model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode
):
    return _fine_tune(
        model, optimizer, train_loader, val_loader, num_epochs, patience, mode, per_example=False
    )


@mistake("fine_tune", "All groups get the same learning rate: each has its own, times the same factor.")
def tune_rates_alike(model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode):
    return _fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, mode, alike=True)


@mistake("fine_tune", "The learning rates never fall.", family="partial")
def tune_rates_constant(model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode):
    return _fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, mode, falling=False)


@mistake(
    "fine_tune",
    "The factor is applied again in every epoch: it multiplies the rate of the beginning.",
    family="partial",
)
def tune_rates_pile_up(model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode):
    return _fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, mode, pile_up=True)


@mistake("fine_tune", "The gradients are not set to zero: backward adds each batch's to those before.")
def tune_without_zero_grad(
    model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode
):
    return _fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, mode, zero=False)


@mistake("fine_tune", "It runs one epoch more than its patience allows.")
def tune_too_patient(model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode):
    return _fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, mode, late=1)


@mistake("fine_tune", "A loss of NaN is taken for the best: ask whether the loss is lower.")
def tune_accepts_nan(model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode):
    return _fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, mode, strict=False)


@mistake("fine_tune", "An equal loss is taken for a better one: the first of equals is the best epoch.")
def tune_accepts_equal(model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode):
    return _fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, mode, equal=True)


# --- confusion_matrix


@mistake(
    "confusion_matrix", "Rows and columns are exchanged: the true class is the row.", family="transposed"
)
def confusion_transposed(labels, predictions, num_classes):
    return right_confusion_matrix(predictions, labels, num_classes)


@mistake("confusion_matrix", "These are shares of a class: counts were asked for.")
def confusion_shares(labels, predictions, num_classes):
    C = right_confusion_matrix(labels, predictions, num_classes).double()
    return C / C.sum(dim=1, keepdim=True).clamp(min=1)


@mistake("confusion_matrix", "C[labels, predictions] += 1 counts a pair once, however often it occurs.")
def confusion_once(labels, predictions, num_classes):
    C = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    C[labels, predictions] += 1
    return C


@mistake(
    "confusion_matrix",
    "The matrix has only as many classes as occur: it should be num_classes by num_classes.",
)
def confusion_of_what_occurs(labels, predictions, num_classes):
    return right_confusion_matrix(labels, predictions, int(torch.cat([labels, predictions]).max()) + 1)


@mistake("confusion_matrix", "Right answers are not counted: they stand on the diagonal.")
def confusion_errors_only(labels, predictions, num_classes):
    C = right_confusion_matrix(labels, predictions, num_classes)
    return C - torch.diag(torch.diag(C))


# --- grad_cam


def _cam(
    model, layer, picture, label, *, weigh=lambda slope: slope.mean(dim=(1, 2), keepdim=True), clamp=True,
    scale=True, eval=True, restore=True, remove=True, of=lambda logits, label: logits[0, label],
    backward=False, leaf=True,
):  # fmt: skip
    kept = {}
    modes = [(module, module.training) for module in model.modules()]
    handle = model.get_submodule(layer).register_forward_hook(lambda m, inputs, out: kept.update(A=out))
    if eval:
        model.eval()
    batch = picture[None].clone()
    with torch.enable_grad():
        logits = model(batch.requires_grad_() if leaf else batch)
        if backward:
            kept["A"].retain_grad()
            of(logits, label).backward()
            slope = kept["A"].grad
        else:
            (slope,) = torch.autograd.grad(of(logits, label), kept["A"])
    if remove:
        handle.remove()
    if restore:
        for module, mode in modes:
            module.training = mode
    A = kept["A"][0].detach()
    found = (weigh(slope[0]) * A).sum(dim=0)
    if clamp:
        found = found.clamp(min=0)
    return found / found.max() if scale and found.max() > 0 else found


@mistake("grad_cam", "The gradient is not averaged over the places: each channel has one weight.")
def cam_not_averaged(model, layer, picture, label):
    return _cam(model, layer, picture, label, weigh=lambda slope: slope)


@mistake("grad_cam", "The channels are weighted with the size of the gradient: its sign says for or against.")
def cam_absolute(model, layer, picture, label):
    return _cam(model, layer, picture, label, weigh=lambda slope: slope.mean(dim=(1, 2), keepdim=True).abs())


@mistake("grad_cam", "What speaks against the class is in the map: max(0, .) leaves it out.")
def cam_without_relu(model, layer, picture, label):
    return _cam(model, layer, picture, label, clamp=False)


@mistake("grad_cam", "The map is not divided by its largest value.", family="scaled")
def cam_not_scaled(model, layer, picture, label):
    return _cam(model, layer, picture, label, scale=False)


@mistake("grad_cam", "The channels are averaged without weights: the class plays no part.")
def cam_unweighted(model, layer, picture, label):
    return _cam(model, layer, picture, label, weigh=lambda slope: torch.ones_like(slope[:, :1, :1]))


@mistake("grad_cam", "The gradient is that of the largest logit, whatever the class asked for.")
def cam_of_answer(model, layer, picture, label):
    return _cam(model, layer, picture, label, of=lambda logits, label: logits.max())


@mistake("grad_cam", "The gradient is that of the probability: it should be that of the logit.")
def cam_of_probability(model, layer, picture, label):
    return _cam(model, layer, picture, label, of=lambda logits, label: logits.softmax(dim=1)[0, label])


@mistake("grad_cam", "The gradient is that of all logits together.")
def cam_of_all(model, layer, picture, label):
    return _cam(model, layer, picture, label, of=lambda logits, label: logits.sum())


@mistake("grad_cam", "The model is not in eval mode.")
def cam_in_training_mode(model, layer, picture, label):
    return _cam(model, layer, picture, label, eval=False)


@mistake("grad_cam", "Afterwards the model stays in eval mode, whatever it was before.")
def cam_stays_in_eval(model, layer, picture, label):
    return _cam(model, layer, picture, label, restore=False)


@mistake("grad_cam", "The hook stays in the network: handle.remove().")
def cam_hook_stays(model, layer, picture, label):
    return _cam(model, layer, picture, label, remove=False)


@mistake("grad_cam", "backward() leaves gradients in all parameters: torch.autograd.grad(z, A) does not.")
def cam_leaves_gradients(model, layer, picture, label):
    return _cam(model, layer, picture, label, backward=True)


@mistake(
    "grad_cam", "Where all parameters are frozen there is no record: the picture has to require a gradient."
)
def cam_needs_trainable(model, layer, picture, label):
    return _cam(model, layer, picture, label, leaf=False)


@mistake("grad_cam", "Where nothing speaks for the class, 0 / 0 makes the map NaN.", family="unstable")
def cam_nan(model, layer, picture, label):
    found = _cam(model, layer, picture, label, scale=False)
    return found / found.max()


# --- a classifier of one's own


def _on_features(network, pictures, labels, classes=None):
    """What the solution does, with another network or other numbers for the pictures."""
    f = embed(network, pictures).double()
    mu, sigma = f.mean(dim=0), f.std(dim=0) + 1e-3
    f = (f - mu) / sigma
    targets = F.one_hot(labels, classes or -1).double()
    W = (f.T @ torch.linalg.solve(f @ f.T + 10_000 * torch.eye(len(f)).double(), targets)).T / sigma
    network._fc = nn.Linear(*W.T.shape)
    network._fc.load_state_dict({"weight": W, "bias": -W @ mu})
    return network


class _Bytes(nn.Module):
    """A network that gets the bytes in a form of its own."""

    def __init__(self, network, form):
        super().__init__()
        self.network, self.form = network, form

    def forward(self, pictures):
        return self.network(self.form(pictures))


@mistake(
    "transfer",
    "A network from nothing learns these few pictures by heart: use the pretrained one's features.",
)
def transfer_from_nothing(pictures, labels, seed):
    torch.manual_seed(seed)
    layers, before = [nn.AdaptiveAvgPool2d(48)], 3
    for after in (16, 32, 64):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        before = after
    model = nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(576, int(labels.max()) + 1)
    )
    x = (pictures.float() - 127) / 128
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(40):
        for rows in torch.randperm(len(x)).split(30):
            if len(rows) > 1:
                loss = F.cross_entropy(model(x[rows]), labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return _Bytes(model, lambda images: (images.float() - 127) / 128)


@mistake("transfer", "The network is not pretrained: from_name makes one with random weights.")
def transfer_without_weights(pictures, labels, seed):
    torch.manual_seed(seed)
    network = EfficientNet.from_name("efficientnet-lite0")
    return _Bytes(_on_features(network, prepare(pictures, 96), labels), lambda images: prepare(images, 96))


@mistake("transfer", "The pictures go in as bytes from 0 to 255: the network wants numbers from -1 to 1.")
def transfer_raw_bytes(pictures, labels, seed):
    network = load_backbone()
    return _Bytes(_on_features(network, pictures.float(), labels), lambda images: images.float())


@mistake("transfer", "The head keeps its random weights: train it.")
def transfer_head_not_trained(pictures, labels, seed):
    torch.manual_seed(seed)
    network = load_backbone()
    network._fc = nn.Linear(1280, int(labels.max()) + 1)
    return _Bytes(network, lambda images: prepare(images, 96))


@mistake("transfer", "The number of classes is fixed: take it from the labels.")
def transfer_six_classes(pictures, labels, seed):
    network = load_backbone()
    classes = max(6, int(labels.max()) + 1)
    return _Bytes(
        _on_features(network, prepare(pictures, 96), labels, classes), lambda images: prepare(images, 96)
    )


@mistake("transfer", "The seed is not used: two calls with equal seeds give different models.")
def transfer_without_seed(pictures, labels, seed):
    network = load_backbone()
    x = prepare(pictures, 96)
    x = x + 0.05 * torch.randn(x.shape)
    return _Bytes(_on_features(network, x, labels), lambda images: prepare(images, 96))
