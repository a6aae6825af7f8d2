//! One order from beginning to end (RFC 8555 §7.4): account, challenges, certificate.

use super::{
    challenge::Challenges,
    failure::{Failure, Kind, in_words},
    files::Files,
    schedule::{UnixSeconds, Window},
};
use crate::config::checked::Acme;
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, Error, ExternalAccountKey, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use std::{io::ErrorKind, time::Duration};
use zeroize::Zeroizing;

/// Gets a certificate for all names of `settings`, with a new key: both as PEM.
pub(super) async fn order(
    settings: &Acme,
    files: &Files,
    challenges: &mut Challenges,
) -> Result<Zeroizing<String>, Failure> {
    let (account, kept) = account(settings, files).await?;
    match with_account(&account, settings, challenges).await {
        // A private CA that was set up anew, most likely.
        Err(failure) if failure.kind == Kind::NoAccount && kept => {
            tracing::warn!(reason = %failure.reason, "the CA does not know the account any more; making a new one");
            let account = new_account(settings, files).await?;
            with_account(&account, settings, challenges).await
        }
        other => other,
    }
}

/// The account that is kept, which is told by `true`, or else a new one.
async fn account(settings: &Acme, files: &Files) -> Result<(Account, bool), Failure> {
    const STEP: &str = "read the account";
    match files.account() {
        Ok(Some(kept)) => {
            let account = builder(settings)?.from_credentials(kept).await;
            account.map(|account| (account, true)).map_err(Failure::ca("reach the CA"))
        }
        Ok(None) => Ok((new_account(settings, files).await?, false)),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            let path = files.path("account.json");
            tracing::warn!(path = %path.display(), reason = %error, "not an account; making a new one");
            Ok((new_account(settings, files).await?, false))
        }
        Err(error) => Err(Failure::file(STEP)(error)),
    }
}

/// When the CA would like the certificate `id` to be renewed, and in how many seconds to ask again. `None` when it
/// does not tell such things.
pub(super) async fn renewal_window(
    settings: &Acme,
    files: &Files,
    id: &CertificateIdentifier<'static>,
) -> Result<Option<(Window, u64)>, Failure> {
    // Without the account there is no way to this library's question, though the CA would answer anybody.
    let Ok(Some(kept)) = files.account() else { return Ok(None) };
    let account = builder(settings)?.from_credentials(kept).await.map_err(Failure::ca("reach the CA"))?;
    match account.renewal_info(id).await {
        Ok((info, retry_after)) => {
            let seconds = |moment: i64| UnixSeconds::try_from(moment).unwrap_or_default();
            let start = seconds(info.suggested_window.start.unix_timestamp());
            let end = seconds(info.suggested_window.end.unix_timestamp());
            Ok(Some((Window { start, end }, retry_after.as_secs())))
        }
        Err(Error::Unsupported(_)) => Ok(None),
        Err(error) => Err(Failure::ca("ask when to renew")(error)),
    }
}

async fn new_account(settings: &Acme, files: &Files) -> Result<Account, Failure> {
    let contact: Vec<&str> = settings.contact.iter().map(String::as_str).collect();
    let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let external = settings.external_account.as_ref();
    let external = external.map(|external| ExternalAccountKey::new(external.kid.clone(), &external.hmac_key));
    let made = builder(settings)?.create(&wanted, settings.directory.clone(), external.as_ref()).await;
    let (account, credentials) = made.map_err(Failure::ca("make an account"))?;
    files.keep_account(&credentials).map_err(Failure::file("keep the account"))?;
    tracing::info!(directory = %settings.directory, account = account.id(), "account made");
    Ok(account)
}

fn builder(settings: &Acme) -> Result<instant_acme::AccountBuilder, Failure> {
    let builder = match &settings.ca_file {
        Some(root) => Account::builder_with_root(root),
        None => Account::builder(),
    };
    builder.map_err(Failure::ca("trust the CA's own server"))
}

async fn with_account(
    account: &Account,
    settings: &Acme,
    challenges: &mut Challenges,
) -> Result<Zeroizing<String>, Failure> {
    let names: Vec<_> = settings.names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await.map_err(Failure::ca("place an order"))?;
    authorize(&mut order, challenges).await?;
    let key = Zeroizing::new(order.finalize().await.map_err(Failure::ca("finalize the order"))?);
    let chain = order.poll_certificate(&PATIENCE).await.map_err(Failure::ca("get the certificate"))?;
    Ok(Zeroizing::new(format!("{}{chain}", key.as_str())))
}

/// A CA looks at challenges within seconds, and may look from several places and more than once.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));

async fn authorize(order: &mut Order, challenges: &mut Challenges) -> Result<(), Failure> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(Failure::ca("get an authorization"))?;
        // RFC 8555 §7.4: what was proved for an earlier order may still count.
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let Some(mut challenge) = authorization.challenge(challenges.kind()) else {
            let reason = format!("the CA does not offer {} for {name}", challenges.name());
            return Err(Failure::here("prove a name", reason).advise("see tls.acme.challenge"));
        };
        challenges.present(&name, &challenge.token, &challenge.key_authorization())?;
        challenge.set_ready().await.map_err(Failure::ca("ask for a challenge"))?;
    }
    match order.poll_ready(&PATIENCE).await {
        Ok(OrderStatus::Invalid) => Err(why_invalid(order, challenges, None).await),
        Ok(_) => Ok(()),
        Err(Error::Api(problem)) => {
            let failure = Failure::problem("prove the names", &problem);
            Err(why_invalid(order, challenges, Some(failure)).await)
        }
        Err(Error::Timeout(_)) => {
            let reason = "the CA has not looked at the challenges in two minutes";
            Err(Failure::here("prove the names", reason))
        }
        Err(error) => Err(Failure::ca("prove the names")(error)),
    }
}

/// The order says only that it is invalid; which name has failed, and how, stands in the authorizations.
async fn why_invalid(order: &mut Order, challenges: &Challenges, said: Option<Failure>) -> Failure {
    let mut failed = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let Ok(mut authorization) = authorization else { break };
        if authorization.refresh().await.is_err() {
            break;
        }
        let name = authorization.identifier().to_string();
        for problem in authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref()) {
            tracing::warn!(
                name,
                challenge = challenges.name(),
                reason = %in_words(problem),
                advice = %challenges.advice(&name),
                "the CA could not verify a name"
            );
            failed.push(name.clone());
        }
    }
    if failed.is_empty() {
        return said
            .unwrap_or_else(|| Failure::here("prove the names", "the CA says that the order is invalid"));
    }
    Failure::here("prove the names", format!("the CA could not verify {}", failed.join(", ")))
        .advise(challenges.advice(&failed.join(", ")))
}
