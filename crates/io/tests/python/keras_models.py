"""Models go from Keras to Rhyton and back: predictions, training, optimizer state.

Usage: KERAS_BACKEND=jax keras_models.py RHYTON FOLDER    (needs keras 3.15; FOLDER is for scratch files)

Every network is saved by Keras, used and trained by `rhyton`, loaded again by Keras without a warning, and trained on
by both, which only agrees when the optimizer's state came along.
"""
import os
import subprocess
import sys
import warnings

import keras
import numpy as np
from keras import layers

program, folder = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
rng = np.random.default_rng(7)
warnings.simplefilter("error", UserWarning)
SAMPLES, BATCH = 24, 8


def rhyton(*arguments):
    subprocess.run([program, *map(str, arguments)], check=True)


def dense():
    return keras.Sequential([keras.Input([6]), layers.Dense(8, "relu"), layers.Dropout(0.0), layers.Dense(3, "softmax")])


def convolutional():
    return keras.Sequential([
        keras.Input([12, 12, 1]), layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization(),
        layers.MaxPooling2D(), layers.Flatten(), layers.Dense(3, "softmax", name="classes")])


def recurrent():
    return keras.Sequential([
        keras.Input([5, 2]), layers.LSTM(4, return_sequences=True), layers.Bidirectional(layers.GRU(3)),
        layers.Dense(3, "softmax")])


def shared():
    a, b = keras.Input([4], name="a"), keras.Input([4], name="b")
    tower = keras.Sequential([layers.Dense(5, "tanh"), layers.LayerNormalization()], name="tower")
    both = layers.Concatenate()([tower(a), tower(b)])
    return keras.Model([a, b], layers.Dense(3, "softmax")(both), name="siamese")


def attention():
    x = keras.Input([6, 8])
    y = layers.Add()([x, layers.MultiHeadAttention(2, 3)(x, x)])
    return keras.Model(x, layers.Dense(3, "softmax")(layers.GlobalAveragePooling1D()(layers.LayerNormalization()(y))))


OPTIMIZERS = [
    lambda: keras.optimizers.Adam(1e-2),
    lambda: keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5), momentum=0.9, nesterov=True),
    lambda: keras.optimizers.RMSprop(1e-3, momentum=0.5, centered=True),
    lambda: keras.optimizers.AdamW(1e-2, weight_decay=0.01),
    # The gradient of the keys' bias is zero but for rounding, which a small epsilon would blow up.
    lambda: keras.optimizers.Adam(1e-2, amsgrad=True, clipnorm=1.0, epsilon=1e-2),
]


def close(what, got, wanted):
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_allclose(g, w, rtol=2e-4, atol=2e-5, err_msg=what)


def check(build, optimizer):
    keras.utils.set_random_seed(3)
    keras.utils.clear_session()
    model = build()
    model.compile(optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    name, path = build.__name__, lambda end: f"{folder}/{build.__name__}{end}"
    x = [rng.normal(size=(SAMPLES, *i.shape[1:])).astype("float32") for i in model.inputs]
    inputs = x if len(x) > 1 else x[0]
    y = rng.integers(0, 3, SAMPLES)
    model.save(path(".keras"))
    np.savez(path(".npz"), y0=y, **{f"x{i}": a for i, a in enumerate(x)})
    rhyton("predict", path(".keras"), "--data", path(".npz"), "--out", path("-out.npz"))
    close(f"{name}: predictions", [np.load(path("-out.npz"))["p0"]], [model.predict(inputs, verbose=0)])

    fit = ["--data", path(".npz"), "--batch-size", BATCH, "--epochs", 2, "--no-shuffle", "--seed", 1, "--verbose", 0]
    rhyton("fit", path(".keras"), *fit, "--out", path("-once.keras"))
    again = keras.models.load_model(path("-once.keras"))
    assert again.optimizer.iterations == 2 * SAMPLES // BATCH, again.optimizer.iterations
    rhyton("predict", path("-once.keras"), "--data", path(".npz"), "--out", path("-out.npz"))
    close(f"{name}: predictions after fit", [np.load(path("-out.npz"))["p0"]], [again.predict(inputs, verbose=0)])

    rhyton("fit", path("-once.keras"), *fit, "--out", path("-twice.keras"))
    again.fit(inputs, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0)
    twice = keras.models.load_model(path("-twice.keras"))
    close(f"{name}: weights after more training", twice.get_weights(), again.get_weights())
    state = lambda m: [np.asarray(v) for v in m.optimizer.variables]
    close(f"{name}: optimizer after more training", state(twice), state(again))
    print(f"{name} with {model.optimizer.name}: the same in Keras and Rhyton")


for i, build in enumerate([dense, convolutional, recurrent, shared, attention]):
    check(build, OPTIMIZERS[i])
