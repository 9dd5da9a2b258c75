//! Paths: where in a device, and behind which ports, a request goes (CIP Volume 1, appendix C-1.4).

use std::fmt::Write as _;

use crate::proto::{Reader, Short};

/// A path names at most so many segments that are read; longer ones are cut.
const MAX_SEGMENTS: usize = 32;

/// What a path says.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    pub(super) class: Option<u32>,
    pub(super) instance: Option<u32>,
    pub(super) attribute: Option<u32>,
    pub(super) connection_point: Option<u32>,
    /// The name of a tag, with members and indices.
    pub(super) symbol: Option<String>,
    /// Ports and addresses that are passed: the target is another module.
    pub(super) route: Option<String>,
}

impl Path {
    /// What is addressed, as text.
    pub(super) fn target(&self) -> String {
        let mut text = String::new();
        if let Some(symbol) = &self.symbol {
            text.push_str(symbol);
        } else {
            if let Some(class) = self.class {
                let _ = write!(text, "{} ({class:#x})", super::names::class(class));
            }
            if let Some(instance) = self.instance {
                let _ = write!(text, " instance {instance}");
            }
            if let Some(attribute) = self.attribute {
                let _ = write!(text, " attribute {attribute}");
            }
        }
        if let Some(route) = &self.route {
            let _ = write!(text, " via {route}");
        }
        text.trim_start().to_owned()
    }
}

/// Reads a padded path of so many bytes. Segments that are not understood end it.
pub(super) fn read(bytes: &[u8]) -> Path {
    let mut path = Path::default();
    let mut reader = Reader::new(bytes);
    for _ in 0..MAX_SEGMENTS {
        if reader.is_empty() || segment(&mut reader, &mut path).is_err() {
            break;
        }
    }
    path
}

fn segment(reader: &mut Reader<'_>, path: &mut Path) -> Result<(), Short> {
    let kind = reader.u8()?;
    match kind >> 5 {
        0 => port(kind, reader, path),
        1 => {
            let value = match kind & 3 {
                0 => u32::from(reader.u8()?),
                1 => {
                    reader.skip(1)?;
                    u32::from(reader.le16()?)
                }
                2 => {
                    reader.skip(1)?;
                    reader.le32()?
                }
                _ => return Err(Short),
            };
            match (kind >> 2) & 7 {
                0 => path.class = Some(value),
                1 => path.instance = Some(value),
                // A member of an array.
                2 => {
                    if let Some(symbol) = &mut path.symbol {
                        let _ = write!(symbol, "[{value}]");
                    }
                }
                3 => path.connection_point = Some(value),
                4 => path.attribute = Some(value),
                _ => return Err(Short),
            }
            Ok(())
        }
        // Special, logical: the electronic key of format 4 has eight bytes.
        _ if kind == 0x34 => reader.skip(9),
        // Simple data: words.
        _ if kind == 0x80 => {
            let words = reader.u8()?;
            reader.skip(usize::from(words) * 2)
        }
        // ANSI extended symbol.
        _ if kind == 0x91 => {
            let length = usize::from(reader.u8()?);
            let name = reader.take(length)?;
            if length % 2 != 0 {
                reader.skip(1)?;
            }
            let name: String = name
                .iter()
                .map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' })
                .collect();
            match &mut path.symbol {
                Some(symbol) => {
                    symbol.push('.');
                    symbol.push_str(&name);
                }
                None => path.symbol = Some(name),
            }
            Ok(())
        }
        // Network segments (priority, delays) of one byte of data.
        2 => reader.skip(1),
        _ => Err(Short),
    }
}

/// A port and the address behind it, as `1/0`.
fn port(kind: u8, reader: &mut Reader<'_>, path: &mut Path) -> Result<(), Short> {
    let extended = kind & 0x10 != 0;
    let size = if extended { usize::from(reader.u8()?) } else { 1 };
    let port = match kind & 0x0f {
        15 => reader.le16()?,
        port => u16::from(port),
    };
    let address = reader.take(size)?;
    if extended && size % 2 != 0 {
        reader.skip(1)?;
    }
    let route = path.route.get_or_insert_default();
    if !route.is_empty() {
        route.push('/');
    }
    let _ = match address {
        [slot] if !extended => write!(route, "{port}/{slot}"),
        text => write!(route, "{port}/{}", String::from_utf8_lossy(text)),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_class_instance_and_attribute() {
        let path = read(&[0x20, 0x01, 0x24, 0x01, 0x30, 0x07]);
        assert_eq!(path.target(), "identity (0x1) instance 1 attribute 7");
        let wide = read(&[0x21, 0x00, 0x4c, 0x03, 0x25, 0x00, 0x20, 0x24]);
        assert_eq!((wide.class, wide.instance), (Some(0x34c), Some(0x2420)));
    }

    #[test]
    fn a_symbol_keeps_members_and_indices() {
        let path = read(b"\x91\x04Tank\x28\x03\x91\x05Level\0");
        assert_eq!(path.target(), "Tank[3].Level");
    }

    #[test]
    fn ports_are_the_route() {
        assert_eq!(read(&[0x01, 0x00]).route.as_deref(), Some("1/0"));
        assert_eq!(read(b"\x12\x0b192.168.1.9\0\x01\x02").route.as_deref(), Some("2/192.168.1.9/1/2"));
    }
}
