//! What a schema consists of.

use polars::prelude::DataType;

/// Name of the table of images by suspicion.
pub(super) const RANKED_IMAGES: &str = "ranked_images";

/// A table's schema.
#[derive(Clone, Debug)]
pub struct Table {
    /// Name, which is also the stem of the file's name, but see [`Self::file_name`].
    pub name: &'static str,
    /// Command that writes the table, named by the error messages of its readers.
    pub written_by: &'static str,
    /// What a row is and how the rows are sorted, for docs/ARTIFACTS.md.
    pub rows: &'static str,
    /// Columns in order; a file may have more columns after these.
    pub columns: Vec<Field>,
}

/// One column.
#[derive(Clone, Debug)]
pub struct Field {
    /// Column name.
    pub name: String,
    /// Type of the values.
    pub dtype: DataType,
    /// Whether values may be missing.
    pub nullable: bool,
    /// Whether older files lack the column: then all its values are missing when such a file is read.
    pub is_added: bool,
    /// Whether the column holds what only labels tell.
    pub truth: Truth,
    /// What the column holds, with its unit or range. It is written into the file and into docs/ARTIFACTS.md.
    pub meaning: String,
}

/// Whether a column holds what only labels tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It does not: all tables have it.
    Independent,
    /// It does: tables of images without labels lack it, see [`Table::without_truth`].
    Needed,
    /// It does, and a table that is read may lack it, see [`Table::with_optional_truth`].
    Optional,
}

impl Field {
    fn new(name: &str, dtype: DataType, meaning: &str) -> Self {
        Self {
            name: name.to_owned(),
            dtype,
            nullable: false,
            is_added: false,
            truth: Truth::Independent,
            meaning: meaning.to_owned(),
        }
    }

    /// A column of texts.
    pub(super) fn string(name: &str, meaning: &str) -> Self {
        Self::new(name, DataType::String, meaning)
    }

    /// A column of texts, some of which may be missing.
    pub(super) fn optional_string(name: &str, meaning: &str) -> Self {
        Self {
            nullable: true,
            ..Self::string(name, meaning)
        }
    }

    /// A column of truth values.
    pub(super) fn bool(name: &str, meaning: &str) -> Self {
        Self::new(name, DataType::Boolean, meaning)
    }

    /// A column of class indices.
    pub(super) fn u8(name: &str, meaning: &str) -> Self {
        Self::new(name, DataType::UInt8, meaning)
    }

    /// A column of numbers that identify something, or of sizes of an image.
    pub(super) fn u32(name: &str, meaning: &str) -> Self {
        Self::new(name, DataType::UInt32, meaning)
    }

    /// A column of counts that may be summed over a data set.
    pub(super) fn u64(name: &str, meaning: &str) -> Self {
        Self::new(name, DataType::UInt64, meaning)
    }

    /// A column of double-precision numbers.
    pub(super) fn f64(name: &str, meaning: &str) -> Self {
        Self::new(name, DataType::Float64, meaning)
    }

    /// A column of double-precision numbers, some of which may be missing.
    pub(super) fn optional_f64(name: &str, meaning: &str) -> Self {
        Self {
            nullable: true,
            ..Self::f64(name, meaning)
        }
    }

    /// The same column, which only tables of images with labels have.
    #[must_use]
    pub(super) fn of_truth(self) -> Self {
        Self {
            truth: Truth::Needed,
            ..self
        }
    }

    /// A column of lists of values of the type `inner`.
    pub(super) fn list(name: &str, inner: DataType, meaning: &str) -> Self {
        Self::new(name, DataType::List(Box::new(inner)), meaning)
    }

    /// Whether tables of images without labels lack the column.
    pub fn needs_truth(&self) -> bool {
        self.truth != Truth::Independent
    }

    /// Whether each value is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.dtype, DataType::List(_))
    }
}

impl Table {
    /// File name, e.g. `segments.parquet`. Two commands write an `images.parquet`, with other columns.
    pub fn file_name(&self) -> String {
        let stem = match self.name {
            RANKED_IMAGES => "images",
            name => name,
        };
        format!("{stem}.parquet")
    }

    /// The table of images without labels: what only labels tell is absent from it, not zero or missing.
    #[must_use]
    pub fn without_truth(mut self) -> Self {
        self.columns.retain(|field| !field.needs_truth());
        self
    }

    /// The table of images with or without labels, for readers who know what to do in both cases. They look for a column that needs
    /// labels; if there is one, all of them are checked.
    #[must_use]
    pub fn with_optional_truth(mut self) -> Self {
        for field in &mut self.columns {
            if field.needs_truth() {
                field.truth = Truth::Optional;
            }
        }
        self
    }

    /// Version of the format, which changes when the same columns mean something else.
    ///
    /// Version 2 of the tables with score bins numbers other bins than version 1, which put all scores below 2⁻²⁴ into one.
    pub fn format_version(&self) -> &'static str {
        match self.name {
            "pixel_counts" | "sample_pixels" => "2",
            _ => "1",
        }
    }

    /// One line for each column: name, type, meaning.
    pub fn description(&self) -> String {
        let line = |f: &Field| format!("{} ({}): {}", f.name, f.dtype, f.meaning);
        self.columns.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
