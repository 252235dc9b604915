//! An event as it is sent: where to, with which headers, and the bytes.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

use crate::error::Fault;
use crate::id::EventId;
use crate::profile::WebhookSecrets;
use crate::seal::Opened;
use crate::time::Timestamp;
use crate::web_url::WebUrl;
use crate::webhook::{SIGNATURE_512, SignedWebhook, WebhookSigner, signature_512};

/// Everything that one try sends. `Debug` shows the event's id and nothing else: the body names the payment's client
/// secret, the headers may authenticate the sender.
pub struct WebhookMessage {
    event_id: EventId,
    url: WebUrl,
    headers: Vec<(Box<str>, SecretString)>,
    body: Opened,
}

impl WebhookMessage {
    pub(crate) fn new(event_id: EventId, url: WebUrl, secrets: &WebhookSecrets, body: Opened) -> Self {
        let own = secrets.outgoing_webhook_custom_http_headers.iter().flat_map(crate::profile::WebhookHeaders::iter);
        let mut headers: Vec<(Box<str>, SecretString)> =
            own.map(|(name, value)| (Box::from(name), value.clone())).collect();
        headers.push((Box::from("content-type"), SecretString::from("application/json")));
        let signature = signature_512(&secrets.payment_response_hash_key, &body);
        headers.push((Box::from(SIGNATURE_512), SecretString::from(signature)));
        Self { event_id, url, headers, body }
    }

    /// The event.
    pub fn event_id(&self) -> &EventId {
        &self.event_id
    }

    /// Where it goes. What its host name resolves to is the host's to look at: [`UrlPolicy::admits`].
    ///
    /// [`UrlPolicy::admits`]: crate::webhook::UrlPolicy::admits
    pub fn url(&self) -> &WebUrl {
        &self.url
    }

    /// Its headers: the profile's own, `content-type`, and the contract's signature of the body ([`SIGNATURE_512`]).
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (&**name, value.expose_secret()))
    }

    /// The body: the same bytes at every try.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The headers of Standard Webhooks besides, for a receiver that has the signer's secret: the event's id is the
    /// message's, and every try is signed with its own time.
    ///
    /// # Errors
    ///
    /// As [`WebhookSigner::sign`]; never for an id of this library's.
    pub fn signed(&self, signer: &WebhookSigner, at: Timestamp) -> Result<SignedWebhook, Fault> {
        signer.sign(self.event_id.as_str(), at, &self.body)
    }
}

impl fmt::Debug for WebhookMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookMessage").field("event_id", &self.event_id).finish_non_exhaustive()
    }
}
