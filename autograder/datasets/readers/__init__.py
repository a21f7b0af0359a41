"""One module a data set, each with `load(folder, *, num_train=None, num_test=None, ...) -> Dataset`."""
