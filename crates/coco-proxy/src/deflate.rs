//! Compression of long runs of few byte values, in the format of PNG files.
//!
//! The result is one block of the deflate format (RFC 1951) in a zlib stream (RFC 1950). Deflate writes bytes and repetitions of
//! earlier bytes in Huffman codes. Here a repetition always is one of the byte before (distance 1), and the table of codes
//! is always the same: its code lengths are those of a Huffman code for the masks of 286 images of COCO. All symbols that
//! may occur have a code, so that a mask with other statistics becomes a little larger, but never wrong. Nothing is
//! counted or searched, and compressing costs a few table look-ups per run.
//!
//! All bits of a repetition are put together beforehand: the code of its length, the extra bits and the code of the
//! distance. They are at most 12, which is one operation on the bit buffer.

use std::sync::LazyLock;

/// The lowest `n_bits` bits of `bits`, which are written from the lowest on.
#[derive(Clone, Copy, Default)]
struct Code {
    bits: u32,
    n_bits: u32,
}

impl Code {
    fn new(bits: u32, n_bits: u32) -> Self {
        Self { bits, n_bits }
    }

    /// This code and `next` after it, as one.
    fn then(self, next: Self) -> Self {
        Self::new(
            self.bits | next.bits << self.n_bits,
            self.n_bits + next.n_bits,
        )
    }
}

/// A zlib stream of runs of bytes that is being written.
pub(crate) struct Deflate {
    codes: &'static Codes,
    /// What is complete, in whole bytes.
    bytes: Vec<u8>,
    /// The next `n_bits` bits, fewer than 32, from the lowest on.
    bits: u64,
    n_bits: u32,
    /// The run that is not written yet, because its value may follow again: `length` bytes `value`.
    value: u8,
    length: usize,
    /// Adler-32 is 1 plus the sum of all bytes, and the sum of that sum after each byte, both modulo [`ADLER`]. The remainders
    /// are taken when the second one exceeds 2^40. No overflow is possible: the first sum grows no faster than the second,
    /// and a run is not longer than a row and its filter type (2^16 bytes), so that it adds at most 2^57.
    sum: u64,
    sum_of_sums: u64,
}

impl Deflate {
    /// A stream that begins with the table of codes.
    pub(crate) fn new() -> Self {
        let codes = &*CODES;
        let mut new = Self {
            codes,
            bytes: Vec::with_capacity(8 << 10),
            bits: 0,
            n_bits: 0,
            value: 0,
            length: 0,
            sum: 1,
            sum_of_sums: 0,
        };
        new.bytes.extend([0x78, 0x01]); // zlib: deflate with a window of 32 KiB, the fastest level
        for &code in &codes.header {
            new.write(code);
        }
        new
    }

    /// Appends a byte `n` times; it must be one of [`LITERALS`].
    pub(crate) fn push(&mut self, value: u8, n: usize) {
        if value != self.value {
            self.end_run();
            self.value = value;
        }
        self.length += n;
    }

    /// Writes the run as its first byte and repetitions of the byte before.
    fn end_run(&mut self) {
        let mut n = std::mem::take(&mut self.length);
        if n == 0 {
            return;
        }
        // the sums after n equal bytes at once, by Gauss's formula
        let (value, count) = (u64::from(self.value), n as u64);
        self.sum_of_sums += count * self.sum + value * (count * (count + 1) / 2);
        self.sum += count * value;
        if self.sum_of_sums > 1 << 40 {
            self.sum %= ADLER;
            self.sum_of_sums %= ADLER;
        }
        let literal = self.codes.literals[usize::from(self.value)];
        self.write(literal);
        n -= 1;
        while n > 2 {
            let repeated = n.min(LONGEST);
            self.write(self.codes.repetitions[repeated]);
            n -= repeated;
        }
        for _ in 0..n {
            // a repetition has at least three bytes
            self.write(literal);
        }
    }

    fn write(&mut self, code: Code) {
        self.bits |= u64::from(code.bits) << self.n_bits;
        self.n_bits += code.n_bits;
        if self.n_bits >= 32 {
            self.bytes.extend((self.bits as u32).to_le_bytes());
            self.bits >>= 32;
            self.n_bits -= 32;
        }
    }

    /// Ends the stream with its checksum.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.end_run();
        self.write(self.codes.end);
        let n_bytes = self.n_bits.div_ceil(8) as usize;
        self.bytes.extend(&self.bits.to_le_bytes()[..n_bytes]);
        let checksum = ((self.sum_of_sums % ADLER) << 16) | (self.sum % ADLER);
        self.bytes.extend((checksum as u32).to_be_bytes());
        self.bytes
    }
}

/// Modulus of Adler-32.
const ADLER: u64 = 65_521;

/// Length in bytes of the longest repetition that has a code.
const LONGEST: usize = 258;

/// Bytes that may occur, with the lengths of their codes in bits: the labels 0, 254 and 255, their differences modulo 256, and
/// PNG's filter types 0 and 2.
const LITERALS: [(usize, u32); 5] = [(0, 2), (1, 4), (2, 3), (254, 4), (255, 4)];

/// The symbol at the end of the block, with the length of its code in bits.
const END: (usize, u32) = (256, 10);

/// Lengths in bits of the codes of the symbols 257 to 285, which stand for lengths of repetitions.
const REPETITIONS: [u32; 29] = [
    7, 8, 8, 8, 8, 8, 9, 10, 8, 8, 8, 8, 7, 7, 7, 7, 7, 7, 7, 7, 6, 6, 6, 4, 6, 5, 5, 6, 3,
];

/// The table of codes.
struct Codes {
    /// The beginning of the block, from which readers reconstruct the table.
    header: Vec<Code>,
    /// By byte value; empty for those that may not occur.
    literals: [Code; 256],
    /// By length of the repetition in bytes, from 3 to [`LONGEST`]; shorter ones are empty. Each includes its distance.
    repetitions: [Code; LONGEST + 1],
    /// End of the block.
    end: Code,
}

static CODES: LazyLock<Codes> = LazyLock::new(Codes::new);

impl Codes {
    fn new() -> Self {
        let mut lengths = [0; 286];
        for (symbol, length) in LITERALS.into_iter().chain([END]) {
            lengths[symbol] = length;
        }
        lengths[257..].copy_from_slice(&REPETITIONS);
        let codes = canonical(&lengths);
        let mut literals = [Code::default(); 256];
        literals.copy_from_slice(&codes[..256]);
        Self {
            header: header(&lengths),
            literals,
            repetitions: repetitions(&codes[257..]),
            end: codes[END.0],
        }
    }
}

/// What to write for a repetition of each length, from the codes of the symbols 257 to 285.
///
/// The first eight symbols stand for one length each, the next four for two each, the next four for four each, and so on
/// (RFC 1951, 3.2.5); extra bits after the symbol say which. The last symbol stands for [`LONGEST`] alone, although the one
/// before could express it as well. The distance follows: it has one code of one bit, since it is always 1.
fn repetitions(symbols: &[Code]) -> [Code; LONGEST + 1] {
    let distance = Code::new(0, 1);
    let mut repetitions = [Code::default(); LONGEST + 1];
    let mut length = 3;
    for (i, &symbol) in symbols[..28].iter().enumerate() {
        let n_extra_bits = (i as u32 / 4).saturating_sub(1);
        for extra in 0..1 << n_extra_bits {
            let code = symbol.then(Code::new(extra, n_extra_bits));
            repetitions[length] = code.then(distance);
            length += 1;
        }
    }
    repetitions[LONGEST] = symbols[28].then(distance);
    repetitions
}

/// The canonical Huffman codes for the given lengths in bits (0: the symbol has no code): codes are counted up from shorter to
/// longer ones, and by symbol among those of one length (RFC 1951, 3.2.2).
///
/// Huffman codes are written from their highest bit on, everything else from the lowest: they are reversed here.
fn canonical(lengths: &[u32]) -> Vec<Code> {
    let mut codes = vec![Code::default(); lengths.len()];
    let mut next = 0_u32;
    for n_bits in 1..=15 {
        next <<= 1;
        for (code, _) in codes.iter_mut().zip(lengths).filter(|(_, n)| **n == n_bits) {
            *code = Code::new(next.reverse_bits() >> (32 - n_bits), n_bits);
            next += 1;
        }
    }
    codes
}

/// The beginning of a block with a table of its own (RFC 1951, 3.2.7): the lengths of all codes, which are written in yet
/// another code.
///
/// That code gives all symbols 4 bits, except for the three that do not occur here: 16 codes of 4 bits are complete.
fn header(lengths: &[u32]) -> Vec<Code> {
    /// The order in which the lengths of the codes of lengths are written; 15 would follow.
    const ORDER: [usize; 18] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1];
    /// Stands for 11 to 138 zeros.
    const ZEROS: usize = 18;
    let mut of_lengths = [4; 19];
    of_lengths[15..ZEROS].fill(0);
    let codes = canonical(&of_lengths);
    let (is_last, is_dynamic) = (Code::new(1, 1), Code::new(2, 2));
    let counts = [
        Code::new(lengths.len() as u32 - 257, 5),
        Code::new(0, 5), // one code of distances
        Code::new(ORDER.len() as u32 - 4, 4),
    ];
    let mut header = vec![is_last, is_dynamic];
    header.extend(counts);
    header.extend(ORDER.map(|symbol| Code::new(of_lengths[symbol], 3)));
    let mut rest = lengths;
    while let Some((&length, after)) = rest.split_first() {
        let n_zeros = rest.iter().take(138).take_while(|n| **n == 0).count();
        if n_zeros < 11 {
            header.push(codes[length as usize]);
            rest = after;
        } else {
            header.push(codes[ZEROS].then(Code::new(n_zeros as u32 - 11, 7)));
            rest = &rest[n_zeros..];
        }
    }
    header.push(codes[1]); // the code of the distance has one bit
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_complete() {
        let lengths = LITERALS
            .iter()
            .map(|b| b.1)
            .chain([END.1])
            .chain(REPETITIONS);
        let shares: f64 = lengths.map(|n| 0.5_f64.powi(n as i32)).sum();
        assert_eq!(shares, 1.0);
    }
}
