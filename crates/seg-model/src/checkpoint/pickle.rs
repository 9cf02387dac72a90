//! Reader of the pickles in `PyTorch` checkpoints. It builds data and never calls a function.
//!
//! A pickle is a program for a small stack machine, and Python's machine lets it name and call any function: loading a checkpoint from a
//! stranger can run the stranger's code. The machine of this file knows only the few names that weights consist of
//! (`collections.OrderedDict`, `torch._utils._rebuild_tensor_v2`, the storage types) and implements each of them itself. What any other
//! name would make is a value without contents, known by that name ([`Value::Foreign`]): training frameworks save such objects beside the
//! weights. Names with which a pickle attacks its reader are an error (`globals`).
//!
//! A hostile file cannot exhaust the machine either:
//!
//! * All values are in one vector and refer to each other by index. Deep nesting and cycles therefore cannot overflow the call stack, neither
//!   here nor when the values are dropped.
//! * Each opcode pushes at most one value, and their number is limited by [`MAX_STEPS`]. The one opcode that copies a list of any length
//!   pays for it in steps.
//! * The length of a text is whatever the file claims, so texts are read up to the end of the file and never allocated in advance; all
//!   texts together are limited by [`MAX_TEXT`].
//!
//! Tensors are only described here. Whether their values exist is checked where the storages are known, in `torch`.

use std::collections::HashMap;
use std::io::{BufRead, Read};
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use safetensors::Dtype;

use super::globals::{Global, global};

/// Most opcodes and copied references of a pickle. Weights with the state of their optimizer take about 10⁵.
const MAX_STEPS: usize = 1 << 21;
/// Most bytes of all texts together. The longest known texts are training logs.
const MAX_TEXT: u64 = 1 << 26;
/// Most bytes of the name of a module or function.
const MAX_NAME: u64 = 256;
/// Most dimensions of a tensor.
const MAX_RANK: usize = 8;

/// Index of a value among [`Pickle::values`].
pub(super) type Id = usize;

/// The data of a pickle.
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
    /// Something without a meaning for weights: `None`, floating-point numbers.
    Inert,
    /// An object that weights do not need, by the name of its type or of the function that makes it. Nothing of it is kept.
    Foreign(Rc<str>),
}

/// A contiguous array of values that tensors are views of.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) dtype: Dtype,
    /// Name of the values in the file.
    pub(super) key: Rc<str>,
    /// Number of values under that name.
    pub(super) numel: u64,
    /// The part of them that this storage covers: index of the first value, and number of values.
    pub(super) part: (u64, u64),
}

/// A strided view of a storage. It has not been checked against the storage.
#[derive(Clone, Debug)]
pub(super) struct StoredTensor {
    pub(super) storage: Rc<Storage>,
    /// Index, within the storage's part, of the first value of the view.
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    /// Distance, in values, between neighbors along each dimension.
    pub(super) strides: Vec<usize>,
}

impl Pickle {
    /// Reads one pickle; the bytes behind its end remain in `input`.
    ///
    /// # Errors
    /// Returns an error if it ends early, is damaged, or names a function that reaches the system.
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

    /// The value that was pickled.
    pub(super) fn root(&self) -> &Value {
        self.get(self.root)
    }

    /// The value of an index that another value holds.
    pub(super) fn get(&self, id: Id) -> &Value {
        &self.values[id]
    }

    /// All storages, in the order in which the file describes them.
    pub(super) fn storages(&self) -> impl Iterator<Item = &Rc<Storage>> {
        self.values.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(storage),
            _ => None,
        })
    }
}

/// The bytes of a pickle, with the number of bytes read.
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

    /// Reads `len` bytes. Memory is allocated only for bytes that exist, whatever `len` claims.
    fn bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        ensure!(
            self.n.saturating_add(len) <= MAX_TEXT,
            "a text of {len} bytes is too long for weights"
        );
        let mut bytes = Vec::new();
        let n = self.inner.take(len).read_to_end(&mut bytes)?;
        self.n += n as u64;
        ensure!(n as u64 == len, "it ends early");
        Ok(bytes)
    }

    fn text(&mut self, len: u64) -> Result<Rc<str>> {
        let bytes = self.bytes(len)?;
        Ok(String::from_utf8_lossy(&bytes).into())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        let n = self.inner.take(MAX_NAME).read_until(b'\n', &mut line)?;
        self.n += n as u64;
        ensure!(line.pop() == Some(b'\n'), "a name has no end");
        String::from_utf8(line).context("a name is not UTF-8")
    }

    /// A signed little-endian integer of `len` bytes.
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
    /// Heights of the stack at which groups of items begin.
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

    /// The value of an opcode that pushes one; `None` if it is another opcode.
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
            // bytes, which is how Python 2 wrote texts
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
            b'N' | 0x8f => Value::Inert, // None, and an empty set
            _ => return Ok(None),
        }))
    }

    /// Executes an opcode that puts values into a collection; returns false if it is another opcode.
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

    /// Executes an opcode that stores, fetches or drops a value; returns false if it is another opcode.
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
                    .push(*id.context("it refers to a value that it does not have")?);
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
                self.input.array::<8>()?; // the length of a frame, which helps only readers that read ahead
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Executes an opcode that names or creates an object; any other opcode is an error.
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
            0x92 => {
                self.pop()?; // arguments by name
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let id = self.call(callable, arguments)?;
                self.stack.push(id);
            }
            b'b' => {
                // attributes, for example `_metadata` of a state dictionary, are dropped
                self.pop()?;
                let top = self.top()?;
                ensure!(
                    matches!(
                        self.values[top],
                        Value::Dict(_) | Value::Inert | Value::Foreign(_) | Value::Tensor(_)
                    ),
                    "it sets attributes of a value that has none"
                );
            }
            b'Q' => {
                let id = self.pop()?;
                let value = self.persistent(id)?;
                self.push(value);
            }
            _ => bail!("opcode {opcode:#04x} does not occur in weights"),
        }
        Ok(())
    }

    /// The result that a call would have. This function is the only place that gives names a meaning.
    fn call(&mut self, callable: Id, arguments: Id) -> Result<Id> {
        let Value::Tuple(arguments) = &self.values[arguments] else {
            bail!("it calls a function without a tuple of arguments");
        };
        let value = match &self.values[callable] {
            Value::Global(Global::OrderedDict) => match arguments[..] {
                [] => Value::Dict(Vec::new()),
                [items] => Value::Dict(self.ordered_items(items)?),
                _ => bail!("it creates a dictionary from several arguments"),
            },
            Value::Global(Global::RebuildTensor) => self.tensor(arguments)?,
            Value::Global(Global::RebuildParameter) => {
                let parameter = arguments.first();
                return Ok(*parameter.context("it creates a parameter without a tensor")?);
            }
            Value::Global(Global::RebuildFromType) => {
                let &[function, kind, arguments, ..] = &arguments[..] else {
                    bail!("it creates a tensor from {} arguments", arguments.len());
                };
                match self.foreign_kind(kind) {
                    Some(name) => Value::Foreign(name),
                    // no deeper than the pickle is long, because the function is never this one again
                    None if self.is_rebuild_from_type(function) => {
                        bail!("it creates a tensor in a circle")
                    }
                    None => return self.call(function, arguments),
                }
            }
            Value::Global(Global::StorageType(_)) => bail!("it calls the type of a storage"),
            Value::Global(Global::Foreign(name)) | Value::Foreign(name) => {
                Value::Foreign(name.clone())
            }
            _ => bail!("it calls a value that is not a function"),
        };
        self.values.push(value);
        Ok(self.values.len() - 1)
    }

    /// The name of a type of tensors, unless it is that of plain tensors or parameters.
    fn foreign_kind(&self, kind: Id) -> Option<Rc<str>> {
        let Value::Global(Global::Foreign(name)) = &self.values[kind] else {
            return None;
        };
        let is_plain = matches!(
            &**name,
            "torch.Tensor" | "torch._tensor.Tensor" | "torch.nn.parameter.Parameter"
        );
        (!is_plain).then(|| name.clone())
    }

    fn is_rebuild_from_type(&self, function: Id) -> bool {
        matches!(
            self.values[function],
            Value::Global(Global::RebuildFromType)
        )
    }

    /// The items of an ordered dictionary that is created from a list of pairs, as Python 2 pickled them.
    fn ordered_items(&mut self, items: Id) -> Result<Vec<(Id, Id)>> {
        let Value::List(items) = &self.values[items] else {
            bail!("it creates a dictionary from a value that is not a list");
        };
        // the only place where one opcode copies any number of references
        let steps = self.steps.saturating_add(items.len());
        ensure!(steps <= MAX_STEPS, "it takes too many steps for weights");
        self.steps = steps;
        items
            .iter()
            .map(|&item| match &self.values[item] {
                Value::Tuple(pair) | Value::List(pair) => match pair[..] {
                    [key, value] => Ok((key, value)),
                    _ => bail!("an item of a dictionary is not a pair"),
                },
                _ => bail!("an item of a dictionary is not a pair"),
            })
            .collect()
    }

    /// `_rebuild_tensor_v2(storage, offset, size, stride, ...)`; further arguments (gradients, hooks) are not needed.
    fn tensor(&self, arguments: &[Id]) -> Result<Value> {
        let &[storage, offset, shape, strides, ..] = arguments else {
            bail!("it creates a tensor from {} arguments", arguments.len());
        };
        let storage = match &self.values[storage] {
            Value::Storage(storage) => storage.clone(),
            Value::Foreign(name) => return Ok(Value::Foreign(name.clone())),
            _ => bail!("it creates a tensor from a value that is not a storage"),
        };
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        ensure!(
            shape.len() == strides.len(),
            "a tensor has shape {shape:?} and strides {strides:?}"
        );
        Ok(Value::Tensor(Box::new(StoredTensor {
            storage,
            offset: self.int(offset)?,
            shape,
            strides,
        })))
    }

    /// What a tuple stands for that refers to something beside the pickle: a storage, or in old files the type of a module.
    fn persistent(&self, id: Id) -> Result<Value> {
        let Value::Tuple(fields) = &self.values[id] else {
            bail!("it refers to a value that is not a storage");
        };
        let word = self.text(*fields.first().context("a storage has no fields")?)?;
        if &*word != "storage" {
            let kind = fields.get(1).map(|&kind| &self.values[kind]);
            return Ok(Value::Foreign(match kind {
                Some(Value::Global(Global::Foreign(name))) => name.clone(),
                _ => word,
            }));
        }
        let (&[_, kind, key, _, numel], rest) = fields
            .split_first_chunk::<5>()
            .context("a storage has too few fields")?;
        let dtype = match &self.values[kind] {
            Value::Global(Global::StorageType(dtype)) => *dtype,
            Value::Global(Global::Foreign(name)) => return Ok(Value::Foreign(name.clone())),
            _ => bail!("a storage has no number format"),
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
        Ok(Value::Storage(Rc::new(Storage {
            dtype,
            key: self.text(key)?,
            numel,
            part,
        })))
    }

    fn sizes(&self, id: Id) -> Result<Vec<usize>> {
        let Value::Tuple(items) = &self.values[id] else {
            bail!("a shape is not a tuple");
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
            bail!("a size is not an integer");
        };
        let size = T::try_from(value).ok();
        size.with_context(|| format!("{value} is not a size"))
    }

    fn text(&self, id: Id) -> Result<Rc<str>> {
        match &self.values[id] {
            Value::Text(text) => Ok(text.clone()),
            _ => bail!("a name is not a text"),
        }
    }

    fn append(&mut self, items: Vec<Id>) -> Result<()> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::List(list) => list.extend(items),
            Value::Inert | Value::Foreign(_) => {}
            _ => bail!("it appends to a value that is not a list"),
        }
        Ok(())
    }

    fn insert(&mut self, items: Vec<(Id, Id)>) -> Result<()> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::Dict(dict) => dict.extend(items),
            Value::Inert => {}
            // what is filled like a dictionary is one: frameworks derive types of their own from it
            Value::Foreign(_) => self.values[top] = Value::Dict(items),
            _ => bail!("it inserts items into a value that is not a dictionary"),
        }
        Ok(())
    }

    /// Stores a new value and puts it on the stack.
    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    /// The value on top of the stack, which must belong to the current group of items.
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
        let mark = self.marks.pop().context("a group of items has no start")?;
        Ok(self.stack.split_off(mark))
    }

    /// Counts steps towards the limit.
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
