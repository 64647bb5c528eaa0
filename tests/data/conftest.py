import io
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

SHAPE = (6, 5, 3)


@pytest.fixture(autouse=True)
def cache_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gradjax" / "data"


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    folder = tmp_path / "tensorflow_datasets"
    folder.mkdir()
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    return folder


@pytest.fixture
def prepare(data_dir):
    """Writes a small data set as TFDS would: prepare(name, train=[shard, ...], ...)."""

    def write(name="toy", version="1.0.0", file_format="array_record", **splits):
        folder = data_dir / name / version
        folder.mkdir(parents=True)
        splits = splits or {"train": [examples(40)], "test": [examples(6, seed=1)]}
        base = name.split("/")[0]
        for split, shards in splits.items():
            for i, shard in enumerate(shards):
                file = f"{base}-{split}.array_record-{i:05}-of-{len(shards):05}"
                write_shard(folder / file, shard)
        lengths = {key: [len(s) for s in shards] for key, shards in splits.items()}
        info = {
            "name": base,
            "version": version,
            "fileFormat": file_format,
            "splits": [split_info(key, value) for key, value in lengths.items()],
        }
        (folder / "dataset_info.json").write_text(json.dumps(info))
        (folder / "features.json").write_text(json.dumps(features()))
        return folder

    return write


@pytest.fixture
def toy():
    """The functions that make examples, for tests that damage them."""
    return SimpleNamespace(
        shape=SHAPE,
        examples=examples,
        features=features,
        pixels=pixels,
        png=png,
        write_shard=write_shard,
    )


@pytest.fixture
def real_data_dir():
    beside = Path(__file__).parents[3] / "shared/data/tensorflow_datasets"
    chosen = [os.environ.get("TFDS_DATA_DIR"), beside, "~/tensorflow_datasets"]
    for folder in (Path(item).expanduser() for item in chosen if item):
        if (folder / "mnist/3.0.1/dataset_info.json").is_file():
            return folder
    return pytest.skip("MNIST is not prepared here; `make data` prepares it")


def features(image=None, label=None):
    prefix = "tensorflow_datasets.core.features"
    dimensions = {"dimensions": [str(size) for size in SHAPE]}
    image = image or {
        "image": {"dtype": "uint8", "shape": dimensions},
        "pythonClassName": f"{prefix}.image_feature.Image",
    }
    label = label or {
        "classLabel": {"numClasses": "3"},
        "pythonClassName": f"{prefix}.class_label_feature.ClassLabel",
    }
    return {
        "featuresDict": {"features": {"image": image, "label": label}},
        "pythonClassName": f"{prefix}.features_dict.FeaturesDict",
    }


def split_info(split, lengths):
    return {
        "name": split,
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        "shardLengths": [str(length) for length in lengths],
        "numBytes": "1",
    }


def examples(num_examples, seed=0, shape=SHAPE):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (num_examples, *shape), dtype=np.uint8)
    return [(png(image), i % 3) for i, image in enumerate(images)]


def png(image):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


def pixels(shard):
    from PIL import Image

    return np.stack([np.asarray(Image.open(io.BytesIO(item))) for item, _ in shard])


def write_shard(path, shard):
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(path), "group_size:1")
    for image, label in shard:
        writer.write(record(image, label))
    writer.close()


def record(image, label):
    from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

    values = {
        "image": tf_feature_pb2.Feature(
            bytes_list=tf_feature_pb2.BytesList(value=[image])
        ),
        "label": tf_feature_pb2.Feature(
            int64_list=tf_feature_pb2.Int64List(value=[label])
        ),
    }
    content = tf_feature_pb2.Features(feature=values)
    return tf_example_pb2.Example(features=content).SerializeToString()
