"""Chooses how submissions are isolated: with bubblewrap, else Docker, else not at all."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from labkit.grade import container, sandbox
from labkit.grade.sandbox import SETTINGS, Sandbox, Unsafe


def select_backend(no_sandbox=False):
    """The first ``Sandbox`` class that works on this machine.

    Args:
        no_sandbox: return ``Unsandboxed`` if nothing can isolate.

    Raises:
        Unsafe: if nothing can isolate; the text has the remedies.
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
    """No isolation, for trusted code: only a separate folder and limits.

    On Linux, the limits on time, CPU time, processes and memory hold; without ``/proc``, as on a
    Mac, only the one on time. The disk is not limited.
    """

    own = 0

    def start(self, module):
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        variables = {"HOME": self.folder.name, "TMPDIR": self.folder.name}
        variables["PYTHONPATH"] = str(Path(__file__).parents[2])
        return subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder.name,
            env={**os.environ, **SETTINGS, **variables},
            start_new_session=True,
        )

    def end(self, why=None):
        super().end(why)
        self.folder.cleanup()
