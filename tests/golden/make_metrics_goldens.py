"""Makes the golden of COCO's evaluation, which metrics_test.cc beside this file compares with.

    python3 -m pip install pycocotools safetensors
    python3 tests/golden/make_metrics_goldens.py

Random objects and detections of a few classes, crowds among them, and what pycocotools makes of them. Objects have an
area of their own, as those with a mask have. Coordinates are quarters of pixels, which float32 holds exactly.
"""

import pathlib

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import golden_file

FOLDER = pathlib.Path(__file__).resolve().parent / "data"
IMAGES, CLASSES, SIDE = 25, 4, 400


def quarters(values):
    return np.round(np.asarray(values) * 4) / 4


def random_box(random):
    size = quarters(np.exp(random.uniform(np.log(8), np.log(220), 2)))
    corner = quarters(random.uniform(0, SIDE - size))
    return np.concatenate([corner, size])


def main():
    random = np.random.default_rng(7)
    objects, detections = [], []  # rows: image, class, x, y, width, height, then crowd and area, or score
    for image in range(IMAGES):
        for _ in range(random.integers(0, 9)):
            # The last class is rare, and has no large objects: no figure for it is of many.
            label = random.choice(CLASSES, p=[0.5, 0.3, 0.15, 0.05])
            box = random_box(random)
            if label == CLASSES - 1:
                box[2:] = np.minimum(box[2:], 20)
            area = np.float32(box[2] * box[3] * random.uniform(0.4, 1))
            objects.append([image, label, *box, random.random() < 0.1, area])
            for _ in range(random.integers(0, 4)):
                near = quarters(np.maximum(box + random.normal(0, 0.12, 4) * np.tile(box[2:], 2), 0.25))
                found = label if random.random() < 0.9 else random.integers(CLASSES)
                detections.append([image, found, *near, random.random()])
        # More than 10 of a class in some images, and than 100 in one.
        for _ in range(170 if image == 5 else random.integers(0, 30)):
            label = random.choice(CLASSES, p=[0.8, 0.1, 0.05, 0.05])
            detections.append([image, label, *random_box(random), 0.7 * random.random()])
    objects, detections = np.array(objects, np.float32), np.array(detections, np.float32)

    truth = COCO()
    truth.dataset = {
        "images": [{"id": image} for image in range(IMAGES)],
        "categories": [{"id": label} for label in range(CLASSES)],
        "annotations": [
            {"id": i + 1, "image_id": int(row[0]), "category_id": int(row[1]), "bbox": row[2:6].tolist(),
             "iscrowd": int(row[6]), "area": float(row[7])}
            for i, row in enumerate(objects)
        ],
    }
    truth.createIndex()
    found = truth.loadRes([
        {"image_id": int(row[0]), "category_id": int(row[1]), "bbox": row[2:6].tolist(), "score": float(row[6])}
        for row in detections
    ])
    evaluation = COCOeval(truth, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    by_class = evaluation.eval["precision"][:, :, :, 0, 2].mean(axis=(0, 1))
    path = FOLDER / "coco_evaluation.safetensors"
    golden_file.write(path, {"objects": objects, "detections": detections, "summary": evaluation.stats,
                             "by_class": by_class}, {})
    print(f"{path.name}: {path.stat().st_size} bytes, by class {by_class}")


if __name__ == "__main__":
    main()
