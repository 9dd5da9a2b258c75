//! `cargo xtask gen`: tables that are made from public lists.
//!
//! The lists themselves are not part of the repository. What is made from them is, so that neither
//! building nor running needs them. The same lists give the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use inventory::vendor;

/// What to make, and from what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder that holds the IEEE's lists: oui, mam, oui36 and iab, each `.csv.gz`.
    #[arg(long, default_value = "../shared/intel/ident/ieee")]
    ieee: PathBuf,
    /// Where the table goes.
    #[arg(long, default_value = "crates/inventory/src/tables/vendors.bin")]
    out: PathBuf,
}

/// The lists, by file name.
const LISTS: [&str; 4] = ["oui", "mam", "oui36", "iab"];

/// Entries that name no maker: blocks that are cut into smaller ones, and makers who do not want to be
/// named.
const NOBODY: [&str; 2] = ["IEEE Registration Authority", "Private"];

/// Names longer than this are cut, in bytes.
const NAME_BYTES_MAX: usize = 80;

/// Makes all tables.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut assigned = BTreeMap::new();
    for list in LISTS {
        let path = arguments.ieee.join(format!("{list}.csv.gz"));
        read_list(&path, &mut assigned).map_err(|reason| format!("{}: {reason}", path.display()))?;
    }
    let table = pack(&assigned)?;
    std::fs::write(&arguments.out, &table)
        .map_err(|reason| format!("{}: {reason}", arguments.out.display()))?;
    println!("{}: {} assignments, {} bytes", arguments.out.display(), assigned.len(), table.len());
    Ok(())
}

/// Assignments: the prefix's length in bits and value, and the organisation's name.
type Assigned = BTreeMap<(u32, u64), String>;

fn read_list(path: &Path, assigned: &mut Assigned) -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(path)?).read_to_string(&mut text)?;
    let mut records = csv(&text).into_iter();
    let head = records.next().unwrap_or_default();
    if head.get(1).map(String::as_str) != Some("Assignment") {
        return Err("not one of the IEEE's assignment lists".into());
    }
    for record in records {
        let (Some(prefix), Some(name)) = (record.get(1), record.get(2)) else { continue };
        let bits = u32::try_from(prefix.len())? * 4;
        if !vendor::PREFIX_BITS.contains(&bits) {
            return Err(format!("{prefix} is not a prefix of 24, 28 or 36 bits").into());
        }
        if !NOBODY.contains(&name.trim()) {
            assigned.entry((bits, u64::from_str_radix(prefix, 16)?)).or_insert_with(|| tidy(name));
        }
    }
    Ok(())
}

/// One space between words, no legal form, not too long.
fn tidy(name: &str) -> String {
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut name = vendor::tidy(&name).to_owned();
    while name.len() > NAME_BYTES_MAX {
        name.pop();
    }
    name
}

/// Records of comma-separated values (RFC 4180).
pub(crate) fn csv(text: &str) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let (mut record, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                field.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            '\r' if !quoted => {}
            other => field.push(other),
        }
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    records
}

/// The table as `crates/inventory/src/tables/README.md` describes it.
fn pack(assigned: &Assigned) -> Result<Vec<u8>, Box<dyn Error>> {
    // Of all spellings of a name the most frequent stands for all, of equals the one with most small
    // letters, for people read it.
    let mut spellings = BTreeMap::<String, BTreeMap<&str, usize>>::new();
    for name in assigned.values() {
        *spellings.entry(vendor::key(name)).or_default().entry(name).or_default() += 1;
    }
    let small = |name: &str| name.chars().filter(|c| c.is_lowercase()).count();
    let best: BTreeMap<&str, &str> = spellings
        .iter()
        .filter_map(|(key, names)| {
            let (name, _) = names.iter().max_by_key(|(name, count)| (**count, small(name)))?;
            Some((&**key, *name))
        })
        .collect();
    let names: Vec<&str> = best.values().copied().collect::<BTreeSet<_>>().into_iter().collect();

    let mut bytes = Vec::new();
    bytes.extend(u32::try_from(names.len())?.to_le_bytes());
    for name in &names {
        bytes.push(u8::try_from(name.len())?);
        bytes.extend(name.as_bytes());
    }
    for bits in vendor::PREFIX_BITS {
        let entries: Vec<(u64, &str)> = assigned
            .range((bits, 0)..(bits + 1, 0))
            .map(|((_, prefix), name)| (*prefix, best[&*vendor::key(name)]))
            .collect();
        bytes.extend(u32::try_from(entries.len())?.to_le_bytes());
        let mut before = 0;
        for (prefix, _) in &entries {
            leb128(prefix - before, &mut bytes);
            before = *prefix;
        }
        for (_, name) in &entries {
            let index = names.binary_search(name).map_err(|_| "a name is missing")?;
            bytes.extend(u16::try_from(index)?.to_le_bytes());
        }
    }
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&bytes)?;
    Ok(packer.finish()?)
}

fn leb128(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_fields_keep_their_commas_quotes_and_lines() {
        let text = "a,\"b, \"\"c\"\"\",d\r\n\"e\nf\",,g";
        assert_eq!(csv(text), [["a", "b, \"c\"", "d"], ["e\nf", "", "g"]]);
    }

    #[test]
    fn the_same_assignments_give_the_same_table_and_spellings_are_one() {
        let assigned = Assigned::from([
            ((24, 0x00_1b1b), "SIEMENS".into()),
            ((24, 0x00_1b1c), "Siemens".into()),
            ((36, 0x7_0b3d_5719), "2M Technology".into()),
        ]);
        let table = pack(&assigned).unwrap();
        assert_eq!(table, pack(&assigned).unwrap());
        let mut bytes = Vec::new();
        flate2::read::ZlibDecoder::new(&table[..]).read_to_end(&mut bytes).unwrap();
        assert!(bytes.starts_with(b"\x02\0\0\0\x0d2M Technology\x07Siemens\x02\0\0\0"), "{bytes:?}");
    }
}
