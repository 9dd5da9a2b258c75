//! Names and passwords with which devices are shipped, and which malware tries first.
//!
//! The pairs are facts that makers publish in their manuals, and the list of the Mirai worm as it was analysed by
//! Antonakakis et al., "Understanding the Mirai Botnet" (USENIX Security 2017), table 5 and its sources. They are kept
//! as digests, so that no list of passwords lies in the program, and what is compared with them is kept as a digest
//! too: a password that somebody types is nowhere stored.

use model::{Outcome, Side};
use sha2::{Digest, Sha256};

use super::Emit;

/// A default credential: the account that it opens, and which of the known pairs it is, counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    account: &'static str,
    number: usize,
}

/// A name and a password as they arrive, byte by byte.
#[derive(Clone, Debug, Default)]
pub(crate) struct Typed(Sha256);

impl Typed {
    /// One byte of the name, or after [`Typed::name_ends`] of the password.
    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.update([byte]);
    }

    /// The name is whole; the password follows.
    pub(crate) fn name_ends(&mut self) {
        self.0.update([0]);
    }

    /// Which default credential this is, if it is one. All entries are compared, whatever is found.
    pub(crate) fn known(self) -> Option<Known> {
        let digest = self.0.finalize();
        let (head, _) = digest.split_first_chunk::<8>()?;
        let seen = u64::from_be_bytes(*head);
        KNOWN.iter().zip(1..).fold(
            None,
            |found, ((account, known), number)| {
                if *known == seen { Some(Known { account, number }) } else { found }
            },
        )
    }
}

/// Which default credential a name and a password are, if they are one.
pub(crate) fn known(name: &[u8], password: &[u8]) -> Option<Known> {
    let mut typed = Typed::default();
    typed.0.update(name);
    typed.name_ends();
    typed.0.update(password);
    typed.known()
}

/// The longest user-pass that is decoded, in bytes of base 64.
const MAX_BASIC: usize = 128;

/// The default credential that the value of an `Authorization` field of the scheme `Basic` holds, if it holds one (RFC
/// 7617 clause 2).
pub(crate) fn basic(value: &[u8]) -> Option<Known> {
    let (scheme, encoded) =
        value.split_at_checked(6).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"basic "))?;
    debug_assert_eq!(scheme.len(), 6);
    let encoded = encoded.trim_ascii();
    let mut plain = [0; MAX_BASIC];
    let length = decode(encoded, &mut plain)?;
    let pair = &plain[..length];
    let colon = pair.iter().position(|byte| *byte == b':')?;
    known(&pair[..colon], &pair[colon + 1..])
}

/// Base 64 (RFC 4648 clause 4) into `plain`; how many bytes it gave.
fn decode(encoded: &[u8], plain: &mut [u8; MAX_BASIC]) -> Option<usize> {
    let (mut word, mut bits, mut length) = (0_u32, 0, 0);
    for byte in encoded.iter().take_while(|byte| **byte != b'=') {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        word = word << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            *plain.get_mut(length)? = (word >> bits) as u8;
            length += 1;
        }
    }
    Some(length)
}

/// Tells that a default credential was used on the server, or only tried. What was tried in vain opens nothing, so that
/// its number may be told: who tries several is told from who tries one again and again.
pub(crate) fn tell(known: Option<Known>, outcome: Outcome, out: &mut Emit<'_>) {
    let Some(Known { account, number }) = known else { return };
    match outcome {
        Outcome::Refused => {
            out.weakness(Side::Client, "default-credential-tried", format!("{account}, known pair {number}"));
        }
        Outcome::Done | Outcome::Asked => out.weakness(Side::Server, "default-credential", account),
    }
}

/// Accounts, each with the first eight bytes of the SHA-256 digest of name, zero byte and password.
static KNOWN: &[(&str, u64)] = &[
    ("666666", 0x9dfc_5a10_ee85_6355),
    ("888888", 0xb746_054b_42af_3ff8),
    ("ADMIN", 0xc47b_a439_0eb8_6452),
    ("admin", 0x01b3_4722_60f8_bec4),
    ("admin", 0x0d0e_6b45_43aa_c223),
    ("admin", 0x1003_f8e8_fd25_4b46),
    ("admin", 0x105c_20a9_f001_91b5),
    ("admin", 0x12db_72f2_9542_84c4),
    ("admin", 0x1a22_a28d_cdfb_89aa),
    ("admin", 0x1d38_0133_9719_3f42),
    ("admin", 0x2720_86e3_57d5_7008),
    ("admin", 0x2f77_5658_61eb_5053),
    ("admin", 0x33d3_ab2d_4657_7d02),
    ("admin", 0x37b4_7722_5ac9_a66f),
    ("admin", 0x3977_06d5_75da_2083),
    ("admin", 0x3e5e_6bc4_0d00_0486),
    ("admin", 0x3f35_bd39_8d05_334d),
    ("admin", 0x5288_2c7e_624b_c6fe),
    ("admin", 0x52b7_5d83_3ca0_4ddc),
    ("admin", 0x55b3_0163_afc4_2ed2),
    ("admin", 0x57cb_f22d_1b03_6eee),
    ("admin", 0x584c_5794_dd84_72eb),
    ("admin", 0x5dc8_c5fb_cb51_5ae4),
    ("admin", 0x6f6e_730a_6b75_0a9b),
    ("admin", 0x7204_b574_2d30_42c5),
    ("admin", 0x7633_9c47_648c_bf74),
    ("admin", 0x77ca_ee96_9deb_d7b1),
    ("admin", 0x82e7_1084_d05d_88ab),
    ("admin", 0x9f5b_738b_8b92_fe78),
    ("admin", 0xabdc_1655_de2c_f409),
    ("admin", 0xac72_d965_e39c_8ded),
    ("admin", 0xaed7_f46a_50e8_8e55),
    ("admin", 0xaee7_a179_6a41_22b8),
    ("admin", 0xaf91_3330_c0ae_0282),
    ("admin", 0xb064_77db_9e62_820a),
    ("admin", 0xc205_44a9_df1e_8bde),
    ("admin", 0xc9b3_b872_3e03_14f3),
    ("admin", 0xcaa5_6817_f52d_4222),
    ("admin", 0xce32_779f_0689_844d),
    ("admin", 0xd65a_db91_4185_6aba),
    ("admin", 0xdc18_4b85_51c0_d678),
    ("admin", 0xdd00_ea8a_7ab5_c2da),
    ("admin", 0xde00_fea4_5020_2888),
    ("admin", 0xeadc_4e84_a676_554e),
    ("admin", 0xefda_b23a_0b87_f23e),
    ("admin", 0xf063_e856_79a7_05c6),
    ("admin", 0xf44d_4e9a_4bf8_4ea8),
    ("admin", 0xfcaa_2dfc_fb49_cb41),
    ("admin", 0xfcaf_c61b_c63a_5e83),
    ("admin1", 0xc768_ef8e_b3e0_9392),
    ("Administrator", 0x4b33_56f6_b167_9f48),
    ("Administrator", 0x932e_4c10_6c6b_2cbc),
    ("administrator", 0x52cf_39c4_90dc_abf6),
    ("administrator", 0x82cb_5951_e527_c67f),
    ("administrator", 0xf672_324a_d083_54c7),
    ("apc", 0x13f4_f536_acb5_0f0c),
    ("basisk", 0x6e26_1d56_5f48_ded7),
    ("bin", 0x50b1_bbf9_1572_478c),
    ("cisco", 0x8928_062b_dd60_2952),
    ("daemon", 0xc163_19c7_44d7_e94b),
    ("debug", 0xe519_77cf_eb78_7b69),
    ("default", 0x1163_c79a_c636_2536),
    ("default", 0x8127_7067_10b8_f3fb),
    ("default", 0xbb9a_03f3_423c_2a64),
    ("default", 0xc19c_8e9b_d247_1e78),
    ("default", 0xc3ca_73ef_be11_d0c4),
    ("device", 0x9948_1c58_66d1_8cbc),
    ("ftp", 0x376d_7a8e_dc33_b069),
    ("ftpuser", 0xcd80_8fd9_1ab8_d413),
    ("fwupgrade", 0x8ace_d856_d9f8_34f2),
    ("guest", 0x04c1_f864_c57d_b018),
    ("guest", 0x94e1_8cf8_cb12_73f7),
    ("guest", 0xaa1b_05bb_df7a_b7b9),
    ("loytec4u", 0x936b_672e_b368_ca2f),
    ("manager", 0x3aa6_260f_659d_8980),
    ("manager", 0x733d_9bbb_040f_389e),
    ("monitor", 0xf2a7_f509_0ccf_9128),
    ("mqtt", 0x9d64_ea27_023f_e0b3),
    ("nobody", 0x8fd3_156e_8253_2258),
    ("ntpupdate", 0x495a_a71d_c4db_53ab),
    ("operator", 0xaa20_66e2_ebec_31a9),
    ("operator", 0xdc77_f987_1ae8_878c),
    ("pi", 0x69f7_3569_b24b_894a),
    ("rabbitmq", 0x7f94_cb7f_0619_fb66),
    ("readonly", 0xd820_250e_757f_4319),
    ("root", 0x0051_8390_37c8_d781),
    ("root", 0x0592_6dde_c62d_ea0e),
    ("root", 0x05fe_b1aa_170f_8b69),
    ("root", 0x0eda_2f79_76c5_9cb0),
    ("root", 0x0ee6_dde3_21ec_fc83),
    ("root", 0x125d_dadd_1d01_e1ac),
    ("root", 0x159a_6dc6_40fc_12b5),
    ("root", 0x1b49_575f_0c91_6271),
    ("root", 0x2463_8e00_7755_d3dd),
    ("root", 0x2ab6_a886_a331_6021),
    ("root", 0x3590_44d9_ac21_0d5d),
    ("root", 0x3942_9c4e_002d_04f6),
    ("root", 0x3cd5_2efe_b9bb_13c0),
    ("root", 0x41b1_9745_f8d8_a5c1),
    ("root", 0x4288_50f6_5220_2794),
    ("root", 0x45e3_8397_994d_f9c7),
    ("root", 0x492a_deaa_96b0_681b),
    ("root", 0x6586_0856_bdd7_1af8),
    ("root", 0x6e9f_add5_f5ab_9c2b),
    ("root", 0x72a5_42cc_9e92_60fd),
    ("root", 0x7483_4584_4ec6_a203),
    ("root", 0x774c_504a_8de7_a92d),
    ("root", 0x7e1e_4303_74d2_d3e3),
    ("root", 0x82c9_246a_6825_ff08),
    ("root", 0x86f0_9347_d418_eac1),
    ("root", 0x89ec_e1ec_ca39_7f20),
    ("root", 0x89fb_634d_d26c_f71e),
    ("root", 0x9465_5db2_f94b_2b71),
    ("root", 0x9884_37d4_b221_6d5b),
    ("root", 0x9938_7f8b_0eb5_cc97),
    ("root", 0xa40a_debd_33ab_a668),
    ("root", 0xa7a7_87a7_a76b_873e),
    ("root", 0xab14_3869_757a_5302),
    ("root", 0xb333_25e1_4c87_2285),
    ("root", 0xb79f_58ae_0de9_0b6e),
    ("root", 0xb8d0_e52e_c3d6_ac9b),
    ("root", 0xbe8c_fbf0_dc3f_594d),
    ("root", 0xc270_3a36_c7e7_5885),
    ("root", 0xc2f8_bc36_6103_111f),
    ("root", 0xc523_15d2_d679_dc51),
    ("root", 0xcebb_3ee4_ebbb_fd06),
    ("root", 0xd031_eabe_ad83_efb9),
    ("root", 0xd548_64bd_f566_a2ad),
    ("root", 0xdbfe_ddc6_d69a_864e),
    ("root", 0xe5a0_4c1f_29e5_9fda),
    ("root", 0xe939_3be1_7c9f_91fa),
    ("root", 0xf2e9_9c32_d20c_2e65),
    ("root", 0xf427_cc9f_f69d_ae7b),
    ("root", 0xf60a_9069_c6ef_39da),
    ("root", 0xf972_2c24_a6d0_14b6),
    ("root", 0xfa88_2384_341d_1d8c),
    ("service", 0x1729_3855_ca2e_bace),
    ("service", 0xfe32_130e_8f63_723a),
    ("supervisor", 0x72f4_b1cb_74fb_125e),
    ("supervisor", 0xc68a_f28e_60cd_6f57),
    ("support", 0x1331_22a6_1ab0_da7b),
    ("sysdiag", 0x12a7_9208_1634_5a80),
    ("tech", 0x80d0_c417_4242_56e1),
    ("telnet", 0xa336_9a8e_8733_33a2),
    ("test", 0x5713_7c44_8241_b929),
    ("ubnt", 0x2c4f_1e20_f416_048c),
    ("USER", 0x50a7_6f57_fb74_c773),
    ("USER", 0x7b6e_d751_d308_e6c3),
    ("user", 0x7232_5a2e_27b3_b6c2),
    ("user", 0x9013_c056_0b22_e193),
    ("user", 0x9698_7b71_a816_8a29),
    ("user", 0xd538_2a43_b630_d4b2),
    ("user", 0xec18_9149_646e_b3c1),
    ("user", 0xfee7_4a27_b605_5cbf),
    ("vstarcam2015", 0xa0b0_9ec6_4eb8_0366),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pairs_that_everybody_knows_are_known_and_others_are_not() {
        for (name, password) in
            [("root", "xc3511"), ("root", "vizxv"), ("admin", "admin"), ("root", ""), ("ubnt", "ubnt")]
        {
            let known = known(name.as_bytes(), password.as_bytes());
            assert_eq!(known.map(|known| known.account), Some(name), "{name}");
        }
        for (name, password) in
            [("root", "Vizxv"), ("admin", "tiroler-gruendlich-7"), ("", ""), ("rootx", "c3511")]
        {
            assert_eq!(known(name.as_bytes(), password.as_bytes()), None, "{name}");
        }
    }

    /// RFC 7617 clause 2 gives the first value: Aladdin, open sesame.
    #[test]
    fn basic_credentials_are_decoded() {
        assert_eq!(basic(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), None);
        let admin = basic(b"basic YWRtaW46YWRtaW4=");
        assert_eq!((admin, admin.map(|known| known.account)), (known(b"admin", b"admin"), Some("admin")));
        for broken in [&b"Basic"[..], b"Basic ", b"Basic ####", b"Digest YWRtaW46YWRtaW4=", &[b'A'; 400]] {
            assert_eq!(basic(broken), None);
        }
        assert_eq!(basic(&[&b"Basic "[..], &[b'A'; 400]].concat()), None);
    }
}
