"""Trains the model that `cipp_mcp.registry.meaning` uses: a linear classifier of sentences, one class per endpoint.

A sentence is the weighted mean of its words' vectors, and its product with an endpoint's vector says how likely that
endpoint is meant. Both kinds of vectors are learnt together. A word's vector has two parts: one of its own, and a
projection, learnt as well, of what the word means in English, so that words seen seldom or never are near their like.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DIMENSIONS = 128
_EPOCHS = 14
_AVERAGED = 5
"""The result is the mean of the states after the last so many rounds: it depends less on chance than the last one."""
_BATCH = 256
_RATE = 0.01
_FORGOTTEN = 0.5
"""The share of each sentence's words that is left out at random each time: an ask must be understood by any part."""
_DECAY = 1e-5
_START = 0.05

Sentence = list[tuple[str, float]]


@dataclass(frozen=True)
class Model:
    """`words` and `endpoints` are matrices; a word that only English knows comes after the catalogue's own."""

    vocabulary: list[str]
    used: int
    words: Any
    endpoints: Any
    bias: Any


def train(sentences: Sequence[tuple[Sentence, int]], classes: int, english: dict[str, Any]) -> Model:
    """Learns from (sentence, number of its endpoint); `english` gives the stems of English words a vector."""
    import numpy as np
    from scipy import sparse

    random = np.random.default_rng(0)
    seen = Counter(word for sentence, _ in sentences for word, _ in sentence)
    vocabulary = sorted(seen)
    at = {word: position for position, word in enumerate(vocabulary)}
    rare = np.log(1 + len(sentences) / np.array([seen[word] for word in vocabulary]))
    usual = rare.mean()
    rare = (rare / usual).astype(np.float32)
    wide = len(next(iter(english.values())))
    known = np.array([english.get(word, np.zeros(wide)) for word in vocabulary], dtype=np.float32)
    cells = [
        (row, at[word], weight) for row, (sentence, _) in enumerate(sentences) for word, weight in sentence
    ]  # fmt: skip
    rows, columns, weights = (np.array(part) for part in zip(*cells, strict=True))
    shape = (len(sentences), len(vocabulary))
    matrix = sparse.csr_matrix((weights.astype(np.float32), (rows, columns)), shape=shape)
    truth = np.array([number for _, number in sentences])

    own = (random.standard_normal((len(vocabulary), DIMENSIONS)) * _START / 3).astype(np.float32)
    projection = (random.standard_normal((wide, DIMENSIONS)) * _START * 2).astype(np.float32)
    endpoints = (random.standard_normal((classes, DIMENSIONS)) * _START * 2).astype(np.float32)
    bias = np.zeros(classes, np.float32)
    learnt = [own, projection, endpoints, bias]
    learn = _Adam(learnt)
    late = [part * 0 for part in learnt]
    for epoch in range(_EPOCHS):
        order = random.permutation(len(sentences))
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            batch = matrix[chosen]
            batch.data *= random.random(batch.nnz) > _FORGOTTEN
            sums = np.maximum(np.asarray(batch.sum(axis=1)).ravel(), 1)
            batch = (sparse.diags((1 / sums).astype(np.float32)) @ batch).multiply(rare[None, :]).tocsr()
            meant = batch @ (own + known @ projection)
            guess = meant @ endpoints.T + bias
            guess = np.exp(guess - guess.max(axis=1, keepdims=True))
            guess /= guess.sum(axis=1, keepdims=True)
            guess[np.arange(len(chosen)), truth[chosen]] -= 1
            guess /= len(chosen)
            back = batch.T @ (guess @ endpoints)
            learn.step(
                _RATE * (1.05 - epoch / _EPOCHS),
                [
                    back + _DECAY * own,
                    known.T @ back + _DECAY * projection,
                    guess.T @ meant + _DECAY * endpoints,
                    guess.sum(axis=0),
                ],
            )
        if epoch >= _EPOCHS - _AVERAGED:
            late = [total + part / _AVERAGED for total, part in zip(late, learnt, strict=True)]
    own, projection, endpoints, bias = late
    others = sorted(set(english) - set(vocabulary))
    foreign = np.array([english[word] for word in others]) @ projection * np.log(1 + len(sentences)) / usual
    words = np.vstack([(own + known @ projection) * rare[:, None], foreign])
    return Model([*vocabulary, *others], len(vocabulary), words, endpoints, bias)


class _Adam:
    """Gradient descent whose steps suit each parameter (Kingma and Ba, 2014)."""

    def __init__(self, parameters: list[Any]) -> None:
        self._parameters = parameters
        self._means = [parameter * 0 for parameter in parameters]
        self._squares = [parameter * 0 for parameter in parameters]
        self._steps = 0

    def step(self, rate: float, gradients: list[Any]) -> None:
        self._steps += 1
        for parameter, mean, square, gradient in zip(
            self._parameters, self._means, self._squares, gradients, strict=True
        ):
            mean *= 0.9
            mean += 0.1 * gradient
            square *= 0.99
            square += 0.01 * gradient * gradient
            parameter -= (
                rate * (mean / (1 - 0.9**self._steps)) / ((square / (1 - 0.99**self._steps)) ** 0.5 + 1e-6)
            )  # fmt: skip
