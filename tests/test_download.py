"""Downloads: servers and their certificates, and whether the prepared dataset is complete."""

import errno
import json
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import data, download

both = pytest.mark.parametrize("problem", [download.problem_for_tfds, download.problem_for_keras])


# --- reachable servers ---------------------------------------------------------------------


@contextmanager
def server(answer, context=None):
    """A local web server that answers every request with ``answer``; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            answer(self)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        if context:
            running.socket = context.wrap_socket(running.socket, server_side=True)
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http{'s' if context else ''}://127.0.0.1:{running.server_port}/"
        finally:
            running.shutdown()
            thread.join()


def answer_with(status):
    def answer(request):
        request.send_response(status)
        request.end_headers()

    return answer


@both
@pytest.mark.parametrize("status", [200, 403, 404, 405, 500])
def test_server_is_reachable_with_any_status(problem, status):
    with server(answer_with(status)) as address:
        assert problem(address) is None


@both
@pytest.mark.parametrize("reply", [b"", b"SSH-2.0-OpenSSH_9\r\n\r\n", b"220 mail is here\r\n\r\n"])
def test_non_http_server_is_not_reachable(problem, reply):
    with server(lambda request: request.wfile.write(reply)) as address:
        assert "can't be reached" in problem(address)


@contextmanager
def listening_socket(backlog):
    with socket.socket() as waiting:
        waiting.bind(("127.0.0.1", 0))
        if backlog is not None:
            waiting.listen(backlog)
        yield f"http://127.0.0.1:{waiting.getsockname()[1]}/"


@both
def test_closed_port_is_not_reachable(problem):
    with listening_socket(None) as address:
        assert "can't be reached" in problem(address)


@both
def test_unresponsive_server_is_not_reachable(problem):
    with listening_socket(1) as address:
        assert "can't be reached" in problem(address, seconds=0.2)


@both
def test_unknown_host_is_not_reachable(problem):
    assert "can't be reached" in problem("https://nowhere.invalid")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate that signs itself, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext"
    files = ["-keyout", folder / "key", "-out", folder / "cert"]
    name = "subjectAltName=IP:127.0.0.1"
    subprocess.run([*command.split(), name, *files], check=True, capture_output=True)
    return folder / "cert", folder / "key"


@pytest.mark.parametrize(
    ("problem", "setting"),
    [
        (download.problem_for_tfds, "REQUESTS_CA_BUNDLE"),
        (download.problem_for_keras, "SSL_CERT_FILE"),
    ],
)
def test_unknown_certificate_is_named(problem, setting, certificate, monkeypatch):
    monkeypatch.delenv(setting, raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with server(answer_with(200), context) as address:
        message = problem(address)
        assert "a certificate that Python does not trust" in message and f"set {setting}" in message
        monkeypatch.setenv(setting, str(certificate[0]))
        assert problem(address) is None


# --- the prepared dataset ------------------------------------------------------------------------


def write_records(folder, split, lengths):
    """Writes the files of a split, whose records have these lengths by file."""
    for number, sizes in enumerate(lengths):
        content = b"".join(struct.pack("<QI", size, 0) + bytes(size + 4) for size in sizes)
        name = f"{data.REAL}-{split}.tfrecord-{number:05}-of-{len(lengths):05}"
        (folder / name).write_bytes(content)


@pytest.fixture
def folder(folders):
    """The folder of a prepared dataset: two files of train records, one of test records."""
    folder = download.prepared_folder()
    folder.mkdir(parents=True)
    write_records(folder, "train", [[5, 0], [300]])
    write_records(folder, "test", [[7]])
    splits = [
        {"name": "train", "shardLengths": ["2", "1"], "numBytes": "305"},
        {"name": "test", "shardLengths": ["1"], "numBytes": "7"},
    ]
    (folder / "dataset_info.json").write_text(json.dumps({"splits": splits}))
    return folder


def test_complete_dataset_passes(folder):
    for split in ("train", "test"):
        download.check_prepared(split)
    assert {name: split["count"] for name, split in download.split_info().items()} == {
        "train": 3,
        "test": 1,
    }


def assert_named(file, call):
    with pytest.raises(ValueError) as excinfo:
        call()
    for part in (str(file), f"delete {file.parent} and run this again", "TFDS_DATA_DIR"):
        assert part in str(excinfo.value)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"splits": []}', '{"splits": [{"name": "train"}]}']
)
def test_damaged_info_file_is_named(folder, content):
    (folder / "dataset_info.json").write_text(content)
    assert_named(folder / "dataset_info.json", lambda: data.load())


@settings(max_examples=30)
@given(st.integers(0, 339))
def test_truncated_record_file_is_named(tmp_path_factory, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("tfds")))
        folder = download.prepared_folder()
        folder.mkdir(parents=True)
        write_records(folder, "train", [[4, 300]])
        info = {"splits": [{"name": name, "shardLengths": ["2"]} for name in ("train", "test")]}
        (folder / "dataset_info.json").write_text(json.dumps(info))
        (file,) = folder.glob("*train*")
        download.check_prepared("train")
        file.write_bytes(file.read_bytes()[: min(size, file.stat().st_size - 1)])
        assert_named(file, lambda: download.check_prepared("train"))


@pytest.mark.parametrize("kind", ["missing", "of another number of records"])
@pytest.mark.parametrize("call", [data.load, lambda: data.examples("train")])
def test_incomplete_record_file_is_named(folder, kind, call):
    file = sorted(folder.glob("*train*"))[1]
    if kind == "missing":
        file.unlink()
    else:
        shutil.copy(sorted(folder.glob("*train*"))[0], file)
    assert_named(file, call)


def test_damaged_record_is_named(folders, monkeypatch):
    import tensorflow as tf

    file = download.prepared_folder() / "records"
    file.parent.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(b"some bytes")
    content = file.read_bytes()
    file.write_bytes(content.replace(b"some", b"same"))
    records = tf.data.TFRecordDataset([str(file)])
    assert_named(
        download.prepared_folder() / f"{data.REAL}-train.tfrecord-*",
        lambda: list(data._read_records(records, "train")),
    )


# --- downloads -----------------------------------------------------------------------------------


class FailingBuilder:
    """Stand-in for the TFDS builder, whose download fails."""

    def __init__(self, error):
        self.error = error

    def download_and_prepare(self):
        raise self.error


def download_errors():
    """Errors of TFDS by case, created on demand: importing TFDS takes seconds."""
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.util import DownloadError

    again = (ConnectionError, "Run this again", "complete")
    return {
        "wrong checksum": (NonMatchingChecksumError("images"), ValueError, "delete {}", "run this"),
        "lost connection": (ConnectionResetError("reset"), *again),
        "time-out": (TimeoutError("too late"), *again),
        "full disk": (OSError(errno.ENOSPC, "No space left"), *again),
        "HTTP 404": (DownloadError("HTTP code: 404"), *again),
    }


@pytest.mark.parametrize(
    "case", ["wrong checksum", "lost connection", "time-out", "full disk", "HTTP 404"]
)
@pytest.mark.parametrize("source", ["auto", "oxford_iiit_pet"])
def test_failed_download_names_remedy(folders, monkeypatch, source, case):
    cause, kind, *remedies = download_errors()[case]
    monkeypatch.setattr(download, "problem_for_tfds", lambda url: None)
    monkeypatch.setattr(download, "builder", lambda: FailingBuilder(cause))
    with pytest.raises(kind) as excinfo:
        data.find_source(source)
    assert str(cause) in str(excinfo.value) and excinfo.value.__cause__ is cause
    for remedy in remedies:
        assert remedy.format(folders / "tfds_data_dir" / "downloads") in str(excinfo.value)


def test_prepared_folder_follows_tfds(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert download.prepared_folder() == tmp_path / "oxford_iiit_pet" / "4.0.0"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", "~/pets")
    assert download.prepared_folder() == tmp_path / "pets" / "oxford_iiit_pet" / "4.0.0"
    monkeypatch.delenv("TFDS_DATA_DIR")
    expected = tmp_path / "tensorflow_datasets" / "oxford_iiit_pet" / "4.0.0"
    assert download.prepared_folder() == expected
