"""The Python in a cell of a notebook, which may also have IPython's own syntax."""

import ast
import re
import warnings

# A magic that runs the Python after it.
RUNS = re.compile(r"^([ \t]*+)%(?:time|timeit|prun)[ \t]+(?:(?:-\w+|\d+)[ \t]+)*+(?=[^\s%])", re.M)
# Other magics and shell commands, which may go on in the next line, and questions such as "f?".
IPYTHON = re.compile(
    r"^((?:[\w., \t\[\]]+=)?[ \t]*+)(?:[%!?](?:.*\\\n)*.*|[\w.*\[\]]++\?+[ \t]*$)", re.M
)


def parsed(cell):
    """The syntax tree of a cell, None in place of IPython's own syntax; None if it isn't Python."""
    with warnings.catch_warnings(action="ignore"):  # of escapes such as "\\d"
        for text in (cell, IPYTHON.sub(r"\1None", RUNS.sub(r"\1", cell))):
            try:
                return ast.parse(text)
            except (SyntaxError, ValueError):
                continue
    return None
