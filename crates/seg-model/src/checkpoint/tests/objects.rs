//! Objects of training frameworks beside the weights are skipped; weights that depend on one are an error.

use super::*;

/// Names of objects that training scripts save beside the weights.
const FOREIGN: [(&str, &str); 26] = [
    ("pytorch_lightning.utilities.parsing", "AttributeDict"),
    ("lightning.fabric.utilities.data", "AttributeDict"),
    ("pathlib", "PosixPath"),
    ("pathlib._local", "WindowsPath"),
    ("mmengine.logging.history_buffer", "HistoryBuffer"),
    ("mmengine.config.config", "ConfigDict"),
    ("datetime", "datetime"),
    ("collections", "defaultdict"),
    ("collections", "Counter"),
    ("collections", "deque"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("argparse", "Namespace"),
    ("enum", "Enum"),
    ("builtins", "getattr"),
    ("builtins", "complex"),
    ("builtins", "set"),
    ("functools", "partial"),
    ("torch", "device"),
    ("torch", "Size"),
    ("torch", "float32"),
    ("torch.optim.lr_scheduler", "LambdaLR"),
    ("omegaconf.dictconfig", "DictConfig"),
    ("yacs.config", "CfgNode"),
    ("__main__", "Config"),
    ("copyreg", "_reconstructor"),
];

/// Puts an object of a type onto the stack in each of the ways in which pickles make objects.
fn object(p: Pickler, (module, name): (&str, &str), way: usize) -> Pickler {
    let p = p.global(module, name);
    match way {
        // a call, and attributes
        0 => p.text("x").op([0x85, b'R']).op(b"}").text("y").op(b"Nsb"),
        // a new object that is filled as a dictionary
        1 => p.op(b")\x81(").text("lr").op(b"Nu"),
        // a new object that is filled as a list
        2 => p.op(b")\x81(NNe"),
        // a new object with arguments by name
        3 => p.op(b")}").op([0x92]),
        // the type itself
        _ => p,
    }
}

#[test]
fn objects_beside_the_weights_are_skipped() -> Result<()> {
    for foreign in FOREIGN {
        for way in 0..5 {
            let p = Pickler::new().op(b"}(").text("extra");
            let p = object(p, foreign, way).text("state_dict").dict(&[PLAIN]);
            let p = p.text("list").op(b"](");
            let file = object(p, foreign, way).op(b"e").op(b"u").end();
            for file in both(&file, &six())? {
                assert_eq!(read(&file)?.len(), 1, "{foreign:?} {way}");
            }
        }
    }
    Ok(())
}

/// `class State(OrderedDict)` with attributes, which holds the weights.
#[test]
fn types_that_are_filled_like_dictionaries_hold_weights() -> Result<()> {
    for class in [("mine", "State"), ("collections", "defaultdict")] {
        let p = Pickler::new().op(b"}").text("state_dict");
        let p = p.global(class.0, class.1).op(b")R}").text("x").op(b"Nsb(");
        let object = p.text("a").tensor(&PLAIN).op(b"us").end();
        for file in both(&object, &six())? {
            assert_eq!(read(&file)?[0].2.len(), 6, "{class:?}");
        }
    }
    Ok(())
}

/// Tensors of types that are derived from plain ones, complex ones, and parameters with attributes.
#[test]
fn tensors_are_told_from_other_objects() -> Result<()> {
    let derived = |kind: (&str, &str)| {
        let p = Pickler::new().op(b"}(").text("b").tensor(&PLAIN).text("a");
        let p = p.global("torch._tensor", "_rebuild_from_type_v2").op(b"(");
        let p = p.global("torch._utils", "_rebuild_parameter");
        let p = p.global(kind.0, kind.1).op(b"(").tensor(&PLAIN).op([0x89]);
        p.op(b"}t}tRu").end()
    };
    for (kind, n) in [
        (("torch", "Tensor"), 2),
        (("torch.nn.parameter", "Parameter"), 2),
        (("torchvision.tv_tensors", "Image"), 1),
    ] {
        for file in both(&derived(kind), &six())? {
            assert_eq!(read(&file)?.len(), n, "{kind:?}");
        }
    }
    let complex = View {
        name: "spectrum",
        kind: "ComplexDoubleStorage",
        key: "1",
        ..PLAIN
    };
    let file = zip(&Pickler::new().dict(&[PLAIN, complex]).end(), &six())?;
    assert_eq!(read(&file)?.len(), 1);
    Ok(())
}

#[test]
fn files_without_weights_say_what_they_hold() -> Result<()> {
    let model = Pickler::new().global("mine.nets", "ENet").op(b")\x81}b");
    let inside = Pickler::new().op(b"}").text("model");
    let inside = inside.global("mine.nets", "ENet").op(b")\x81}bs");
    for (object, words) in [
        (model.end(), "only a \"mine.nets.ENet\""),
        (inside.end(), "the keys \"model\" (a \"mine.nets.ENet\")"),
        (Pickler::new().op(b"}").end(), "no dictionary of tensors"),
    ] {
        for file in both(&object, &[])? {
            check_fails(&file, words);
            check_fails(&file, "state_dict()");
        }
    }
    Ok(())
}
