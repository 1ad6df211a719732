"""Where submissions run: the first of bubblewrap and Docker that is here, else nowhere."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from labkit.grade import container, sandbox
from labkit.grade.sandbox import SETTINGS, Sandbox, Unsafe


def select_backend(no_sandbox=False):
    """A class to make sandboxes with.

    Args:
        no_sandbox: give ``Unsandboxed`` where nothing can isolate.

    Raises:
        Unsafe: if nothing can isolate here; the text has the remedies.
    """
    reasons = []
    for module, kind in ((sandbox, Sandbox), (container, container.Container)):
        try:
            module.check()
            return kind
        except Unsafe as reason:
            reasons.append(str(reason))
    if no_sandbox:
        return Unsandboxed
    raise Unsafe(
        f"a submission could read and change your files: {'; '.join(reasons)}. Get one of the two. "
        "If you know every line of the notebooks: --no-sandbox"
    )


class Unsandboxed(Sandbox):
    """No isolation at all, for code that is trusted: a folder of its own, and limits.

    Those on time, computing, processes and memory hold on Linux; where there is no ``/proc``, as on
    a Mac, the one on time alone. The disk is limited nowhere.
    """

    own = 0

    def start(self, module):
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        mine = {"HOME": self.folder.name, "TMPDIR": self.folder.name}
        paths = {"PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder.name,
            env={**os.environ, **SETTINGS, **mine, **paths},
            start_new_session=True,
        )

    def end(self, why=None):
        super().end(why)
        self.folder.cleanup()
