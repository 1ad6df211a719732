"""What comes from the network: whether it can be reached, and the dataset as TFDS prepares it."""

import http.client
import json
import os
import ssl
import struct
import urllib.error
import urllib.request

from labkit import profile

REAL, VERSION = "oxford_iiit_pet", "4.0.0"
HOST = "https://thor.robots.ox.ac.uk"  # where TFDS downloads the dataset from
NO_NETWORK = (
    "Connect to the network and run this again (a download of 0.8 GB), or set TFDS_DATA_DIR to a "
    "folder where TensorFlow Datasets has prepared the dataset"
)

# --- servers -------------------------------------------------------------------------------


def problem_for_tfds(url, seconds=2.0):
    """Why TFDS can't download from a URL, as text; None if it can.

    TFDS downloads with requests, which has its own settings for certificates and proxies, and
    tries for minutes before it gives up.
    """
    import requests

    try:
        requests.head(url, timeout=seconds)
    except requests.exceptions.SSLError as error:
        return _certificate_problem(error, "REQUESTS_CA_BUNDLE")
    except requests.exceptions.RequestException:
        return f"can't be reached. {NO_NETWORK}"
    return None


def problem_for_keras(url, seconds=2.0):
    """Why Keras, which downloads with urllib, can't download from a URL; None if it can."""
    try:
        request = urllib.request.Request(url, method="HEAD")
        urllib.request.urlopen(request, timeout=seconds).close()
    except urllib.error.HTTPError:
        return None  # the server answered, even if it refused this address
    except (OSError, http.client.HTTPException) as error:  # no answer, or not from a web server
        if isinstance(getattr(error, "reason", error), ssl.SSLError):
            return _certificate_problem(error, "SSL_CERT_FILE")
        return "can't be reached. Connect to the network and run this again"
    return None


def _certificate_problem(error, setting):
    return (
        f"has a certificate that Python does not trust ({error}). If your network replaces "
        f"certificates, set {setting} to the file of its own certificate authority"
    )


# --- the dataset as TFDS prepares it -------------------------------------------------------------


def prepared_folder():
    """The folder of the prepared dataset, in ``TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.

    Importing TFDS to ask for it would take seconds.
    """
    data_dir = os.environ.get("TFDS_DATA_DIR") or profile.home() / "tensorflow_datasets"
    return profile.expand(data_dir) / REAL / VERSION


def is_prepared():
    """Whether the dataset is there; ``check_prepared`` says whether it is complete."""
    return (prepared_folder() / "dataset_info.json").exists()


def split_info():
    """What TFDS has recorded of "train" and "test": ``numBytes``, ``shardLengths``, ``count``.

    Raises ValueError if the file is damaged.
    """
    file = prepared_folder() / "dataset_info.json"
    try:
        splits = {split["name"]: split for split in json.loads(file.read_text())["splits"]}
        counts = {name: count_images(splits[name]) for name in ("train", "test")}
        return {name: splits[name] | {"count": count} for name, count in counts.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(file) from error


def count_images(split):
    """The number of images of a split of ``dataset_info.json``."""
    return sum(int(length) for length in split["shardLengths"])


def damaged(file):
    """The error for a file of the prepared dataset that is missing or incomplete."""
    return ValueError(
        f"{file} is incomplete or missing: delete {prepared_folder()} and run this again, which "
        "downloads the dataset anew, or set TFDS_DATA_DIR to a complete copy"
    )


def check_prepared(split):
    """Raise ValueError, which names the file, unless all records of a split are there."""
    lengths = split_info()[split]["shardLengths"]
    for number, length in enumerate(lengths):
        name = f"{REAL}-{split}.tfrecord-{number:05}-of-{len(lengths):05}"
        file = prepared_folder() / name
        if not file.exists() or _count_records(file) != int(length):
            raise damaged(file)


def _count_records(file):
    """The number of whole records in a TFRecord file, -1 if the last one is incomplete."""
    count = position = 0
    size = file.stat().st_size
    with open(file, "rb") as records:
        while position + 8 <= size:
            records.seek(position)
            (length,) = struct.unpack("<Q", records.read(8))
            position += 16 + length  # with two checksums
            count += 1
    return count if position == size else -1


def builder():
    """The TFDS builder of the dataset."""
    import tensorflow_datasets as tfds

    return tfds.builder(f"{REAL}:{VERSION}", data_dir=prepared_folder().parents[1])


def download():
    """Download and prepare the dataset with TFDS, which resumes from complete files."""
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.util import DownloadError

    downloads = prepared_folder().parents[1] / "downloads"
    print(f"Downloading {REAL} to {prepared_folder()}: 0.8 GB, once.")
    try:
        builder().download_and_prepare()
    except NonMatchingChecksumError as error:
        raise ValueError(
            f"a downloaded file differs from the published one ({error}): delete {downloads} and "
            "run this again"
        ) from error
    except (OSError, DownloadError) as error:
        raise ConnectionError(
            f"the download failed ({error}). Run this again: it resumes from the complete files in "
            f"{downloads}"
        ) from error
