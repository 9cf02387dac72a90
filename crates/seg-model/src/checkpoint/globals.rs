//! The functions and types that a pickle names.

use std::rc::Rc;

use anyhow::{Result, ensure};
use safetensors::Dtype;

/// Functions and types that a pickle may name.
#[derive(Clone, Debug)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    RebuildFromType,
    StorageType(Dtype),
    /// Any other one, by its full name. It is never called, and what it would return is only known by this name.
    Foreign(Rc<str>),
}

/// Most characters of a name that an error shows.
const MAX_SHOWN: usize = 200;

/// Modules whose functions reach the system. Nothing that is saved beside weights comes from them.
const SYSTEM: [&str; 22] = [
    "_posixsubprocess",
    "asyncio",
    "bdb",
    "code",
    "commands",
    "ctypes",
    "http",
    "importlib",
    "multiprocessing",
    "nt",
    "os",
    "pdb",
    "posix",
    "pty",
    "runpy",
    "shutil",
    "socket",
    "subprocess",
    "sys",
    "timeit",
    "urllib",
    "webbrowser",
];

/// The function or type of a name.
///
/// Whatever it is, it is not called. Names that weights do not need are [`Global::Foreign`]: training frameworks save objects of
/// their own beside the weights.
///
/// # Errors
/// Returns an error if the name is one of those with which a pickle attacks the machine of its reader.
pub(super) fn global(module: &str, name: &str) -> Result<Global> {
    ensure!(
        !attacks(module, name),
        "it tries to call {module:?} {name:?}, which weights do not need; nothing was called: \
         save the network's state_dict() alone, and do not trust the file if it is not yours"
    );
    if matches!(module, "torch" | "torch.cuda")
        && let Some(dtype) = storage_type(name)
    {
        return Ok(Global::StorageType(dtype));
    }
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            Global::RebuildParameter
        }
        ("torch._tensor", "_rebuild_from_type_v2") => Global::RebuildFromType,
        _ => {
            let full = format!("{module}.{name}");
            Global::Foreign(full.chars().take(MAX_SHOWN).collect::<String>().into())
        }
    })
}

fn attacks(module: &str, name: &str) -> bool {
    let (top, _) = module.split_once('.').unwrap_or((module, ""));
    let is_builtin = matches!(module, "builtins" | "__builtin__");
    let runs_code = matches!(
        name,
        "eval" | "exec" | "execfile" | "compile" | "open" | "input" | "__import__" | "breakpoint"
    );
    SYSTEM.contains(&top) || (is_builtin && runs_code)
}

fn storage_type(name: &str) -> Option<Dtype> {
    Some(match name {
        "FloatStorage" => Dtype::F32,
        "DoubleStorage" => Dtype::F64,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "LongStorage" => Dtype::I64,
        "IntStorage" | "QInt32Storage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" | "QInt8Storage" => Dtype::I8,
        "ByteStorage" | "QUInt8Storage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        "ComplexFloatStorage" => Dtype::C64,
        _ => return None,
    })
}
