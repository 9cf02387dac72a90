//! Reader of the pickles in `PyTorch` checkpoints. It builds data and calls nothing.
//!
//! A pickle is a program for a small stack machine that may name any function and have it called. This one knows the
//! handful of names of which weights consist, and gives each its meaning itself; any other name is an error. Values are
//! in one vector and refer to each other by position, so that neither depth nor cycles of a hostile file matter, and
//! the number of steps and bytes is limited.

use std::collections::HashMap;
use std::io::{BufRead, Read};
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use safetensors::Dtype;

/// Steps and copied references that a pickle may take. Weights with the state of their optimizer take about 10⁵.
const MAX_STEPS: usize = 1 << 21;
/// Bytes of all texts. The longest known ones are training logs.
const MAX_TEXT: u64 = 1 << 26;
/// Bytes of a module's or function's name.
const MAX_NAME: u64 = 256;
/// Dimensions of a tensor.
const MAX_RANK: usize = 8;

/// Position of a value among [`Pickle::values`].
pub(super) type Id = usize;

/// What a pickle holds.
#[derive(Debug)]
pub(super) struct Pickle {
    values: Vec<Value>,
    root: Id,
}

/// Plain data, and the few kinds of objects that weights consist of.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Bool(bool),
    Int(i128),
    Text(Rc<str>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Rc<Storage>),
    Tensor(Box<StoredTensor>),
    /// Something without a meaning for weights: `None`, numbers with a fraction, a training's arguments.
    Inert,
}

/// Names that a pickle may use.
#[derive(Clone, Copy, Debug)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    StorageType(Dtype),
    /// Its results are never looked at.
    Inert,
}

/// A run of numbers that tensors are views of.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) dtype: Dtype,
    /// Name under which the file has the numbers.
    pub(super) key: Rc<str>,
    /// Numbers under that name.
    pub(super) numel: u64,
    /// The part of them that this storage is: first number, and how many.
    pub(super) part: (u64, u64),
}

/// A strided view of a storage. Nothing is checked against the storage yet.
#[derive(Clone, Debug)]
pub(super) struct StoredTensor {
    pub(super) storage: Rc<Storage>,
    /// Number of the storage's part at which the view starts.
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    /// Numbers from one index to the next, for each dimension.
    pub(super) strides: Vec<usize>,
}

impl Pickle {
    /// Reads one pickle up to its end; what follows stays in `input`.
    ///
    /// # Errors
    /// If it ends early, is damaged, or names what weights do not consist of.
    pub(super) fn read(input: &mut impl BufRead) -> Result<Self> {
        let mut machine = Machine {
            input: Input { inner: input, n: 0 },
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            steps: 0,
        };
        let root = machine
            .run()
            .with_context(|| format!("at byte {} of its pickle", machine.input.n))?;
        Ok(Self {
            values: machine.values,
            root,
        })
    }

    /// The value that the pickle is of.
    pub(super) fn root(&self) -> &Value {
        self.get(self.root)
    }

    /// The value at a position that another value has.
    pub(super) fn get(&self, id: Id) -> &Value {
        &self.values[id]
    }

    /// All storages, in the order of the file.
    pub(super) fn storages(&self) -> impl Iterator<Item = &Rc<Storage>> {
        self.values.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(storage),
            _ => None,
        })
    }
}

/// Bytes with their count.
struct Input<'a, R> {
    inner: &'a mut R,
    n: u64,
}

impl<R: BufRead> Input<'_, R> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes).context("it ends early")?;
        self.n += N as u64;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// As many bytes as there are, up to `len`, are allocated, whatever `len` says.
    fn bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        ensure!(
            self.n.saturating_add(len) <= MAX_TEXT,
            "{len} bytes of text are too many for weights"
        );
        let mut bytes = Vec::new();
        let n = self.inner.take(len).read_to_end(&mut bytes)?;
        self.n += n as u64;
        ensure!(n as u64 == len, "it ends early");
        Ok(bytes)
    }

    fn text(&mut self, len: u64) -> Result<Rc<str>> {
        let bytes = self.bytes(len)?;
        let text = std::str::from_utf8(&bytes).context("a text is not UTF-8")?;
        Ok(text.into())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        let n = self.inner.take(MAX_NAME).read_until(b'\n', &mut line)?;
        self.n += n as u64;
        ensure!(line.pop() == Some(b'\n'), "a name has no end");
        String::from_utf8(line).context("a name is not UTF-8")
    }

    /// A little-endian number of `len` bytes with sign.
    fn long(&mut self, len: u64) -> Result<Value> {
        let bytes = self.bytes(len)?;
        if bytes.len() > 16 {
            return Ok(Value::Inert);
        }
        let fill = if bytes.last().is_some_and(|&b| b >= 0x80) {
            0xff
        } else {
            0
        };
        let mut full = [fill; 16];
        full[..bytes.len()].copy_from_slice(&bytes);
        Ok(Value::Int(i128::from_le_bytes(full)))
    }
}

struct Machine<'a, R> {
    input: Input<'a, R>,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at which runs of items begin.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
    steps: usize,
}

impl<R: BufRead> Machine<'_, R> {
    fn run(&mut self) -> Result<Id> {
        loop {
            self.charge(1)?;
            let opcode = self.input.byte()?;
            if opcode == b'.' {
                return self.pop();
            }
            if let Some(value) = self.constant(opcode)? {
                self.push(value);
            } else if !self.collect(opcode)? && !self.remember(opcode)? {
                self.object(opcode)?;
            }
        }
    }

    /// Opcodes that hold a value, or none.
    fn constant(&mut self, opcode: u8) -> Result<Option<Value>> {
        let input = &mut self.input;
        Ok(Some(match opcode {
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Int(input.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(input.array()?).into()),
            b'J' => Value::Int(i32::from_le_bytes(input.array()?).into()),
            0x8a => {
                let len = input.byte()?;
                input.long(len.into())?
            }
            0x8b => {
                let len = u32::from_le_bytes(input.array()?);
                input.long(len.into())?
            }
            b'G' => {
                input.array::<8>()?;
                Value::Inert
            }
            // texts
            0x8c => {
                let len = input.byte()?;
                Value::Text(input.text(len.into())?)
            }
            b'X' => {
                let len = u32::from_le_bytes(input.array()?);
                Value::Text(input.text(len.into())?)
            }
            0x8d => {
                let len = u64::from_le_bytes(input.array()?);
                Value::Text(input.text(len)?)
            }
            // bytes, which are the texts of Python 2
            b'U' | b'C' => {
                let len = input.byte()?;
                text_of_bytes(&input.bytes(len.into())?)
            }
            b'T' | b'B' => {
                let len = u32::from_le_bytes(input.array()?);
                text_of_bytes(&input.bytes(len.into())?)
            }
            0x8e | 0x96 => {
                let len = u64::from_le_bytes(input.array()?);
                text_of_bytes(&input.bytes(len)?)
            }
            b')' => Value::Tuple(Vec::new()),
            b']' => Value::List(Vec::new()),
            b'}' => Value::Dict(Vec::new()),
            b'N' | 0x8f => Value::Inert, // nothing, and a set
            _ => return Ok(None),
        }))
    }

    /// Opcodes that put values into a collection; whether it was one of them.
    fn collect(&mut self, opcode: u8) -> Result<bool> {
        match opcode {
            b'(' => self.marks.push(self.stack.len()),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items));
            }
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0x85..=opcode {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push(Value::Tuple(items));
            }
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items));
            }
            b'd' => {
                let items = pairs(&self.pop_to_mark()?)?;
                self.push(Value::Dict(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.insert(vec![(key, value)])?;
            }
            b'u' => {
                let items = pairs(&self.pop_to_mark()?)?;
                self.insert(items)?;
            }
            0x91 => {
                self.pop_to_mark()?;
                self.push(Value::Inert); // a frozen set
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Opcodes that keep a value for later, fetch or drop it; whether it was one of them.
    fn remember(&mut self, opcode: u8) -> Result<bool> {
        match opcode {
            b'q' | b'r' | 0x94 => {
                let key = match opcode {
                    b'q' => self.input.byte()?.into(),
                    b'r' => u32::from_le_bytes(self.input.array()?) as usize,
                    _ => self.memo.len(),
                };
                let top = self.top()?;
                self.memo.insert(key, top);
            }
            b'h' | b'j' => {
                let key = match opcode {
                    b'h' => self.input.byte()?.into(),
                    _ => u32::from_le_bytes(self.input.array()?) as usize,
                };
                let id = self.memo.get(&key);
                self.stack
                    .push(*id.context("it refers to what it does not have")?);
            }
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_to_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            0x80 => {
                let version = self.input.byte()?;
                ensure!(version <= 5, "pickle protocol {version} is unknown");
            }
            0x95 => {
                self.input.array::<8>()?; // a frame's length helps only who reads ahead
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Opcodes that name or make an object.
    fn object(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            b'c' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.push(Value::Global(global(&module, &name)?));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let global = global(&self.text(module)?, &self.text(name)?)?;
                self.push(Value::Global(global));
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let id = self.call(callable, arguments)?;
                self.stack.push(id);
            }
            b'b' => {
                // attributes of a dictionary or of something without a meaning
                self.pop()?;
                let top = self.top()?;
                ensure!(
                    matches!(
                        self.values[top],
                        Value::Dict(_) | Value::Inert | Value::Tensor(_)
                    ),
                    "it sets attributes of what has none"
                );
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(Value::Storage(Rc::new(storage)));
            }
            _ => bail!("opcode {opcode:#04x} does not occur in weights"),
        }
        Ok(())
    }

    /// What a call would give. Nothing but this function knows what that is.
    fn call(&mut self, callable: Id, arguments: Id) -> Result<Id> {
        let Value::Global(global) = self.values[callable] else {
            bail!("it calls what is no function");
        };
        let Value::Tuple(arguments) = &self.values[arguments] else {
            bail!("it calls a function without a tuple of arguments");
        };
        let value = match global {
            Global::OrderedDict => match arguments[..] {
                [] => Value::Dict(Vec::new()),
                [items] => Value::Dict(self.ordered_items(items)?),
                _ => bail!("it makes a dictionary of several arguments"),
            },
            Global::RebuildTensor => Value::Tensor(Box::new(self.tensor(arguments)?)),
            Global::RebuildParameter => {
                let parameter = arguments.first();
                return Ok(*parameter.context("it makes a parameter of nothing")?);
            }
            Global::StorageType(_) => bail!("it calls the type of a storage"),
            Global::Inert => Value::Inert,
        };
        self.values.push(value);
        Ok(self.values.len() - 1)
    }

    /// The list of pairs of which Python 2 makes a dictionary.
    fn ordered_items(&mut self, items: Id) -> Result<Vec<(Id, Id)>> {
        let Value::List(items) = &self.values[items] else {
            bail!("it makes a dictionary of what is no list");
        };
        // the one place where a short opcode copies much
        let steps = self.steps.saturating_add(items.len());
        ensure!(steps <= MAX_STEPS, "it takes too many steps for weights");
        self.steps = steps;
        items
            .iter()
            .map(|&item| match &self.values[item] {
                Value::Tuple(pair) | Value::List(pair) => match pair[..] {
                    [key, value] => Ok((key, value)),
                    _ => bail!("an item of a dictionary is no pair"),
                },
                _ => bail!("an item of a dictionary is no pair"),
            })
            .collect()
    }

    /// `_rebuild_tensor_v2(storage, offset, size, stride, ...)`; gradients and hooks do not matter.
    fn tensor(&self, arguments: &[Id]) -> Result<StoredTensor> {
        let &[storage, offset, shape, strides, ..] = arguments else {
            bail!("it makes a tensor of {} arguments", arguments.len());
        };
        let Value::Storage(storage) = &self.values[storage] else {
            bail!("it makes a tensor of what is no storage");
        };
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        ensure!(
            shape.len() == strides.len(),
            "a tensor has shape {shape:?} and strides {strides:?}"
        );
        Ok(StoredTensor {
            storage: storage.clone(),
            offset: self.int(offset)?,
            shape,
            strides,
        })
    }

    /// The tuple that stands for a storage: word, type, key, device, length, and in old files the part of it.
    fn storage(&self, id: Id) -> Result<Storage> {
        let Value::Tuple(fields) = &self.values[id] else {
            bail!("it refers to what is no storage");
        };
        let (&[word, kind, key, _, numel], rest) = fields
            .split_first_chunk::<5>()
            .context("a storage has too few fields")?;
        let word = self.text(word)?;
        ensure!(
            &*word == "storage",
            "it holds a {word:?}, not weights alone: save the network's state_dict()"
        );
        let Value::Global(Global::StorageType(dtype)) = self.values[kind] else {
            bail!("a storage has no type of numbers");
        };
        let numel = self.int(numel)?;
        let part = match rest.first().map(|&view| &self.values[view]) {
            Some(Value::Tuple(view)) => {
                let &[_, first, len] = &view[..] else {
                    bail!("part of a storage has {} fields", view.len());
                };
                (self.int(first)?, self.int(len)?)
            }
            _ => (0, numel),
        };
        Ok(Storage {
            dtype,
            key: self.text(key)?,
            numel,
            part,
        })
    }

    fn sizes(&self, id: Id) -> Result<Vec<usize>> {
        let Value::Tuple(items) = &self.values[id] else {
            bail!("a shape is no tuple");
        };
        ensure!(
            items.len() <= MAX_RANK,
            "a tensor has {} dimensions",
            items.len()
        );
        items.iter().map(|&item| self.int(item)).collect()
    }

    fn int<T: TryFrom<i128>>(&self, id: Id) -> Result<T> {
        let Value::Int(value) = self.values[id] else {
            bail!("a size is no number");
        };
        let size = T::try_from(value).ok();
        size.with_context(|| format!("{value} is no size"))
    }

    fn text(&self, id: Id) -> Result<Rc<str>> {
        match &self.values[id] {
            Value::Text(text) => Ok(text.clone()),
            _ => bail!("a name is no text"),
        }
    }

    fn append(&mut self, items: Vec<Id>) -> Result<()> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::List(list) => list.extend(items),
            Value::Inert => {}
            _ => bail!("it appends to what is no list"),
        }
        Ok(())
    }

    fn insert(&mut self, items: Vec<(Id, Id)>) -> Result<()> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::Dict(dict) => dict.extend(items),
            Value::Inert => {}
            _ => bail!("it puts items into what is no dictionary"),
        }
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn top(&self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        ensure!(self.stack.len() > floor, "its stack is empty");
        self.stack.last().copied().context("its stack is empty")
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().context("a run of items has no start")?;
        Ok(self.stack.split_off(mark))
    }

    fn charge(&mut self, steps: usize) -> Result<()> {
        self.steps += steps;
        ensure!(
            self.steps <= MAX_STEPS,
            "it takes too many steps for weights"
        );
        Ok(())
    }
}

fn text_of_bytes(bytes: &[u8]) -> Value {
    Value::Text(String::from_utf8_lossy(bytes).into())
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>> {
    let (pairs, []) = items.as_chunks::<2>() else {
        bail!("a key of a dictionary has no value");
    };
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}

/// The meaning of a name.
///
/// # Errors
/// If it is none that weights consist of. Whatever it is, it is not called.
fn global(module: &str, name: &str) -> Result<Global> {
    if matches!(module, "torch" | "torch.cuda")
        && let Some(dtype) = storage_type(name)
    {
        return Ok(Global::StorageType(dtype));
    }
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
        // scores, arguments and schedules that training scripts save beside the weights
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar" | "_reconstruct")
        | ("numpy", "dtype" | "ndarray")
        | ("_codecs", "encode")
        | ("argparse", "Namespace")
        | ("collections", "Counter")
        | ("__builtin__" | "builtins", "set")
        | ("torch", "Size" | "device" | "float32" | "float16" | "bfloat16" | "float64") => {
            Global::Inert
        }
        _ => bail!(
            "it wants to call {module:?} {name:?}, which weights do not need; nothing was called: \
             save the network's state_dict() alone, and distrust the file if it is not yours"
        ),
    })
}

fn storage_type(name: &str) -> Option<Dtype> {
    Some(match name {
        "FloatStorage" => Dtype::F32,
        "DoubleStorage" => Dtype::F64,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        _ => return None,
    })
}
