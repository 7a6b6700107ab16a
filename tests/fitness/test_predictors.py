from __future__ import annotations

import json
from functools import cache
from random import Random

import numpy as np
import pytest
from scipy.stats import kendalltau

from engine.results.listing import listing
from fitness.figures import aleph, bottleneck, depth, log_capacity, macs, n_relu, params
from fitness.predictors import PREDICTORS
from fitness.predictors.base import Predictor, make_predictor
from fitness.predictors.features import make_features
from fitness.predictors.features.cells import figures_key
from fitness.predictors.features.tokens import Tokens
from fitness.predictors.target import make_target
from spaces import SPACES
from spaces.errors import UnknownName, UsageError
from spaces.nats import NatsTss
from spaces.space import Genotype, Space
from tests.small import short

SPACE = NatsTss(cells=1, channels=4)
LEARNT = (
    "gp",
    "knn",
    "blend(trees=20)",
    *(
        pytest.param(text, marks=pytest.mark.slow)  # the others are models of scikit-learn behind the same class
        for text in ("forest(trees=20)", "extra_trees(trees=20)", "boosting(trees=30,ensembles=2)", "ridge")
    ),
)


@cache
def members(count: int, seed: int = 0) -> tuple[Genotype, ...]:
    rng = Random(seed)
    return tuple(SPACE.sample(rng) for _ in range(count))


def worth(genotype: Genotype) -> float:
    """A made-up accuracy in percent: convolutions help, and there must be some on the straight way."""
    values = list(genotype.values())
    return 50 + 5 * values.count("nor_conv_3x3") + 3 * values.count("nor_conv_1x1") - values.count("none")


def cell(text: str) -> Genotype:
    return SPACE.parse(text)


@pytest.mark.parametrize("text", LEARNT)
def test_what_is_learnt_orders_what_was_not_seen(text: str) -> None:
    known, asked = members(60), members(80, seed=1)
    predictor = make_predictor(text, SPACE)
    assert isinstance(predictor, Predictor)
    predictor.fit(known, [worth(each) for each in known])
    mean, std = predictor.predict(asked)
    assert mean.shape == std.shape == (80,)
    assert np.isfinite(mean).all()
    assert (std >= 0).all()
    assert std.max() > 0
    assert kendalltau(mean, [worth(each) for each in asked])[0] > 0.3


@pytest.mark.parametrize("text", LEARNT)
def test_adding_is_fitting_on_all(text: str) -> None:
    known = members(30)
    asked = [each for each in members(20, seed=1) if each not in known]
    values = [worth(each) for each in known]
    whole, grown = make_predictor(text, SPACE, seed=3), make_predictor(text, SPACE, seed=3)
    whole.fit(known, values)
    grown.fit(known[:20], values[:20])
    before = grown.predict(asked).mean
    grown.add(known[20:], values[20:])
    assert np.array_equal(grown.predict(asked).mean, whole.predict(asked).mean)
    assert not np.array_equal(grown.predict(asked).mean, before)


@pytest.mark.parametrize("target", ["gap", "plain", "rank"])
@pytest.mark.parametrize("unit", [1.0, 0.01])
def test_a_scale_leads_back_to_the_accuracies_and_keeps_their_order(target: str, unit: float) -> None:
    accuracies = unit * np.array([10.0, 10.0, 55.0, 80.0, 91.0, 91.5])
    scale = make_target(target)
    scores = scale.learn(accuracies)
    mean, std = scale.back(scores, np.zeros(6))
    assert mean == pytest.approx(accuracies)
    assert std == pytest.approx(0)
    assert abs(scores.std() - 1) < 1e-9
    around, _ = scale.back(np.linspace(-6, 6, 200), np.zeros(200))
    assert (np.diff(around) >= 0).all()


@pytest.mark.parametrize("text", ["gp", "knn", "ridge", "extra_trees(trees=2)", "boosting(trees=2,ensembles=1)"])
def test_one_network_known_twice_and_no_network_asked_are_no_trouble(text: str) -> None:
    predictor = make_predictor(text, SPACE)
    predictor.fit([members(1)[0]] * 2, [1.0, 1.0])
    assert predictor.predict(members(3)).mean == pytest.approx([1.0] * 3)
    mean, std = predictor.predict([])
    assert mean.shape == std.shape == (0,)


@pytest.mark.parametrize("target", ["gap", "plain", "rank"])
def test_equal_accuracies_are_predicted_as_they_are(target: str) -> None:
    predictor = make_predictor(f"gp(target={target})", SPACE)
    predictor.fit(members(5), [90.0] * 5)
    assert predictor.predict(members(4, seed=1)).mean == pytest.approx([90.0] * 4)


def test_the_process_agrees_with_scikit_learns() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    from fitness.predictors.gp import GaussianProcess

    rng = np.random.default_rng(0)
    rows, values, asked = rng.normal(size=(25, 3)), rng.normal(size=25), rng.normal(size=(7, 3))
    process = GaussianProcess(space=SPACE)
    process.learn(rows, values)
    mean, std = process.judge(asked)
    length = float(np.sqrt(process._unit))
    noise = (process._factor[0][0, 0] ** 2) - 1.0
    scale = process._scaling
    theirs = GaussianProcessRegressor(Matern(length, nu=2.5), alpha=noise, optimizer=None)
    theirs.fit(scale(rows), values - values.mean())
    their_mean, their_std = theirs.predict(scale(asked), return_std=True)
    assert mean == pytest.approx(their_mean + values.mean())
    assert std == pytest.approx(their_std * np.sqrt(process._variance))


def test_nearest_networks_weigh_by_inverse_distance() -> None:
    known = [
        cell("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"),
        cell("|skip_connect~0|+|skip_connect~0|none~1|+|none~0|none~1|none~2|"),
        cell("|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"),
    ]
    predictor = make_predictor("knn(k=2)", SPACE)
    predictor.fit(known, [10.0, 40.0, 90.0])
    asked = cell("|skip_connect~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    # One choice differs from the first and from the second, five from the third.
    assert predictor.predict([asked]).mean == pytest.approx([25.0])
    assert predictor.predict([known[1]]).mean == pytest.approx([40.0])
    assert predictor.predict([known[1]]).std == pytest.approx([0.0])


@pytest.mark.parametrize(
    "name",
    [  # cells of one form: nds-darts stands for the others
        pytest.param(name, marks=[pytest.mark.slow] * (name.startswith("nds-") and name != "nds-darts"))
        for name in sorted(SPACES)
    ],
)
def test_every_kind_of_features_works_on_every_space(name: str) -> None:
    space = SPACES.create(name, short(name))
    assert isinstance(space, Space)
    rng = Random(0)
    genotypes = [space.sample(rng) for _ in range(3)]
    features = make_features("onehot+tokens+path+graph+scores", space)
    matrix = features.matrix(genotypes)
    assert matrix.shape == (3, len(features.names))
    assert len(set(features.names)) == len(features.names)
    assert np.isfinite(matrix).all()
    again = make_features("onehot+tokens+path+graph+scores", space).matrix(genotypes[2:])
    assert np.array_equal(again, matrix[2:])  # whatever stands beside them
    assert features.matrix([]).shape == (0, len(features.names))


@pytest.mark.parametrize(("name", "length", "vocabulary"), [("nats-tss", 35, 9), ("nas-bench-101", 27, 7)])
def test_sequences_are_as_long_as_published(name: str, length: int, vocabulary: int) -> None:
    space = SPACES.create(name, {})
    assert isinstance(space, Space)
    tokens = Tokens(space)
    assert (tokens.length, tokens.vocabulary) == (length, vocabulary)


def test_a_sequence_is_the_bits_and_the_operation_of_every_vertex() -> None:
    space = SPACES.create("nas-bench-101", {})
    assert isinstance(space, Space)
    genotype = space.parse("11-1:conv3x3-bn-relu")
    # Vertex 1 reads 0: bit 2, operation 3 + 0; the output reads both, then its own token; the rest is padding.
    want = [2, 3, 2, 2, 6] + [0] * 22
    assert Tokens(space).tokens([genotype]).tolist() == [want]
    cells = Tokens(SPACE).tokens(members(200))
    assert (cells != cells[0]).any(axis=0).sum() == 6  # only the operations of NAS-Bench-201 ever differ


@pytest.mark.parametrize(("name", "columns"), [("nas-bench-101", 364), ("nats-tss", 85), ("nds-darts", 512)])
def test_there_are_as_many_paths_as_published_or_512(name: str, columns: int) -> None:
    space = SPACES.create(name, short(name))
    assert isinstance(space, Space)
    assert len(make_features("path", space).names) == columns


def test_paths_are_those_that_carry_something() -> None:
    features = make_features("path", SPACE)

    def paths(text: str) -> set[str]:
        row = features.matrix([cell(text)])[0]
        return {name.removeprefix("path:cell > ") for name, there in zip(features.names, row, strict=True) if there}

    assert paths("|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|none~2|") == {
        "skip_connect",
        "nor_conv_3x3 > avg_pool_3x3",
    }
    assert paths("|none~0|+|none~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|skip_connect~2|") == set()


def test_without_cells_paths_are_runs_of_layers() -> None:
    space = SPACES.create("munas", {})
    assert isinstance(space, Space)
    rng = Random(0)
    genotypes = [space.sample(rng) for _ in range(8)]
    features = make_features("path", space)
    rows = features.matrix(genotypes)
    assert {name.count(">") for name in features.names} == {0, 1, 2}
    # A run is there only if the shorter one that it begins with is.
    for place, name in enumerate(features.names):
        shorter = name.rpartition(" > ")[0]
        if shorter in features.names:
            assert (rows[:, features.names.index(shorter)] >= rows[:, place]).all()


def test_graph_features_count_paths_that_carry_something() -> None:
    text = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|none~2|"
    features = make_features("graph", SPACE)
    row = dict(zip(features.names, features.matrix([cell(text)])[0], strict=True))
    # Two paths: 0 -skip-> 3 and 0 -3x3-> 1 -pool-> 3; the 1x1 convolution leads nowhere.
    wanted = {
        "vertices": 3,
        "paths": 2,
        "number nor_conv_1x1": 0,
        "number nor_conv_3x3": 1,
        "enters skip_connect": 1,
        "leaves avg_pool_3x3": 1,
        "paths of skip_connect": 1,
        "paths of nor_conv_3x3|avg_pool_3x3": 1,
        "paths of nor_conv_3x3": 0,
        "most on a path nor_conv_3x3": 1,
        "least on a path nor_conv_3x3": 0,
        "mean on a path nor_conv_3x3": 0.5,
        "paths with 2 nor_conv_1x1|nor_conv_3x3|avg_pool_3x3": 1,
        "paths with 0 nor_conv_3x3": 1,
        "paths from nor_conv_3x3": 1,
        "paths from identity": 1,
        "paths to avg_pool_3x3": 1,
    }
    assert {name: row[f"graph:cell {name}"] for name in wanted} == wanted


def test_graph_features_of_a_dead_cell_are_finite_and_its_own() -> None:
    dead, other = (f"|{op}~0|+|{op}~0|{op}~1|+|none~0|none~1|none~2|" for op in ("none", "nor_conv_3x3"))
    matrix = make_features("graph", SPACE).matrix([cell(dead), cell(other)])
    assert np.isfinite(matrix).all()
    assert np.array_equal(matrix[0], matrix[1])


def test_scores_hold_figures_of_the_live_network_and_the_columns_handed_in() -> None:
    genotypes = members(3)
    features = make_features("scores", SPACE, {each: {"naswot": float(i)} for i, each in enumerate(genotypes)})
    matrix = features.matrix(genotypes)
    columns = dict(zip(features.names, matrix.T, strict=True))
    assert columns["scores:naswot"].tolist() == [0.0, 1.0, 2.0]
    live = [params(SPACE.decode(each), live=True) for each in genotypes]
    assert np.expm1(columns["scores:log params"]) == pytest.approx(live)
    with pytest.raises(UsageError, match="naswot"):
        features.matrix(members(1, seed=9))


def test_cells_of_one_key_share_their_figures_and_nothing_else_does() -> None:
    key = figures_key(SPACE)
    assert key is not None
    found: dict[object, set[tuple[float, ...]]] = {}
    for genotype in members(60, seed=2):
        network = SPACE.decode(genotype)
        sizes = [figure(network, live=True) for figure in (params, macs, n_relu, bottleneck, depth, aleph)]
        found.setdefault(key(genotype), set()).add((*sizes, round(log_capacity(network, live=True), 9)))
    assert all(len(figures) == 1 for figures in found.values())
    assert len(set.union(*found.values())) == len(found) > 20


def test_names_of_further_columns_are_known_before_the_first_matrix() -> None:
    genotype = members(1)[0]
    for scores in ({genotype: {"naswot": 1.0}}, lambda each: {"naswot": 1.0}):
        features = make_features("scores", SPACE, scores)
        assert features.names[-1] == "scores:naswot"
        assert features.matrix([genotype])[0, -1] == 1.0


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("forrest", UnknownName, "did you mean 'forest'"),
        ("gp+knn", UsageError, "names 2"),
        ("gp(target", UsageError, "^predictor 'gp\\(target'"),
        ("gp(target)", UsageError, "^predictor 'gp\\(target\\)': 'target' is not an option"),
        ("gp(features=onehot+grap)", UnknownName, "did you mean 'graph'"),
        ("gp(features=onehot+onehot)", UsageError, "twice"),
        ("gp(target=ranks)", UnknownName, "did you mean 'rank'"),
        ("forest(trees=0)", UsageError, "predictor forest: trees is 0"),
        ("extra_trees(columns=2.0)", UsageError, "predictor extra_trees: columns is 2.0"),
        ("knn(k=0)", UsageError, "k is 0"),
        ("boosting(rate=2.0)", UsageError, "rate is 2.0"),
        ("ridge(k=3)", UsageError, "takes no option 'k'"),
    ],
)
def test_a_wrong_predictor_is_refused_in_one_line(text: str, error: type[UsageError], told: str) -> None:
    with pytest.raises(error, match=told) as caught:
        make_predictor(text, SPACE)
    assert "\n" not in str(caught.value)


def test_every_predictor_is_listed_by_a_line_of_its_own() -> None:
    lines = {row["predictor"]: row["about"] for row in json.loads(listing("predictors", as_json=True))}
    assert set(lines) == set(PREDICTORS)
    assert all(lines.values())
    assert len(set(lines.values())) == len(lines)


def test_wrong_data_is_refused_and_order_guarded() -> None:
    predictor = make_predictor("knn", SPACE)
    with pytest.raises(RuntimeError, match="before fit"):
        predictor.predict(members(1))
    for networks, values, told in (
        (members(3), [1.0, 2.0], "3 networks and 2"),
        (members(1), [1.0], "at least 2"),
        (members(2), [1.0, float("nan")], "nan"),
    ):
        with pytest.raises(UsageError, match=told):
            predictor.fit(networks, values)
