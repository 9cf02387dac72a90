"""Out-of-distribution detection in semantic segmentation: files for the stages of the executable ``oodseg``, and back.

>>> import oodseg
>>> for sample in oodseg.samples("labels/road-anomaly21"):  # doctest: +SKIP
...     logits = network(load(sample.image))
...     oodseg.write_logits(f"outputs/{sample.id}.safetensors", logits, classes="cityscapes", size=sample.size)
>>> oodseg.run("seg-model", "adopt", "--from", "outputs", "--labels", "labels/road-anomaly21", "--output", "logits")  # doctest: +SKIP
>>> oodseg.read_table("segments/segments.parquet")["entropy_mean"].mean()  # doctest: +SKIP
"""

from ._classes import class_set, class_set_names
from ._executable import executable, run
from ._mlflow import to_mlflow
from ._outputs import write_logits, write_scores
from ._samples import Sample, samples
from ._tables import read_table

__all__ = [
    "Sample",
    "class_set",
    "class_set_names",
    "executable",
    "read_table",
    "run",
    "samples",
    "to_mlflow",
    "write_logits",
    "write_scores",
]
