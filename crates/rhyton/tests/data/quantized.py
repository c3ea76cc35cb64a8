"""Makes quantized.keras and quantized.npz with Keras 3.15 (KERAS_BACKEND=jax); with a path as argument instead, loads a
quantized model of the same architecture that Rhyton saved and says how its outputs differ from those kept here."""

import sys

import keras
import numpy as np

if len(sys.argv) > 1:
    kept = np.load("quantized.npz")
    model = keras.models.load_model(sys.argv[1])
    print("largest difference:", np.abs(model.predict(kept["x"], verbose=0) - kept["y"]).max())
    sys.exit()

keras.utils.set_random_seed(3)
words = keras.Input((7,), dtype="int32")
x = keras.layers.Embedding(20, 8)(words)
x = keras.layers.Dense(12, activation="relu")(x)
x = keras.layers.Flatten()(x)
model = keras.Model(words, keras.layers.Dense(5, use_bias=False)(x))
model.quantize("int8")
model.save("quantized.keras")
x = np.random.default_rng(0).integers(0, 20, (6, 7)).astype("int32")
np.savez("quantized.npz", x=x, y=model.predict(x, verbose=0))
