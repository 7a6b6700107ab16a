"""Scores of the authors' own programs on fixed weights and inputs: `../shared/golden/scores.json`."""

from __future__ import annotations

from math import log

import pytest
import torch

from fitness import score
from spaces.errors import ScoreFailed
from tests.authors_network import golden_authors_network
from tests.golden_nets import GOLDEN_NAMES, golden_arrays, golden_inputs, golden_network

REGULAR = GOLDEN_NAMES[:2]
EMPTY = "a5_allnone"

# score, its golden record, images, labels, relative tolerance. Tolerances of golden/README.md, but: ZiCo divides
# by the difference of nearly equal gradients, so that float64 moves it by 1.3 % and one thread instead of two by
# 0.4 %; EPE-NAS sums logarithms of correlations near zero.
CASES = [
    ("naswot", "naswot_relu_only_f32", 128, None, 1e-6),
    ("naswot(compat=true)", "naswot_repo_hooks_f32", 128, None, 1e-6),
    ("epe_nas", "epe_nas_10cls_b64", 64, "y10", 5e-3),
    ("epe_nas", "epe_nas_120labels_ncls120_b64", 64, "y120", 2e-2),
    ("epe_nas(compat=true)", "epe_nas_120labels_as_shipped_b64", 64, "y120", 1e-2),
    ("jacob_cov", "jacob_cov_f32", 64, None, 1e-4),
    ("snip", "snip_f32", 64, "y10", 1e-3),
    ("grad_norm", "grad_norm_f32", 64, "y10", 1e-3),
    ("fisher", "fisher_f32", 64, "y10", 1e-3),
    ("grasp", "grasp_f32", 64, "y10", 1e-3),
    ("plain", "plain_f32", 64, "y10", 5e-3),
    ("zico", "zico_2x64_f32", 128, "y10", 2e-2),
    ("swap", "swap_b16_f32", 16, None, 1e-3),
    ("linear_regions", "linear_regions_full_b64", 64, None, 0),
    ("ntk", "ntk_cond_b16_f32", 16, None, 1e-3),
]


def value(case: str, module: torch.nn.Module, images: int, labels: str | None) -> float:
    inputs = golden_inputs()
    found = score(case, module, inputs["x"][:images], None if labels is None else inputs[labels][:images])
    assert isinstance(found, float | int)
    return found


@pytest.mark.parametrize(
    ("name", "record", "images", "labels", "tolerance"),
    [pytest.param(*case, marks=pytest.mark.slow) if case[0] == "grasp" else case for case in CASES],
)
@pytest.mark.parametrize("net", [pytest.param(REGULAR[0], marks=pytest.mark.slow), REGULAR[1]])
def test_our_networks_score_as_the_authors_do(
    net: str, name: str, record: str, images: int, labels: str | None, tolerance: float
) -> None:
    module, golden = golden_network(net)
    assert value(name, module, images, labels) == pytest.approx(golden[record], rel=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "record", "images", "labels", "tolerance"),
    [case for case in CASES if case[0] not in ("grasp", "ntk", "zico")],
)
def test_a_module_of_the_authors_structure_scores_alike(
    name: str, record: str, images: int, labels: str | None, tolerance: float
) -> None:
    module, golden = golden_authors_network("a2_pool")
    assert value(name, module, images, labels) == pytest.approx(golden[record], rel=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "record", "labels", "tolerance"),
    [
        ("epe_nas", "epe_nas_10cls_b256", "y10", 5e-3),
        ("epe_nas", "epe_nas_120labels_ncls120_b256", "y120", 2e-2),
        ("epe_nas(compat=true)", "epe_nas_120labels_as_shipped_b256", "y120", 1e-2),
        ("jacob_cov", "naswot_v1_jacobcov_b256", None, 1e-4),
    ],
)
@pytest.mark.parametrize("net", REGULAR)
def test_the_larger_batch(net: str, name: str, record: str, labels: str | None, tolerance: float) -> None:
    module, golden = golden_network(net)
    assert value(name, module, 256, labels) == pytest.approx(golden[record], rel=tolerance)


@pytest.mark.parametrize("net", REGULAR)
@pytest.mark.parametrize(("name", "record"), [("synflow", "synflow_f32"), ("synflow(bn=true)", "synflow_bn_f32")])
def test_synflow_is_the_logarithm_of_the_authors_sum(net: str, name: str, record: str) -> None:
    module, golden = golden_network(net)
    assert value(name, module, 1, None) == pytest.approx(log(golden[record]), abs=1e-9)


@pytest.mark.parametrize("net", [pytest.param(REGULAR[0], marks=pytest.mark.slow), REGULAR[1]])
def test_the_kernel_is_the_authors_but_for_signs_within_rounding(net: str) -> None:
    from fitness.probing.passes import run_pass
    from fitness.probing.probe import Probe
    from fitness.scores.naswot import ContainerKernel, KernelObserver, NasWot

    module, _ = golden_network(net)
    for plain, array in ((NasWot(), "K_relu_only"), (NasWot(compat=True), "K_repo_hooks")):
        done = run_pass(module, Probe(golden_inputs()["x"], batch=128), (0, 128), [plain])
        watched = done.observers[plain]
        assert isinstance(watched, KernelObserver | ContainerKernel)
        kernel, expected = watched.kernel(), torch.as_tensor(golden_arrays(net)[array])
        assert torch.equal(kernel.diagonal(), expected.diagonal())
        assert ((kernel - expected).abs() <= 1e-4 * expected.diagonal()[0]).all()


def test_the_jacobian_is_the_authors() -> None:
    from fitness.probing.passes import run_pass
    from fitness.probing.probe import Probe
    from fitness.scores.jacob_cov import JacobCov

    module, _ = golden_network("a2_pool")
    done = run_pass(module, Probe(golden_inputs()["x"], batch=64), (0, 64), [JacobCov()])
    assert done.jacobian is not None
    expected = torch.as_tensor(golden_arrays("a2_pool")["jacobian_b64_rows_0_3"])
    assert torch.allclose(done.jacobian[:4], expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("name", "images", "labels", "expected"),
    [
        ("snip", 64, "y10", 0.0),
        ("grad_norm", 64, "y10", 0.0),
        ("plain", 64, "y10", 0.0),
        ("grasp", 64, "y10", 0.0),
        ("fisher", 64, "y10", 3.536561052897014e-05),
        ("zico", 128, "y10", 0.0),
        ("swap", 16, None, 1.0),
        ("linear_regions", 64, None, 1.0),
    ],
)
def test_values_of_the_network_without_operations(
    name: str, images: int, labels: str | None, expected: float
) -> None:
    module, _ = golden_network(EMPTY)
    assert value(name, module, images, labels) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "images", "labels", "reason"),
    [
        ("naswot", 128, None, "singular"),
        ("naswot(compat=true)", 128, None, "singular"),
        ("epe_nas", 64, "y10", "the same at every pixel"),
        ("jacob_cov", 64, None, "the same at every pixel"),
        ("synflow", 1, None, "no signal flows"),
        ("ntk", 16, None, "singular"),
    ],
)
def test_where_the_authors_get_nan_or_infinity_the_reason_is_stated(
    name: str, images: int, labels: str | None, reason: str
) -> None:
    module, _ = golden_network(EMPTY)
    with pytest.raises(ScoreFailed, match=reason):
        value(name, module, images, labels)


@pytest.mark.parametrize("net", REGULAR)
def test_the_trivial_baselines_of_a_module(net: str) -> None:
    module, golden = golden_network(net)
    foreign, _ = golden_authors_network(net)
    for each in (module, foreign):
        found = score(["params", "n_relu", "trace"], each, golden_inputs()["x"][:2])
        assert found == {
            "params": golden["params"],
            "n_relu": golden["N_A_relu_units"],
            "trace": golden["naswot_trace_K_relu_only"],
        }
    names = ["macs", "depth", "aleph"]
    assert score(names, module, golden_inputs()["x"][:2]) == score(names, foreign, golden_inputs()["x"][:2])
