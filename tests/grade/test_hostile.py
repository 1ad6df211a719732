"""Hostile submissions: each is stopped with a reason and gains no points."""

import contextlib
import hashlib
import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from textwrap import indent

import pytest
from conftest import GOOD, TASKS

from labkit.check import Task
from labkit.grade.grader import grade
from labkit.grade.process import Limits
from labkit.grade.session import Ended, Session

ROOT = Path(__file__).parents[2]
# Little memory but much time, so that the time limit is not reached first on slow machines.
TIGHT = Limits(cpu_seconds=90, seconds=300, memory=400 * 1024**2, threads=64, disk=20 * 1024**2)


@pytest.fixture
def graded(backend, write):
    """A function that grades a notebook of the given cells."""

    return lambda *cells, hidden=None, limits=Limits(): grade(
        write(*cells), None, hidden, limits, backend
    )


def each(names, quick):
    """Parameters of a test, slow after the first ``quick``, which are one of each kind."""
    slow = [pytest.param(name, marks=pytest.mark.slow) for name in [*names][quick:]]
    return pytest.mark.parametrize("name", [*names][:quick] + slow)


# Attacks that end the process or exceed a limit: a part of the reason, and cells. Without a reason,
# the kernel refuses what is too much, and the notebook may go on.
ENDED = "ended its process"
SET_PROCESS_NAME = "import ctypes\nctypes.CDLL(None).prctl(15, b'{}')"  # that the system shows
FATAL = {
    "endless loop": ("computed for longer", "while True:\n    pass"),
    "fork bomb": (None, "import os\nwhile True:\n    os.fork()"),
    "memory bomb": ("memory", "x = []\nwhile True:\n    x.append(bytearray(2**25))"),
    "exits": (ENDED, "import os\nos._exit(0)"),
    "kills all processes": (ENDED, "import os\nos.kill(-1, 9)", "os.kill(os.getpid(), 9)"),
    "writes nonsense to pipe": (
        "",
        "import os\nfor n in range(3, 64):\n    try:\n        os.write(n, b'nonsense\\n')\n"
        "    except OSError:\n        pass",
    ),
    "waits forever in child": (
        "took longer than",
        "import subprocess\nsubprocess.run(['sleep', '1000'])",
    ),
    "sleeps": ("without computing", "import time\ntime.sleep(1000)"),
    "endless loop in function": ("computed", "def double(x):\n    while True:\n        pass"),
    "shell fork bomb": (None, "!bomb() { bomb | bomb & }; bomb; sleep 20"),
    "aborts": (ENDED, "import os\nos.abort()"),
    "crashes": (ENDED, "import ctypes\nctypes.string_at(0)"),
    "closes pipe": (ENDED, "import os\nos.closerange(3, 64)"),
    "waits with non-UTF-8 process name": (
        "took longer than",
        SET_PROCESS_NAME.format(r"\xff\xfe"),
        "import time\ntime.sleep(60)",
    ),
    "memory bomb with misleading process name": (
        "memory",
        SET_PROCESS_NAME.format(r"\rRssAnon: -9e9"),
        "import time\nx = bytearray(10**9)\ntime.sleep(20)",
    ),
}
# Times for attacks that only a time limit stops.
SHORT_TIMES = {"endless": {"cpu_seconds": 1}, "waits": {"seconds": 4}, "sleeps": {"idle": 3}}


@each(FATAL, quick=4)
def test_attack_is_stopped_and_reported(graded, name, tmp_path, monkeypatch):
    """And leaves no file where the grader was started."""
    (tmp_path / "started").mkdir()
    monkeypatch.chdir(tmp_path / "started")
    reason, *cells = FATAL[name]
    limits = replace(TIGHT, **SHORT_TIMES.get(name.split()[0], {}))
    result = graded(*cells, limits=limits)
    assert result.points == 0
    assert reason is None or reason in (result.problem or result.notes[0])
    assert not any(Path.cwd().iterdir())


def test_submission_that_cannot_be_monitored_is_stopped(backend, graded, monkeypatch):
    monkeypatch.setattr(backend, "cpu_seconds", lambda self: 1 / 0)
    result = graded("import time\ntime.sleep(20)", GOOD)
    assert (result.points, result.problem) == (0, "could not be watched: ZeroDivisionError")


def test_reply_after_stop_is_discarded(backend):
    with Session(backend=backend) as session:
        assert session.run(["x = 1"]) == [None]
        session.container.ended = "took more memory"
        with pytest.raises(Ended, match="took more memory"):
            session.value("x")


# What a function may do without a loss for the other task, in the order of the tasks.
COSTLY = {
    "exits": ("it ended its process", "import os\n    os._exit(0)"),
    "aborts": ("it ended its process", "import os\n    os.abort()"),
    "interrupts": ("it ended its process", "raise KeyboardInterrupt"),
    "returns a list in itself": ("", "x = []\n    x.append(x)\n    return x"),
    "raises a group": ("", "raise ExceptionGroup('a', [ValueError(1)])"),
    "returns a deep list": ("", "for _ in range(500):\n        x = [x]\n    return x"),
}


@each(COSTLY, quick=1)
def test_function_costs_its_own_task_alone(graded, name):
    reason, code = COSTLY[name]
    result = graded(f"def double(x):\n    {code}", "why = 'because it is so'")
    assert (result.problem, result.points, result.answers["9.2"].passed) == ("", 1, True)
    assert reason in result.answers["9.1"].hint and reason in "".join(result.notes)


@pytest.mark.slow
def test_function_that_only_ends_processes_does_not_avoid_hidden_checks(graded, monkeypatch):
    """Nor do cells that end every process but the first."""
    for number in range(3, 7):
        last = Task(f"9.{number}", f"exits{number}", ((1,),), lambda value: value)
        monkeypatch.setitem(TASKS, f"9.{number}", last)
    memorized = "def double(x):\n    return [2, 4, 6] if hasattr(x, 'shape') else 14"
    exits = "import os\ndef exits3(x):\n    os._exit(0)\nexits4 = exits5 = exits6 = exits3"
    assert graded(memorized, exits, hidden=HIDDEN).points == 0


@pytest.mark.slow
def test_time_in_which_the_grader_works_is_not_idle(backend):
    with Session(Limits(idle=2), backend) as session:
        assert session.run(["x = 1"]) == [None]
        time.sleep(5)
        assert session.value("x") == 1


def test_hidden_check_runs_after_a_function_that_ended_its_process(graded, monkeypatch):
    last = Task("9.3", "halve", ((1,),), lambda value: value / 2)
    monkeypatch.setitem(TASKS, "9.3", last)
    memorized = "def double(x):\n    return [2, 4, 6] if hasattr(x, 'shape') else 14"
    exits = "import os\ndef halve(x):\n    os._exit(0)"
    assert graded(memorized, exits, hidden=HIDDEN).points == 0
    assert graded(GOOD, exits, hidden=HIDDEN).points == 2


# Cells that must not stop grading: the correct answer after them counts.
HARMLESS = {
    "kills parent": "import os\nfor pid in {os.getppid(), 1}:\n    os.kill(pid, 9)",
    "sys.exit": "import sys\nsys.exit(1)",
    "not Python": "this is no Python at all",
    "opens socket": "import socket\nsocket.create_connection(('1.1.1.1', 53), timeout=2)",
    "fills disk": "with open('big', 'wb') as file:\n    for _ in range(100):\n"
    "        file.write(bytes(10**6))",
    "ignores signals": "import signal\nfor n in range(1, 32):\n    try:\n"
    "        signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass",
    "surviving child": "import subprocess\nsubprocess.Popen(['sleep', '1000'])",
    "endless output": "for _ in range(100_000):\n    print('x' * 1000)",
    "endless errors": "import sys\nfor _ in range(100_000):\n    sys.stderr.write('x' * 1000)",
    "input": "name = input('Your name?')",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "shell magic": "!rm -rf /usr/bin /lib64 ~ ; echo done",
    "resets namespace": "import gc\ngc.disable()\n%reset -f",
    "cell magic": "%%bash\nrm -rf ~ /private /usr/bin",
    "unknown magic": "%no_such_magic",
    "installs package": "%pip install requests",
    "listens": "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 8888))\ns.listen()",
    "many files": "for n in range(3000):\n    open(f'file{n}', 'w').close()",
    "surviving thread": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(1000,)).start()",
    "recursion": "def f():\n    return f()\n\nf()",
    "error without message": "class E(Exception):\n    __str__ = lambda self: 1 / 0\n\nraise E",
}


@each(HARMLESS, quick=7)
def test_harmless_cell_costs_no_points(graded, name):
    result = graded(HARMLESS[name], GOOD, limits=TIGHT)
    assert (result.points, result.problem) == (2, "")


def test_child_processes_are_killed(graded):
    program = f"sleep 98{os.getpid()}"  # unique among tests that run at the same time
    graded(f"import subprocess\nsubprocess.Popen('{program}'.split(), start_new_session=True)")
    deadline = time.monotonic() + 10  # the system takes a moment to remove a killed process
    while (running := commands(program)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert running == []


def commands(program):
    """Command lines of this machine's processes that begin with a program."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in lines if line.startswith(program)]


# --- access to the system -------------------------------------------------------------------------

SPY = """
from pathlib import Path
def double(x):
    return x + x
seen = []
for place in PLACES:
    try:
        place = Path(place)
        seen.append(place.read_text() if place.is_file() else str(list(place.iterdir())))
    except OSError:
        pass
why = ' '.join(seen)
"""


def test_private_files_are_not_readable(graded, write, tmp_path):
    other = write("secret = 'of another student'", name="other.ipynb")
    hidden = tmp_path / "hidden.py"
    hidden.write_text("SECRET = 'of the teacher'")
    places = [other.path, other.path.parent, hidden, Path.home() / ".ssh", ROOT / "book"]
    result = graded(SPY.replace("PLACES", repr([*map(str, places), "/etc/shadow"])))
    assert result.problem == "" and result.words["9.2"] == ""


def attempt(code):
    """A cell whose written answer says whether the system refused what some code does."""
    return f"""
import ctypes, mmap, os, socket, subprocess, time
libc = ctypes.CDLL(None)
def made(found):
    if found == -1:
        raise OSError
    return found
def attempt():
{indent(code, "    ")}
try:
    attempt()
    why = 'it was done'
except OSError:
    why = 'it was refused'
"""


@each(["/private", "/dev/shm"], quick=1)
def test_disk_space_is_limited(graded, name):
    fill = f"""
for part in range(100):
    with open('{name}/' + str(part), 'wb') as file:
        file.write(bytes(10**6))
"""
    assert graded(attempt(fill), limits=TIGHT).words["9.2"] == "it was refused"


def test_number_of_processes_is_limited(graded):
    fork = """
for _ in range(100):
    if made(os.fork()) == 0:  # the child
        time.sleep(5)
        os._exit(0)
"""
    assert graded(attempt(fork), limits=TIGHT).words["9.2"] == "it was refused"


# Memory of other processes, or of none, which counting by process misses.
UNOWNED_MEMORY = {
    "children": """
for _ in range(8):
    if made(os.fork()) == 0:
        x = bytearray(10**8)
        time.sleep(5)
        os._exit(0)
ended = [os.wait()[1] for _ in range(8)]
made(-1 if any(map(os.WIFSIGNALED, ended)) else 0)
""",
    "memfd": """
files = []
for _ in range(30):
    files.append(os.memfd_create('x'))
    os.write(files[-1], bytes(18 * 10**6))
""",
    "shmget": """
libc.shmat.restype = ctypes.c_void_p
for _ in range(30):
    place = libc.shmat(made(libc.shmget(0, 18 * 10**6, 0o1600)), None, 0)
    ctypes.memset(place, 1, 18 * 10**6)
    libc.shmdt(ctypes.c_void_p(place))
""",
    "semget": """
for _ in range(300):
    made(libc.semget(0, 32000, 0o1600))  # 2 MB
""",
    "msgget": """
message = ctypes.create_string_buffer(b'1', 8008)
for _ in range(31000):
    queue = made(libc.msgget(0, 0o1600))
    for _ in range(2):
        made(libc.msgsnd(queue, message, 8000, 0))
""",
    "page tables": """
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
mapped = mmap.mmap(-1, 2**38, flags, mmap.PROT_READ)
for place in range(0, 2**38, 2**21):  # a table of 4 kB each, and the one page of zeros
    mapped[place]
time.sleep(5)
""",
    "sockets": """
pairs = []
for _ in range(400):
    pairs.append(socket.socketpair())
    pairs[-1][0].setblocking(False)
    pairs[-1][0].send(bytes(10**5))
""",
    "new tmpfs": """
fill = 'for n in $(seq 30); do head -c 18000000 /dev/zero > /private/$n; done'
done = subprocess.run(['unshare', '-Urm', 'sh', '-ec', 'mount -t tmpfs none /private; ' + fill])
made(-1 if done.returncode else 0)
""",
}


@each(UNOWNED_MEMORY, quick=0)
def test_memory_outside_processes_is_limited(graded, name):
    result = graded(attempt(UNOWNED_MEMORY[name]), limits=TIGHT)
    assert "memory" in result.problem or result.words["9.2"] == "it was refused"


def test_outside_files_are_not_changed(graded):
    files = [ROOT / "labkit" / "metrics.py", ROOT / "README.md"]
    before = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    overwrite = "\n".join(
        f"try:\n    open({str(path)!r}, 'w').write('mine')\nexcept OSError:\n    pass"
        for path in [*files, "/x", "/usr/x", "/dev/shm/x"]
    )
    result = graded(overwrite, "import shutil\nshutil.rmtree('/', ignore_errors=True)", GOOD)
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in files] == before
    assert not Path("/x").exists() and not Path("/usr/x").exists()
    assert result.problem == ""


def test_root_of_a_new_namespace_does_not_change_the_system(graded):
    change = """
done = subprocess.run(
    ['unshare', '-Urm', 'sh', '-ec', 'mount -o remount,bind,rw /usr; touch /usr/x-of-labkit']
)
made(-1 if done.returncode else 0)
"""
    assert graded(attempt(change)).words["9.2"] == "it was refused"
    assert not Path("/usr/x-of-labkit").exists()


def test_environment_is_hidden(graded, monkeypatch):
    for name in ("TEACHERS_TOKEN", "HTTPS_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://teacher:secret@proxy:3128")
    first = "open('/proc/1/environ', errors='replace').read()"  # of the container's first process
    seen = graded(f"import os\nwhy = str(dict(os.environ)) + {first}").words["9.2"]
    assert "LABKIT_PROFILE" in seen and "TEACHERS" not in seen and "secret" not in seen


# --- cheating -------------------------------------------------------------------------------------

REPLACE_WORKER = """
Work = next(kind for kind in object.__subclasses__() if kind.__name__ == 'Work')
def says(*values):
    Work.attempt = lambda *_, **__: values[0] if len(values) == 1 else [
        {'value': value, 'error': None, 'changed': False} for value in values]
"""
CHEATS = {
    "changes checks": "import labkit.check.engine as t\nt.Task.verdict = lambda *_: None\n"
    "t.Answer.passed = True",
    "changes worker": REPLACE_WORKER + "says({'plain': True}, {'plain': True})",
    "sends code instead of data": REPLACE_WORKER
    + "says({'array': 'gASVAAAA'}, {'array': 'gASVAAAA'})",
    "object equal to everything": "class Yes:\n    __eq__ = lambda *_: True\n"
    "    __array__ = lambda *_, **__: 1 / 0\n\ndef double(x):\n    return Yes()",
    "claims to have passed": REPLACE_WORKER + "says({'passed': True, 'points': 100})",
    "sends too much": REPLACE_WORKER + "says('x' * (80 * 1024**2))",
    "sends deeply nested data": REPLACE_WORKER
    + "d = {'plain': 1}\nfor _ in range(400):\n    d = {'list': [d]}\nsays(d, d)",
    "sends oversized array header": REPLACE_WORKER + "import base64, io\nimport numpy as np\n"
    "f = io.BytesIO()\nnp.lib.format.write_array_header_1_0(f, {'descr': '<f8', "
    "'fortran_order': False, 'shape': (10**13,)})\n"
    "a = {'array': base64.b64encode(f.getvalue()).decode()}\nsays(a, a)",
    "sends endless brackets": REPLACE_WORKER + "import json\njson.dumps = lambda _: '[' * 10**6",
    "writes results file": "open('results.json', 'w').write('{\"score\": 100}')",
    "array with false shape": "import numpy as np\nclass Lies(np.ndarray):\n    shape = (3,)\n\n"
    "def double(x):\n    return np.zeros(9).view(Lies)",
}


@each(CHEATS, quick=4)
def test_cheating_gains_no_points(graded, name):
    assert graded(CHEATS[name], limits=Limits(memory=1024**3)).points == 0


def test_replaced_worker_can_send_only_data(graded):
    """Otherwise, the cheats above would test nothing."""
    result = graded(REPLACE_WORKER + "says({'number': '5'}, {'number': '5'})")
    assert result.answers["9.1"].got == "5"


HIDDEN = {"9.1": Task("9.1", "double", ((2.5,),), lambda value: 2 * value)}


def test_hidden_check_counts_and_is_not_revealed(graded):
    assert graded(GOOD, hidden=HIDDEN).points == 2
    memorized = "def double(x):\n    return [2, 4, 6] if hasattr(x, 'shape') else 14"
    result = graded(memorized, "why = 'a b c'", hidden=HIDDEN)
    assert result.points == 1
    assert result.answers["9.1"].hint == "A hidden check is not passed."
    assert "2.5" not in repr(result)


# Submissions that remember a hidden case and reveal it in a later answer or an invalid reply.
LEAKS = {
    "in reply": GOOD
    + REPLACE_WORKER
    + """
before = Work.attempt
Work.attempt = lambda self, name, cases: before(self, name, cases) if len(cases) > 1 else [
    {'value': {'none': str(cases)}, 'error': None, 'changed': False}]
""",
    "in text": GOOD
    + "\ndef double(x):\n    global why\n    why = f'I was asked {x}'\n    return 2 * x",
    "in other task": "def double(x):\n    double.asked = x\n    return 2 * x\n\n"
    "def halve(x):\n    return getattr(double, 'asked', x)",
}


@each(LEAKS, quick=1)
def test_hidden_case_is_not_leaked(graded, monkeypatch, name):
    halve = Task("9.3", "halve", ((1,), (2,)), lambda value: value / 2)
    monkeypatch.setitem(TASKS, "9.3", halve)
    assert "2.5" not in repr(graded(LEAKS[name], hidden=HIDDEN))


def test_exit_in_hidden_check_fails_task(graded):
    exits = "import os\ndef double(x):\n    return os._exit(0) if str(x) == '2.5' else 2 * x"
    result = graded(GOOD, exits, hidden=HIDDEN)
    assert (result.points, result.problem) == (1, "it ended its process")


# By their numbers on x86_64: add_key, and keyctl with KEYCTL_SEARCH; -4 is the user's keyring.
LEAVE = "import ctypes\nctypes.CDLL(None).syscall(248, b'user', b'case', b'2.5', 3, -4)"
FIND = """
import ctypes
why = 'found' if ctypes.CDLL(None).syscall(250, 10, -4, b'user', b'case', 0) > 0 else 'none'
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of calls are of x86_64")
def test_no_key_passes_from_one_submission_to_another(graded):
    graded(LEAVE)
    assert graded(FIND).words["9.2"] == "none"
