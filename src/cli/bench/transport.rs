//! Over which transport the clients reach the server, and what TLS needs to know for that.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde::Serialize;

/// Options for the way to the server.
#[derive(Args, Debug)]
pub(super) struct TransportArgs {
    /// What the clients speak to the server over
    #[arg(long, value_enum, default_value = "udp")]
    pub(super) transport: Transport,
    /// With tls: a file with the certificates (PEM) of those who may vouch for the server
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// With tls: take any certificate. For a server under test
    #[arg(long, conflicts_with = "ca_file")]
    insecure: bool,
    /// With tls: the name to ask for and to find in the certificate; by default the server's address
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// With tls: the version to speak
    #[arg(long, value_enum, default_value = "1.3")]
    tls_version: Version,
}

/// Between client and server; to peers it is always UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Transport {
    /// Datagrams
    Udp,
    /// A connection for each client
    Tcp,
    /// The same, encrypted
    Tls,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Version {
    #[value(name = "1.2")]
    Old,
    #[value(name = "1.3")]
    New,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        })
    }
}

/// How a client is connected.
pub(super) enum Dial {
    Udp,
    Tcp,
    Tls(Arc<ClientConfig>, ServerName<'static>),
}

impl TransportArgs {
    pub(super) fn resolve(&self, server: SocketAddr) -> Result<Dial> {
        match self.transport {
            Transport::Udp => Ok(Dial::Udp),
            Transport::Tcp => Ok(Dial::Tcp),
            Transport::Tls => Ok(Dial::Tls(Arc::new(self.client()?), self.name(server.ip())?)),
        }
    }

    fn name(&self, server: IpAddr) -> Result<ServerName<'static>> {
        let Some(name) = &self.server_name else { return Ok(ServerName::IpAddress(server.into())) };
        ServerName::try_from(name.clone()).with_context(|| format!("{name} is not a server's name"))
    }

    /// A client that makes every server do the same work: one cipher, one group wherever the server has it, and a full
    /// handshake each time.
    fn client(&self) -> Result<ClientConfig> {
        let (version, cipher_suites) = match self.tls_version {
            Version::Old => (
                &rustls::version::TLS12,
                vec![
                    aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                    aws_lc_rs::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                ],
            ),
            Version::New => {
                (&rustls::version::TLS13, vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256])
            }
        };
        let provider = Arc::new(CryptoProvider {
            cipher_suites,
            kx_groups: vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1],
            ..aws_lc_rs::default_provider()
        });
        let verifier: Arc<dyn ServerCertVerifier> = match (&self.ca_file, self.insecure) {
            (Some(path), _) => {
                let mut roots = RootCertStore::empty();
                let unreadable = || format!("cannot read certificates from {}", path.display());
                for certificate in CertificateDer::pem_file_iter(path).with_context(unreadable)? {
                    roots.add(certificate.with_context(unreadable)?).with_context(unreadable)?;
                }
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .build()
                    .with_context(unreadable)?
            }
            (None, true) => Arc::new(Anybody(Arc::clone(&provider))),
            (None, false) => bail!("tls needs --ca-file, or --insecure to take any certificate"),
        };
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .context("a version goes with its suites")?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        client.resumption = Resumption::disabled();
        Ok(client)
    }
}

impl Dial {
    /// The TLS session of a new connection, where there is to be one.
    pub(super) fn tls(&self) -> Result<Option<ClientConnection>> {
        let Self::Tls(config, name) = self else { return Ok(None) };
        let client = ClientConnection::new(Arc::clone(config), name.clone());
        client.map(Some).context("cannot begin a TLS session")
    }
}

/// Takes whoever answers for the server: what `--insecure` asks for. It does not even look at the signature, which
/// would cost the generator as much as the rest of its handshake.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
