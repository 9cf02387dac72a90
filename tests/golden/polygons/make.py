"""Makes the cases in this folder: random annotation files, and the label pictures that cityscapesScripts draws of them.

    pip install pillow==13.0.0 cityscapesscripts==2.3.0 && python make.py

Needed only to make other cases; the tests read what is committed.
"""

import json
import random
from pathlib import Path

from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.helpers.labels import labels
from cityscapesscripts.preparation.json2labelImg import createLabelImage

HERE = Path(__file__).parent
NAMES = [label.name for label in labels] + ["cargroup", "persongroup", "bicyclegroup"]


def polygon(dice, width, height):
    kind = dice.choice(["few", "star", "ring", "outside", "fractions", "thin", "flat", "line", "steps"])
    x, y = dice.randrange(width), dice.randrange(height)
    near = lambda span: [[x + dice.randint(-span, span), y + dice.randint(-span, span)] for _ in range(dice.randint(3, 9))]
    if kind == "few":
        return near(12)
    if kind == "star":
        return near(40)
    if kind == "ring":
        points = sorted(near(25), key=lambda p: p[0])
        return points + points[:1]
    if kind == "outside":
        return [[dice.randint(-width, 2 * width), dice.randint(-height, 2 * height)] for _ in range(dice.randint(3, 7))]
    if kind == "fractions":
        return [[px + dice.random(), py + dice.random()] for px, py in near(20)]
    if kind == "thin":
        return [[x, y], [x + dice.randint(20, 60), y + dice.randint(0, 3)], [x + dice.randint(5, 60), y + dice.randint(1, 5)]]
    if kind == "flat":
        return [[x, y], [x + 9, y], [x + 20, y], [x + 20, y + 4], [x + 11, y + 4], [x - 6, y + 4]]
    if kind == "line":
        return [[x, y], [x + dice.randint(-30, 30), y + dice.randint(-9, 9)]]
    return [[x + i // 2 * 3, y + (i + 1) // 2 * 2] for i in range(9)]


def main():
    for number in range(12):
        dice = random.Random(number)
        width, height = dice.choice([(96, 64), (128, 64), (61, 47), (160, 90)])
        objects = [{"label": dice.choice(NAMES), "polygon": polygon(dice, width, height)} for _ in range(14)]
        objects[dice.randrange(14)]["deleted"] = 1
        stem = HERE / f"case{number:02d}"
        text = json.dumps({"imgHeight": height, "imgWidth": width, "objects": objects})
        stem.with_suffix(".json").write_text(text + "\n")
        annotation = Annotation()
        annotation.fromJsonText(text)
        createLabelImage(annotation, "ids").save(stem.with_suffix(".labelIds.png"))
        createLabelImage(annotation, "trainIds").save(stem.with_suffix(".labelTrainIds.png"))


main()
