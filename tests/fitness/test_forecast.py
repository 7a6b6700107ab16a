"""Training on a series: it learns, as plain torch does; the seed alone decides, and what was stopped goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fitness.series import Scaling, Series, load_series, persistence
from fitness.training.checkpoint import load_state, load_weights, save_state, save_weights
from fitness.training.forecast import Errors, Forecasting, errors, forecasts
from fitness.training.recipe import ForecastRecipe
from spaces.errors import UsageError
from spaces.layers import Dense, Recurrent, Tanh
from spaces.network import Network, NetworkBuilder

SERIES = load_series("sine(stop=5)")
QUICK = {"learning_rate": 0.01, "dropout": 0.2}
AS_IT_IS = Scaling("none", (0.0,), (1.0,))


def network(kind: str = "lstm", look_back: int = 4) -> Network:
    net = NetworkBuilder((look_back, 1))
    x = net.add(Recurrent(kind, 4, True), net.input)  # type: ignore[arg-type]
    x = net.add(Recurrent(kind, 3, False), x)  # type: ignore[arg-type]
    return net.build(net.add(Tanh(), net.add(Dense(1), x)))


def trained(recipe: ForecastRecipe, seed: int = 0, series: Series = SERIES) -> Forecasting:
    training = Forecasting(network(), series, recipe, seed)
    while not (training.done or training.diverged):
        training.run_epoch()
    return training


def same(one: Forecasting, two: Forecasting) -> bool:
    weights = zip(one.module.state_dict().values(), two.module.state_dict().values(), strict=True)
    return one.epochs == two.epochs and all(torch.equal(a, b) for a, b in weights)


def test_the_recipe_is_the_published_one() -> None:
    """That of dlopt's nn.TrainGradientBased and configurations; Adam's other numbers are those of Keras."""
    recipe = ForecastRecipe()
    published = {"epochs": 100, "batch": 5, "learning_rate": 5e-5, "dropout": 0.5, "weight_range": 0.5}
    assert recipe.to_dict() == published | {"patience": 50, "min_delta": 1e-5, "shuffle": False}
    [group] = Forecasting(network(), SERIES, recipe).optimizer.param_groups
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.9, 0.999), 1e-8, 0)


def test_it_learns() -> None:
    training = trained(ForecastRecipe(epochs=20, learning_rate=0.03, dropout=0))
    assert training.epochs[-1].loss < training.epochs[0].loss / 10
    assert errors(training.take_best(), SERIES, "test").mae < persistence(SERIES, "test", 4) / 2


def test_plain_torch_comes_to_the_same() -> None:
    """Its own LSTM modules, dropout by hand from the same masks and Adam one weight after the other."""
    recipe = ForecastRecipe(epochs=1, learning_rate=0.01)
    ours = Forecasting(network(), SERIES, recipe, seed=3)
    first, second, dense = nn.LSTM(1, 4, batch_first=True), nn.LSTM(4, 3, batch_first=True), nn.Linear(3, 1)
    for theirs, layer in zip((first, second), ours.module.layers[1:3], strict=True):
        start = {
            name: layer.get_parameter(name.removesuffix("_l0")).detach()
            for name in ("weight_ih_l0", "weight_hh_l0")
        }
        bias = layer.get_parameter("bias").detach()
        theirs.load_state_dict({**start, "bias_ih_l0": bias, "bias_hh_l0": torch.zeros_like(bias)})
        theirs.bias_hh_l0.requires_grad_(False)
    dense.load_state_dict(ours.module.layers[3].state_dict())
    weights = [w for module in (first, second, dense) for w in module.parameters() if w.requires_grad]
    adam = torch.optim.Adam(weights, 0.01, foreach=False)
    windows, generator = SERIES.windows(4, "train"), torch.Generator().manual_seed(3 * 1_000_003 + 1)
    losses = []
    for start_of in range(0, len(windows), 5):
        inputs = torch.from_numpy(windows.inputs[start_of : start_of + 5])
        targets = torch.from_numpy(windows.targets[start_of : start_of + 5])
        hidden = first(inputs)[0]
        hidden = hidden * torch.empty_like(hidden).bernoulli_(0.5, generator=generator) * 2
        last = second(hidden)[0][:, -1]
        last = last * torch.empty_like(last).bernoulli_(0.5, generator=generator) * 2
        loss = (torch.tanh(dense(last)) - targets).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert ours.run_epoch().loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert ours.steps == len(losses)
    for mine, theirs in (
        (ours.module.layers[1].weight_hh, first.weight_hh_l0),
        (ours.module.layers[3].bias, dense.bias),
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_weights_and_biases_are_drawn_from_the_range_or_as_torch_does() -> None:
    def biggest(reach: float) -> float:
        module = Forecasting(network(), SERIES, ForecastRecipe(weight_range=reach)).module
        return max(float(weight.detach().abs().max()) for weight in module.parameters())

    assert 0.45 < biggest(0.5) <= 0.5
    assert 1.8 < biggest(2.0) <= 2.0
    assert 0.5 < biggest(0) < 1 / np.sqrt(3)


def test_outputs_are_dropped_in_training_alone() -> None:
    training = Forecasting(network(), SERIES, ForecastRecipe(dropout=0.25))
    layer, inputs = training.module.layers[1], torch.rand(500, 4, 1)
    training.module.train()
    dropped = layer(inputs)
    training.module.eval()
    kept = layer(inputs)
    zero = dropped == 0
    assert zero.double().mean().item() == pytest.approx(0.25, abs=0.02)
    torch.testing.assert_close(dropped[~zero], kept[~zero] / 0.75)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_what_went_through_a_file_goes_on_bit_by_bit(kind: str, tmp_path: Path) -> None:
    recipe = ForecastRecipe(epochs=3, shuffle=kind == "gru", **QUICK)
    whole, stopped, going_on = (Forecasting(network(kind), SERIES, recipe, seed=1) for _ in range(3))
    stopped.run_epoch()
    save_state(tmp_path / "state.npz", stopped.state())
    going_on.restore(load_state(tmp_path / "state.npz"))
    for one in (whole, going_on):
        while not one.done:
            one.run_epoch()
    assert same(whole, going_on)
    assert all(torch.equal(value, going_on.best[name]) for name, value in whole.best.items())


def test_the_seed_decides_everything_and_global_state_nothing() -> None:
    recipe = ForecastRecipe(epochs=2, shuffle=True, **QUICK)
    one = trained(recipe, seed=5)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert same(one, trained(recipe, seed=5))
    assert torch.equal(before, torch.get_rng_state())
    assert not same(one, trained(recipe, seed=6))
    assert not same(one, trained(ForecastRecipe(epochs=2, **QUICK), seed=5))
    assert Forecasting(network(), SERIES, recipe, seed=2**63 - 1).run_epoch().number == 1


def test_the_best_epoch_is_the_one_of_lowest_validation_error(tmp_path: Path) -> None:
    training = trained(ForecastRecipe(epochs=12, learning_rate=0.2, dropout=0.5))
    best = training.best_epoch
    assert best.validation == min(epoch.validation for epoch in training.epochs) < training.epochs[-1].validation
    module = training.take_best()
    assert errors(module, SERIES, "validation").mse == best.validation
    save_weights(tmp_path / "weights.npz", module)
    again = load_weights(tmp_path / "weights.npz", network())
    inputs = torch.from_numpy(SERIES.windows(4, "test").inputs)
    np.testing.assert_array_equal(forecasts(module, inputs), forecasts(again, inputs))


def test_patience_counts_gains_above_the_least_and_the_best_epoch_any() -> None:
    slow = {"epochs": 7, "learning_rate": 1e-5, "dropout": 0.0, "patience": 2}  # gains 2e-4 in every epoch
    steady = trained(ForecastRecipe(**slow, min_delta=1e-5), seed=3)  # type: ignore[arg-type]
    assert len(steady.epochs) == 7
    stopped = trained(ForecastRecipe(**slow, min_delta=1e-3), seed=3)  # type: ignore[arg-type]
    assert len(stopped.epochs) == 3
    assert stopped.best_epoch is stopped.epochs[-1]


def test_a_training_of_too_high_a_rate_has_diverged() -> None:
    series = load_series("sine(stop=6,scale=standard)")
    linear = NetworkBuilder((2, 1))
    net = linear.build(linear.add(Dense(1), linear.add(Recurrent("rnn", 2, False), linear.input)))
    training = Forecasting(net, series, ForecastRecipe(epochs=5, learning_rate=1e30))
    while not (training.done or training.diverged):
        training.run_epoch()
    assert training.diverged
    assert len(training.epochs) < 5


def test_errors_are_those_computed_by_hand() -> None:
    found, wanted = np.array([[1.0], [3.0]]), np.array([[2.0], [5.0]])
    of = Errors.between(found, wanted, AS_IT_IS)
    logs = [np.log(2 / 3) ** 2, np.log(4 / 6) ** 2]
    assert (of.mae, of.mse, of.mape) == (1.5, 2.5, 45.0)
    assert of.msle == pytest.approx(np.mean(logs))
    scaled = Errors.between(found / 2 - 1, wanted / 2 - 1, Scaling("minmax", (2.0,), (2.0,)))
    assert (scaled.mae, scaled.mse) == (0.75, 0.625)
    assert (scaled.msle, scaled.mape) == (pytest.approx(of.msle), pytest.approx(of.mape))


def test_what_is_not_defined_is_none() -> None:
    zero, low = np.array([[0.0], [1.0]]), np.array([[-1.0], [1.0]])
    assert Errors.between(zero, zero, AS_IT_IS).mape is None
    assert Errors.between(low, zero, AS_IT_IS).msle is None
    assert Errors.between(zero, low, AS_IT_IS).msle is None
    assert errors(Forecasting(network(), SERIES).module, SERIES, "test").mape is None  # the sine has zeros


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"epochs": 0}, "epochs is 0; expected a whole number of 1 or more"),
        ({"batch": 2.5}, "batch is 2.5"),
        ({"patience": 0}, "patience is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; expected a number above 0"),
        ({"dropout": 1.0}, "dropout is 1.0; expected a share of at least 0 and below 1"),
        ({"weight_range": -1.0}, "weight_range is -1.0; expected a number of 0 or more"),
        ({"min_delta": float("nan")}, "min_delta is nan"),
    ],
)
def test_a_recipe_that_is_none_is_refused(wrong: dict[str, object], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        ForecastRecipe(**wrong)  # type: ignore[arg-type]


def test_a_series_too_short_for_the_look_back_is_refused() -> None:
    with pytest.raises(UsageError, match="look-back 30 needs 31"):
        Forecasting(network(look_back=30), load_series("sine(stop=3)"))
