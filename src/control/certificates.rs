//! Loads certificates from their files.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::config::{checked::Tls, choice::TlsVersion};
use crate::net::tls::TlsConfigs;

#[derive(Debug)]
struct First(Arc<CertifiedKey>);

impl ResolvesServerCert for First {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// How TLS clients are met, if there is a certificate.
pub fn load(tls: &Tls) -> Result<Option<TlsConfigs>, String> {
    let Some(files) = tls.certificates.first() else { return Ok(None) };
    let failed = |path: &std::path::Path| {
        let path = path.display().to_string();
        move |error: rustls_pki_types::pem::Error| format!("{path}: {error}")
    };
    let chain = CertificateDer::pem_file_iter(&files.chain).map_err(failed(&files.chain))?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(failed(&files.chain))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(failed(&files.key))?;
    let key = any_supported_type(&key).map_err(|error| format!("{}: {error}", files.key.display()))?;
    let resolver = Arc::new(First(Arc::new(CertifiedKey::new(chain, key))));
    let versions: &[_] = match tls.min_version {
        TlsVersion::Tls12 => &[&version::TLS13, &version::TLS12],
        TlsVersion::Tls13 => &[&version::TLS13],
    };
    let config = |protocols: &[&[u8]]| {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(versions).map_err(|error| error.to_string())?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver.clone());
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok::<_, String>(Arc::new(config))
    };
    Ok(Some(TlsConfigs {
        turn: config(&[b"stun.turn", b"stun.nat-discovery"])?,
        bare: config(&[])?,
        web: config(&[b"http/1.1", b"h2"])?,
        acme: config(&[b"acme-tls/1"])?,
    }))
}
