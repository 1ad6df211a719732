"""Hostile submissions: each is stopped with a reason and gains no points."""

import hashlib
import os
import platform
from pathlib import Path

import pytest
from conftest import GOOD, TASKS

from labkit.check import Task
from labkit.grade.grader import grade
from labkit.grade.sandbox import CALLS, Limits
from labkit.grade.session import Ended, Session

slow = pytest.mark.slow


def slow_except(names, *quick):
    """Parameters of a test, all slow except ``quick``: one of each kind of attack."""
    return [pytest.param(name, marks=() if name in quick else slow) for name in names]


# Little memory but much time, so that the time limit is not reached first on slow machines.
TIGHT_LIMITS = Limits(
    cpu_seconds=90, seconds=300, memory=400 * 1024**2, processes=12, disk=20 * 1024**2
)
# Times for attacks that only a time limit stops.
SHORT_TIMES = {"endless": {"cpu_seconds": 1}, "waits": {"seconds": 4}}

# Sets the name that the system shows for a process.
SET_PROCESS_NAME = "import ctypes\nctypes.CDLL(None).prctl(15, b'{}')"

# Attacks that end the process or exceed a limit: cells, and a part of the reason.
FATAL = {
    "endless loop": (["while True:\n    pass"], "computed for longer"),
    "endless loop in function": (["def double(x):\n    while True:\n        pass"], "computed"),
    "fork bomb": (["import os\nwhile True:\n    os.fork()"], "processes"),
    "shell fork bomb": (["!bomb() { bomb | bomb & }; bomb; sleep 20"], "processes"),
    "memory bomb": (["x = []\nwhile True:\n    x.append(bytearray(2**25))"], "memory"),
    "memory bomb in children": (
        [
            "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n"
            "        x = bytearray(10**8)\n        time.sleep(20)",
            "time.sleep(20)",
        ],
        "memory",
    ),
    "exits": (["import os\nos._exit(0)"], "ended its process"),
    "aborts": (["import os\nos.abort()"], "ended its process"),
    "crashes": (["import ctypes\nctypes.string_at(0)"], "ended its process"),
    "kills all processes": (
        ["import os\nos.kill(-1, 9)", "os.kill(os.getpid(), 9)"],
        "ended its process",
    ),
    "closes pipe": (
        ["import os\nos.closerange(3, 64)"],
        "ended its process",
    ),
    "writes nonsense to pipe": (
        [
            "import os\nfor n in range(3, 64):\n    try:\n        os.write(n, b'nonsense\\n')\n"
            "    except OSError:\n        pass"
        ],
        "",
    ),
    "waits forever in child": (
        ["import subprocess\nsubprocess.run(['sleep', '1000'])"],
        "took longer than",
    ),
    "waits with non-UTF-8 process name": (
        [SET_PROCESS_NAME.format(r"\xff\xfe"), "import time\ntime.sleep(60)"],
        "took longer than",
    ),
    "memory bomb with misleading process name": (
        [
            SET_PROCESS_NAME.format(r"\rRssAnon: -9e9"),
            "import time\nx = bytearray(10**9)\ntime.sleep(20)",
        ],
        "memory",
    ),
}


FATAL_PARAMS = slow_except(
    FATAL,
    *("endless loop", "fork bomb", "memory bomb", "memory bomb in children", "exits"),
    *("kills all processes", "writes nonsense to pipe", "waits forever in child"),
)


@pytest.mark.parametrize("name", FATAL_PARAMS)
def test_attack_is_stopped_and_reported(backend, write, name):
    cells, reason = FATAL[name]
    limits = Limits(**vars(TIGHT_LIMITS) | SHORT_TIMES.get(name.split()[0], {}))
    result = grade(write(*cells), None, limits=limits, backend=backend)
    assert result.points == 0
    assert result.problem and reason in result.problem


def test_submission_that_cannot_be_monitored_is_stopped(backend, write, monkeypatch):
    monkeypatch.setattr(backend, "used", lambda self: 1 / 0)
    result = grade(write("import time\ntime.sleep(20)", GOOD), None, backend=backend)
    assert (result.points, result.problem) == (0, "could not be watched: ZeroDivisionError")


def test_reply_after_stop_is_discarded(backend):
    with Session(backend=backend) as session:
        assert session.run(["x = 1"]) == [None]
        session.sandbox.ended = "took more memory"
        with pytest.raises(Ended, match="took more memory"):
            session.value("x")


# Cells that must not stop grading: the correct answer after them counts.
HARMLESS = {
    "endless output": "for _ in range(100_000):\n    print('x' * 1000)",
    "endless errors": "import sys\nfor _ in range(100_000):\n    sys.stderr.write('x' * 1000)",
    "kills parent": "import os\nfor pid in {os.getppid(), 1}:\n    os.kill(pid, 9)",
    "sys.exit": "import sys\nsys.exit(1)",
    "input": "name = input('Your name?')",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "not Python": "this is no Python at all",
    "shell magic": "!rm -rf /usr/bin /lib64 ~ ; echo done",
    "resets namespace": "import gc\ngc.disable()\n%reset -f",
    "cell magic": "%%bash\nrm -rf ~ /private /usr/bin",
    "unknown magic": "%no_such_magic",
    "installs package": "%pip install requests",
    "opens socket": "import socket\nsocket.create_connection(('1.1.1.1', 53), timeout=2)",
    "listens": "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 8888))\ns.listen()",
    "fills disk": "with open('big', 'wb') as file:\n    for _ in range(100):\n"
    "        file.write(bytes(10**6))",
    "many files": "for n in range(3000):\n    open(f'file{n}', 'w').close()",
    "ignores signals": "import signal\nfor n in range(1, 32):\n    try:\n"
    "        signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass",
    "surviving thread": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(1000,)).start()",
    "surviving child": "import subprocess\nsubprocess.Popen(['sleep', '1000'])",
    "recursion": "def f():\n    return f()\n\nf()",
    "error without message": "class E(Exception):\n    __str__ = lambda self: 1 / 0\n\nraise E",
}


HARMLESS_PARAMS = slow_except(
    HARMLESS,
    *("kills parent", "sys.exit", "not Python", "opens socket", "fills disk"),
    *("ignores signals", "surviving child"),
)


@pytest.mark.parametrize("name", HARMLESS_PARAMS)
def test_harmless_cell_costs_no_points(backend, write, name):
    result = grade(write(HARMLESS[name], GOOD), None, limits=TIGHT_LIMITS, backend=backend)
    assert (result.points, result.problem) == (2, "")


def test_child_processes_are_killed(backend, write):
    program = f"sleep 98{os.getpid()}"  # unique among tests that run at the same time
    grade(
        write(f"import subprocess\nsubprocess.Popen('{program}'.split(), start_new_session=True)"),
        None,
        backend=backend,
    )
    running = [
        path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if os.access(path, os.R_OK)
    ]
    assert not [command for command in running if command.startswith(program)]


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


def test_private_files_are_not_readable(backend, write, tmp_path, monkeypatch):
    other = write("secret = 'of another student'", name="other.ipynb")
    hidden = tmp_path / "hidden.py"
    hidden.write_text("SECRET = 'of the teacher'")
    places = [str(path) for path in (other.path, other.path.parent, hidden)]
    places += [str(Path.home() / ".ssh"), str(Path(__file__).parents[2] / "book"), "/etc/shadow"]
    spy = write(SPY.replace("PLACES", repr(places)), name="spy.ipynb")
    result = grade(spy, None, backend=backend)
    assert result.problem == "" and result.words["9.2"] == ""


@pytest.mark.parametrize("folder", slow_except(["/private", "/dev/shm"], "/dev/shm"))
def test_disk_space_is_limited(backend, write, folder):
    fill = f"""
parts = 0
try:
    for parts in range(100):
        with open('{folder}/' + str(parts), 'wb') as file:
            file.write(bytes(10**6))
    why = 'all was written'
except OSError:
    why = 'the disk is full'
"""
    assert (
        grade(write(fill), None, limits=TIGHT_LIMITS, backend=backend).words["9.2"]
        == "the disk is full"
    )


# Memory that belongs to no process, which counting by process misses.
UNOWNED_MEMORY = {
    "memfd": """
import os
files = []
try:
    for _ in range(30):
        files.append(os.memfd_create('x'))
        os.write(files[-1], bytes(18 * 10**6))
    why = 'all was written'
except OSError:
    why = 'it was refused'
""",
    "shmget": """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
why = 'all was written'
for _ in range(30):
    number = libc.shmget(0, 18 * 10**6, 0o1600)
    if number == -1:
        why = 'it was refused'
        break
    place = libc.shmat(number, None, 0)
    ctypes.memset(place, 1, 18 * 10**6)
    libc.shmdt(ctypes.c_void_p(place))
""",
    "semget": """
import ctypes
libc = ctypes.CDLL(None)
made = all(libc.semget(0, 32000, 0o1600) != -1 for _ in range(300))  # 2 MB each
why = 'all was written' if made else 'it was refused'
""",
    "msgget": """
import ctypes
libc = ctypes.CDLL(None)
message = ctypes.create_string_buffer(b'1', 8008)
queues = (libc.msgget(0, 0o1600) for _ in range(31000))
made = all(libc.msgsnd(queue, message, 8000, 0) == 0 for queue in queues for _ in range(2))
why = 'all was written' if made else 'it was refused'
""",
    "page tables": """
import mmap, time
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
mapped = mmap.mmap(-1, 2**38, flags, mmap.PROT_READ)
for place in range(0, 2**38, 2**21):  # a table of 4 kB each, and the one page of zeros
    mapped[place]
time.sleep(5)
why = 'all was written'
""",
    "sockets": """
import socket
pairs = []
try:
    for _ in range(400):
        pairs.append(socket.socketpair())
        pairs[-1][0].setblocking(False)
        pairs[-1][0].send(bytes(10**5))
    why = 'all was written'
except OSError:
    pairs.clear()
    why = 'it was refused'
""",
    "new tmpfs": """
import subprocess
fill = 'for n in $(seq 30); do head -c 18000000 /dev/zero > /private/$n; done'
done = subprocess.run(['unshare', '-Urm', 'sh', '-ec', 'mount -t tmpfs none /private; ' + fill])
why = 'it was refused' if done.returncode else 'all was written'
""",
    **{
        f"new namespace by {name}": f"""
import ctypes, os, struct
libc = ctypes.CDLL(None)
number = {numbers}[os.uname().machine]
found = libc.syscall(number, {arguments})
if found == 0 and number in (56, 220, 435):
    os._exit(0)
why = 'it was refused' if found == -1 else 'all was written'
"""
        for name, numbers, arguments in (
            ("clone", {"x86_64": 56, "aarch64": 220}, "0x10000011, 0, 0, 0, 0"),
            (
                "clone3",
                {"x86_64": 435, "aarch64": 435},
                "struct.pack('11Q', 1 << 28, *[0] * 3, 17, *[0] * 6), 88",
            ),
        )
    },
}


@pytest.mark.skipif(platform.machine() not in CALLS, reason="no filter for this processor")
@pytest.mark.parametrize("name", slow_except(UNOWNED_MEMORY, "memfd"))
def test_memory_outside_processes_is_limited(backend, write, name):
    result = grade(write(UNOWNED_MEMORY[name]), None, limits=TIGHT_LIMITS, backend=backend)
    assert "memory" in result.problem or result.words["9.2"] == "it was refused"


def test_outside_files_are_not_changed(backend, write):
    course = Path(__file__).parents[2]
    files = [course / "labkit" / "metrics.py", course / "README.md"]
    before = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    overwrite = "\n".join(
        f"try:\n    open({str(path)!r}, 'w').write('mine')\nexcept OSError:\n    pass"
        for path in [*files, "/x", "/usr/x", "/dev/shm/x"]
    )
    result = grade(
        write(overwrite, "import shutil\nshutil.rmtree('/', ignore_errors=True)", GOOD),
        None,
        backend=backend,
    )
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in files] == before
    assert not Path("/x").exists() and not Path("/usr/x").exists()
    assert result.problem == ""


def test_environment_is_hidden(backend, write, monkeypatch):
    monkeypatch.setenv("TEACHERS_TOKEN", "secret")
    result = grade(write("import os\nwhy = ' '.join(sorted(os.environ))"), None, backend=backend)
    assert "TEACHERS_TOKEN" not in result.words["9.2"]


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
    "claims to have passed": REPLACE_WORKER + "says({'passed': True, 'points': 100})",
    "sends code instead of data": REPLACE_WORKER
    + "says({'array': 'gASVAAAA'}, {'array': 'gASVAAAA'})",
    "sends too much": REPLACE_WORKER + "says('x' * (80 * 1024**2))",
    "sends deeply nested data": REPLACE_WORKER
    + "d = {'plain': 1}\nfor _ in range(400):\n    d = {'list': [d]}\n"
    "says(d, d)",
    "sends oversized array header": REPLACE_WORKER + "import base64, io\nimport numpy as np\n"
    "f = io.BytesIO()\nnp.lib.format.write_array_header_1_0(f, {'descr': '<f8', "
    "'fortran_order': False, 'shape': (10**13,)})\n"
    "a = {'array': base64.b64encode(f.getvalue()).decode()}\nsays(a, a)",
    "sends endless brackets": REPLACE_WORKER + "import json\njson.dumps = lambda _: '[' * 10**6",
    "writes results file": "open('results.json', 'w').write('{\"score\": 100}')",
    "object equal to everything": "class Yes:\n    __eq__ = lambda *_: True\n"
    "    __array__ = lambda *_, **__: 1 / 0\n\ndef double(x):\n    return Yes()",
    "array with false shape": "import numpy as np\nclass Lies(np.ndarray):\n    shape = (3,)\n\n"
    "def double(x):\n    return np.zeros(9).view(Lies)",
}


CHEATS_PARAMS = slow_except(
    CHEATS, "changes checks", "changes worker", "sends code instead of data",
    "object equal to everything",
)  # fmt: skip


@pytest.mark.parametrize("name", CHEATS_PARAMS)
def test_cheating_gains_no_points(backend, write, name):
    result = grade(write(CHEATS[name]), None, limits=Limits(memory=1024**3), backend=backend)
    assert result.points == 0


HIDDEN = {"9.1": Task("9.1", "double", ((2.5,),), lambda value: 2 * value)}


def test_replaced_worker_can_send_only_data(backend, write):
    """Otherwise, the cheats above would test nothing."""
    result = grade(
        write(REPLACE_WORKER + "says({'number': '5'}, {'number': '5'})"), None, backend=backend
    )
    assert result.answers["9.1"].got == "5"


def test_hidden_check_counts_and_is_not_revealed(backend, write):
    assert grade(write(GOOD), None, HIDDEN, backend=backend).points == 2
    memorized = (
        "def double(x):\n    return [2, 4, 6] if hasattr(x, 'shape') else 14\n\nwhy = 'a b c'"
    )
    result = grade(write(memorized), None, HIDDEN, backend=backend)
    assert result.points == 1
    assert result.answers["9.1"].hint == "A hidden check is not passed."
    assert "2.5" not in repr(result)


# Submissions that remember a hidden case and reveal it in a later answer or an invalid reply.
LEAKS = {
    "in text": GOOD
    + "\ndef double(x):\n    global why\n    why = f'I was asked {x}'\n    return 2 * x",
    "in other task": "def double(x):\n    double.asked = x\n    return 2 * x\n\n"
    "def halve(x):\n    return getattr(double, 'asked', x)",
    "in reply": GOOD
    + REPLACE_WORKER
    + """
before = Work.attempt
def attempt(self, name, cases):
    if len(cases) == 1:
        return [{'value': {'none': str(cases)}, 'error': None, 'changed': False}]
    return before(self, name, cases)
Work.attempt = attempt
""",
}


@pytest.mark.parametrize("name", slow_except(LEAKS, "in reply"))
def test_hidden_case_is_not_leaked(backend, write, monkeypatch, name):
    halve = Task("9.3", "halve", ((1,), (2,)), lambda value: value / 2)
    monkeypatch.setitem(TASKS, "9.3", halve)
    result = grade(write(LEAKS[name]), None, HIDDEN, backend=backend)
    assert "2.5" not in repr(result)


def test_exit_in_hidden_check_fails_task(backend, write):
    exits = "import os\ndef double(x):\n    return os._exit(0) if str(x) == '2.5' else 2 * x"
    result = grade(write(GOOD, exits), None, HIDDEN, backend=backend)
    assert (result.points, result.problem) == (1, "it ended its process")


@pytest.mark.parametrize(
    ("code", "term"),
    [
        ("import inspect\ninspect.getsource(double)", "getsource"),
        *(  # these import Keras
            pytest.param(f"from labkit.check import metrics as check\n{code}", term, marks=slow)
            for code, term in (
                ("check.mean_iou.reference", ".reference"),
                ("check.mean_iou.mutant()", ".mutant"),
            )
        ),
    ],
)
def test_suspicious_code_is_noted(backend, write, code, term):
    result = grade(write(GOOD, code), None, backend=backend)
    assert result.notes == (f"its code says {term}",)
