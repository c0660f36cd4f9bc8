"""Imports point one way, and each heavy or delicate thing has one place.

Every rule is a function from a module to what breaks it, so that the rules are tested as well.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import pytest

from circuitviz.files import PROJECT

# Each package imports from its own layer and the ones before it, never from a later one.
LAYERS = (
    ("", "errors", "units", "progress", "quiet", "files"),
    ("models", "behaviours"),
    # inspection looks inside single units, and measures with evaluation; never the other way.
    ("discovery", "evaluation", "tuning", "inspection"),
    ("evidence",),
    ("runs",),
    ("jobs",),
    ("narrative",),
    ("tables",),
    ("plots",),
    ("report",),
    ("ui",),
    ("api",),
    ("commands",),
    ("pages", "app", "cli"),
)
# The same within ui/, where a room is a folder or a module beside the folders.
ROOMS = (
    (
        "view_state",
        "run_names",
        "services",
        "state",
    ),
    ("elements", "live"),
    ("jobs", "tray"),
    ("discover",),
    ("models", "drill", "tuning", "views"),
    ("shell",),
)
ROOM_OF = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
LAYER_OF = {package: layer for layer, names in enumerate(LAYERS) for package in names}
STREAMLIT_PACKAGES = ("ui", "pages", "app")
# Whatever starts quickly: torch takes seconds to import.
LIGHT_PACKAGES = ("narrative", "tables", "plots", "ui", "pages", "app", "cli", "commands", "api")
# Its modules, but not its packages, are imported to list the methods.
LEARNERS = "circuitviz.discovery"
LIGHT_MODULES = ("circuitviz.jobs.runner", "circuitviz.jobs.worker", "circuitviz.runs.store")
# What `import circuitviz` runs: it names everything public, and imports nothing of it yet.
FRONT_DOOR = "circuitviz"
HEAVY = ("torch", "transformers", "transformer_lens")
HOOK_NAMES = ("hook_z", "hook_post", "hook_pattern", "hook_pre", "hook_embed")
# Who hooks, and who computes what is hooked.
HOOK_MODULES = ("circuitviz.models.gates", "circuitviz.models.grouped_attention")

# A module is a concept that is read in one scroll; of fewer lines, a reason.
MIN_LINES = 40
SMALL = {
    "circuitviz.progress": "the one callback of every layer",
    "circuitviz.discovery.random_ranking": "a learner is one file",
    "circuitviz.evaluation.judges.refusal_phrase": "a judge is one file",
    "circuitviz.evaluation.judges.starts_with_target": "a judge is one file",
}
# Where JSON, a row of a table or keyword arguments enter or leave; between other modules, values
# have types.
UNTYPED = {
    "circuitviz.commands.options": "arguments of argparse",
    "circuitviz.models.checkpoint": "config.json of a model",
    "circuitviz.narrative.methods": "settings as JSON",
    "circuitviz.report.exports": "notebooks, and the JSON of other tools",
    "circuitviz.runs.config": "arguments of pydantic",
    "circuitviz.runs.tuning_store": "a row of a curve, as it is kept",
    "circuitviz.tables.rows": "a row of a table",
    "circuitviz.ui.services": "settings as JSON",
    "circuitviz.ui.state": "the state of a page, as a link keeps it",
    "circuitviz.ui.view_state": "the state of a page, as a link keeps it",
}
# The library's own `Run` is a saved one that can also be asked.
TWICE = {"Run"}


@dataclass(frozen=True)
class Import:
    """One imported module; `late` if the import runs in a function or never."""

    module: str
    line: int
    late: bool


@dataclass(frozen=True)
class Module:
    """One source file of ours."""

    path: str
    source: str

    @property
    def name(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def package(self) -> str:
        """The name that has a layer: `models` of `circuitviz.models.gates`, `pages`, `app`."""
        return package_of(self.name)

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        return tuple(self._walk(self.tree, late=False))

    def _walk(self, node: ast.AST, *, late: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, child.lineno, late)
            elif isinstance(child, ast.ImportFrom):
                base = self._absolute(child)
                for alias in child.names:
                    yield Import(f"{base}.{alias.name}", child.lineno, late)
            yield from self._walk(child, late=late or function or types)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        inside = self.path.removesuffix(".py").split("/")[: -node.level]
        return ".".join([*inside, *([node.module] if node.module else [])])


def package_of(module: str) -> str:
    """The part of a module's name that has a layer."""
    first, *rest = module.split(".")
    if first != "circuitviz":
        return first
    return rest[0] if rest and rest[0] in LAYER_OF else ""


def is_ours(module: str) -> bool:
    return module.split(".")[0] in ("circuitviz", "pages", "app")


def imports_of(module: Module, *names: str) -> list[Import]:
    return [found for found in module.imports if found.module.split(".")[0] in names]


def turned_arrows(module: Module) -> list[str]:
    """Imports of a later layer."""
    own = LAYER_OF[module.package]
    return [
        f"{module.path}:{found.line}: {module.package or 'circuitviz'} must not import "
        f"{found.module}"
        for found in module.imports
        if is_ours(found.module)
        and LAYER_OF[package_of(found.module)] > own
        and not (module.name == FRONT_DOOR and found.late)
    ]


def turned_rooms(module: Module) -> list[str]:
    """Imports of a later room of the user interface."""
    own = ROOM_OF.get(room_of(module.name), len(ROOMS))
    return [
        f"{module.path}:{found.line}: {room_of(module.name)} must not import {found.module}"
        for found in module.imports
        if ROOM_OF.get(room_of(found.module), 0) > own
    ]


def room_of(module: str) -> str:
    """The room of a module of ui/: `tray` of `circuitviz.ui.tray.tray`; "" elsewhere."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["circuitviz", "ui"] and len(parts) > 2 else ""


def stray_streamlit(module: Module) -> list[str]:
    """Imports of streamlit outside the user interface."""
    if module.package in STREAMLIT_PACKAGES:
        return []
    return [
        f"{module.path}:{found.line}: only ui/, pages/ and app.py import streamlit"
        for found in imports_of(module, "streamlit")
    ]


def heavy_plots(module: Module) -> list[str]:
    """Any import of torch by sentences, tables and plots, a late one as well."""
    if module.package not in ("narrative", "tables", "plots"):
        return []
    return [
        f"{module.path}:{found.line}: {module.package}/ must not import {found.module}"
        for found in imports_of(module, *HEAVY)
    ]


def spelled_hooks(module: Module) -> list[str]:
    """Hook names in code; docstrings and comments may speak of them."""
    if module.name in HOOK_MODULES:
        return []
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
        and isinstance(node.body[0].value, ast.Constant)
    }
    return [
        f"{module.path}:{node.lineno}: only {HOOK_MODULES[0]} names hook points"
        for node in ast.walk(module.tree)
        if id(node) not in docstrings and any(hook in word(node) for hook in HOOK_NAMES)
    ]


def word(node: ast.AST) -> str:
    """What one node of a syntax tree spells itself, its children aside."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
            return name
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.alias(name=name):
            return name
        case ast.keyword(arg=str(name)):
            return name
    return ""


def small_modules(module: Module) -> list[str]:
    """Modules too small to be a concept."""
    lines = module.source.count("\n")
    if lines >= MIN_LINES or module.name in SMALL or module.path.endswith("__init__.py"):
        return []
    if not module.name.startswith("circuitviz."):
        return []
    return [f"{module.path}:1: {lines} lines are no module of their own; put them with a concept"]


def untyped_values(module: Module) -> list[str]:
    """Public functions that take or give `dict[str, Any]`."""
    if module.name in UNTYPED:
        return []
    functions = [node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef)]
    return [
        f"{module.path}:{node.lineno}: {node.name} needs a type instead of dict[str, Any]"
        for node in functions
        if not node.name.startswith("_")
        and node.name not in ("to_json", "from_json")
        and any("dict[str, Any]" in ast.unparse(part) for part in signature(node))
    ]


def signature(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """The annotations of a function."""
    every = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    yield from (one.annotation for one in every if one.annotation)
    if function.returns:
        yield function.returns


def nameless_locals(module: Module) -> list[str]:
    """Local names that do not say what they hold."""
    return [
        f"{module.path}:{node.lineno}: name what it holds instead of `found`"
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Name) and node.id == "found")
        or (isinstance(node, ast.arg) and node.arg == "found")
    ]


RULES: tuple[Callable[[Module], list[str]], ...] = (
    small_modules,
    untyped_values,
    nameless_locals,
    turned_arrows,
    turned_rooms,
    stray_streamlit,
    heavy_plots,
    spelled_hooks,
)


def our_modules() -> list[Module]:
    paths = [*(PROJECT / "circuitviz").rglob("*.py"), *(PROJECT / "pages").glob("*.py")]
    paths += [PROJECT / "app.py"] if (PROJECT / "app.py").exists() else []
    return [read(path) for path in sorted(paths)]


def read(path: Path) -> Module:
    return Module(path.relative_to(PROJECT).as_posix(), path.read_text(encoding="utf-8"))


def heavy_chains(modules: list[Module]) -> list[str]:
    """How modules that have to start quickly come to import torch when they are imported."""
    by_name = {module.name: module for module in modules}
    light: set[str] = set()
    quick = [
        module
        for module in modules
        if module.package in LIGHT_PACKAGES
        or module.name in LIGHT_MODULES
        or module.name.rpartition(".")[0] == LEARNERS
    ]
    chains = [chain_to_heavy(module, by_name, light) for module in quick]
    return [" -> ".join(chain) for chain in chains if chain]


def chain_to_heavy(module: Module, by_name: dict[str, Module], light: set[str]) -> tuple[str, ...]:
    """The way to torch; `light` are modules that lead nowhere heavy, or are on the way."""
    if module.name in light:
        return ()
    light.add(module.name)
    for imported in module.imports:
        if imported.late:
            continue
        if imported.module.split(".")[0] in HEAVY:
            light.discard(module.name)
            return (module.name, f"{imported.module} ({module.path}:{imported.line})")
        # `from package import name`: the name is a module of ours or something inside one.
        inner = by_name.get(imported.module) or by_name.get(imported.module.rpartition(".")[0])
        chain = chain_to_heavy(inner, by_name, light) if inner else ()
        if chain:
            light.discard(module.name)
            return (module.name, *chain)
    return ()


@pytest.mark.parametrize("rule", RULES)
def test_the_sources_keep_the_rule(rule):
    broken = [line for module in our_modules() for line in rule(module)]
    assert not broken, "\n".join(broken)


def test_no_public_name_is_defined_twice():
    homes: dict[str, set[str]] = {}
    for module in our_modules():
        for name in public_names(module):
            homes.setdefault(name, set()).add(module.path)
    twice = {name: paths for name, paths in homes.items() if len(paths) > 1}
    assert set(twice) == TWICE, twice


def public_names(module: Module) -> Iterator[str]:
    if not module.name.startswith("circuitviz"):
        return
    for node in module.tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names = [name]
            case ast.Assign(targets=targets):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                names = [name]
            case _:
                names = []
        yield from (name for name in names if not name.startswith("_"))


def test_every_package_has_a_layer():
    folders = {path.parent.name for path in (PROJECT / "circuitviz").glob("*/__init__.py")}
    files = {path.stem for path in (PROJECT / "circuitviz").glob("*.py")} - {"__init__"}
    assert (folders | files) - set(LAYER_OF) - {"__main__"} == set()


def test_every_module_of_the_user_interface_has_a_room():
    rooms = {room_of(module.name) for module in our_modules() if module.package == "ui"}
    assert rooms - {""} == set(ROOM_OF)


def test_packages_of_one_layer_do_not_import_each_other_both_ways():
    arrows = {
        (module.package, package_of(found.module))
        for module in our_modules()
        for found in module.imports
        if is_ours(found.module)
    }
    pairs = [pair for layer in LAYERS for pair in combinations(layer, 2)]
    assert [pair for pair in pairs if pair in arrows and pair[::-1] in arrows] == []


def test_what_starts_quickly_imports_no_torch():
    chains = heavy_chains(our_modules())
    assert not chains, "\n".join(chains)


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (turned_arrows, "circuitviz/models/x.py", "\nfrom circuitviz.runs.store import Run"),
        (turned_arrows, "circuitviz/models/x.py", "\nfrom ..runs import store"),
        (turned_arrows, "circuitviz/units.py", "\nimport circuitviz.models.gates"),
        (turned_arrows, "circuitviz/errors.py", "\nfrom circuitviz import cli"),
        (turned_arrows, "circuitviz/commands/x.py", "\nfrom circuitviz.cli import main"),
        (turned_arrows, "circuitviz/__init__.py", "\nfrom circuitviz.api.inputs import load"),
        (turned_arrows, "circuitviz/runs/x.py", "def f():\n    import circuitviz.plots.maps"),
        (turned_arrows, "circuitviz/plots/x.py", "if TYPE_CHECKING:\n    import pages.circuit"),
        (turned_rooms, "circuitviz/ui/live/x.py", "\nfrom circuitviz.ui.tray import shelf"),
        (turned_rooms, "circuitviz/ui/state.py", "def f():\n    import circuitviz.ui.shell"),
        (stray_streamlit, "circuitviz/plots/x.py", "\nimport streamlit as st"),
        (stray_streamlit, "circuitviz/commands/x.py", "def f():\n    from streamlit import config"),
        (heavy_plots, "circuitviz/plots/x.py", "def f():\n    from torch import nn"),
        (spelled_hooks, "circuitviz/runs/x.py", "\nname = f'blocks.{i}.attn.hook_z'"),
        (spelled_hooks, "circuitviz/models/x.py", "\ncache.hook_post"),
        (untyped_values, "circuitviz/runs/x.py", "\ndef f(a: dict[str, Any]) -> None: ..."),
        (nameless_locals, "circuitviz/runs/x.py", "def f():\n    found = 1"),
    ],
)
def test_a_broken_rule_is_named_with_file_and_line(rule, path, source):
    (line,) = rule(Module(path, source))
    assert line.startswith(f"{path}:2: ")


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("circuitviz/models/x.py", "from circuitviz.units import Unit\nimport torch"),
        ("circuitviz/evaluation/x.py", "from circuitviz.discovery.nested import NestedLearner"),
        ("circuitviz/ui/x.py", "import streamlit\nfrom circuitviz import runs"),
        ("circuitviz/ui/views/x.py", "from circuitviz.ui import live, services, state"),
        ("circuitviz/__init__.py", "if TYPE_CHECKING:\n    from circuitviz.api.inputs import load"),
        ("circuitviz/models/gates.py", "name = 'blocks.0.attn.hook_z'"),
        ("circuitviz/units.py", '"""`hook_z`."""\nclass A:\n    """`hook_post`."""\n# hook_z'),
    ],
)
def test_what_is_allowed_breaks_no_rule(path, source):
    module = Module(path, source + "\n" * MIN_LINES)
    assert [line for rule in RULES for line in rule(module)] == []


def test_a_small_module_needs_a_reason():
    (line,) = small_modules(Module("circuitviz/runs/x.py", "x = 1\n"))
    assert line.startswith("circuitviz/runs/x.py:1: 1 lines")


def test_a_chain_of_imports_to_torch_is_found_and_a_late_import_is_none():
    modules = [
        Module("circuitviz/plots/a.py", "from circuitviz.runs.b import thing"),
        Module("circuitviz/runs/b.py", "import numpy\nfrom circuitviz.models import c"),
        Module("circuitviz/models/c.py", "import torch.nn"),
        Module("circuitviz/ui/d.py", "def f():\n    import torch\nimport circuitviz.ui.d"),
        Module("circuitviz/discovery/e.py", "from torch import Tensor"),
        Module("circuitviz/discovery/training/f.py", "from torch import Tensor"),
    ]
    assert heavy_chains(modules) == [
        "circuitviz.plots.a -> circuitviz.runs.b -> circuitviz.models.c -> "
        "torch.nn (circuitviz/models/c.py:1)",
        "circuitviz.discovery.e -> torch.Tensor (circuitviz/discovery/e.py:1)",
    ]
