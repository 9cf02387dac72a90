"""What the module writes is what the executable reads."""

import contextlib
import io
import json
import struct
import sys
import tempfile
import unittest
from pathlib import Path

import numpy

import oodseg


def read(path):
    """Header and values of a safetensors file."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    ((name, entry),) = header.items()
    dtype = {"F16": "<f2", "F32": "<f4"}[entry["dtype"]]
    assert entry["data_offsets"] == [0, len(data) - 8 - length]
    return name, numpy.frombuffer(data[8 + length :], dtype).reshape(entry["shape"]), metadata


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class Logits(Folder):
    def write(self, array, name="a.safetensors", **arguments):
        arguments.setdefault("classes", ["road", "sky"])
        path = self.folder / name
        oodseg.write_logits(path, array, **arguments)
        return read(path)

    def fails(self, words, array, **arguments):
        with self.assertRaisesRegex(ValueError, words):
            self.write(array, **arguments)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_values_shape_and_metadata_are_kept(self):
        array = numpy.arange(-6, 6).reshape(2, 2, 3)
        name, values, metadata = self.write(array, "b-1.x.safetensors", size=(4, 6), align_corners=True, network="mine")
        self.assertEqual((name, values.dtype.name), ("logits", "float32"))
        numpy.testing.assert_array_equal(values, array)
        classes = json.loads(metadata.pop("classes"))
        self.assertEqual([entry["name"] for entry in classes["classes"]], ["road", "sky"])
        expected = {"format_version": "2", "sample_id": "b-1.x", "network": "mine", "align_corners": "true"}
        self.assertEqual(metadata, {**expected, "output_height": "4", "output_width": "6"})

    def test_half_precision_stays_and_a_batch_of_one_is_taken_off(self):
        array = numpy.zeros((1, 2, 3, 3), numpy.float16)
        array[0, 0] = 7
        _, values, metadata = self.write(array)
        self.assertEqual((values.dtype.name, values.shape), ("float16", (2, 3, 3)))
        self.assertEqual((metadata["output_height"], metadata["align_corners"]), ("3", "false"))

    def test_void_comes_last(self):
        array = numpy.stack([numpy.full((2, 2), value) for value in (10.0, 20.0, 30.0)])
        for void, order in (("first", [20, 30, 10]), ("last", [10, 20, 30]), (1, [10, 30, 20])):
            _, values, _ = self.write(array, void=void)
            self.assertEqual(values[:, 0, 0].tolist(), order)

    def test_views_in_any_memory_order_are_understood(self):
        channels_last = numpy.random.default_rng(0).normal(size=(3, 4, 2))
        _, values, _ = self.write(channels_last.transpose(2, 0, 1))
        numpy.testing.assert_allclose(values, channels_last.transpose(2, 0, 1), rtol=1e-6)
        _, swapped, _ = self.write(channels_last.transpose(2, 0, 1).astype(">f4"))
        numpy.testing.assert_array_equal(swapped, values)

    def test_class_sets_have_names(self):
        _, _, metadata = self.write(numpy.zeros((19, 1, 2)), classes="cityscapes")
        self.assertIn('"name":"cityscapes"', metadata["classes"])
        self.assertIn("camvid", oodseg.class_set_names())
        self.assertEqual(len(oodseg.class_set("ade20k-150")["classes"]), 150)

    def test_own_class_sets_are_files_or_dictionaries(self):
        entries = [{"name": "field", "color": "#00ff00", "id": 7}, {"name": "cow", "color": "#804000"}]
        described = {"name": "farm", "classes": entries}
        _, _, metadata = self.write(numpy.zeros((2, 1, 1)), classes=described)
        self.assertEqual(json.loads(metadata["classes"])["classes"][0], {"name": "field", "color": "#00FF00", "id": 7})
        if sys.version_info < (3, 11):
            self.skipTest("TOML needs Python 3.11")
        path = self.folder / "farm.toml"
        path.write_text('name = "farm"\nclasses = [{ name = "a", color = "#000000" }, { name = "b", color = "#FFFFFF" }]\n')
        _, _, metadata = self.write(numpy.zeros((2, 1, 1)), classes=path)
        self.assertEqual(json.loads(metadata["classes"])["name"], "farm")

    def test_what_cannot_be_used_is_refused_and_nothing_is_written(self):
        zeros = numpy.zeros((2, 3, 3))
        self.fails(r"shape \(3, 3\)", zeros[0])
        self.fails("4 channels for 2 classes", numpy.zeros((4, 3, 3)))
        self.fails("one channel more .*not None", numpy.zeros((3, 3, 3)))
        self.fails("say which is none", numpy.zeros((3, 3, 3)), void=5)
        self.fails("2 channels for 2 classes, 3 with void", zeros, void="last")
        self.fails("probabilities", numpy.full((2, 3, 3), 0.5))
        bad = zeros.copy()
        bad[1, 2, 0] = numpy.nan
        self.fails(r"logit at \[1, 2, 0\] of a is nan", bad)
        self.fails("not SAMPLE.safetensors", zeros, name="a.npy")
        self.fails("not SAMPLE.safetensors", zeros, name=".safetensors")
        self.fails("not SAMPLE.safetensors", zeros, name="a b.safetensors")
        self.fails("the size of a is", zeros, size=(0, 4))
        self.fails("no class set 'martian'.*cityscapes", zeros, classes="martian")
        self.fails("'road' twice", zeros, classes=["road", "road"])
        self.fails("1 classes", zeros, classes=["road"])
        self.fails("type <U1", numpy.array([[["a"]], [["b"]]]))
        self.fails("needs `name` and `color`", zeros, classes={"name": "x", "classes": [{"name": "a"}, {"name": "b"}]})

    def test_tensors_of_pytorch_are_understood(self):
        try:
            import torch
        except ImportError:
            self.skipTest("there is no torch")
        tensor = torch.arange(8.0, requires_grad=True).reshape(1, 2, 2, 2)
        _, values, _ = self.write(tensor)
        self.assertEqual(values.reshape(-1).tolist(), list(range(8)))
        _, values, _ = self.write(tensor.to(torch.bfloat16))
        self.assertEqual(values.dtype.name, "float32")
        _, values, _ = self.write(tensor.half())
        self.assertEqual(values.dtype.name, "float16")


class Scores(Folder):
    def test_values_and_metadata_are_kept(self):
        path = self.folder / "new" / "a.safetensors"
        oodseg.write_scores(path, [[[0.5, -1], [2, 1e6]]], method="other", size=(4, 4))
        name, values, metadata = read(path)
        self.assertEqual((name, values.dtype.name), ("score", "float32"))
        self.assertEqual(values.tolist(), [[0.5, -1.0], [2.0, 1e6]])
        self.assertEqual((metadata["method"], metadata["format_version"], metadata["output_width"]), ("other", "1", "4"))

    def test_what_cannot_be_used_is_refused(self):
        path = self.folder / "a.safetensors"
        for words, array in (
            (r"shape \(2, 3, 4\)", numpy.zeros((2, 3, 4))),
            (r"score at \[0, 1\] of a is inf, and 2 are not finite in all", [[0, numpy.inf], [0, -numpy.inf]]),
            (r"score at \[0, 1\] of a is 1e\+39, more than single precision holds", [[0, 1e39]]),
            (r"score at \[1\] of a is inf.*ends at 65504", numpy.array([0, numpy.inf], numpy.float16)),
        ):
            with self.assertRaisesRegex(ValueError, words):
                oodseg.write_scores(path, array, method="x")
        self.assertFalse(path.exists())


class Tables(Folder):
    def setUp(self):
        super().setUp()
        self.path = self.folder / "t.parquet"
        self.library = None
        for name in ("pyarrow", "polars"):
            try:
                __import__(name)
                self.library = name
                break
            except ImportError:
                pass

    def write(self, columns):
        if self.library is None:
            self.skipTest("there is neither pyarrow nor polars")
        if self.library == "polars":
            import polars

            polars.DataFrame(columns).write_parquet(self.path)
        else:
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.table(columns), self.path)

    def test_columns_become_arrays(self):
        self.write({"sample_id": ["a", "b"], "n": [1, 2], "x": [0.5, None], "l": [[1, 2], []], "b": [True, False]})
        table = oodseg.read_table(self.path)
        self.assertEqual(list(table), ["sample_id", "n", "x", "l", "b"])
        self.assertEqual((list(table["sample_id"]), list(table["n"])), (["a", "b"], [1, 2]))
        self.assertTrue(table["x"][0] == 0.5 and numpy.isnan(table["x"][1]))
        self.assertEqual([list(values) for values in table["l"]], [[1, 2], []])
        self.assertEqual(list(table["b"]), [True, False])
        self.assertEqual(list(oodseg.read_table(self.path, ["n"])), ["n"])
        with self.assertRaisesRegex(KeyError, "has no column 'y'; it has sample_id, n"):
            oodseg.read_table(self.path, ["y"])

    def test_pyarrow_and_polars_read_the_same(self):
        try:
            import polars  # noqa: F401
            import pyarrow  # noqa: F401
        except ImportError:
            self.skipTest("there are not both of them")
        from oodseg import _tables

        self.write({"s": ["a", None], "n": [1, 2], "x": [0.5, None], "l": [[1.5], None]})
        one, two = oodseg.read_table(self.path), _tables._with_polars(self.path, None)
        self.assertEqual(list(one), list(two))
        numpy.testing.assert_array_equal(one["x"], two["x"])
        self.assertEqual((list(one["s"]), list(one["n"])), (list(two["s"]), list(two["n"])))
        self.assertEqual(list(one["l"][0]), list(two["l"][0]))

    def test_what_is_no_table_is_named_with_the_tables_that_there_are(self):
        with self.assertRaisesRegex(FileNotFoundError, "there is no table .*none.parquet: .* has no tables"):
            oodseg.read_table(self.folder / "none.parquet")
        with self.assertRaisesRegex(FileNotFoundError, "there is no folder .* either"):
            oodseg.read_table(self.folder / "none" / "none.parquet")
        (self.folder / "in-progress").mkdir()
        with self.assertRaisesRegex(IsADirectoryError, "is a folder: .*did not finish"):
            oodseg.read_table(self.folder)
        (self.folder / "thresholds").mkdir()
        for name in ("in-progress/a.parquet", "segments.parquet", "images.csv", "thresholds/a.parquet", "a.json"):
            (self.folder / name).write_bytes(b"")
        listed = r"the tables in .* are images\.csv, segments\.parquet, thresholds/a\.parquet$"
        with self.assertRaisesRegex(IsADirectoryError, listed):
            oodseg.read_table(self.folder)
        with self.assertRaisesRegex(FileNotFoundError, listed):
            oodseg.read_table(self.folder / "objects.parquet")
        (self.folder / "segments.parquet").write_bytes(b"no parquet")
        if self.library is not None:
            with self.assertRaisesRegex(ValueError, "segments.parquet is not a table"):
                oodseg.read_table(self.folder / "segments.parquet")

    def test_csv_is_read_as_what_its_columns_are(self):
        path = self.folder / "images.csv"
        header = "sample_id,n,x,is_kept,text,number,empty\n"
        path.write_text(header + '0001,3,0.5,true,"a, b",01,\n0002,-4,,false,,1_0,\n')
        table = oodseg.read_table(path)
        self.assertEqual(list(table), header.strip().split(","))
        self.assertEqual(list(table["sample_id"]), ["0001", "0002"])
        self.assertEqual((table["n"].dtype.kind, list(table["n"])), ("i", [3, -4]))
        self.assertTrue(table["x"][0] == 0.5 and numpy.isnan(table["x"][1]))
        self.assertEqual((table["is_kept"].dtype.kind, list(table["is_kept"])), ("b", [True, False]))
        self.assertEqual((list(table["text"]), list(table["number"])), (["a, b", None], ["01", "1_0"]))
        self.assertTrue(numpy.isnan(table["empty"]).all())
        self.assertEqual(list(oodseg.read_table(path, ["x", "n"])), ["x", "n"])
        with self.assertRaisesRegex(KeyError, "has no column 'y'"):
            oodseg.read_table(path, "y")
        path.write_text(header)
        self.assertEqual([len(column) for column in oodseg.read_table(path).values()], [0] * 7)
        path.write_text("a,b\n1\n")
        with self.assertRaisesRegex(ValueError, "row 1 has 1 fields, the header 2"):
            oodseg.read_table(path)
        path.write_text("")
        with self.assertRaisesRegex(ValueError, "it is empty"):
            oodseg.read_table(path)

    def test_without_a_library_the_error_says_what_to_install(self):
        self.path.write_bytes(b"")
        hidden = {name: sys.modules.get(name) for name in ("pyarrow", "pyarrow.parquet", "polars")}
        sys.modules.update(dict.fromkeys(hidden))
        try:
            with self.assertRaisesRegex(ImportError, "pip install pyarrow"):
                oodseg.read_table(self.path)
        finally:
            for name, module in hidden.items():
                if module is None:
                    del sys.modules[name]
                else:
                    sys.modules[name] = module


class Samples(Folder):
    def test_images_are_listed_as_the_index_has_them(self):
        entries = [
            {"sample_id": "a", "image": "x/a.png", "mask": "masks/a.png", "width": 6, "height": 4},
            {"sample_id": "b", "image": "x/b.png", "mask": None, "width": 6, "height": 4},
        ]
        (self.folder / "index.json").write_text(json.dumps({"image_root": "/data", "samples": entries}))
        first, second = oodseg.samples(self.folder)
        self.assertEqual(first, ("a", Path("/data/x/a.png"), self.folder / "masks/a.png", (4, 6)))
        self.assertEqual((second.id, second.mask, second.size), ("b", None, (4, 6)))

    def test_a_folder_without_an_index(self):
        with self.assertRaisesRegex(FileNotFoundError, "has no index.json.*cityscapes-io prepare"):
            oodseg.samples(self.folder)


class Executable(Folder):
    def setUp(self):
        super().setUp()
        try:
            oodseg.executable()
        except FileNotFoundError:
            self.skipTest("the executable is not installed")

    def test_results_are_returned_and_errors_are_raised(self):
        self.assertIn("drawn images in", oodseg.run("demo-data", "--scale", "small", "-q", "--output", self.folder / "demo"))
        with self.assertRaisesRegex(RuntimeError, "segment-metrics --logits: error: .*does not"):
            oodseg.run("segment-metrics", "--logits", self.folder / "none", "--output", self.folder / "out")

    def test_log_lines_are_passed_on(self):
        with contextlib.redirect_stderr(io.StringIO()) as log:
            oodseg.run("demo-data", "--scale", "small", "--output", self.folder / "demo")
        self.assertIn("demo", log.getvalue())



if __name__ == "__main__":
    unittest.main()
