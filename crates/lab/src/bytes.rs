//! Writing numbers as protocols do.

/// Appends to a message under construction.
pub(crate) trait Put {
    fn u8(&mut self, value: u8) -> &mut Self;
    fn put(&mut self, bytes: &[u8]) -> &mut Self;

    fn be16(&mut self, value: u16) -> &mut Self {
        self.put(&value.to_be_bytes())
    }
    fn be24(&mut self, value: u32) -> &mut Self {
        self.put(&value.to_be_bytes()[1..])
    }
    fn be32(&mut self, value: u32) -> &mut Self {
        self.put(&value.to_be_bytes())
    }
    fn be64(&mut self, value: u64) -> &mut Self {
        self.put(&value.to_be_bytes())
    }
    fn le16(&mut self, value: u16) -> &mut Self {
        self.put(&value.to_le_bytes())
    }
    fn le32(&mut self, value: u32) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    /// `bytes` after their length in one byte. Scenes say nothing longer than 255 bytes this way.
    fn short(&mut self, bytes: &[u8]) -> &mut Self {
        self.u8(bytes.len() as u8).put(bytes)
    }

    /// `bytes` after their length in two bytes, big-endian.
    fn long(&mut self, bytes: &[u8]) -> &mut Self {
        self.be16(bytes.len() as u16).put(bytes)
    }

    /// Text in a field of `width` bytes, cut or filled up with `fill`.
    fn field(&mut self, text: &str, width: usize, fill: u8) -> &mut Self {
        for index in 0..width {
            self.u8(text.as_bytes().get(index).copied().unwrap_or(fill));
        }
        self
    }
}

impl Put for Vec<u8> {
    fn u8(&mut self, value: u8) -> &mut Self {
        self.push(value);
        self
    }

    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.extend_from_slice(bytes);
        self
    }
}

/// A message made by `write`.
pub(crate) fn build(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}
