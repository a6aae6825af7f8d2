//! From a chain file and a key file to a certificate that can be served, or what is wrong with them.

use super::{Certificate, Origin, identity::Identity, pem::PemFile};
use crate::config::checked::CertificateFiles;
use rustls::{
    Error, InconsistentKeys,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::CertifiedKey,
};
use std::{path::Path, sync::Arc};

/// Loads a pair of files. The error names the file and the fix; the second value is what works but should be mended.
pub(super) fn load(files: &CertificateFiles) -> Result<(Certificate, Vec<String>), String> {
    let chain = PemFile::read(&files.chain)?;
    if chain.certificates.is_empty() {
        return Err(chain.lacks_certificate(&files.chain));
    }
    let key = PemFile::read(&files.key)?;
    if key.keys.is_empty() {
        return Err(key.lacks_key(&files.key));
    }
    let identities = identities(&chain.certificates, &files.chain)?;
    let certified = certify(chain.certificates, key.keys, &identities, files)?;
    let mut warnings = Vec::new();
    if key.world_readable {
        let path = files.key.display();
        warnings.push(format!("{path} can be read by every user of this host; chmod o-r it"));
    }
    Ok((Certificate::new(Arc::new(certified), identities, Origin::File(files.chain.clone())), warnings))
}

fn identities(chain: &[CertificateDer<'_>], path: &Path) -> Result<Vec<Identity>, String> {
    let read = |(at, certificate)| {
        Identity::of(certificate).ok_or_else(|| {
            format!("certificate {} in {} is damaged: get the file again", at + 1, path.display())
        })
    };
    chain.iter().enumerate().map(read).collect()
}

/// Joins the chain with that of the keys which is its own.
fn certify(
    chain: Vec<CertificateDer<'static>>,
    keys: Vec<PrivateKeyDer<'static>>,
    identities: &[Identity],
    files: &CertificateFiles,
) -> Result<CertifiedKey, String> {
    let provider = aws_lc_rs::default_provider();
    let mut failure = None;
    for key in &keys {
        match CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider) {
            Ok(certified) => return Ok(certified),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    let (key_path, chain_path) = (files.key.display(), files.chain.display());
    Err(match failure {
        Some(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            match position_of(&keys, &chain, &provider) {
                Some(at) => format!(
                    "the certificates in {chain_path} are in the wrong order: the key belongs to number {}, and the \
                     server's own certificate must come first, then the one that issued it",
                    at + 1
                ),
                None => format!(
                    "the key in {key_path} does not belong to the certificate for {} in {chain_path}: name the two files \
                     that were made together",
                    identities[0].subject
                ),
            }
        }
        Some(error) => format!("the key in {key_path} cannot be used: {}", in_words(&error)),
        None => format!("{key_path} holds no private key"),
    })
}

/// Which certificate of the chain the key belongs to.
fn position_of(
    keys: &[PrivateKeyDer<'static>],
    chain: &[CertificateDer<'static>],
    provider: &CryptoProvider,
) -> Option<usize> {
    chain.iter().position(|certificate| {
        keys.iter()
            .any(|key| CertifiedKey::from_der(vec![certificate.clone()], key.clone_key(), provider).is_ok())
    })
}

fn in_words(error: &Error) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open, and the rest is one case")]
    match error {
        Error::General(_) => {
            "expected an RSA key of 2048 to 8192 bits, or one on the curve P-256, P-384, P-521 or Ed25519"
                .to_owned()
        }
        error => error.to_string(),
    }
}
