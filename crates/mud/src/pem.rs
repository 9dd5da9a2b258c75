//! Certificates and keys as they lie in files.

/// The DER objects in a file: those of PEM blocks (RFC 7468) in their order, or the file itself if it holds no block.
pub fn der_objects(file: &[u8]) -> Vec<Vec<u8>> {
    let blocks: Vec<Vec<u8>> = x509_parser::pem::Pem::iter_from_buffer(file)
        .filter_map(Result::ok)
        .map(|block| block.contents)
        .collect();
    if blocks.is_empty() { vec![file.to_vec()] } else { blocks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_taken_out_and_anything_else_is_taken_for_der() {
        let block = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert_eq!(der_objects(format!("some text\n{block}{block}").as_bytes()), [[0x30, 0], [0x30, 0]]);
        assert_eq!(der_objects(&[0x30, 0]), [[0x30, 0]]);
    }
}
