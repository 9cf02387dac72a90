//! Masks of objects as PNG, straight from their bits: no mask of bytes is ever made.
//!
//! Each row is stored as its difference to the row above, which is zero but at the borders of objects. What is left of
//! a mask is a few hundred runs of equal bytes, and one table of codes, made for the runs of COCO's masks, serves all.

use std::io::Write;
use std::sync::LazyLock;

use anyhow::{Result, ensure};
use artifacts::labels::OOD_PROXY;
use png::{BitDepth, ColorType, Encoder, chunk};

use crate::objects::Objects;

/// Writes a mask of [`OOD_PROXY`] on objects and `background`, 0 or 255, elsewhere as 8-bit greyscale PNG.
///
/// # Errors
/// If there are no pixels, or nothing can be written.
pub fn write(writer: &mut impl Write, objects: &Objects, background: u8) -> Result<()> {
    let (width, height) = (objects.width(), objects.rows().len());
    ensure!(width * height > 0, "a mask needs pixels");
    let mut encoder = Encoder::new(writer, width as u32, height as u32);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_chunk(chunk::IDAT, &compress(objects, background))?;
    Ok(writer.finish()?)
}

/// The rows with their filters as zlib stream.
fn compress(objects: &Objects, background: u8) -> Vec<u8> {
    const STORED: u8 = 0;
    const MINUS_ABOVE: u8 = 2;
    let width = objects.width();
    let entered = OOD_PROXY.wrapping_sub(background);
    let left = background.wrapping_sub(OOD_PROXY);
    let mut output = Deflate::new();
    let mut above: &[u64] = &[];
    for row in objects.rows() {
        if above.is_empty() {
            output.push(STORED, 1);
            for x in 0..width {
                let is_object = row[x / 64] >> (x % 64) & 1 == 1;
                output.push(if is_object { OOD_PROXY } else { background }, 1);
            }
        } else {
            output.push(MINUS_ABOVE, 1);
            let mut n_done = 0;
            for (i, (word, above)) in row.iter().zip(above).enumerate() {
                let mut changed = word ^ above;
                while changed != 0 {
                    let bit = changed.trailing_zeros();
                    let x = 64 * i + bit as usize;
                    output.push(0, x - n_done);
                    output.push(if word >> bit & 1 == 1 { entered } else { left }, 1);
                    n_done = x + 1;
                    changed &= changed - 1;
                }
            }
            output.push(0, width - n_done);
        }
        above = row;
    }
    output.finish()
}

/// Bits of a code, to be written from the lowest.
#[derive(Clone, Copy, Default)]
struct Code {
    bits: u32,
    n_bits: u32,
}

impl Code {
    fn new(bits: u32, n_bits: u32) -> Self {
        Self { bits, n_bits }
    }

    fn then(self, next: Self) -> Self {
        Self::new(
            self.bits | next.bits << self.n_bits,
            self.n_bits + next.n_bits,
        )
    }
}

/// One block of the deflate format (RFC 1951) in a zlib stream (RFC 1950), of runs of bytes only.
struct Deflate {
    codes: &'static Codes,
    bytes: Vec<u8>,
    bits: u64,
    n_bits: u32,
    /// The run that may go on.
    value: u8,
    length: usize,
    /// Adler-32, of which the remainders are taken later.
    sum: u64,
    sum_of_sums: u64,
}

impl Deflate {
    fn new() -> Self {
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
        new.bytes.extend([0x78, 0x01]);
        for &code in &codes.header {
            new.write(code);
        }
        new
    }

    /// Appends a byte `n` times; it must be one that [`CODES`] has.
    fn push(&mut self, value: u8, n: usize) {
        if value != self.value {
            self.end_run();
            self.value = value;
        }
        self.length += n;
    }

    /// Writes a run as its first byte and repetitions of the byte before.
    fn end_run(&mut self) {
        let mut n = std::mem::take(&mut self.length);
        if n == 0 {
            return;
        }
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

    fn finish(mut self) -> Vec<u8> {
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

/// The longest repetition that has a code.
const LONGEST: usize = 258;

/// Lengths of the codes of bytes: differences and values between 0, 254 and 255, and the two filters.
const BYTES: [(usize, u32); 5] = [(0, 2), (1, 4), (2, 3), (254, 4), (255, 4)];

/// Length of the code at the end.
const END: (usize, u32) = (256, 10);

/// Lengths of the codes of repetitions; Huffman's for the masks of 286 images of COCO.
const REPETITIONS: [u32; 29] = [
    7, 8, 8, 8, 8, 8, 9, 10, 8, 8, 8, 8, 7, 7, 7, 7, 7, 7, 7, 7, 6, 6, 6, 4, 6, 5, 5, 6, 3,
];

/// What is written for what.
struct Codes {
    /// The table itself.
    header: Vec<Code>,
    literals: [Code; 256],
    /// From 3 to [`LONGEST`].
    repetitions: [Code; LONGEST + 1],
    end: Code,
}

static CODES: LazyLock<Codes> = LazyLock::new(Codes::new);

impl Codes {
    fn new() -> Self {
        let mut lengths = [0; 286];
        for (symbol, length) in BYTES.into_iter().chain([END]) {
            lengths[symbol] = length;
        }
        lengths[257..].copy_from_slice(&REPETITIONS);
        let codes = canonical(&lengths);
        let mut literals = [Code::default(); 256];
        literals.copy_from_slice(&codes[..256]);
        let mut repetitions = [Code::default(); LONGEST + 1];
        let mut first = 3;
        for (i, &code) in codes[257..285].iter().enumerate() {
            let n_more = (i as u32 / 4).saturating_sub(1);
            for more in 0..1 << n_more {
                // of the only distance, 1, one bit
                let code = code.then(Code::new(more, n_more)).then(Code::new(0, 1));
                repetitions[first] = code;
                first += 1;
            }
        }
        repetitions[LONGEST] = codes[285].then(Code::new(0, 1));
        Self {
            header: header(&lengths),
            literals,
            repetitions,
            end: codes[END.0],
        }
    }
}

/// The codes of symbols whose codes have the given lengths (0: no code): shorter ones first, then by symbol.
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

/// Beginning of the block: the lengths of all codes, in a code of their own.
fn header(lengths: &[u32]) -> Vec<Code> {
    /// The order in which the lengths of the codes of lengths are given.
    const ORDER: [usize; 18] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1];
    /// Stands for 11 to 138 zeros.
    const ZEROS: usize = 18;
    let mut of_lengths = [4; 19]; // all in 4 bits; 15 to 17 do not occur
    of_lengths[15..ZEROS].fill(0);
    let codes = canonical(&of_lengths);
    let (is_last, is_dynamic) = (Code::new(1, 1), Code::new(2, 2));
    let counts = [
        Code::new(lengths.len() as u32 - 257, 5),
        Code::new(0, 5), // one distance
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
    header.push(codes[1]); // the distance's
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    use artifacts::label_picture::decode_labels;

    fn check(objects: &Objects, background: u8) -> Result<()> {
        let mut file = Vec::new();
        write(&mut file, objects, background)?;
        let label = |row: &[u64], x: usize| {
            let is_object = row[x / 64] >> (x % 64) & 1 == 1;
            if is_object { OOD_PROXY } else { background }
        };
        let width = objects.width();
        let labels: Vec<u8> = objects
            .rows()
            .flat_map(|row| (0..width).map(move |x| label(row, x)))
            .collect();
        assert_eq!(decode_labels(&file)?.labels, labels);
        // as another reader has it, which compares all checksums
        assert_eq!(
            image::load_from_memory(&file)?.into_luma8().as_raw(),
            &labels
        );
        Ok(())
    }

    #[test]
    fn masks_survive() -> Result<()> {
        let mut objects = Objects::default();
        for (width, height) in [(1, 1), (64, 3), (65, 40), (640, 480), (3000, 2000)] {
            objects.reset(width, height);
            let (w, h) = (f64::from(width), f64::from(height));
            for background in [0, 255] {
                check(&objects, background)?;
            }
            for i in 0..12 {
                let i = f64::from(i);
                let (x, y) = (w * (0.37 * i).fract(), h * (0.73 * i).fract());
                objects.add_polygon(&[x, y, x + i * 3.3, y + w / 9.0, x - i * i, y + 5.0]);
                check(&objects, 0)?;
                check(&objects, 255)?;
            }
            objects.add_polygon(&[0.0, 0.0, w, 0.0, w, h, 0.0, h]);
            assert_eq!(objects.count(), u64::from(width * height));
            check(&objects, 255)?;
        }
        Ok(())
    }

    #[test]
    fn repetitions_of_every_length_survive() -> Result<()> {
        let mut objects = Objects::default();
        for width in 1..1100 {
            objects.reset(width, 4);
            objects.add_runs(&[4 * (width / 3), 2, 1, 1, 4 * (width - width / 3) - 4]);
            check(&objects, 255)?;
        }
        Ok(())
    }

    #[test]
    fn the_codes_are_complete() {
        let lengths = BYTES.iter().map(|b| b.1).chain([END.1]).chain(REPETITIONS);
        let shares: f64 = lengths.map(|n| 0.5_f64.powi(n as i32)).sum();
        assert_eq!(shares, 1.0);
    }
}
