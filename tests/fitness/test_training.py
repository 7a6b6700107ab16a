"""The training loop: it learns, the seed alone decides, and what was stopped goes on as if it had not been."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fitness.training.checkpoint import load_state, load_weights, save_state, save_weights
from fitness.training.fit import Training, accuracy, predictions
from fitness.training.images import LabelledImages, Normalisation, Splits
from fitness.training.recipe import OPTIMIZERS, Recipe
from spaces.errors import RunError, UnknownName, UsageError
from spaces.layers import BatchNorm, Conv, Dense, Flatten, ReLU
from spaces.network import Network, NetworkBuilder


def network(classes: int = 2) -> Network:
    net = NetworkBuilder((3, 6, 6))
    x = net.add(Conv(5, (3, 3), padding=(1, 1)), net.input)
    x = net.add(ReLU(), net.add(BatchNorm(), x))
    x = net.add(ReLU(), net.add(Conv(4, (1, 1)), x))
    return net.build(net.add(Dense(classes), net.add(Flatten(), x)))


def images(count: int, seed: int) -> LabelledImages:
    """Noise; those of class 1 are brighter at the top."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 200, (count, 3, 6, 6), dtype=np.uint8)
    labels = np.arange(count) % 2
    pixels[labels == 1, :, :2] += 55
    return LabelledImages(pixels, labels)


SPLITS = Splits(images(64, 0), images(20, 1), images(20, 2), Normalisation((0.4,) * 3, (0.25,) * 3), 2, "made up")
QUICK = {"batch": 16, "learning_rate": 0.01}


def trained(recipe: Recipe, seed: int = 0, net: Network | None = None) -> Training:
    training = Training(net or network(), SPLITS, recipe, seed)
    while not training.done:
        training.run_epoch()
    return training


def same(one: Training, two: Training) -> bool:
    weights = zip(one.module.state_dict().values(), two.module.state_dict().values(), strict=True)
    return one.epochs == two.epochs and all(torch.equal(a, b) for a, b in weights)


def test_it_learns() -> None:
    training = trained(Recipe(epochs=15, flip=False, **QUICK))
    assert training.epochs[-1].loss < training.epochs[0].loss / 2
    assert accuracy(training.take_best(), SPLITS.test, SPLITS.normalisation) >= 85


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("stopped_after", [1, 2])
def test_what_went_through_a_file_goes_on_bit_by_bit(optimizer: str, stopped_after: int, tmp_path: Path) -> None:
    recipe = Recipe(epochs=3, optimizer=optimizer, shift=1, **QUICK)
    whole, stopped = trained(recipe), Training(network(), SPLITS, recipe)
    for _ in range(stopped_after):
        stopped.run_epoch()
    save_state(tmp_path / "state.npz", stopped.state())
    going_on = Training(network(), SPLITS, recipe)
    going_on.restore(load_state(tmp_path / "state.npz"))
    while not going_on.done:
        going_on.run_epoch()
    assert same(whole, going_on)
    assert whole.best_epoch == going_on.best_epoch
    assert all(torch.equal(value, going_on.best[name]) for name, value in whole.best.items())


def test_tensors_come_back_in_their_layout(tmp_path: Path) -> None:
    """On another one, operations may round differently."""
    training = trained(Recipe(epochs=1, **QUICK))
    save_state(tmp_path / "state.npz", training.state())
    before, after = training.state()["optimizer"], load_state(tmp_path / "state.npz")["optimizer"]
    assert before["state"].keys() == after["state"].keys()
    layouts = [
        [
            (value.is_contiguous(), value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last))
            for one in state["state"].values()
            for value in one.values()
        ]
        for state in (before, after)
    ]
    assert layouts[0] == layouts[1]
    assert (False, True) in layouts[0]


def test_the_seed_decides_everything_and_global_state_nothing() -> None:
    recipe = Recipe(epochs=2, shift=1, **QUICK)
    one = trained(recipe, seed=5)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert same(one, trained(recipe, seed=5))
    assert torch.equal(before, torch.get_rng_state())
    assert not same(one, trained(recipe, seed=6))


def test_the_best_epoch_is_kept() -> None:
    training = trained(Recipe(epochs=6, **QUICK))
    best = training.best_epoch
    assert best.validation == max(epoch.validation for epoch in training.epochs)
    assert accuracy(training.take_best(), SPLITS.validation, SPLITS.normalisation) == best.validation


def test_patience_ends_a_training_that_gets_no_better() -> None:
    training = trained(Recipe(epochs=50, learning_rate=1e-9, batch=16, patience=3))
    assert len(training.epochs) == training.best_epoch.number + 3 < 50


def test_every_seed_that_a_plan_takes_is_one_of_the_generators() -> None:
    for seed in (10**14, 2**63 - 1):
        assert len(next(iter(Training(network(), SPLITS, Recipe(batch=16), seed)._batches(0)))[0]) == 16


@pytest.mark.parametrize("seed", [0, 1, 9_000_000_000_000])
def test_small_seeds_are_drawn_from_as_they_always_were(seed: int) -> None:
    _, labels = next(iter(Training(network(), SPLITS, Recipe(batch=16), seed)._batches(2)))
    order = torch.randperm(64, generator=torch.Generator().manual_seed(seed * 1_000_003 + 2))
    assert torch.equal(labels, torch.from_numpy(SPLITS.train.labels)[order[:16]])


def test_no_batch_is_of_one_image() -> None:
    net = network()
    for count in (2, 3, 4, 5, 7, 9, 17, 33):
        splits = replace(SPLITS, train=SPLITS.train.first(count))
        for batch in (2, 3, 16):
            training = Training(net, splits, Recipe(batch=batch, flip=False))
            assert training.steps == round(count / batch) or batch == 2 or training.steps == 1
            assert min(len(labels) for _, labels in training._batches(0)) >= 2


@pytest.mark.parametrize(("count", "batch", "steps"), [(64, 16, 4), (64, 60, 1), (64, 25, 3), (64, 1000, 1)])
def test_an_epoch_passes_over_every_image_once(count: int, batch: int, steps: int) -> None:
    training = Training(network(), SPLITS, Recipe(batch=batch, flip=False))
    done: list[int] = []
    seen = [image.numpy().tobytes() for batch, _ in training._batches(0) for image in batch]
    training.run_epoch(lambda: done.append(1))
    assert training.steps == len(done) == steps
    normalised = SPLITS.normalisation(torch.from_numpy(SPLITS.train.pixels))
    assert sorted(seen) == sorted(image.numpy().tobytes() for image in normalised)


def test_images_are_mirrored_or_moved_and_nothing_else() -> None:
    training = Training(network(), SPLITS, Recipe(batch=64, flip=True, shift=1))
    made, labels = next(iter(training._batches(0)))
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    originals = SPLITS.normalisation(torch.from_numpy(SPLITS.train.pixels))[order]
    assert torch.equal(labels, torch.from_numpy(SPLITS.train.labels)[order])
    changes = set()
    for image, original in zip(made, originals, strict=True):
        possible = {}
        for mirrored in (False, True):
            padded = torch.nn.functional.pad(original.flip(2) if mirrored else original, (1, 1, 1, 1))
            for top in range(3):
                for left in range(3):
                    possible[mirrored, top, left] = padded[:, top : top + 6, left : left + 6]
        changes.add(next(what for what, candidate in possible.items() if torch.equal(candidate, image)))
    assert len(changes) > 12


def test_one_output_tells_two_classes_apart() -> None:
    training = trained(Recipe(epochs=15, flip=False, **QUICK), net=network(classes=1))
    assert set(predictions(training.module, SPLITS.test, SPLITS.normalisation).tolist()) == {0, 1}
    assert accuracy(training.take_best(), SPLITS.test, SPLITS.normalisation) >= 85


def test_weights_come_back_and_compute_the_same(tmp_path: Path) -> None:
    training = trained(Recipe(epochs=1, **QUICK))
    save_weights(tmp_path / "weights.npz", training.take_best())
    loaded = load_weights(tmp_path / "weights.npz", network())
    batch = SPLITS.normalisation(torch.from_numpy(SPLITS.test.pixels))
    torch.testing.assert_close(loaded(batch), training.module(batch))
    with np.load(tmp_path / "weights.npz", allow_pickle=False) as arrays:
        assert set(arrays.files) == set(training.module.state_dict())


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / "weights.npz", Training(network(3), SPLITS, Recipe()).module)
    with pytest.raises(RunError, match=r"weights\.npz cannot be used: its weights are those of another network"):
        load_weights(tmp_path / "weights.npz", network())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nothing", b"not a file of numpy"])
def test_a_damaged_checkpoint_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "state.npz").write_bytes(content)
    with pytest.raises(RunError, match=r"state\.npz cannot be used: .*; remove .*trained anew"):
        load_state(tmp_path / "state.npz")


def test_a_pickle_in_a_checkpoint_is_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "state.npz", outline=np.array([print], dtype=object))
    with pytest.raises(RunError, match="allow_pickle"):
        load_state(tmp_path / "state.npz")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs is 0; expected a whole number of 1 or more"),
        ({"batch": 1}, "batch is 1"),
        ({"shift": -1}, "shift is -1"),
        ({"patience": 0}, "patience is 0"),
        ({"learning_rate": 0.0}, r"learning_rate is 0\.0; expected a number above 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"weight_decay": -1.0}, r"weight_decay is -1\.0"),
    ],
)
def test_impossible_recipes_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Recipe(**values)


def test_unknown_optimizers_are_refused_with_the_known() -> None:
    with pytest.raises(UnknownName, match="unknown optimizer 'adam'; did you mean 'adamw'"):
        Recipe(optimizer="adam")
