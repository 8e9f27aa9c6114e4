"""Reads an exported run as other tools do; run by a Python that has them, which need not have this package.

    python foreign_readers.py READER FOLDER NAMES OUT

writes OUT, an npz archive: by the photo's flat name, a label map whose values are places in NAMES (JSON), from 1.
"""

import json
import sys
from pathlib import Path

import numpy as np


def datumaro(kind):
    """What CVAT imports and exports with."""

    def read(folder, names):
        from datumaro import AnnotationType, Dataset

        if kind == "coco_instances":  # its layout: annotations/instances_SUBSET.json, images/SUBSET
            for name, place in (("annotations.json", "annotations/instances_a.json"), ("images", "images/a")):
                (folder / name).rename(folder / "moved")
                (folder / place).parent.mkdir(exist_ok=True)
                (folder / "moved").rename(folder / place)
        data = Dataset.import_from(str(folder), kind)
        told = [entry.name for entry in data.categories()[AnnotationType.label]]
        for item in data:
            labels = np.zeros(item.media.data.shape[:2], np.uint16)
            for mask in item.annotations:
                if mask.type == AnnotationType.mask and told[mask.label] in names:
                    inside = np.asarray(mask.image) > 0
                    assert not labels[inside].any()
                    labels[inside] = names.index(told[mask.label]) + 1
            yield Path(item.id).stem, labels

    return read


def labelme(folder, names):
    """LabelMe's own reader, and its own way from shapes to labels."""
    from labelme._label_file import LabelFile
    from labelme.utils import img_data_to_arr, shapes_to_label

    assert (folder / "labels.txt").read_text("utf-8").split("\n")[:-1] == names
    for path in sorted(folder.glob("*.json")):
        if path.name == "pnpovss.json":
            continue
        file = LabelFile(str(path))
        size = img_data_to_arr(file.image_data).shape[:2]
        numbers = {name: number for number, name in enumerate(["_background_", *names])}
        yield path.stem, shapes_to_label((*size, 3), file.shapes, numbers)[0]


def label_studio(folder, names):
    """The brush masks of Label Studio's converter; its checks of tasks and labels."""
    from label_studio_sdk.converter.brush import decode_rle
    from label_studio_sdk.label_interface import LabelInterface

    config = LabelInterface((folder / "label_config.xml").read_text("utf-8"))
    config.validate()
    assert list(config.get_control("label").labels) == names
    for task in json.loads((folder / "tasks.json").read_text("utf-8")):
        name = Path(task["data"]["image"]).stem
        [prediction] = task["predictions"]
        assert config.validate_prediction(prediction), task
        labels = None
        for region in prediction["result"]:
            size = region["original_height"], region["original_width"]
            labels = np.zeros(size, np.uint16) if labels is None else labels
            values = decode_rle(region["value"]["rle"]).reshape(*size, 4)[..., 3]
            assert set(np.unique(values)) <= {0, 255}
            labels[values == 255] = names.index(region["value"]["brushlabels"][0]) + 1
        if labels is not None:
            yield name, labels


def fiftyone(folder, names):
    """The importer that `fiftyone.types.ImageSegmentationDirectory` stands for; it needs no database."""
    from fiftyone.utils.data.importers import ImageSegmentationDirectoryImporter

    assert list(json.loads((folder / "mask_targets.json").read_text("utf-8")).values()) == names
    with ImageSegmentationDirectoryImporter(dataset_dir=str(folder), load_masks=True) as importer:
        for path, _, label in importer:
            yield Path(path).stem, label.mask


def fiftyone_coco(folder, names):
    """FiftyOne's reader of COCO: boxes in parts of the photo, and what is in each box."""
    from fiftyone.utils.coco import COCODetectionDatasetImporter

    importer = COCODetectionDatasetImporter(
        data_path=str(folder / "images"), labels_path=str(folder / "annotations.json"), label_types="segmentations"
    )
    with importer:
        for path, size, found in importer:
            labels = np.zeros((size.height, size.width), np.uint16)
            for each in found.detections if found else ():
                left, top = round(each.bounding_box[0] * size.width), round(each.bounding_box[1] * size.height)
                height, width = each.mask.shape
                labels[top : top + height, left : left + width][each.mask] = names.index(each.label) + 1
            yield Path(path).stem, labels


READERS = {
    "cvat by datumaro": datumaro("cvat"),
    "voc by datumaro": datumaro("voc_segmentation"),
    "coco by datumaro": datumaro("coco_instances"),
    "coco by fiftyone": fiftyone_coco,
    "fiftyone by fiftyone": fiftyone,
    "labelme by labelme": labelme,
    "labelstudio by label-studio-sdk": label_studio,
}

if __name__ == "__main__":
    reader, folder, names, out = sys.argv[1:]
    np.savez(out, **dict(READERS[reader](Path(folder), json.loads(names))))
