"""The form in which TFDS stores a data set: its two JSON files and its records.

A record is a serialised `tf.train.Example`. It has an "image" or a "text", and perhaps
a "label". https://www.tensorflow.org/datasets/external_tfrecord
"""

from collections.abc import Callable
from typing import Any, NamedTuple

_KINDS = "tensorflow_datasets.core.features"
TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
Serialise = Callable[[bytes, int | None], bytes]


class Features(NamedTuple):
    """What an example consists of."""

    shape: tuple[int, int, int] | None  # of an image; None: a text
    class_names: tuple[str, ...] | None = None  # of the label; None: there is no label

    @property
    def value(self) -> str:
        """Returns the name of the feature that is not the label."""
        return "text" if self.shape is None else "image"


class SplitInfo(NamedTuple):
    """What `dataset_info.json` declares of a split."""

    name: str
    shard_lengths: tuple[int, ...]  # records of each shard
    num_bytes: int


def serialiser(features: Features) -> Serialise:
    """Returns a function that makes a record of an encoded value and its label.

    Args:
      features: of the data set.
    """
    from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

    # pyright does not see what protobuf makes.
    examples: Any = tf_example_pb2
    made: Any = tf_feature_pb2

    def serialise(value: bytes, label: int | None) -> bytes:
        values = made.BytesList(value=[value])
        fields = {features.value: made.Feature(bytes_list=values)}
        if label is not None:
            numbers = made.Int64List(value=[label])
            fields["label"] = made.Feature(int64_list=numbers)
        example = examples.Example(features=made.Features(feature=fields))
        return example.SerializeToString(deterministic=True)

    return serialise


def features_json(features: Features) -> dict[str, Any]:
    """Returns the content of `features.json`."""
    fields: dict[str, Any] = {
        "text": {"pythonClassName": f"{_KINDS}.text_feature.Text", "text": {}}
    }
    if features.shape is not None:
        shape = {"dimensions": [str(size) for size in features.shape]}
        fields = {
            "image": {
                "image": {"dtype": "uint8", "shape": shape},
                "pythonClassName": f"{_KINDS}.image_feature.Image",
            }
        }
    if features.class_names is not None:
        fields["label"] = {
            "classLabel": {"numClasses": str(len(features.class_names))},
            "pythonClassName": f"{_KINDS}.class_label_feature.ClassLabel",
        }
    return {
        "featuresDict": {"features": fields},
        "pythonClassName": f"{_KINDS}.features_dict.FeaturesDict",
    }


def labels_text(class_names: tuple[str, ...]) -> str:
    """Returns the content of `label.labels.txt`, a name on each line."""
    return "".join(f"{name}\n" for name in class_names)


def info_json(
    name: str,
    description: str,
    features: Features,
    splits: list[SplitInfo],
    checksums: dict[str, str],
) -> dict[str, Any]:
    """Returns the content of `dataset_info.json`.

    Args:
      name: of the data set with its version, as in `toy:1.0.0`.
      description: a sentence.
      features: of an example.
      splits: in their order.
      checksums: name of a file -> its sha256; TFDS has the field for the downloads of
        a data set, and these files take their place.
    """
    name, _, version = name.partition(":")
    made: dict[str, Any] = {
        "description": description,
        "downloadChecksums": checksums,
        "fileFormat": "array_record",
        "name": name,
        "splits": [
            {
                "filepathTemplate": TEMPLATE,
                "name": split.name,
                "numBytes": str(split.num_bytes),
                "shardLengths": [str(length) for length in split.shard_lengths],
            }
            for split in splits
        ],
        "version": version,
    }
    if features.class_names is not None:
        keys = [{"featureKey": features.value}, {"featureKey": "label"}]
        made["supervisedKeys"] = {"tuple": {"items": keys}}
    return made
