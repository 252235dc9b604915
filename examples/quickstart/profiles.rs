//! Business profiles.

use perfectpay::scope::{MerchantScope, ProfileScope};
use perfectpay::{MerchantUpdate, PageRequest, Patch};
use serde_json::json;

use crate::published::{body, own};
use crate::tell::{Failure, answer, holds, line, section};

pub(crate) async fn play(shop: &MerchantScope) -> Result<ProfileScope, Failure> {
    section("A business profile");
    let made = shop.create_profile(body("create_profile")?).idempotency_key("profile-1".parse()?).await?;
    line(format_args!("created {} `{}` from the published body", made.profile_id, made.profile_name));
    let profile = shop.profile(&made.profile_id);
    profile.update(own(json!({"webhook_details": {"webhook_version": "1.0.2"}}))?).expecting(made.version).await?;
    let updated = profile.update(body("update_profile")?).await?;
    line("two updates of the webhook details, merged field by field: the version stays, the URL is new");
    answer(&updated.webhook_details)?;

    // An update that changes nothing makes no version and no entry in the log.
    let same = profile.update(body("update_profile")?).await?;
    holds(same.version == updated.version, "an update that changes nothing makes no version")?;
    line(format_args!("the same update again changes nothing: still version {}", same.version));

    let branding = json!({"payment_link_config": {
        "theme": "#0B5FFF", "seller_name": "Acme US", "logo": "https://acme.example/logo.svg",
        "business_specific_configs": {"winter": {"theme": "#7FDBFF"}},
    }});
    let branded = profile.update(own(branding)?).await?;
    holds(profile.retrieve().await? == branded, "what is read is what was written")?;
    line("gave it a branding for payment links, with a winter variant");

    let update = MerchantUpdate { default_profile: Patch::Set(made.profile_id.clone()), ..MerchantUpdate::default() };
    shop.update(update).await?;
    holds(shop.retrieve().await?.default_profile.as_ref() == Some(&made.profile_id), "the default has moved")?;
    let profiles = shop.profiles(PageRequest::default()).await?.items;
    let names: Vec<&str> = profiles.iter().map(|one| &*one.profile_name).collect();
    line(format_args!("made it the account's default, of: {}", names.join(", ")));
    Ok(profile)
}
