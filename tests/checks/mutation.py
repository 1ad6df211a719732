"""Small mistakes of a function, made from its source."""

import ast
import copy

SWAPS = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.Pow: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
REMOVABLE = (ast.Assign, ast.AugAssign, ast.Expr, ast.If, ast.For, ast.Return)


def mutants(source):
    """Sources of a function or a class, each with one small change.

    Another operator or number; a part, an argument or a statement left out; two parts swapped.
    """
    tree = ast.parse(source)
    seen = {ast.unparse(tree)}
    for parent, field, index, node in list(places(tree)):
        for other in others(node):
            put(parent, field, index, other)
            text = ast.unparse(ast.fix_missing_locations(copy.deepcopy(tree)))
            put(parent, field, index, node)
            if text not in seen:
                seen.add(text)
                yield text


def places(tree):
    """Each node of a tree with its parent, the parent's field and its index there."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if isinstance(value, ast.AST):
                yield parent, field, None, value
            elif isinstance(value, list):
                nodes = enumerate(value)
                yield from ((parent, field, n, node) for n, node in nodes if as_code(node))


def as_code(node):
    """Whether a value is a node, and not a docstring."""
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return isinstance(node, ast.AST) and not text


def put(parent, field, index, node):
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def others(node):
    """What may stand in the place of a node by mistake."""
    if isinstance(node, REMOVABLE):
        yield ast.Pass()
    for kind in SWAPS.get(type(node), ()):  # an operator is a node, too
        yield kind()
    if isinstance(node, ast.BinOp):
        yield from (node.left, node.right)
    if isinstance(node, ast.BoolOp):
        yield from node.values
    if isinstance(node, ast.UnaryOp):
        yield node.operand
    if isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield from map(ast.Constant, numbers(node.value))
    if isinstance(node, ast.Call):
        yield from calls(node)
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        yield node.value
    if isinstance(node, ast.Slice):
        parts = {"lower": node.lower, "upper": node.upper, "step": node.step}
        yield from (ast.Slice(**{**parts, name: None}) for name, part in parts.items() if part)
    if isinstance(node, ast.Tuple | ast.List) and len(node.elts) == 2:
        yield type(node)(node.elts[::-1], node.ctx)


def numbers(value):
    if isinstance(value, bool):
        return [not value]
    return [value + 1, value - 1] + [2 * value, value / 2] * isinstance(value, float)


def calls(node):
    """A call as its first argument, without its function, without an option, or turned around."""
    if node.args and not isinstance(node.args[0], ast.Starred):
        yield node.args[0]
    if isinstance(node.func, ast.Attribute):
        yield node.func.value
    for number in range(len(node.keywords)):
        kept = node.keywords[:number] + node.keywords[number + 1 :]
        yield ast.Call(node.func, node.args, kept)
    if len(node.args) == 2:
        yield ast.Call(node.func, node.args[::-1], node.keywords)
