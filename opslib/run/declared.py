"""Which parameters a notebook declares: read from the cell tagged `parameters` as text, never executed.

A declaration is `name: type = default  # help`. Types: str, int, float, bool, list[str], list[int], list[float],
Literal[...], each also with `| None`. An assignment without annotation is a constant of the notebook, no parameter.
"""

from __future__ import annotations

import ast
import io
import math
import tokenize
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from opslib.core.errors import ParameterError
from opslib.run.cells import PARAMETERS_TAG, source_of, tags_of

_MOST_BITS = 333  # of a whole number, as many digits as a value may have
_HINT = "write `name: type = default  # help`, type one of str, int, float, bool, list[...], Literal[...], `| None`"

# what parsing a text as Python raises where it is none, or is nested too deeply
NO_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)

Scalar = str | int | float | bool
Value = Scalar | list[Scalar] | None


@dataclass(frozen=True, slots=True)
class ParameterType:
    """One of the types a parameter can have; `choices` only where kind is `Literal`."""

    kind: Literal["str", "int", "float", "bool", "list", "Literal"]
    item: Literal["str", "int", "float", ""] = ""
    choices: tuple[Scalar, ...] = ()
    optional: bool = False

    def __str__(self) -> str:
        name = {
            "list": f"list[{self.item}]",
            "Literal": f"Literal[{', '.join(map(repr, self.choices))}]",
        }.get(self.kind, self.kind)
        return f"{name} | None" if self.optional else name

    def accepts(self, value: Any) -> bool:
        """Tell whether a value is of this type; bool is no int, an int is no float, NaN is no number."""
        if value is None:
            return self.optional
        if self.kind == "list":
            return isinstance(value, list) and all(_is(self.item, item) for item in value)
        if self.kind == "Literal":
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        return _is(self.kind, value)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One declared parameter of a notebook."""

    name: str
    type: ParameterType
    default: Value
    help: str = ""

    @property
    def type_text(self) -> str:
        return str(self.type)

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "type": self.type_text, "default": self.default, "help": self.help}


def _is(kind: str, value: Any) -> bool:
    if kind == "float":
        return type(value) is float and math.isfinite(value)
    return type(value).__name__ == kind


def parameters_cell(cells: Iterable[Mapping[str, Any]]) -> str:
    """Return the source of the cell tagged `parameters`, or an empty text."""
    for cell in cells:
        if PARAMETERS_TAG in tags_of(cell):
            return source_of(cell)
    return ""


def declared_parameters(source: str) -> tuple[Parameter, ...]:
    """Return the parameters that the source of a `parameters` cell declares, in its order. Raises ParameterError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # a cell's style is its author's
            tree = ast.parse(source)
    except NO_PYTHON as error:
        raise ParameterError(f"the cell tagged `parameters` is no Python: {error}", hint=_HINT) from error
    comments = _comments(source)
    found: dict[str, Parameter] = {}
    problems: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            try:
                parameter = _parameter(node, comments)
            except _DeclarationError as error:
                problems.append(str(error))
                continue
            except RecursionError:
                problems.append(f"`{node.target.id}` is nested too deeply")
                continue
            if parameter.name in found:
                problems.append(f"`{parameter.name}` is declared twice")
            found[parameter.name] = parameter
    if problems:
        raise ParameterError("the notebook's parameters: " + "; ".join(problems), hint=_HINT)
    return tuple(found.values())


class _DeclarationError(Exception):
    """A declaration that cannot be read; collected, so that all are told at once."""


def _parameter(node: ast.AnnAssign, comments: Mapping[int, str]) -> Parameter:
    name = ast.unparse(node.target)
    if any(type(c.value) is int and c.value.bit_length() > _MOST_BITS for c in _constants(node)):
        raise _DeclarationError(f"`{name}` holds a number of more than 100 digits")
    kind = _type(node.annotation, name)
    if node.value is None:
        raise _DeclarationError(f"`{name}` has no default")
    try:
        default = ast.literal_eval(node.value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise _DeclarationError(f"the default of `{name}` is no literal") from error
    if type(default) is int and kind.kind == "float":
        default = float(default)
    if not kind.accepts(default):
        raise _DeclarationError(f"the default of `{name}`, {default!r}, is not of its type {kind}")
    return Parameter(name, kind, default, comments.get(node.end_lineno or node.lineno, ""))


def _constants(node: ast.AST) -> list[ast.Constant]:
    return [inner for inner in ast.walk(node) if isinstance(inner, ast.Constant)]


def _type(node: ast.expr, name: str) -> ParameterType:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and _is_none(node.right):
        inner = _type(node.left, name)
        return ParameterType(inner.kind, inner.item, inner.choices, optional=True)
    match node:
        case ast.Name(id="str" | "int" | "float" | "bool" as kind):
            return ParameterType(kind)
        case ast.Subscript(value=ast.Name(id="list"), slice=ast.Name(id="str" | "int" | "float" as item)):
            return ParameterType("list", item)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inside):
            return ParameterType("Literal", choices=_choices(inside, name))
    raise _DeclarationError(f"`{name}` has the type {ast.unparse(node)}, which no parameter can have")


def _choices(node: ast.expr, name: str) -> tuple[Scalar, ...]:
    items = node.elts if isinstance(node, ast.Tuple) else [node]
    values = [item.value if isinstance(item, ast.Constant) else None for item in items]
    choices = tuple(value for value in values if isinstance(value, str | int | bool))
    if not choices or len(choices) != len(values):
        raise _DeclarationError(f"the choices of `{name}` are not texts, whole numbers or booleans")
    return choices


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _comments(source: str) -> dict[int, str]:
    """Return the comment that ends each line, without its mark."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("#").strip()
        for token in tokens
        if token.type == tokenize.COMMENT and token.line[: token.start[1]].strip()
    }
