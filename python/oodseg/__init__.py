"""Out-of-distribution detection in semantic segmentation: files for the stages of the executable ``oodseg``, and back.

>>> import oodseg
>>> oodseg.write_logits("outputs/a.safetensors", logits, classes="cityscapes", size=(1024, 2048))  # doctest: +SKIP
>>> oodseg.run("seg-model", "adopt", "--from", "outputs", "--folder", "photos", "--output", "logits")  # doctest: +SKIP
>>> oodseg.read_table("segments/segments.parquet")["entropy_mean"].mean()  # doctest: +SKIP
"""

from ._classes import class_set, class_set_names
from ._executable import executable, run
from ._mlflow import to_mlflow
from ._outputs import write_logits, write_scores
from ._tables import read_table

__all__ = [
    "class_set",
    "class_set_names",
    "executable",
    "read_table",
    "run",
    "to_mlflow",
    "write_logits",
    "write_scores",
]
