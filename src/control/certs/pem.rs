//! PEM files of certificates and keys, and what is wrong with them in words.

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
    pem::{self, PemObject, SectionKind},
};
use std::{fs, io, io::Read, os::unix::fs::PermissionsExt, path::Path};
use zeroize::Zeroizing;

/// A PEM file, read.
pub(super) struct PemFile {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) keys: Vec<PrivateKeyDer<'static>>,
    /// Others on this host can read it.
    pub(super) world_readable: bool,
    /// There is a key that only its password opens.
    has_locked_key: bool,
    /// It is the binary form of something.
    is_der: bool,
}

/// More than any chain; a larger file is the wrong file.
const MAX_LEN: u64 = 1 << 20;

/// Reads the bytes of a file, which may be a key.
pub(super) fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, fs::Metadata), String> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open, and the rest is one case")]
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "{} cannot be read ({error}): give the user that this server runs as access to it and its directories, or \
             hand it over with LoadCredential= of systemd",
            path.display()
        ),
        io::ErrorKind::NotFound => format!("{} does not exist: correct its path", path.display()),
        _ => format!("{} cannot be read: {error}", path.display()),
    };
    let file = fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_LEN + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() as u64 > MAX_LEN {
        true => Err(format!("{} is longer than {MAX_LEN} bytes: it is no PEM file", path.display())),
        false => Ok((bytes, metadata)),
    }
}

impl PemFile {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let (bytes, metadata) = read(path)?;
        let mut file = Self {
            certificates: Vec::new(),
            keys: Vec::new(),
            world_readable: metadata.permissions().mode() & 0o004 != 0,
            has_locked_key: is_locked(&bytes),
            // An ASN.1 sequence of more than 255 bytes.
            is_der: bytes.starts_with(&[0x30, 0x82]),
        };
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&bytes) {
            match section {
                Ok((kind, der)) => file.add(kind, der),
                // The old form of a locked key has headers, which are not base64.
                Err(_) if file.has_locked_key => break,
                Err(error) => {
                    return Err(format!("{} is damaged: {}", path.display(), in_words(&error)));
                }
            }
        }
        Ok(file)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open, and the rest does not matter")]
    fn add(&mut self, kind: SectionKind, der: Vec<u8>) {
        match kind {
            SectionKind::Certificate => self.certificates.push(der.into()),
            SectionKind::PrivateKey => self.keys.push(PrivatePkcs8KeyDer::from(der).into()),
            SectionKind::RsaPrivateKey => self.keys.push(PrivatePkcs1KeyDer::from(der).into()),
            SectionKind::EcPrivateKey => self.keys.push(PrivateSec1KeyDer::from(der).into()),
            _ => {}
        }
    }

    /// Why there is no certificate in it, and what to do.
    pub(super) fn lacks_certificate(&self, path: &Path) -> String {
        let path = path.display();
        if self.is_der {
            format!(
                "{path} is not PEM text: convert it with openssl x509 -inform der -in {path} -out chain.pem"
            )
        } else if !self.keys.is_empty() || self.has_locked_key {
            format!("{path} holds a private key and no certificate: `chain` and `key` may be swapped")
        } else {
            format!("{path} holds no certificate: expected PEM text with -----BEGIN CERTIFICATE-----")
        }
    }

    /// Why there is no key in it, and what to do.
    pub(super) fn lacks_key(&self, path: &Path) -> String {
        let path = path.display();
        if self.has_locked_key {
            format!(
                "{path} is protected by a password, which nobody could type in at start: remove it with openssl pkey -in \
                 {path} -out key.pem"
            )
        } else if self.is_der {
            format!(
                "{path} is not PEM text: convert it with openssl pkey -inform der -in {path} -out key.pem"
            )
        } else if !self.certificates.is_empty() {
            format!("{path} holds a certificate and no private key: `chain` and `key` may be swapped")
        } else {
            format!("{path} holds no private key: expected PEM text with -----BEGIN PRIVATE KEY-----")
        }
    }
}

/// Whether there is a PKCS#8 key under a password, or one in the older form of OpenSSL.
fn is_locked(bytes: &[u8]) -> bool {
    let has = |mark: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
    has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"Proc-Type: 4,ENCRYPTED")
}

/// Without any of the file's text, which may be a key's.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open, and the rest is one case")]
fn in_words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end, so the file may have been cut off",
        pem::Error::IllegalSectionStart { .. } => "a line with -----BEGIN is not whole",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it is not PEM text",
    }
}
