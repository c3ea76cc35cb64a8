"""Makes the cases of this folder with Keras 3.15: python make.py [names]. The form of a case is that of the conformance
cases: model.keras, data.npz, expected.npz, trained.keras, case.json.

Made on JAX, but for the cases masked_*, which are made with KERAS_BACKEND=tensorflow: on JAX, `fit` (not `evaluate`)
loses the masks of outputs before metrics see them, because the outputs come out of jax.grad as other objects.

keras_2_* were saved by Keras 2.14 (`Sequential` of Dense, BatchNormalization and Dense; Embedding, LSTM, Dropout, Dense
as `Model`), with what its own `predict` gave."""
import os
os.environ.setdefault("KERAS_BACKEND", "jax")
import json, sys, zipfile
from pathlib import Path
import numpy as np
import keras
from keras import layers as L, metrics as M, ops as O

random = np.random.default_rng(0)
normal = lambda *shape: random.normal(size=shape).astype("float32")
integers = lambda high, *shape: random.integers(0, high, shape).astype("int32")
flat = lambda v: [np.asarray(v[k]) for k in sorted(v)] if isinstance(v, dict) else \
    [np.asarray(t) for t in v] if isinstance(v, (list, tuple)) else [np.asarray(v)]
CASES = {}


def case(f):
    CASES[f.__name__] = f
    return f


def repack(path, change=None):
    """Deflates the archive, after a change of its config.json."""
    with zipfile.ZipFile(path) as z:
        members = {n: z.read(n) for n in z.namelist()}
    if change:
        config = json.loads(members["config.json"])
        change(config)
        members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for n, b in members.items():
            z.writestr(zipfile.ZipInfo(n), b, zipfile.ZIP_DEFLATED)


def save(name, model, x, y=None, sw=None, fit=None, change=None, reload=True):
    folder = Path(__file__).parent / name
    folder.mkdir(exist_ok=True)
    model.save(folder / "model.keras")
    repack(folder / "model.keras", change)
    # Some operations of files do not run in Keras itself on JAX, because tuples became lists.
    model = keras.models.load_model(folder / "model.keras") if reload else model
    data = {f"x{i}": t for i, t in enumerate(flat(x))}
    data |= {f"y{i}": t for i, t in enumerate(flat(y))} if y is not None else {}
    data |= {"sw0": sw} if sw is not None else {}
    np.savez_compressed(folder / "data.npz", **data)
    expected = {f"p{i}": t for i, t in enumerate(flat(model.predict(x, verbose=0)))}
    # Paths of weights change when Keras loads a model, so the trained one is judged by what it predicts.
    info = {"rtol": 2e-4, "atol": 2e-5, "weights": []}
    if y is not None:
        result = model.evaluate(x, y, sample_weight=sw, verbose=0, return_dict=True, batch_size=4)
        info["evaluate"] = {"batch_size": 4, "result": result}
    if fit:
        done = model.fit(x, y, sample_weight=sw, verbose=0, shuffle=False, **fit)
        info |= {"fit": {**fit, "shuffle": False}, "history": done.history}
        expected |= {f"q{i}": t for i, t in enumerate(flat(model.predict(x, verbose=0)))}
        model.save(folder / "trained.keras")
        repack(folder / "trained.keras")
    np.savez_compressed(folder / "expected.npz", **expected)
    (folder / "case.json").write_text(json.dumps(info))


TWO = dict(epochs=2, batch_size=4)


@case
def nested_output():
    a, b, i = keras.Input((5,)), keras.Input((3,)), keras.Input((5,))
    encode, decode = keras.Model(a, L.Dense(3)(a), name="enc"), keras.Model(b, L.Dense(5)(b), name="dec")
    m = keras.Model(i, decode(encode(i)))
    m.compile("sgd", "mse")
    save("nested_output", m, normal(6, 5), normal(6, 5), fit=TWO)


@case
def nested_shared():
    """A submodel with two outputs, called twice; it was used by another model before."""
    a = keras.Input((4,))
    h = L.Dense(3, activation="tanh")(a)
    two = keras.Model(a, [L.Dense(2)(h), L.Dense(1)(h)], name="two")
    z, i, j = keras.Input((4,)), keras.Input((4,)), keras.Input((4,))
    keras.Model(z, two(z))
    first, second = two(i), two(j)
    m = keras.Model([i, j], [first[0], second[1], L.Dense(2)(second[0])])
    m.compile("sgd", "mse")
    save("nested_shared", m, [normal(6, 4), normal(6, 4)])


@case
def nested_dictionaries():
    b, a = keras.Input((3,), name="b"), keras.Input((2,), name="a")
    inner = keras.Model({"b": b, "a": a}, {"z": L.Dense(2)(b), "y": L.Dense(3)(a)}, name="inner")
    plain = keras.Model([b, a], L.Concatenate()([L.Dense(2)(b), L.Dense(3)(a)]), name="plain")
    i, j = keras.Input((3,)), keras.Input((2,))
    out, other = inner({"b": i, "a": j}), plain({"a": j, "b": i})
    m = keras.Model([i, j], [out["z"], L.Dense(1)(out["y"]), other])
    m.compile("sgd", "mse")
    save("nested_dictionaries", m, [normal(6, 3), normal(6, 2)], [normal(6, 2), normal(6, 1), normal(6, 5)], fit=TWO)


@case
def dictionary_inputs():
    b, a = keras.Input((3,), name="b"), keras.Input((3,), name="a")
    m = keras.Model({"b": b, "a": a}, L.Subtract()([b, a]))
    save("dictionary_inputs", m, {"a": normal(4, 3), "b": normal(4, 3)})


@case
def dictionary_outputs():
    q, w, a = keras.Input((3,), name="q"), keras.Input((2,), name="w"), keras.Input((4,), name="a")
    h = L.Concatenate()([q, w, a])
    m = keras.Model({"q": q, "w": w, "a": a},
                    {"z": L.Dense(2, name="first")(h), "a": L.Dense(1, activation="sigmoid", name="second")(h)})
    m.compile("sgd", {"z": "mse", "a": "binary_crossentropy"}, loss_weights={"z": 0.3, "a": 2.0},
              metrics={"z": ["mae", "mse"], "a": ["accuracy"]}, weighted_metrics={"a": ["mae"]})
    x = {"a": normal(6, 4), "q": normal(6, 3), "w": normal(6, 2)}
    save("dictionary_outputs", m, x, {"a": integers(2, 6, 1).astype("float32"), "z": normal(6, 2)}, fit=TWO)


def steps(name, layer, x, before=lambda h: h):
    keras.utils.set_random_seed(1)
    i = keras.Input(x.shape[1:])
    m = keras.Model(i, L.TimeDistributed(layer)(before(i)))
    m.compile(keras.optimizers.SGD(0.05), "mse")
    save(name, m, x, normal(*m.predict(x, verbose=0).shape), fit=TWO)


@case
def steps_batch_norm():
    x = 3 * normal(8, 3, 2) + 2
    x[0, 1] = x[3, 2] = x[5, 0] = 0
    steps("steps_batch_norm", L.BatchNormalization(momentum=0.5), x, L.Masking())


@case
def steps_nested():
    inner = [keras.Input((2,)), L.Dense(3), L.BatchNormalization(momentum=0.6), L.Dense(2, activity_regularizer="l1")]
    steps("steps_nested", keras.Sequential(inner), 3 * normal(8, 3, 2) + 2)


@case
def steps_of_steps():
    steps("steps_of_steps", L.TimeDistributed(L.BatchNormalization(momentum=0.5)), 3 * normal(8, 3, 2, 4) + 2)


@case
def steps_penalty():
    steps("steps_penalty", L.Dense(3, activity_regularizer="l2"), normal(8, 3, 2))


@case
def shared_batch_norm():
    i, j, norm = keras.Input((3,)), keras.Input((3,)), L.BatchNormalization(momentum=0.5)
    m = keras.Model([i, j], L.Add()([norm(i), norm(L.Dense(3)(j))]))
    m.compile("sgd", "mse")
    save("shared_batch_norm", m, [2 * normal(8, 3) + 1, normal(8, 3) - 1], normal(8, 3), fit=TWO)


def averaged(name, **settings):
    keras.utils.set_random_seed(1)
    i = keras.Input((2,))
    m = keras.Model(i, L.Dense(3, use_bias=False, kernel_constraint="non_neg")(i))
    m.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9, **settings), "mse")
    save(name, m, normal(8, 2), normal(8, 3), fit=dict(epochs=3, batch_size=3))


@case
def averages_constrained():
    averaged("averages_constrained", ema_overwrite_frequency=2)


@case
def averages_accumulated():
    averaged("averages_accumulated", ema_overwrite_frequency=2, gradient_accumulation_steps=2)


@case
def dtype_null():
    m = keras.Sequential([keras.Input((3,)), L.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    m.compile("sgd", loss, metrics=[M.SparseCategoricalAccuracy()])

    def change(config):
        config["compile_config"]["metrics"][0]["config"]["dtype"] = None
    save("dtype_null", m, normal(4, 3), integers(2, 4), change=change)


@case
def compiled_by_default():
    m = keras.Sequential([keras.Input((3,)), L.Dense(2)])
    m.compile(loss="mse")
    save("compiled_by_default", m, normal(4, 3), normal(4, 2), fit=TWO,
         change=lambda config: config["compile_config"].pop("optimizer"))


@case
def masks_concatenated():
    i, j, z = keras.Input((4,)), keras.Input((4,)), keras.Input((4, 3))
    a, b = L.Embedding(5, 2, mask_zero=True)(i), L.Embedding(5, 3, mask_zero=True)(j)
    h = L.LSTM(2)(L.Concatenate()([a, b, z]))
    m = keras.Model([i, j, z], L.Concatenate()([h, L.GlobalAveragePooling1D()(L.Concatenate(axis=1)([b, z]))]))
    m.compile("sgd", "mse")
    save("masks_concatenated", m, [integers(5, 6, 4), integers(5, 6, 4), normal(6, 4, 3)], normal(6, 5), fit=TWO)


@case
def training_arguments():
    """What a call says of training is overruled by fit, evaluate and predict."""
    i = keras.Input((4,))
    a = keras.Input((4,))
    inner = keras.Model(a, L.BatchNormalization(momentum=0.5)(a))
    h = L.Dropout(0.0)(L.BatchNormalization(momentum=0.5)(i, training=False), training=True)
    m = keras.Model(i, L.Dense(1)(L.Concatenate()([h, inner(i, training=False)])))
    m.compile("sgd", "mse")
    save("training_arguments", m, 2 * normal(8, 4) + 3, normal(8, 1), fit=TWO)


@case
def dropout_training_true():
    i = keras.Input((20,))
    save("dropout_training_true", keras.Model(i, L.Dropout(0.5)(i, training=True)), np.ones((4, 20), "float32"))


@case
def masked_figures():
    """Means heed masks; what counts for itself does not."""
    figures = lambda: ["binary_accuracy", "mae", "mse", M.Precision(name="p"), M.Recall(name="r"), M.AUC(name="auc"),
                       M.TruePositives(name="tp"), M.RootMeanSquaredError(name="rmse"), M.BinaryIoU(name="iou"),
                       M.PrecisionAtRecall(0.5, name="par"), M.CosineSimilarity(name="cos")]
    keras.utils.set_random_seed(3)
    i = keras.Input((5,), dtype="int32")
    m = keras.Model(i, L.Dense(1, activation="sigmoid")(L.Embedding(6, 3, mask_zero=True)(i)))
    m.compile("sgd", "mse", metrics=figures(), weighted_metrics=figures())
    x, y = integers(6, 6, 5), integers(2, 6, 5, 1).astype("float32")
    x[:, -1] = 0
    save("masked_figures", m, x, y, random.uniform(0.2, 2, (6, 5)).astype("float32"), fit=TWO)


@case
def masked_labels():
    figures = lambda: ["accuracy", M.SparseCategoricalCrossentropy(name="ce", ignore_class=1),
                       M.SparseTopKCategoricalAccuracy(2, name="top")]
    keras.utils.set_random_seed(3)
    i = keras.Input((5,), dtype="int32")
    h = L.LSTM(3, return_sequences=True)(L.Embedding(6, 3, mask_zero=True)(i))
    m = keras.Model(i, L.Dense(4, activation="softmax")(h))
    m.compile("sgd", "sparse_categorical_crossentropy", metrics=figures(), weighted_metrics=figures())
    x = integers(6, 6, 5)
    x[:, -1] = 0
    save("masked_labels", m, x, integers(4, 6, 5), random.uniform(0.2, 2, (6, 5)).astype("float32"), fit=TWO)


def operations(name, *functions):
    """One model of many operations on x and y, `[batch, 4, 6]`, each of which becomes a number per sample."""
    x, y = keras.Input((4, 6)), keras.Input((4, 6))
    outputs = []
    for f in functions:
        made = f(x, y)
        for k, t in enumerate(made if isinstance(made, (list, tuple)) else [made]):
            n = int(np.prod(t.shape[1:]))
            # Weights that tell places apart.
            weights = np.cos(np.arange(n) * 1.3).astype("float32")
            t = O.reshape(O.cast(t, "float32"), (-1, n)) * weights
            outputs.append(O.sum(t, axis=-1, keepdims=True))
    save(name, keras.Model([x, y], L.Concatenate()(outputs)), [normal(5, 4, 6), normal(5, 4, 6)], reload=False)


@case
def operations_on_numbers():
    one = """absolute negative sign exp exp2 expm1 sin cos tan sinh cosh tanh arctan arcsinh floor ceil trunc deg2rad
        isnan isinf isfinite logical_not square erf sigmoid relu relu6 softplus softsign silu squareplus log_sigmoid
        hard_sigmoid hard_silu hard_tanh selu elu celu gelu leaky_relu tanh_shrink soft_shrink hard_shrink sparse_plus
        sparse_sigmoid zeros_like ones_like log_softmax softmax cbrt""".split()
    above = "log log2 log10 log1p sqrt rsqrt reciprocal".split()
    two = """add subtract multiply divide true_divide maximum minimum hypot logaddexp arctan2 equal not_equal less
        less_equal greater greater_equal logical_and logical_or logical_xor divide_no_nan""".split()
    operations("operations_on_numbers",
               *[lambda x, y, n=n: getattr(O, n)(x) for n in one],
               *[lambda x, y, n=n: getattr(O, n)(O.abs(x) + 0.1) for n in above],
               *[lambda x, y, n=n: getattr(O, n)(O.clip(x, -0.9, 0.9)) for n in ("arcsin", "arccos", "arctanh")],
               *[lambda x, y, n=n: getattr(O, n)(x, y) for n in two],
               lambda x, y: O.arccosh(O.abs(x) + 1.1), lambda x, y: x ** 2, lambda x, y: 1 / (x * x + 1),
               lambda x, y: x // 0.7, lambda x, y: x % 0.7, lambda x, y: O.power(O.abs(x) + 0.1, y),
               lambda x, y: O.where(x > 0, y, -1.0), lambda x, y: O.clip(x, -0.5, 0.7), lambda x, y: O.round(x, 1),
               lambda x, y: O.gelu(x, approximate=False), lambda x, y: O.elu(x, 0.7), lambda x, y: O.celu(x, 0.7),
               lambda x, y: O.leaky_relu(x, 0.3), lambda x, y: O.threshold(x, 0.2, -1.0), lambda x, y: O.full_like(x, 3.0),
               lambda x, y: O.soft_shrink(x, 0.2), lambda x, y: O.hard_shrink(x, 0.2), lambda x, y: O.glu(x, axis=1),
               lambda x, y: O.softmax(x, axis=1), lambda x, y: O.stop_gradient(x) * x,
               lambda x, y: O.cast(x * 3, "int32"), lambda x, y: O.cast(O.relu(x), "bool"),
               lambda x, y: O.argmax(x, -1) // 2, lambda x, y: O.argmax(x, -1) / 2, lambda x, y: (x > 0) + (x < 1),
               lambda x, y: O.fmod(x, 0.7), lambda x, y: O.fmin(x, y), lambda x, y: O.fmax(x, y),
               lambda x, y: x + np.arange(6, dtype="float32"), lambda x, y: O.mean(O.argmax(x, -1), axis=-1, keepdims=True))


@case
def operations_along_axes():
    over = "sum mean max min amax amin var std prod logsumexp any all".split()
    along = "argmax argmin argsort sort cumsum cumprod flip".split()
    operations("operations_along_axes",
               *[lambda x, y, n=n: getattr(O, n)(x, axis=-1) for n in over],
               *[lambda x, y, n=n: getattr(O, n)(x, axis=(1, 2), keepdims=True) for n in over],
               *[lambda x, y, n=n: getattr(O, n)(x, axis=1) for n in along],
               lambda x, y: O.count_nonzero(x, axis=1), lambda x, y: O.ptp(x, axis=1), lambda x, y: O.average(x, axis=1),
               lambda x, y: O.normalize(x, axis=1), lambda x, y: O.normalize(x, axis=1, order=1),
               lambda x, y: O.moments(x, axes=[1]), lambda x, y: O.top_k(x, 3), lambda x, y: O.sum(x > 0, axis=-1),
               lambda x, y: O.einsum("btd,bsd->bts", x, y), lambda x, y: O.einsum("btd->bdt", x),
               lambda x, y: O.einsum("...d,...d->...", x, y), lambda x, y: O.einsum("bij,bik->bijk", x, y),
               lambda x, y: O.einsum("bij,bik,bil->bkl", x, y, x + y), lambda x, y: O.einsum("bij->b", x),
               lambda x, y: x @ O.transpose(y, (0, 2, 1)), lambda x, y: O.dot(x, np.ones((6, 2), "float32")),
               lambda x, y: O.tensordot(x, np.arange(12.0).reshape(6, 2).astype("float32"), axes=1),
               lambda x, y: O.tensordot(x, np.arange(48.0).reshape(4, 6, 2).astype("float32"), axes=[[1, 2], [0, 1]]),
               lambda x, y: O.inner(x, np.ones((2, 6), "float32")))


@case
def operations_on_shapes():
    operations("operations_on_shapes",
               lambda x, y: x[:, 0], lambda x, y: x[:, -1], lambda x, y: x[:, 1:3], lambda x, y: x[:, :-1],
               lambda x, y: x[:, ::2, 1:], lambda x, y: x[..., 0], lambda x, y: x[:, None, :, -2:], lambda x, y: x[:, ::-1],
               lambda x, y: x[:, 3:0:-2], lambda x, y: x[..., None], lambda x, y: x[:, -3:-1, ..., 2:100],
               lambda x, y: x[:, 1, 2:], lambda x, y: O.take(x, [0, 2, -1], axis=1), lambda x, y: O.take(x, 1, axis=2),
               lambda x, y: O.take_along_axis(x, O.argsort(x, axis=1), axis=1),
               lambda x, y: O.one_hot(O.argmax(x, axis=-1), 6), lambda x, y: O.one_hot(O.argmax(x, axis=-1), 6, axis=1),
               lambda x, y: O.split(x, 3, axis=-1), lambda x, y: O.split(x, [1, 4], axis=2), lambda x, y: O.unstack(x, axis=1),
               lambda x, y: O.stack([x, y], axis=1), lambda x, y: O.stack([x, y], axis=-1), lambda x, y: O.hstack([x, y]),
               lambda x, y: O.concatenate([x, y], axis=1), lambda x, y: O.reshape(x, (-1, 8, 3)),
               lambda x, y: O.transpose(x, (0, 2, 1)), lambda x, y: O.swapaxes(x, 1, 2), lambda x, y: O.moveaxis(x, 1, -1),
               lambda x, y: O.squeeze(O.expand_dims(x, (1, 3)), 3), lambda x, y: O.roll(x, 2, axis=1),
               lambda x, y: O.roll(x, [1, -1], axis=[1, 2]), lambda x, y: O.repeat(x, 2, axis=1),
               lambda x, y: O.tile(x, (1, 2, 3)),
               lambda x, y: O.pad(x, ((0, 0), (1, 2), (0, 1))), lambda x, y: O.triu(x, 1), lambda x, y: O.tril(x, -1),
               lambda x, y: O.pad(x, ((0, 0), (1, 2), (0, 1)), constant_values=2.5), lambda x, y: O.diff(x, axis=1),
               lambda x, y: O.diff(x, n=2), lambda x, y: O.append(x, y, axis=1),
               lambda x, y: O.slice(x, (0, 1, 2), (5, 2, 3)))


if __name__ == "__main__":
    for name in sys.argv[1:] or CASES:
        keras.utils.set_random_seed(1)
        random = np.random.default_rng(len(name))
        CASES[name]()
        print(name, sum(f.stat().st_size for f in (Path(__file__).parent / name).iterdir()))
