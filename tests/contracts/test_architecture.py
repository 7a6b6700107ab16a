"""The packages import in one direction, and commands load no more than they need."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from engine.strategies import STRATEGIES
from spaces.registry import takes

ROOT = Path(__file__).parents[2]
LAYERS = ("spaces", "fitness", "engine")  # each may import those before it
HEAVY = ("torch", "numpy", "optuna", "deap", "scipy", "matplotlib", "sklearn", "nats_bench")
MODULES = sorted(path for package in LAYERS for path in (ROOT / package).rglob("*.py"))
PACKAGES = sorted(".".join(path.relative_to(ROOT).parent.parts) for path in MODULES if path.name == "__init__.py")

each_module = pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


# --- imports as written -----------------------------------------------------------------------------


def _imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Top-level package of every import, and whether it happens when the module is loaded."""

    def walk(node: ast.AST, at_load: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name.partition(".")[0], at_load) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "imports are absolute"
                yield str(child.module).partition(".")[0], at_load
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                yield from walk(child, False)
            else:
                is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from walk(child, at_load and not is_function)

    yield from walk(tree, True)


@cache
def _imports_of(module: Path) -> frozenset[tuple[str, bool]]:
    return frozenset(_imports(ast.parse(module.read_text())))


@each_module
def test_imports_go_from_engine_to_fitness_to_spaces(module: Path) -> None:
    layer = LAYERS.index(module.relative_to(ROOT).parts[0])
    forbidden = {*LAYERS[layer + 1 :], "experiments", "tests"}
    imported = {name for name, _ in _imports_of(module)}
    assert not imported & forbidden


@each_module
def test_torch_is_imported_at_the_top_of_fitness_modules_only(module: Path) -> None:
    if module.relative_to(ROOT).parts[0] != "fitness":
        assert ("torch", True) not in _imports_of(module)


@each_module
def test_spaces_need_the_standard_library_and_numpy_only(module: Path) -> None:
    if module.relative_to(ROOT).parts[0] == "spaces":
        imported = {name for name, _ in _imports_of(module)}
        assert imported <= {*sys.stdlib_module_names, "numpy", "spaces"}


@each_module
def test_deap_and_optuna_are_imported_by_strategies_and_the_dashboard_only(module: Path) -> None:
    if "strategies" not in module.parts and module.stem != "dashboard":
        imported = {name for name, _ in _imports_of(module)}
        assert not imported & {"deap", "optuna"}


def test_strategies_import_neither_fitness_nor_networks() -> None:
    """They see records, objectives and choices; scores and layers are none of their business."""
    for module in (ROOT / "engine" / "strategies").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ImportFrom):
                package, _, _ = str(node.module).partition(".")
                assert package != "fitness"
                allowed = ("spaces.space", "spaces.encoding", "spaces.supernet", "spaces.errors", "spaces.registry")
                assert package != "spaces" or node.module in allowed


# --- public names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_list_their_public_names_and_have_them(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__doc__
    for public in package.__all__:
        assert getattr(package, public) is not None


def test_every_package_is_looked_at() -> None:
    assert {"engine", "engine.results", "engine.strategies", "fitness", "spaces"} <= set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_unknown_names_of_a_package_are_attribute_errors(name: str) -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        importlib.import_module(name).no_such_name  # noqa: B018


# --- imports as they happen -------------------------------------------------------------------------


def _loaded(program: str, folder: Path) -> set[str]:
    """Top-level packages in memory after a program has run in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys\nprint('loaded', *sorted(sys.modules))"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *modules = done.stdout.splitlines()[-1].split(" ")
    assert first == "loaded"
    assert "engine" in modules
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize(
    "program",
    [
        "import engine",
        "import engine.cli",
        "from engine.cli import main\nwith __import__('contextlib').suppress(SystemExit): main(['--help'])",
        "from engine.cli import main\nwith __import__('contextlib').suppress(SystemExit): main(['run', '--help'])",
        "from engine.cli import main\nassert main([]) == 0",
        "from engine.cli import main\nassert main(['run', '--no-such-flag']) == 2",
    ],
    ids=lambda program: program.splitlines()[-1].removeprefix(
        "with __import__('contextlib').suppress(SystemExit): "
    ),
)
def test_help_loads_nothing_heavy(program: str, tmp_path: Path) -> None:
    assert not _loaded(program, tmp_path) & set(HEAVY)


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_a_run_with_trace_never_imports_torch(strategy: str, tmp_path: Path) -> None:
    factory = STRATEGIES.load(strategy)
    budget = "100" if getattr(factory, "relaxes", False) else "12"  # it ends with its one network
    arguments = ["run", "--space", "nats-tss", "--fitness", "trace", "--strategy", strategy, "--budget", budget]
    arguments += ["--seed", "1", "--quiet", *(["--rank", "trace"] if takes(factory, "rank") else [])]
    loaded = _loaded(f"from engine.cli import main\nassert main({arguments}) == 0", tmp_path)
    learns = {"sklearn"} if takes(factory, "predictor") else set()  # what it predicts by by default is made of it
    assert not loaded & {"torch", "matplotlib", "sklearn", "nats_bench"} - learns


def test_lists_and_figures_never_import_torch(tmp_path: Path) -> None:
    program = "from engine.cli import main\n" + "".join(
        f"assert main({arguments}) == 0\n"
        for arguments in (
            ["list", "spaces"],
            ["list", "strategies"],
            ["list", "targets"],
            ["score", "8:16:24:32:64", "--space", "nats-sss"],
        )
    )
    assert "torch" not in _loaded(program, tmp_path)
