"""Makes objects.json with Keras 3.15.1 (JAX backend): `python make_objects.py > objects.json`."""

import json
import os

os.environ["KERAS_BACKEND"] = "jax"
import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import constraints, losses, metrics, optimizers, regularizers  # noqa: E402
from keras.src import backend  # noqa: E402

rng = np.random.default_rng(7)


def plain(x):
    """Arrays as {shape, data}, numbers rounded to float32."""
    a = np.asarray(x)
    data = [int(v) if a.dtype.kind in "iub" else float(f"{v:.9g}") for v in a.reshape(-1).tolist()]
    data = [str(v) if isinstance(v, float) and not np.isfinite(v) else v for v in data]
    return {"shape": list(a.shape), "int": a.dtype.kind in "iub", "data": data}


def record(o):
    return keras.saving.serialize_keras_object(o)


x = np.array([[-90, -7, -3.3, -1.2, -1, -0.5, -0.3, 0], [0.2, 0.5, 1, 1.7, 3, 4, 6.5, 90]], "float32")
activations = {
    name: plain(keras.activations.get(name)(x))
    for name in """celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu
    linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
    sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink""".split()
}

real = rng.normal(size=(5, 3)).astype("float32")
real_p = rng.normal(size=(5, 3)).astype("float32")
positive = np.abs(real) + 0.1
probs = np.array(keras.ops.softmax(2 * rng.normal(size=(5, 3)).astype("float32"))) * 1.1
probs[0] = [0, 0, 1]
one_hot = np.eye(3, dtype="float32")[[0, 2, 1, 1, 0]]
labels = np.array([0, 2, 1, 1, 0], "int32")
binary = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 1], [0, 0, 1], [0, 1, 0]], "float32")
unit = np.clip(rng.uniform(size=(5, 3)), 0, 1).astype("float32")
unit[0] = [0, 1, 0.5]
weights = np.array([0.5, 2, 0, 1, 1.5], "float32")
steps_t = rng.normal(size=(2, 4, 3)).astype("float32")
steps_p = rng.normal(size=(2, 4, 3)).astype("float32")
steps_l = np.array([[0, 1, 2, 0], [2, 2, 1, 0]], "int32")
steps_w = rng.uniform(size=(2, 4)).astype("float32")
mask = np.array([[1, 1, 0, 0], [1, 1, 1, 0]], bool)

cases = [
    (losses.MeanSquaredError, {}, real, real_p),
    (losses.MeanAbsoluteError, {}, real, real_p),
    (losses.MeanAbsolutePercentageError, {}, real, real_p),
    (losses.MeanSquaredLogarithmicError, {}, positive, np.abs(real_p)),
    (losses.Huber, {}, real, 2 * real_p),
    (losses.LogCosh, {}, real, 20 * real_p),
    (losses.CosineSimilarity, {}, real, real_p),
    (losses.Poisson, {}, np.round(positive), np.abs(real_p)),
    (losses.KLDivergence, {}, one_hot, probs),
    (losses.BinaryCrossentropy, {}, binary, unit),
    (losses.BinaryCrossentropy, {"label_smoothing": 0.2}, binary, unit),
    (losses.BinaryCrossentropy, {"from_logits": True}, binary, 9 * real_p),
    (losses.BinaryCrossentropy, {}, binary[:, 0], unit[:, :1]),
    (losses.CategoricalCrossentropy, {}, one_hot, probs),
    (losses.CategoricalCrossentropy, {"label_smoothing": 0.1}, one_hot, probs),
    (losses.CategoricalCrossentropy, {"from_logits": True}, one_hot, 30 * real_p),
    (losses.SparseCategoricalCrossentropy, {}, labels, probs),
    (losses.SparseCategoricalCrossentropy, {}, labels[:, None], probs),
    (losses.SparseCategoricalCrossentropy, {"from_logits": True}, labels, 30 * real_p),
    (losses.SparseCategoricalCrossentropy, {"ignore_class": 1}, labels, probs),
    (losses.BinaryFocalCrossentropy, {}, binary, unit),
    (losses.BinaryFocalCrossentropy, {"apply_class_balancing": True, "gamma": 1.5}, binary, unit),
    (losses.CategoricalFocalCrossentropy, {}, one_hot, probs),
    (losses.CategoricalGeneralizedCrossEntropy, {}, labels, probs),
    (losses.Hinge, {}, binary, real_p),
    (losses.SquaredHinge, {}, 2 * binary - 1, real_p),
    (losses.CategoricalHinge, {}, one_hot, real_p),
    (losses.Dice, {}, binary, unit),
    (losses.Dice, {"axis": [1]}, binary, unit),
    (losses.Tversky, {"alpha": 0.3, "beta": 0.7}, binary, unit),
]
loss_cases = []


def loss_case(loss, t, p, w, m):
    y = keras.ops.convert_to_tensor(p)
    if m is not None:
        backend.set_keras_mask(y, keras.ops.convert_to_tensor(m))
    value = loss(keras.ops.convert_to_tensor(t), y, None if w is None else keras.ops.convert_to_tensor(w))
    case = {"loss": record(loss), "t": plain(t), "p": plain(p), "value": plain(value)}
    if w is not None:
        case["w"] = plain(w)
    if m is not None:
        case["mask"] = plain(m)
    loss_cases.append(case)


for make, settings, t, p in cases:
    for reduction in ["sum_over_batch_size", "sum", "mean_with_sample_weight"]:
        for w in [None, weights]:
            if w is not None or reduction != "mean_with_sample_weight":
                loss_case(make(reduction=reduction, **settings), t, p, w, None)
for reduction in ["sum_over_batch_size", "sum", "mean_with_sample_weight"]:
    for w in [None, steps_w]:
        loss_case(losses.MeanSquaredError(reduction=reduction), steps_t, steps_p, w, mask)
        loss_case(losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=2, reduction=reduction), steps_l, steps_p, w, mask)

metric_cases = []
several = [
    (metrics.BinaryAccuracy, {}, binary, unit),
    (metrics.BinaryAccuracy, {"threshold": 0.4}, binary, unit),
    (metrics.CategoricalAccuracy, {}, one_hot, probs),
    (metrics.SparseCategoricalAccuracy, {}, labels, probs),
    (metrics.SparseCategoricalAccuracy, {}, labels[:, None], probs),
    (metrics.SparseCategoricalAccuracy, {}, steps_l, steps_p),
    (metrics.TopKCategoricalAccuracy, {"k": 2}, one_hot, probs),
    (metrics.SparseTopKCategoricalAccuracy, {"k": 2}, labels, probs),
    (metrics.MeanSquaredError, {}, real, real_p),
    (metrics.MeanAbsoluteError, {}, steps_t, steps_p),
    (metrics.MeanAbsolutePercentageError, {}, real, real_p),
    (metrics.MeanSquaredLogarithmicError, {}, positive, np.abs(real_p)),
    (metrics.RootMeanSquaredError, {}, real, real_p),
    (metrics.LogCoshError, {}, real, real_p),
    (metrics.CosineSimilarity, {}, real, real_p),
    (metrics.R2Score, {}, real, real_p),
    (metrics.R2Score, {"class_aggregation": "variance_weighted_average", "num_regressors": 2}, real, real_p),
    (metrics.PearsonCorrelation, {}, real, real_p),
    (metrics.ConcordanceCorrelation, {}, real, real_p),
    (metrics.BinaryCrossentropy, {}, binary, unit),
    (metrics.CategoricalCrossentropy, {}, one_hot, probs),
    (metrics.SparseCategoricalCrossentropy, {}, labels, probs),
    (metrics.KLDivergence, {}, one_hot, probs),
    (metrics.Poisson, {}, positive, np.abs(real_p)),
    (metrics.Hinge, {}, binary, real_p),
    (metrics.SquaredHinge, {}, binary, real_p),
    (metrics.CategoricalHinge, {}, one_hot, real_p),
    (metrics.TruePositives, {}, binary, unit),
    (metrics.TrueNegatives, {}, binary, unit),
    (metrics.FalsePositives, {"thresholds": 0.3}, binary, unit),
    (metrics.FalseNegatives, {}, binary, unit),
    (metrics.Precision, {}, binary, unit),
    (metrics.Precision, {"class_id": 1}, binary, unit),
    (metrics.Precision, {"top_k": 2}, binary, unit),
    (metrics.Recall, {"thresholds": 0.3}, binary, unit),
    (metrics.AUC, {}, binary, unit),
    (metrics.AUC, {"curve": "PR", "num_thresholds": 30}, binary, unit),
    (metrics.AUC, {"curve": "PRGAIN", "summation_method": "majoring"}, binary, unit),
    (metrics.AUC, {"multi_label": True, "num_labels": 3}, binary, unit),
    (metrics.AUC, {"from_logits": True, "summation_method": "minoring"}, binary, real_p),
    (metrics.PrecisionAtRecall, {"recall": 0.6}, binary, unit),
    (metrics.RecallAtPrecision, {"precision": 0.5}, binary, unit),
    (metrics.SensitivityAtSpecificity, {"specificity": 0.5}, binary, unit),
    (metrics.SpecificityAtSensitivity, {"sensitivity": 0.5}, binary, unit),
    (metrics.F1Score, {"average": "macro"}, one_hot, probs),
    (metrics.FBetaScore, {"average": "micro", "beta": 2.0, "threshold": 0.4}, binary, unit),
    (metrics.FBetaScore, {"average": "weighted", "beta": 0.5}, one_hot, probs),
    (metrics.BinaryIoU, {}, binary, unit),
    (metrics.OneHotMeanIoU, {"num_classes": 3}, one_hot, probs),
    (metrics.OneHotIoU, {"num_classes": 3, "target_class_ids": [0, 2]}, one_hot, probs),
    (metrics.MeanIoU, {"num_classes": 3, "ignore_class": 2}, labels, labels[::-1].copy()),
    (metrics.IoU, {"num_classes": 3, "target_class_ids": [1]}, labels, labels[::-1].copy()),
]
for make, settings, t, p in several:
    for weighted in [False, True]:
        if weighted and "IoU" in make.__name__:
            continue  # weights of samples are not weights of values there
        m = make(**settings)
        w = weights[: len(t)] if weighted else None
        half = len(t) // 2 or 1
        for a, b in [(0, half), (half, len(t))]:
            m.update_state(t[a:b], p[a:b], None if w is None else w[a:b])
        value = float(np.asarray(m.result()))
        config = record(m)
        case = {"metric": config, "t": plain(t), "p": plain(p), "half": half, "value": str(value) if not np.isfinite(value) else value}
        if w is not None:
            case["w"] = plain(w)
        metric_cases.append(case)

kernel = rng.normal(size=(4, 3)).astype("float32")
bias = rng.normal(size=(3,)).astype("float32")
gradients = [(rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=(3,)).astype("float32")) for _ in range(6)]
S = optimizers.schedules
optimizer_cases = []
for o in [
    optimizers.SGD(0.1),
    optimizers.SGD(0.1, momentum=0.9),
    optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    optimizers.RMSprop(0.1),
    optimizers.RMSprop(0.1, momentum=0.9, centered=True),
    optimizers.Adam(0.1),
    optimizers.Adam(0.1, amsgrad=True, epsilon=0.1),
    optimizers.AdamW(0.1),
    optimizers.Adagrad(0.1),
    optimizers.Adadelta(1.0),
    optimizers.Adamax(0.1),
    optimizers.Nadam(0.1),
    optimizers.Ftrl(0.1, l1_regularization_strength=0.01, l2_regularization_strength=0.01, beta=0.1, l2_shrinkage_regularization_strength=0.1),
    optimizers.Lion(0.01, weight_decay=0.1),
    optimizers.Lamb(0.1),
    optimizers.Adafactor(0.1),
    optimizers.Muon(0.1),
    optimizers.ScheduleFreeAdamW(0.1, warmup_steps=3),
    optimizers.LossScaleOptimizer(optimizers.Adam(0.1), initial_scale=4.0, dynamic_growth_steps=2),
    optimizers.SGD(0.1, clipnorm=0.5),
    optimizers.SGD(0.1, global_clipnorm=0.5),
    optimizers.Adam(0.1, clipvalue=0.3),
    optimizers.SGD(0.1, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=2),
    optimizers.SGD(0.1, momentum=0.9, use_ema=True, gradient_accumulation_steps=2),
    optimizers.Adam(S.ExponentialDecay(0.1, 2, 0.5), gradient_accumulation_steps=3, loss_scale_factor=8.0),
]:
    inner = getattr(o, "inner_optimizer", o)
    config = record(o)
    k = backend.Variable(kernel, name="kernel")
    b = backend.Variable(bias, name="bias", dtype="float32")
    b.constraint = constraints.NonNeg()
    o.build([k, b])
    start = [plain(v.numpy()) for v in o.variables]
    weights_after = []
    for g in gradients:
        if len(o.variables) and hasattr(o, "inner_optimizer"):
            tv, ov = o.stateless_apply([v.value for v in o.variables], list(g), [k.value, b.value])
            for v, value in zip(o.variables, ov):
                v.assign(value)
            k.assign(tv[0])
            b.assign(tv[1])
        else:
            o.apply(list(g), [k, b])
        weights_after.append([plain(k.numpy()), plain(b.numpy())])
    optimizer_cases.append({"optimizer": config, "start": start, "weights": weights_after, "end": [plain(v.numpy()) for v in o.variables]})

schedule_cases = [
    {"schedule": record(s), "values": [float(np.asarray(s(i))) for i in range(16)]}
    for s in [
        S.ExponentialDecay(0.1, 3, 0.5),
        S.ExponentialDecay(0.1, 3, 0.5, staircase=True),
        S.InverseTimeDecay(0.1, 3, 0.5),
        S.InverseTimeDecay(0.1, 3, 0.5, staircase=True),
        S.PiecewiseConstantDecay([2, 5], [0.3, 0.2, 0.1]),
        S.PolynomialDecay(0.1, 6, power=2.0),
        S.PolynomialDecay(0.1, 6, cycle=True),
        S.CosineDecay(0.1, 8, alpha=0.1),
        S.CosineDecay(0.0, 8, warmup_target=0.2, warmup_steps=3),
        S.CosineDecayRestarts(0.1, 3),
        S.CosineDecayRestarts(0.1, 3, t_mul=1.0, m_mul=0.5, alpha=0.1),
    ]
]

constraint_cases = [
    {"constraint": record(c), "value": plain(c(keras.ops.convert_to_tensor(kernel)))}
    for c in [
        constraints.MaxNorm(0.9),
        constraints.MaxNorm(1.5, axis=[0, 1]),
        constraints.MinMaxNorm(0.5, 1.0, 0.7, axis=1),
        constraints.NonNeg(),
        constraints.UnitNorm(),
    ]
]
regularizer_cases = [
    {"regularizer": record(r), "value": float(np.asarray(r(keras.ops.convert_to_tensor(kernel))))}
    for r in [
        regularizers.L1(0.1),
        regularizers.L2(0.1),
        regularizers.L1L2(0.1, 0.2),
        regularizers.OrthogonalRegularizer(0.1),
        regularizers.OrthogonalRegularizer(0.1, mode="columns"),
    ]
]
initializer_cases = [
    record(i)
    for i in [
        keras.initializers.Zeros(),
        keras.initializers.Ones(),
        keras.initializers.Constant(0.5),
        keras.initializers.Identity(),
        keras.initializers.RandomNormal(seed=3),
        keras.initializers.RandomUniform(-1, 1),
        keras.initializers.TruncatedNormal(stddev=0.2),
        keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        keras.initializers.GlorotUniform(),
        keras.initializers.GlorotNormal(),
        keras.initializers.HeUniform(),
        keras.initializers.HeNormal(),
        keras.initializers.LecunUniform(),
        keras.initializers.LecunNormal(),
        keras.initializers.Orthogonal(gain=2.0),
    ]
]

print(
    json.dumps(
        {
            "x": plain(x),
            "activations": activations,
            "losses": loss_cases,
            "metrics": metric_cases,
            "kernel": plain(kernel),
            "bias": plain(bias),
            "gradients": [[plain(a), plain(b)] for a, b in gradients],
            "optimizers": optimizer_cases,
            "schedules": schedule_cases,
            "constraints": constraint_cases,
            "regularizers": regularizer_cases,
            "initializers": initializer_cases,
        },
        separators=(",", ":"),
    )
)
