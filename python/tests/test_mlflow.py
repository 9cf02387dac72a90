"""A training becomes a run that MLflow reads."""

import importlib.util
import json
import os
import tempfile
import unittest
from pathlib import Path

import oodseg

HAS = {name: importlib.util.find_spec(name) is not None for name in ("pyarrow", "mlflow")}


@unittest.skipUnless(HAS["pyarrow"], "there is no pyarrow")
class Training(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.training = self.folder / "retrained" / "train"
        self.training.mkdir(parents=True)
        self.write("log.parquet", {"step": [1, 2, 4], "loss": [2.0, float("nan"), 1.0], "kind": ["a", "b", "c"]})
        self.write("validation.parquet", {"step": [4], "mean_iou": [0.5]})
        arguments = {"ood_weight": 0.9, "init": None, "objective": {"distill": True}, "network": "erfnet"}
        manifest = {"stage": "ood-train", "tool_version": "0.1.0", "seconds": 8.0, "arguments": arguments}
        (self.training / "manifest.json").write_text(json.dumps(manifest))
        self.store = self.folder / "mlruns"

    def write(self, name, columns):
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table(columns), self.training / name)

    def test_files_have_the_layout_of_a_file_store(self):
        run_id = oodseg.to_mlflow(self.training, self.store)
        (meta,) = self.store.glob(f"*/{run_id}/meta.yaml")
        run = meta.parent
        lines = (run / "metrics" / "loss").read_text().split("\n")
        self.assertEqual([line.split()[1:] for line in lines if line], [["2.0", "1"], ["1.0", "4"]])
        times = [int(line.split()[0]) for line in lines if line]
        self.assertEqual(times[1] - times[0], 6000)
        self.assertEqual((run / "metrics" / "validation" / "mean_iou").read_text().split()[1:], ["0.5", "4"])
        params = {path.name: path.read_text() for path in (run / "params").iterdir()}
        self.assertEqual(params, {"ood_weight": "0.9", "objective.distill": "true", "network": "erfnet"})
        self.assertEqual((run / "tags" / "mlflow.runName").read_text(), "retrained")
        # again, and under another name: one experiment, one run
        self.assertEqual(oodseg.to_mlflow(self.training, self.store, name="again"), run_id)
        self.assertEqual(len(list(self.store.glob("*/*/meta.yaml"))), 1)
        self.assertEqual(len(list(self.store.glob("*/meta.yaml"))), 1)

    def test_unfinished_trainings_are_refused(self):
        with self.assertRaisesRegex(FileNotFoundError, "not finished"):
            oodseg.to_mlflow(self.folder, self.store)
        (self.training / "manifest.json").write_text(json.dumps({"stage": "seg-model infer"}))
        with self.assertRaisesRegex(FileNotFoundError, "an output of seg-model infer"):
            oodseg.to_mlflow(self.training, self.store)
        self.assertFalse(self.store.exists())

    @unittest.skipUnless(HAS["mlflow"], "there is no mlflow")
    def test_mlflow_reads_the_run(self):
        # newer versions only read file stores on request
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow.tracking import MlflowClient

        run_id = oodseg.to_mlflow(self.training, self.store, experiment="street")
        client = MlflowClient(self.store.as_uri())
        run = client.get_run(run_id)
        self.assertEqual((run.info.run_name, run.info.status), ("retrained", "FINISHED"))
        self.assertEqual(run.data.params["ood_weight"], "0.9")
        self.assertEqual(run.data.metrics["loss"], 1.0)
        history = client.get_metric_history(run_id, "loss")
        self.assertEqual([(metric.step, metric.value) for metric in history], [(1, 2.0), (4, 1.0)])
        self.assertEqual(client.get_experiment_by_name("street").experiment_id, run.info.experiment_id)
        self.assertIn("log.parquet", [file.path for file in client.list_artifacts(run_id)])


if __name__ == "__main__":
    unittest.main()
